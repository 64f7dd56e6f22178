"""Tests ``sigsrv policies try`` as a user runs it, and the stable paths of the example document."""

from __future__ import annotations

import json
from pathlib import Path

import jsonpointer
import pytest
import yaml

from sigsrv.authoring import cases
from sigsrv.authoring.document import document, schema_error
from sigsrv.model.errors import UsageError
from tests.called import ROOT, sigsrv

PRIVILEGED = """\
name: a container becomes privileged
kind: {kind}
change: [{{op: add, path: /cluster/instances/web/expanded_config/security.privileged, value: "true"}}]
right: {{INST-001@sigsrv/default/web: {right}}}
why: root in it is root on the host
source: Incus security documentation
"""


def written(folder: Path, *documents: str) -> str:
    path = folder / "cases.yaml"
    path.write_text("---\n".join(documents))
    return str(path)


def test_correct_cases_are_counted_and_differences_are_shown(tmp_path):
    """A difference shows place, name and kind of the case, with the current and the correct verdict. Then come counts by kind."""
    file = written(
        tmp_path, PRIVILEGED.format(kind="control", right="fail"), PRIVILEGED.format(kind="false pass", right="pass")
    )

    done = sigsrv("policies", "try", file, cwd=tmp_path)

    assert done.returncode == 1
    assert done.stdout == (
        "cases.yaml:8: a container becomes privileged [false pass]\n"
        "    INST-001@sigsrv/default/web: now fail, right pass\n"
        "kind        right  wrong\n"
        "control         1      0\n"
        "false pass      0      1\n"
        "2 cases: 1 wrong\n"
    )


def test_exit_status_is_0_if_all_cases_are_correct(tmp_path):
    """The command prints only the counts."""
    done = sigsrv("policies", "try", written(tmp_path, PRIVILEGED.format(kind="control", right="fail")))

    assert (done.returncode, done.stdout) == (0, "kind     right  wrong\ncontrol      1      0\n1 case: none wrong\n")


@pytest.mark.parametrize("kind", ["opinion", "gap"])
def test_an_opinion_or_a_gap_is_shown_but_never_fails(tmp_path, kind):
    """Their verdicts are not agreed on."""
    done = sigsrv("policies", "try", written(tmp_path, PRIVILEGED.format(kind=kind, right="pass")))

    assert done.returncode == 0
    assert "now fail, right pass" in done.stdout
    assert done.stdout.endswith("1 case: none wrong; 1 more are opinions or gaps\n")


def test_a_missing_finding_has_the_verdict_no_finding(tmp_path):
    """The policy or the resource may not exist. A case may also expect ``no finding``."""
    text = PRIVILEGED.format(kind="control", right="fail").replace(
        "right: {", "right: {INST-001@sigsrv/default/none: no finding, INST-999@sigsrv/x: fail, "
    )

    done = sigsrv("policies", "try", written(tmp_path, text))

    assert done.returncode == 1
    assert "    INST-999@sigsrv/x: now no finding, right fail\n" in done.stdout
    assert "default/none" not in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("{op: remove, path: /cluster/instances/nobody}", "cannot apply the change: "),
        ("{op: add, path: /cluster/instances/web/a/b, value: 1}", "cannot apply the change: "),
        (
            "{op: replace, path: /sigsrv/links, value: []}",
            "the changed document does not match its schema: /sigsrv/links: ",
        ),
        ("{op: remove, path: /minisrv}", "the changed document does not match its schema: /minisrv: "),
        ("{op: replace, path: /site/bridges, value: text}", "cannot read the changed document: "),
        ("{op: add, path: /sigsrv/nft/two words, value: {rules: []}}", "cannot read the changed document: "),
        ("{op: add, path: /version, value: 2}", "the changed document does not match its schema: /version: "),
    ],
)
def test_a_change_that_cannot_be_judged_is_wrong_with_a_reason(tmp_path, change, said):
    """It hides no other case in the file."""
    broken = f"name: broken\nkind: control\nchange: [{change}]\nright: {{NET-001@sigsrv/sigsrvbr0: pass}}\n"

    done = sigsrv("policies", "try", written(tmp_path, broken, PRIVILEGED.format(kind="control", right="fail")))

    assert done.returncode == 1
    assert f"    {said}" in done.stdout
    assert "    NET-001@sigsrv/sigsrvbr0: now no finding, right pass\n" in done.stdout
    assert done.stdout.endswith("control      1      1\n2 cases: 1 wrong\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no case in this file"),
        ("- 1\n", "is not of type object"),
        ("name: a\nkind: b\nchange: []\n", '"right" is missing'),
        (
            "name: a\nkind: b\nchange: [{op: ad, path: /x}]\nright: {A-1@b/c: pass}\n",
            'cases.yaml:3: change[0].op: "ad"',
        ),
        ("name: a\nkind: b\nchange: []\nright: {A-1@b/c: ok}\n", 'cases.yaml:4: right.A-1@b/c: "ok" is not allowed'),
        ("name: a\nkind: b\nchange: []\nright: {A-1: pass}\n", 'cases.yaml:4: right.A-1: "A-1" is not a finding id'),
        ("name: [\n", "not YAML"),
    ],
)
def test_a_mistake_in_a_file_is_reported_with_its_line(tmp_path, text, said):
    """Exit status 2: the command judges no case."""
    done = sigsrv("policies", "try", written(tmp_path, text), cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_missing_file_is_wrong_use(tmp_path):
    """The message is one line with the name of the file."""
    done = sigsrv("policies", "try", str(tmp_path / "none.yaml"))

    assert done.returncode == 2
    assert done.stderr == f"sigsrv: error: {tmp_path}/none.yaml: No such file or directory\n"


def test_json_has_every_result(tmp_path):
    """The output includes the correct cases."""
    file = written(tmp_path, PRIVILEGED.format(kind="a", right="fail"), PRIVILEGED.format(kind="gap", right="pass"))

    done = sigsrv("policies", "try", "--json", file)

    found = json.loads(done.stdout)
    assert (done.returncode, found["schema_version"], found["kinds"]) == (
        0,
        1,
        {"a": {"right": 1, "wrong": 0}, "gap": {"right": 0, "wrong": 1}},
    )
    assert [case["is_right"] for case in found["cases"]] == [True, False]
    assert found["cases"][1]["differs"] == {"INST-001@sigsrv/default/web": {"now": "fail", "right": "pass"}}
    assert found["cases"][1]["place"] == f"{file}:8"


def test_quiet_prints_only_the_counts(tmp_path):
    """The exit status stays the same."""
    done = sigsrv("policies", "try", "-q", written(tmp_path, PRIVILEGED.format(kind="wrong", right="pass")))

    assert (done.returncode, done.stdout) == (1, "kind   right  wrong\nwrong      0      1\n1 case: 1 wrong\n")


def test_added_policies_are_judged_too(tmp_path):
    """``--policies`` adds a folder, as in every command."""
    policy = yaml.safe_load((ROOT / "policies" / "proj" / "PROJ-001.yaml").read_text())
    del policy["remediation"]
    policy |= {
        "id": "PROJ-901",
        "rule": {"properties": {"name": {"const": "default"}}},
        "by_hand": "No manual fix exists.",
    }
    folder = tmp_path / "mine" / "proj"
    folder.mkdir(parents=True)
    (folder / "PROJ-901.yaml").write_text(yaml.safe_dump(policy))
    case = "name: a\nkind: control\nchange: []\nright: {PROJ-901@cluster/user-john: fail}\n"

    assert sigsrv("policies", "try", written(tmp_path, case), "--policies", str(tmp_path / "mine")).returncode == 0
    assert sigsrv("policies", "try", written(tmp_path, case)).returncode == 1


def test_control_characters_in_a_case_do_not_reach_the_terminal(tmp_path):
    """A file of cases may come from another person."""
    text = PRIVILEGED.format(kind='"a\\e[31m"', right="pass").replace("a container", '"a\\e[2J') + ""
    text = text.replace("becomes privileged\n", 'becomes privileged"\n', 1)

    done = sigsrv("policies", "try", written(tmp_path, text))

    assert "\x1b" not in done.stdout
    assert "\\x1b[2J" in done.stdout


def test_the_example_document_matches_its_schema():
    """The test checks the shipped document."""
    assert schema_error(document()) == ""


def test_every_path_of_version_1_of_the_example_document_still_exists():
    """Users' cases depend on these paths. Removing a path requires a new version of the document."""
    assert document()["version"] == 1
    paths = (ROOT / "tests" / "example_paths.txt").read_text().splitlines()
    assert len(paths) > 700

    found, missing = document(), object()

    assert [path for path in paths if jsonpointer.resolve_pointer(found, path, missing) is missing] == []


def test_reading_cases_gives_the_place_of_each_case(tmp_path):
    """An empty document is not a case."""
    text = PRIVILEGED.format(kind="a", right="fail")

    found = cases.read(Path(written(tmp_path, text, "", text)))

    assert [case.place for case in found] == [f"{tmp_path}/cases.yaml:1", f"{tmp_path}/cases.yaml:9"]
    with pytest.raises(UsageError, match="no case in this file"):
        cases.read(Path(written(tmp_path, "# nothing\n")))
