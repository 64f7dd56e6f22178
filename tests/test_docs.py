"""Tests the documents: they match the code, and their links work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from sigsrv.authoring.cases import Case, judge
from sigsrv.commands import remediate_approve
from sigsrv.commands.remediate_approve import Standing
from sigsrv.judge import catalogue
from sigsrv.model import policy
from sigsrv.remediate.plan_json import as_dict
from sigsrv.remediate.planning import FixPlan, Step, Triage
from sigsrv.report.policy_table import FAMILIES, by_family
from tests import record
from tests.parts import PARTS
from tests.report_sample import make_run
from tests.test_remediate_journal import FAILING, FIX

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
POLICIES = policy.load()


@pytest.mark.parametrize(
    "name", ["docs/policies.md", "docs/forms.md", "docs/facts.md", "README.md", "policies/schema/policy.schema.json"]
)
def test_generated_part_is_up_to_date(name):
    """make docs writes it from the files of the catalogue."""
    assert (ROOT / name).read_text(encoding="utf-8") == record.documents()[ROOT / name], "make docs"


def test_page_has_every_policy_and_readme_every_family():
    """The headings of the page are the targets of the links in the README."""
    page = (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")

    assert sorted(re.findall(r"^### ([A-Z]+-\d{3}) ", page, re.MULTILINE)) == sorted(POLICIES)
    families = [family for family, _ in by_family(POLICIES.values())]
    assert re.findall(r"^\| \[(\w+)\]", README, re.MULTILINE) == families
    assert set(families) <= set(FAMILIES)
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^## (.*)$", page, re.MULTILINE)
    }
    assert set(re.findall(r"docs/policies\.md#([\w-]+)", README)) == headings


def test_page_of_findings_json_documents_each_key():
    """Each table has exactly the keys that a run writes."""
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    tables = [
        set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?`) \|", part, re.MULTILINE))))
        for part in page.split("\nA ")
    ]
    written = make_run().as_dict()

    assert tables == [set(written), set(), set(written["findings"][0]), set(written["waivers"][0])]
    assert all(f"`{key}`" in page for row in (written["run"], written["run"]["hosts"][0]) for key in row)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "docs/security.md",
        "docs/design.md",
        "docs/benchmarks.md",
        "docs/cases.md",
        "docs/decisions.md",
        "docs/policies.md",
        "docs/facts.md",
        "docs/forms.md",
        "docs/findings.md",
        "docs/glossary.md",
        "docs/remediation.md",
        "docs/site.md",
        "docs/usage.md",
        "docs/evidence.md",
        "deploy/README.md",
        "lab/README.md",
    ],
)
def test_relative_links_point_to_existing_files(name):
    """Links of Markdown, src and srcset are checked."""
    path = ROOT / name
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()) + re.findall(
        r'(?:src|srcset)="([^"]+)"', path.read_text()
    )

    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("name", ["docs/decisions.md", "docs/glossary.md"])
def test_links_to_headings_of_the_decisions_work(name):
    """Each anchor is the one that GitHub makes from a heading, and the index lists every decision."""
    page = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    anchors = {
        level: {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in found}
        for level in (2, 3)
        for found in [re.findall(rf"^#{{{level}}} (.*)$", page, re.MULTILINE)]
    }
    links = re.findall(r"\]\((?:decisions\.md)?#([^)]+)\)", (ROOT / name).read_text(encoding="utf-8"))

    assert links
    assert set(links) <= anchors[2] | anchors[3]
    assert name != "docs/decisions.md" or set(links) >= anchors[3]


def test_makefile_has_the_documented_targets():
    """The documents name demo, test, check, lab and others."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"demo", "test", "test-lab", "test-all", "check", "lab", "lab-down"} <= targets


def test_page_of_the_plan_documents_each_key():
    """Its table has exactly the keys that --plan --json prints."""
    page = (ROOT / "docs" / "remediation.md").read_text(encoding="utf-8").partition("## The plan for machines")[2]
    step = Step(FAILING, FIX)
    plan = as_dict(FixPlan((), Triage(), (step,)), 60) | remediate_approve.as_dict(Standing("", False, None, ""))
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE))

    assert set(rows) == set(plan)
    documented = set(re.findall(r"`(\w+)`", rows["steps"]))
    assert documented == set(plan["steps"][0]) | set(plan["steps"][0]["undone_by_host"])


def test_examples_of_the_design_page_are_copies_of_repository_files():
    """One is a policy with a form, one has a rule, and one is a check."""
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    paths = [*(ROOT / "policies").rglob("*.yaml"), *(ROOT / "checks").glob("*.py")]
    sources = [path.read_text(encoding="utf-8") for path in paths]
    shown = re.findall(r"^```(?:yaml|python)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)

    assert len(shown) == 3
    assert [block for block in shown if not any(block in source for source in sources)] == []


def test_example_in_the_page_of_cases_is_right():
    """Readers copy this case first. Its verdicts must be what it states."""
    page = (ROOT / "docs" / "cases.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    content = yaml.safe_load(block)

    case = Case(content["name"], content["kind"], content["change"], content["right"], "docs/cases.md")

    assert judge(case, catalogue.load()).is_right


def test_contributing_lists_every_part_of_the_tests():
    """Its table also has the minutes of each part."""
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## What is proven where")[2]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    documented = {}
    for names, _, minutes in rows:
        if parts := _parts(names):
            documented |= dict(zip(parts, re.findall(r"\d+", minutes), strict=True))

    assert documented == {name: str(part.minutes) for name, part in PARTS.items()}


def _parts(cell: str) -> list[str]:
    """Return the names of parts in a table cell. ``-2`` is short for the previous name with another number."""
    found: list[str] = []
    for name in re.findall(r"`([a-z0-9-]+)`", cell):
        found.append(f"{found[-1][:-2]}{name}" if name.startswith("-") else name)
    return found


def test_each_test_of_the_threat_model_exists():
    """Each attack of docs/security.md names at least one: a file of tests, or a test in it."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    table = page.partition("## What stops them")[2]
    rows = [
        line for line in table.splitlines() if line.startswith("| ") and not line.startswith(("| attack ", "| --- "))
    ]
    named = re.findall(r"`(tests/[\w/.]+\.py)(?:::(\w+))?`", page)
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).exists() or (test and f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8"))
    ]

    assert missing == []
    assert rows
    assert [row for row in rows if "`tests/" not in row] == []
