"""Tests adding policies as CONTRIBUTING describes: one file for a form or a rule, two for a check, and no other change."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from sigsrv.authoring import examples, first_policy, lint
from sigsrv.judge.checks import load_checks
from sigsrv.model import data, policy, remediation
from tests.called import ROOT, sigsrv
from tests.test_plugin import run as pytest_run
from tests.test_selecting import EXPECTED

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```(?:yaml|python)\n# mine/(\S+)\n(.*?)```", CONTRIBUTING, re.DOTALL))
REMEDIATION = dict(
    re.findall(r"```(?:yaml|sh|jinja)\n# (remediations/[^\s:]+)[^\n]*\n(.*?)```", CONTRIBUTING, re.DOTALL)
)
RULE, CHECK = ("proj/PROJ-099.yaml",), ("site/SITE-001.yaml", "checks/test_site.py")
FORM = ("mem/MEM-001.yaml",)
OWN = {
    "PROJ-099@cluster/default": "pass",
    "PROJ-099@cluster/restricted": "fail",
    "PROJ-099@cluster/user-alice": "fail",
    "PROJ-099@cluster/user-bob": "fail",
} | {
    f"SITE-001@{host}/{name}": "pass" for host in ("sigsrv", "minisrv") for name in ("sigsrvbr0", "incusbr0", "userbr0")
}

MEMORY = dict.fromkeys(  # the containers of the demo
    (
        "MEM-001@minisrv/default/stopped-b",
        "MEM-001@minisrv/default/svc-b",
        "MEM-001@minisrv/default/web",
        "MEM-001@minisrv/restricted/tenant1",
        "MEM-001@minisrv/user-alice/alice1",
        "MEM-001@sigsrv/default/capped",
        "MEM-001@sigsrv/default/stopped-a",
        "MEM-001@sigsrv/default/svc-a",
        "MEM-001@sigsrv/restricted/tenant2",
    ),
    "pass",
)


@pytest.fixture
def mine(tmp_path):
    """Create the files of CONTRIBUTING in the folders that it names."""
    return add(tmp_path / "mine", *RULE, *CHECK)


def add(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(FILES[name])
    return folder


def scanned(tmp_path, *options):
    done = sigsrv("scan", "--evidence", "demo", "--report-dir", str(tmp_path), *options)
    path = tmp_path / "latest" / "findings.json"
    return done, verdicts(json.loads(path.read_text())) if path.exists() else {}


def through_pytest(tmp_path, *options, **more):
    done = pytest_run("checks", "--evidence=demo", f"--report-dir={tmp_path}", *options, **more)
    path = tmp_path / "latest" / "findings.json"
    return done, verdicts(json.loads(path.read_text())) if path.exists() else {}


def verdicts(document):
    return {finding["id"]: finding["verdict"] for finding in document["findings"]}


def own(found):
    return {key: verdict for key, verdict in found.items() if key.startswith(("PROJ-099", "SITE-", "MEM-"))}


@pytest.mark.parametrize(
    "names", [FORM, RULE, CHECK], ids=["a form, one file", "a rule, one file", "a check, two files"]
)
def test_a_policy_needs_only_its_own_files(tmp_path, names):
    """Lint and test pass, and scan and pytest give its findings together with all shipped ones."""
    folder = str(add(tmp_path / "mine", *names))
    policy_id = Path(names[0]).stem
    expected = {key: verdict for key, verdict in (OWN | MEMORY).items() if key.startswith(policy_id)}

    lint = sigsrv("policies", "lint", "--policies", folder)
    test = sigsrv("policies", "test", "--policies", folder, policy_id)
    _, found = scanned(tmp_path / "a", "--policies", folder)
    tests, shown = through_pytest(tmp_path / "b", f"--policies={folder}")

    assert (lint.returncode, test.returncode) == (0, 0), lint.stdout + test.stdout
    assert "1 policy, " in test.stdout
    assert own(found) == own(shown) == expected
    assert found == shown == EXPECTED | expected, tests.stdout


def commands(part):
    """Return the words of each command in the block of CONTRIBUTING that has a text in it."""
    block = next(block for block in re.findall(r"```sh\n(.*?)```", CONTRIBUTING, re.DOTALL) if part in block)
    return [line.split("#")[0].split() for line in block.strip().splitlines()]


def test_the_first_commands_of_contributing_make_a_policy(tmp_path):
    """In an empty folder. The page shows the file that they write."""
    statuses = {}
    for argv in commands("policies new"):
        more = ["--report-dir", str(tmp_path / "out")] if argv[1] == "scan" else []
        done = sigsrv(*argv[1:], *more, cwd=tmp_path)
        statuses[" ".join(argv[:3])] = done.returncode

    assert statuses == {
        "sigsrv policies new": 0,
        "sigsrv policies lint": 0,
        "sigsrv policies test": 0,
        "sigsrv scan --policies": 0,
    }
    written = (tmp_path / "mine" / FORM[0]).read_text()
    assert written == data.modeline("policy", tmp_path / "mine" / "mem") + FILES[FORM[0]]
    assert own(verdicts(json.loads((tmp_path / "out" / "latest" / "findings.json").read_text()))) == MEMORY


def test_contributing_says_which_form_is_for_what():
    """Its table has each form once."""
    table = CONTRIBUTING.partition("| what must be true | form |")[2].partition("\n\n")[0]

    assert re.findall(r"\| `(\w+)`", table) == list(first_policy.FORMS)


def test_the_commands_of_contributing_work_as_described(mine, monkeypatch):
    """The test runs each command of the chapter next to the folder, and pytest in the checkout."""
    lines = commands("facts --evidence demo --host")
    statuses = {}
    for argv in lines:
        if argv[0] == "pytest":
            done = pytest_run(
                *[each.replace("mine", str(mine)) for each in argv[1:]], f"--report-dir={mine.parent}/out"
            )
        else:
            more = ["--report-dir", str(mine.parent / "out")] if argv[1] == "scan" else []
            done = sigsrv(*argv[1:], *more, cwd=mine.parent)
        assert "Traceback" not in done.stderr
        statuses[" ".join(argv[:3])] = done.returncode

    assert statuses == {
        "sigsrv facts --evidence": 0,
        "sigsrv policies lint": 0,
        "sigsrv policies test": 0,
        "sigsrv scan --policies": 1,
        "pytest checks --policies": 1,
    }


def test_an_added_policy_replaces_the_shipped_policy_with_the_same_id(tmp_path):
    """A rule replaces a check, even if pytest runs the file with the check. Each finding occurs once."""
    folder = tmp_path / "mine"
    text = FILES["proj/PROJ-099.yaml"].replace("PROJ-099", "PROJ-004")
    (folder / "proj").mkdir(parents=True)
    (folder / "proj" / "PROJ-004.yaml").write_text(text)

    _, found = scanned(tmp_path / "a", "--policies", str(folder), "--policy", "PROJ-004")
    tests, shown = through_pytest(tmp_path / "b", "--policies", str(folder), "--policy", "PROJ-004")

    assert (
        found
        == shown
        == {key.replace("PROJ-099", "PROJ-004"): verdict for key, verdict in OWN.items() if "PROJ" in key}
    )
    assert "test_restricted_project_lists" not in tests.stdout


def test_an_added_check_replaces_the_shipped_check(tmp_path):
    """The added files have the names of the shipped ones. Scan and pytest both run the added check."""
    folder = tmp_path / "mine"
    (folder / "host").mkdir(parents=True)
    (folder / "checks").mkdir()
    shutil.copy(data.folder("policies") / "host" / "HOST-002.yaml", folder / "host")
    (folder / "checks" / "test_host.py").write_text(
        "from sigsrv import policy\n\n\n@policy('HOST-002')\ndef test_mine(facts, site, require):\n"
        "    require('mine', True, expected='x', observed='x')\n"
    )

    _, found = scanned(tmp_path / "a", "--policies", str(folder), "--policy", "HOST-002")
    _, shown = through_pytest(tmp_path / "b", "--policies", str(folder), "--policy", "HOST-002")

    assert found == shown == {"HOST-002@sigsrv/mine": "pass", "HOST-002@minisrv/mine": "pass"}


def test_files_with_the_same_name_in_two_folders_are_two_modules(tmp_path):
    """Each check stays in the module of its own folder."""
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test_net.py").write_text(FILES["checks/test_site.py"])
        found += load_checks(tmp_path / name).values()

    assert [getattr(sys.modules[check.__module__], check.__name__) for check in found] == found


def test_an_added_check_decides_instead_of_the_forms_of_a_shipped_policy(tmp_path):
    """Scan and pytest agree, and pytest runs no test of the forms."""
    folder = tmp_path / "mine"
    (folder / "checks").mkdir(parents=True)
    (folder / "site").mkdir()
    (folder / "site" / "SITE-001.yaml").write_text(FILES["site/SITE-001.yaml"])
    (folder / "checks" / "test_mine.py").write_text(
        FILES["checks/test_site.py"] + "\n\n@policy('HOST-005')\ndef test_mine(facts, site, require):\n"
        "    require('mine', True, expected='x', observed='x')\n"
    )

    _, found = scanned(tmp_path / "a", "--policies", str(folder), "--policy", "HOST-005")
    tests, shown = through_pytest(tmp_path / "b", "-v", "--policies", str(folder), "--policy", "HOST-005")

    assert found == shown == {"HOST-005@sigsrv/mine": "pass", "HOST-005@minisrv/mine": "pass"}
    assert "test_mine[sigsrv]" in tests.stdout
    assert "HOST-005-sigsrv" not in tests.stdout


def test_the_last_of_several_added_folders_wins(mine, tmp_path):
    """``--policies`` is repeatable."""
    second = add(tmp_path / "second", *RULE)
    path = second / RULE[0]
    path.write_text(path.read_text().replace("severity: low", "severity: critical"))

    listed = sigsrv("policies", "list", "--policies", str(mine), "--policies", str(second), "--format", "json")

    severities = {each["id"]: each["severity"] for each in json.loads(listed.stdout)}
    assert (severities["PROJ-099"], severities["SITE-001"]) == ("critical", "medium")
    assert set(severities) == {*policy.load(), "PROJ-099", "SITE-001"}


def test_a_user_s_own_family_can_be_selected(mine, tmp_path):
    """``--family``, pytest's ``-m`` and the policy id work as for the shipped families."""
    folder = f"--policies={mine}"

    assert {key[:8] for key in through_pytest(tmp_path / "a", folder, "--family=site")[1]} == {"SITE-001"}
    assert {key[:8] for key in through_pytest(tmp_path / "b", folder, "-m", "site")[1]} == {"SITE-001"}
    assert "own" not in sigsrv("explain", "SITE-001", f"--policies={mine}").stderr


def test_the_site_can_exempt_a_resource_from_an_added_policy(mine, tmp_path):
    """The site file accepts the id with the folder, and refuses it without the folder."""
    site = tmp_path / "site.yaml"
    text = (ROOT / "src/sigsrv/demo/site.yaml").read_text()
    site.write_text(text + "  PROJ-099: [{match: user-alice, reason: its images are shared on purpose}]\n")

    _, found = scanned(tmp_path / "a", "--policies", str(mine), "--site", str(site))
    done, nothing = scanned(tmp_path / "b", "--site", str(site))

    assert found["PROJ-099@cluster/user-alice"] == "not-applicable"
    assert (done.returncode, nothing) == (2, {})


def test_the_demo_accepts_added_policies(mine, tmp_path):
    """The report contains their findings. The recorded verdicts cover only the shipped policies."""
    done = sigsrv("demo", "--policies", str(mine), "--report-dir", str(tmp_path))

    assert not [line for line in done.stderr.splitlines() if "PROJ-099" in line or "SITE-001" in line]
    found = verdicts(json.loads((tmp_path / "latest" / "findings.json").read_text()))
    assert own(found) == OWN


@pytest.mark.parametrize(
    "command_line",
    [
        ["scan", "--evidence", "demo"],
        ["policies", "list"],
        ["policies", "lint"],
        ["policies", "test"],
        ["explain", "NET-001"],
        ["demo"],
        ["probes"],
    ],
)
def test_a_folder_without_any_policy_is_wrong_use(tmp_path, command_line):
    """For every command: a folder without policies must not look like a run without findings."""
    (tmp_path / "empty").mkdir()

    done = sigsrv(*command_line, "--policies", str(tmp_path / "empty"))

    assert done.returncode == 2
    assert "no policy found" in done.stderr
    assert "<family>/<ID>.yaml" in done.stderr


def test_a_check_of_an_unknown_policy_is_wrong_use(mine, tmp_path):
    """With a mistyped id, the policy would have no check, and the check would never run."""
    path = mine / "checks" / "test_site.py"
    path.write_text(path.read_text().replace("SITE-001", "SITE-002"))

    done, found = scanned(tmp_path, "--policies", str(mine))

    assert (done.returncode, found) == (2, {})
    assert "checks/test_site.py:4: there is no policy SITE-002" in done.stderr


def test_a_policy_without_its_check_is_an_error(mine, tmp_path):
    """If the file with the check is missing, the policy gives ``error`` on every host, never ``pass``."""
    shutil.rmtree(mine / "checks")

    done, found = scanned(tmp_path, "--policies", str(mine), "--policy", "SITE-001")

    assert done.returncode == 3
    assert found == {"SITE-001@sigsrv/sigsrv": "error", "SITE-001@minisrv/minisrv": "error"}


def test_the_remediation_of_contributing_fixes_its_policy(tmp_path, monkeypatch):
    """In a checkout, its files and the two of the policy are enough for lint and for the policy's examples."""
    for name in ("policies", "checks", "remediations"):
        shutil.copytree(data.folder(name), tmp_path / name)
    monkeypatch.setattr(data, "_CHECKOUT", tmp_path)
    monkeypatch.setattr(data, "_IN_CHECKOUT", True)
    text = re.sub(r"by_hand: .*", "remediation: set-bridge-mtu", FILES["site/SITE-001.yaml"])
    files = {"policies/site/SITE-001.yaml": text, "checks/test_site.py": FILES["checks/test_site.py"], **REMEDIATION}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)

    policies = policy.load()

    assert len(REMEDIATION) == 4
    assert [str(mistake) for mistake in lint.lint()[1]] == []
    checks, remediations = load_checks(data.folder("checks")), remediation.load()
    assert examples.mistakes(policies["SITE-001"], list(policies.values()), checks, remediations) == []
