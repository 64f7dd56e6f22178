"""Tests ``sigsrv policies`` and ``sigsrv explain`` as users run them, without a host."""

from __future__ import annotations

import json
import re
import textwrap

import pytest

from sigsrv.model import policy, remediation
from sigsrv.report import policies as shown
from tests.called import sigsrv

POLICIES = policy.load()
SCHEMA = json.loads((policy.data.folder("policies") / "schema" / "policy.schema.json").read_text())
HELPS = [
    ["scan"],
    ["demo"],
    ["probes"],
    ["explain"],
    ["policies"],
    ["policies", "list"],
    ["policies", "new"],
    ["policies", "forms"],
    ["policies", "lint"],
    ["policies", "test"],
    ["policies", "docs"],
]


@pytest.mark.parametrize("command", HELPS, ids=" ".join)
def test_help_fits_a_terminal_and_ends_with_the_exit_statuses(command):
    """Each command shows what it does, its options, its exit statuses and an example, in 80 columns."""
    done = sigsrv(*command, "--help", COLUMNS="80")

    assert done.returncode == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "exit status:" in done.stdout
    assert "\nexample: sigsrv " in done.stdout
    assert "--policies DIR" in done.stdout or command == ["policies"]


def test_help_explains_that_severity_is_a_minimum():
    """``--help`` says what ``--severity high`` selects."""
    assert "of this severity or higher" in " ".join(sigsrv("scan", "--help", COLUMNS="80").stdout.split())


@pytest.mark.parametrize("columns", ["60", "80", "140"])
def test_the_table_lists_every_policy_and_fits_the_terminal(columns):
    """It shows id, severity and title by family, and is no wider than the terminal."""
    done = sigsrv("policies", "list", COLUMNS=columns)

    assert done.returncode == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= int(columns)
    rows = dict(re.findall(r"^([A-Z]+-\d{3}) +(critical|high|medium|low)  ", done.stdout, re.MULTILINE))
    assert rows == {each.id: each.severity.value for each in POLICIES.values()}
    text = " ".join(done.stdout.split())
    assert f"{len(POLICIES)} policies: " in text
    if columns == "140":
        assert all(each.title in done.stdout for each in POLICIES.values())
    scripted = {each.id for each in POLICIES.values() if each.remediation}
    assert set(re.findall(r"^([A-Z]+-\d{3}) .* script$", done.stdout, re.MULTILINE)) == scripted


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ([], lambda p: True),
        (["--family", "net,acl"], lambda p: p.family in ("net", "acl")),
        (["--severity", "critical"], lambda p: p.severity == "critical"),
        (["--policy", "pool-*", "--severity", "high"], lambda p: p.family == "pool" and p.severity != "medium"),
        (["--profile", "baseline"], lambda p: p.severity in ("critical", "high")),
    ],
)
def test_the_json_list_has_each_selected_policy_in_full(options, chosen):
    """The output of ``--format json`` agrees with the files."""
    done = sigsrv("policies", "list", "--format", "json", *options)

    listed = json.loads(done.stdout)
    assert [each["id"] for each in listed] == [each.id for each in POLICIES.values() if chosen(each)]
    for each in listed:
        found = POLICIES[each["id"]]
        assert (each["title"], each["severity"], each["family"]) == (found.title, found.severity, found.family)
        assert each["scope"] == ("host" if found.on_hosts else "cluster")
        assert each["decided_by"] == found.decided_by
        assert bool(each["remediation"]) is not bool(each["by_hand"])


def test_a_profile_of_the_site_can_be_listed(tmp_path):
    """``--profile`` uses the profiles of the site, or the shipped ones if the site has none."""
    text = (policy.data.DEMO / "site.yaml").read_text()
    (tmp_path / "site.yaml").write_text(text + "profiles: [{name: bridges, policies: [NET-*]}]\n")

    done = sigsrv("policies", "list", "--profile", "bridges", "--site", str(tmp_path / "site.yaml"))

    assert set(re.findall(r"^([A-Z]+)-", done.stdout, re.MULTILINE)) == {"NET"}
    assert sigsrv("policies", "list", "--profile", "bridges").returncode == 2


@pytest.mark.parametrize("options", [["--severity", "low", "--policy", "X"], ["--family", "nett"], ["--policy", ""]])
def test_an_empty_list_is_wrong_use(options):
    """An empty table would look as if there were no policies."""
    done = sigsrv("policies", "list", *options)

    assert (done.returncode, done.stdout) == (2, "")
    assert "hint: " in done.stderr


REMEDIATIONS = remediation.load()


@pytest.mark.parametrize("policy_id", POLICIES)
def test_an_explanation_contains_the_whole_policy(policy_id):
    """It contains title, reason, check, traps, fix, controls and source, wrapped but not cut."""
    each = POLICIES[policy_id]
    named = REMEDIATIONS.get(each.remediation)

    explanation = shown.explanation(each, named, "By looking.", width=80)

    flat = " ".join(explanation.split())
    for part in (
        each.title,
        each.severity.value,
        each.why,
        each.traps,
        each.by_hand,
        *each.source,
        *each.controls["cis-v8"],
    ):
        assert " ".join(part.split()) in flat
    if named:
        assert all(" ".join(text.split()) in flat for text in (named.title, named.disrupts, named.undo))
        assert f"sigsrv-remediate {policy_id}@" in explanation
    assert ("By looking." in flat) is (each.decided_by == "check")
    too_long = [line for line in explanation.splitlines() if len(line) > 80 and not line.startswith("    ")]
    assert too_long in ([], [f"  {each.path}"])


def test_explain_shows_the_place_of_the_check_and_accepts_a_finding_id():
    """The id may be in lower case. The output has the path and line of the check."""
    done = sigsrv("explain", "clus-006@cluster/cluster", COLUMNS="100")

    assert done.returncode == 0
    assert done.stdout.startswith("CLUS-006: ")
    assert re.search(r"\(checks/test_clus\.py:\d+\)", done.stdout)
    assert "policies/clus/CLUS-006.yaml" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


def test_explain_shows_what_the_verdicts_stand_on():
    """An operator sees which probe must be allowed for a policy."""
    done = sigsrv("explain", "NET-003")

    assert "Stands on: addr\n" in done.stdout


def test_explain_shows_a_rule():
    """It shows the JSON Schema and what it expects in words."""
    done = sigsrv("explain", "PROJ-001")

    assert "restricted is true" in done.stdout
    assert "restricted: {const: 'true'}" in done.stdout


def test_an_unknown_policy_gives_the_nearest_id():
    """A mistyped id is wrong use, and the hint has a similar id."""
    done = sigsrv("explain", "NET-01")

    assert done.returncode == 2
    assert 'did you mean "NET-001"?' in done.stderr


def test_test_counts_policies_and_examples():
    """It prints the number of policies and examples, and with ``-v`` a line for each policy. Globs select policies."""
    done = sigsrv("policies", "test", "net-00*", "POOL-001", "-v")

    chosen = [
        each for each in POLICIES.values() if (each.family == "net" and each.id < "NET-010") or each.id == "POOL-001"
    ]
    number = sum(len(kind) for each in chosen for kind in each.examples.values())
    assert done.returncode == 0, done.stdout
    assert f"{len(chosen)} policies, {number} examples: all pass" in done.stdout
    assert re.findall(r"^(\S+) .* ok$", done.stdout, re.MULTILINE) == [each.id for each in chosen]


def test_an_example_with_another_verdict_than_declared_is_reported(tmp_path):
    """This covers a violating example that passes, of a policy with a rule, and other verdicts than declared, of a check."""
    for name, old, new in (
        ("proj/PROJ-001", "{name: user-john, config: {}}", '{name: user-john, config: {restricted: "true"}}'),
        ("net/NET-001", "expect: {NET-001@minisrv/sigsrvbr0: fail}", "expect: {NET-001@sigsrv/sigsrvbr0: fail}"),
    ):
        text = (policy.data.folder("policies") / f"{name}.yaml").read_text()
        assert old in text
        (tmp_path / name).parent.mkdir()
        (tmp_path / f"{name}.yaml").write_text(text.replace(old, new, 1))

    done = sigsrv("policies", "test", "--policies", str(tmp_path))

    assert done.returncode == 1
    assert "PROJ-001: violating[2] is not violating" in done.stdout
    assert re.search(r"NET-001: violating\[\d\] .*: expected .*, found ", done.stdout)
    assert done.stdout.rstrip().endswith("2 failed")


@pytest.mark.parametrize(
    "change", ["[remove]", "[{op: remove}]", "[{op: rmove, path: /site}]", "[{op: remove, path: /nothing}]"]
)
def test_an_invalid_change_is_reported(tmp_path, change):
    """A mistyped JSON Patch is reported at its example. All other examples still run."""
    text = (policy.data.folder("policies") / "net" / "NET-001.yaml").read_text()
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "NET-001.yaml").write_text(
        re.sub(r"change: \[.*\], expect", f"change: {change}, expect", text, count=1)
    )

    done = sigsrv("policies", "test", "NET-001", "--policies", str(tmp_path))

    assert done.returncode == 1
    assert re.search(r"NET-001: \w+\[\d\] ", done.stdout)
    assert done.stdout.rstrip().endswith("1 failed")


def test_a_glob_that_matches_no_policy_is_wrong_use():
    """Running no example is not a success."""
    done = sigsrv("policies", "test", "NOPE-*")

    assert (done.returncode, done.stdout) == (2, "")


def test_lint_prints_a_line_for_each_mistake(tmp_path):
    """A line begins with FILE:LINE, so an editor can open it. The exit status is 1."""
    (tmp_path / "net").mkdir()
    text = (policy.data.folder("policies") / "net" / "NET-001.yaml").read_text()
    (tmp_path / "net" / "NET-001.yaml").write_text(text.replace("severity: critical", "severity: crtical"))

    done = sigsrv("policies", "lint", "--policies", ".", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stdout == (
        'net/NET-001.yaml:4: severity: "crtical" is not allowed (did you mean "critical"? allowed: critical, high, medium, low)\n'
    )


def test_docs_prints_the_page():
    """It prints the page that ``make docs`` writes to docs/policies.md, with a heading per policy."""
    done = sigsrv("policies", "docs")

    assert re.findall(r"^### (\S+)", done.stdout, re.MULTILINE) == [
        each.id for _, members in shown.by_family(POLICIES.values()) for each in members
    ]


def test_every_kind_of_resource_has_a_description():
    """``explain`` and the page describe each kind and its part of a finding id."""
    assert set(shown.RESOURCES) == set(SCHEMA["properties"]["examines"]["enum"])


def test_control_characters_in_a_policy_do_not_reach_the_terminal(tmp_path):
    """An added folder may come from another person."""
    (tmp_path / "proj").mkdir()
    text = (policy.data.folder("policies") / "proj" / "PROJ-001.yaml").read_text()
    text = text.replace("title: Project is restricted", 'title: "Project \\e[2J is restricted"')
    (tmp_path / "proj" / "PROJ-001.yaml").write_text(text)

    for command in (["explain", "PROJ-001"], ["policies", "list", "--family", "proj"]):
        done = sigsrv(*command, "--policies", str(tmp_path))
        assert "\x1b" not in done.stdout
        assert "\\x1b[2J" in textwrap.dedent(done.stdout)
