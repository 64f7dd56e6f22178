"""Tests that each example in the documents does what its page says: policies, cases, checks, site snippets and command lines."""

from __future__ import annotations

import ast
import re
import shlex

import pytest
import yaml

from sigsrv.authoring import cases, document, lint
from sigsrv.commands import main
from sigsrv.commands.remediate_options import new_parser
from sigsrv.judge import catalogue
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import data, policy, site_file, touches
from sigsrv.model.finding import Verdict
from sigsrv.model.fix import render
from tests.called import ROOT, sigsrv

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])
BLOCKS = [
    (f"{path.relative_to(ROOT)}:{number}", language, block)
    for path in PAGES
    for number, (language, block) in enumerate(
        re.findall(r"^ *```(\w+)\n(.*?)^ *```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
]
# A kind of YAML, and the keys that only it has. Remediations of CONTRIBUTING: tests/test_own_policies.py runs the one that there is.
KINDS = {"policy": {"id", "examines"}, "case": {"kind", "right"}, "remediation": {"fixes", "undo"}}
# These run without hosts, and read only what is shipped.
RUN = ("policies list", "policies lint", "policies test", "explain", "facts --evidence demo")


def blocks(*languages):
    return [pytest.param(block, id=name) for name, language, block in BLOCKS if language in languages]


def lines():
    """Return the command lines of sigsrv in all pages, without comments."""
    found = [
        line.split(" # ")[0].strip() for _, language, block in BLOCKS if language == "sh" for line in block.splitlines()
    ]
    parts = [part.strip() for line in found for part in line.split("&&")]
    return sorted({part for part in parts if re.match(r"sigsrv(-remediate)? ?", part)})


def kind_of(content):
    return next((kind for kind, keys in KINDS.items() if keys <= content.keys()), "site")


def test_every_language_of_a_block_has_a_test():
    """Diagrams and the unit of systemd are not run."""
    assert {language for _, language, _ in BLOCKS} == {"yaml", "python", "sh", "jinja", "mermaid", "ini"}
    assert len(lines()) > 25


@pytest.mark.parametrize("block", blocks("yaml"))
def test_yaml_of_a_page_is_right(tmp_path, block):
    """A policy passes lint, a case has the verdicts that it states, and a part of a site file can be read."""
    content = yaml.safe_load(block)
    kind = kind_of(content)
    if kind == "policy":
        path = tmp_path / policy.family_of(content["id"]) / f"{content['id']}.yaml"
        path.parent.mkdir()
        path.write_text(block)
        mistakes = [str(each) for each in lint.lint([tmp_path])[1]]
        assert [each for each in mistakes if "neither a rule" not in each] == []
    elif kind == "case":
        case = cases.Case(content["name"], content["kind"], content["change"], content["right"], "a page")
        assert cases.judge(case, catalogue.load()).is_right
    elif kind == "site":
        whole = yaml.safe_load((data.folder("policies") / "site.yaml").read_text()) | content
        site_file.loads(yaml.safe_dump(whole), tmp_path / "site.yaml", policy.load())


@pytest.mark.parametrize("block", blocks("jinja"))
def test_declared_changes_of_a_page_are_right(tmp_path, block):
    """A template of a page can be rendered with the names that it uses, and declares kinds that there are."""
    path = tmp_path / "remediations" / "some" / "touches.yaml.j2"
    path.parent.mkdir(parents=True)
    path.write_text(block)

    assert touches.parse(render(path, dict.fromkeys(re.findall(r"{{ (\w+) }}", block), "x")), path)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_of_a_page_runs(tmp_path, block):
    """A check of one policy gives a verdict on the example document. Other code is only parsed."""
    assert ast.parse(block)
    policy_id = re.search(r'@policy\("([A-Z]+-\d+)"\)', block)
    if (
        policy_id is None or policy_id[1] in policy.load()
    ):  # the copy of a shipped check: tests/test_docs.py compares it
        return
    header = "" if "import" in block else "from sigsrv import HostFacts, Require, Site, policy\n\n\n"
    (tmp_path / "test_page.py").write_text(header + block)
    checks = load_checks(tmp_path)
    on_bridges = next(each for each in policy.load().values() if each.examines == "bridge" and not each.is_declared)

    site, hosts = document.example_facts()
    found = evaluate([on_bridges], {on_bridges.id: checks[policy_id[1]]}, site, hosts)

    assert {each.verdict for each in found} == {Verdict.PASS}, [each.reason for each in found]


@pytest.mark.parametrize("line", lines())
def test_command_line_of_a_page_is_one_that_the_command_has(line):
    """Its options and subcommands exist, and the policies that it names."""
    command, *words = shlex.split(line)
    if words[:1] != ["pytest"]:
        parser = main._parser() if command == "sigsrv" else new_parser()
        parser.parse_args(words)
    named = set(re.findall(r"\b([A-Z]+-\d{3})\b", line)) - {"SITE-001", "PROJ-099", "MEM-001"}
    assert named <= policy.load().keys()


@pytest.mark.parametrize(
    "line", [line for line in lines() if line.removeprefix("sigsrv ").startswith(RUN) and "mine" not in line]
)
def test_command_line_that_needs_no_host_works(line):
    """It ends with status 0, and prints something."""
    done = sigsrv(*shlex.split(line)[1:])

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
