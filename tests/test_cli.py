"""Tests the commands as users run them, without a host."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from sigsrv import __version__
from sigsrv.collect import evidence
from sigsrv.commands import remediate
from sigsrv.model import policy
from sigsrv.model.finding import Verdict
from sigsrv.scan import collecting
from tests.called import sigsrv
from tests.saved import FAILING, PRIVILEGED, saved

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[1]
POLICIES = policy.load()
VERDICTS = json.loads((ROOT / "src" / "sigsrv" / "demo" / "expected.json").read_text())  # of the demo's evidence
DEMO = Counter(VERDICTS.values())


def run(*argv: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("SIGSRV")} | environment
    program = str(BIN / argv[0])
    return subprocess.run(
        [program, *argv[1:]],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_the_demo_succeeds_and_is_fast(tmp_path):
    """It gives the recorded verdicts in less than three seconds of CPU time, and prints the path of the report."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    done = run("sigsrv", "demo", "--report-dir", str(tmp_path))

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 3
    assert done.returncode == 0, done.stderr
    assert f"report: {tmp_path}/latest/report.html" in done.stdout
    assert f"{DEMO['fail']} failures, {DEMO['error']} could not be determined" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if str(tmp_path) not in line) <= 92


def test_a_scan_of_the_demo_has_exit_status_3(tmp_path):
    """Data missing from the evidence gives ``error``, which wins over the failures in the exit status."""
    done = run("sigsrv", "scan", "--evidence", "demo", "--report-dir", str(tmp_path))

    assert done.returncode == 3
    findings = json.loads((tmp_path / "latest" / "findings.json").read_text())
    assert findings["schema_version"] == 1
    assert findings["summary"] == {verdict.value: DEMO[verdict.value] for verdict in Verdict}
    assert "sudo: a password is required" in done.stdout


def test_a_host_without_evidence_is_an_error(tmp_path):
    """A host of the site without evidence gives ``error`` for each policy. It is never left out."""
    site = tmp_path / "site.yaml"
    site.write_text(
        (ROOT / "src/sigsrv/demo/site.yaml")
        .read_text()
        .replace("{name: minisrv, member: minisrv}", "{name: third}")
        .replace("minisrv: [", "third: [")
    )

    done = run(
        "sigsrv",
        "scan",
        "--evidence",
        str(ROOT / "src/sigsrv/demo/evidence"),
        "--site",
        str(site),
        "--report-dir",
        str(tmp_path),
    )

    found = {f["id"]: f["verdict"] for f in json.loads((tmp_path / "latest" / "findings.json").read_text())["findings"]}
    assert done.returncode == 3
    assert found["HOST-001@third/third"] == "error"
    assert {verdict for key, verdict in found.items() if "@third/" in key} == {"error"}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["sigsrv", "scan", "--evidence", "/nowhere"], "no such file"),
        (["sigsrv", "scan", "--site", "/nowhere/site.yaml"], "no such site file"),
        (["sigsrv", "scan", "--evidence", "demo", "--hosts", "nobody"], "is not a host of site demo"),
        (["sigsrv", "scan", "--evidence", "demo", "--hosts", ""], "--hosts names no host"),
        (
            ["sigsrv", "scan", "--evidence", "demo", "--connection", "paramyko"],
            'testinfra has no connection "paramyko"',
        ),
        (["sigsrv", "scan", "--evidence", "demo", "--ssh-config", "/nowhere"], "/nowhere: no such file"),
        (
            ["sigsrv", "scan", "--evidence", "demo", "--report-dir", "/proc/nowhere"],
            "use another folder: --report-dir DIR",
        ),
        (["sigsrv-remediate", "nonsense"], "is not a finding id"),
        (["sigsrv-remediate", "NET-100@a/b", "--site", "src/sigsrv/demo/site.yaml"], "there is no policy NET-100"),
        (["sigsrv-remediate", "--report-dir", "/nowhere"], "no run yet"),
        (["sigsrv"], "usage: sigsrv"),
        (["sigsrv", "scna"], 'did you mean "scan"?'),
        (["sigsrv", "remediate", "NET-001"], "to fix a finding: sigsrv-remediate"),
        (["sigsrv", "scan", "--seveity", "high"], 'did you mean "--severity"?'),
        (["sigsrv", "policies", "list", "--famly=net"], 'did you mean "--family"?'),
        (["sigsrv", "scan", "sigsrv"], 'unexpected argument "sigsrv"'),
        (["sigsrv-remediate", "--everything"], 'there is no option "--everything"'),
        (["sigsrv", "explain", "nonsense"], "there is no policy NONSENSE"),
    ],
)
def test_wrong_use_prints_an_error_and_a_hint(argv, message):
    """Exit status 2, a message that says what is wrong and how to fix it, and no traceback."""
    done = run(*argv)

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_remediate_without_arguments_lists_the_scripted_fixes(tmp_path):
    """It lists each failure of the newest run that has a script, with the command, and counts the others."""
    demo = ROOT / "src" / "sigsrv" / "demo"
    options = ("--site", str(demo / "site.yaml"), "--report-dir", str(tmp_path))
    run("sigsrv", "scan", "--evidence", str(demo / "evidence"), *options)

    done = run("sigsrv-remediate", *options)

    assert done.returncode == 0
    commands = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("  sigsrv-remediate ")]
    scripted = [
        key for key, verdict in VERDICTS.items() if verdict == "fail" and POLICIES[key[: key.index("@")]].remediation
    ]
    assert commands == sorted(scripted)
    assert f"{DEMO['fail'] - len(scripted)} failures need a manual fix" in done.stdout


def test_remediate_lists_waived_findings_separately(tmp_path):
    """The list shows who accepts a finding until when, and the command that fixes it by its id."""
    options = saved(tmp_path, PRIVILEGED)
    entry = {"policy": "INST-001", "host": "*", "resource": "default/*", "owner": "Ada Ops", "reason": "NFS"}
    content = {"version": 1, "waivers": [entry | {"until": "2027-01-17T12:00:00Z"}]}
    (tmp_path / "waivers.yaml").write_text(json.dumps(content))
    run("sigsrv", "scan", *options)

    done = run("sigsrv-remediate", *options[2:])

    assert done.returncode == 0
    listed = done.stdout.split("waived, fixed only if you name the finding:\n\n")
    assert f"sigsrv-remediate {FAILING}" not in listed[0]
    assert listed[1] == f"  sigsrv-remediate {FAILING}\n    waived by Ada Ops until 2027-01-17 12:00:00 UTC: NFS\n"


def test_a_waived_finding_can_be_fixed_by_its_id(tmp_path, capsys, monkeypatch):
    """``--plan`` shows who accepts it until when, and the script."""
    saved(tmp_path, PRIVILEGED)
    entry = {"policy": "INST-001", "host": "*", "resource": "default/*", "owner": "Ada Ops", "reason": "NFS"}
    entry |= {"until": "2027-01-17T12:00:00Z", "created": "2026-11-01T00:00:00Z"}
    (tmp_path / "waivers.yaml").write_text(json.dumps({"version": 1, "waivers": [entry]}))
    loaded = evidence.load(tmp_path / "evidence")
    monkeypatch.setattr(collecting, "collect", lambda *_: loaded)

    status = remediate.main([FAILING, "--plan", "--site", str(tmp_path / "site.yaml")])

    output, errors = capsys.readouterr()
    assert (status, errors.startswith("sigsrv-remediate: refused: minisrv can't be reached: ")) == (1, True)
    assert "  waived:   by Ada Ops until 2027-01-17 12:00:00 UTC: NFS\n" in output
    assert "script:" in output


def test_probe_with_saved_evidence_is_wrong_use(tmp_path):
    """Saved evidence can't answer a user who asks for new frames."""
    done = run("sigsrv", "scan", "--probe", "--evidence", "demo", "--report-dir", str(tmp_path))

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "sigsrv: error: --probe can't be used with --evidence: it needs live hosts\n"
        "sigsrv: hint: leave out one of them\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_probes_prints_the_scripts_of_probe_and_sudoers_allows_none():
    """The scripts are valid sh. The sudoers file for a read-only account does not allow them."""
    overview, scripts = run("sigsrv", "probes"), run("sigsrv", "probes", "--probe").stdout

    assert "Only with --probe, sigsrv also runs three scripts as root" in overview.stdout
    assert "unshare -n sleep 70" in scripts
    assert subprocess.run(["sh", "-n"], input=scripts, text=True, check=False).returncode == 0
    allowed = run("sigsrv", "probes", "--sudoers", "audit").stdout
    assert not any(tool in allowed for tool in ("unshare", "nsenter", "ping"))


@pytest.mark.parametrize(
    "command",
    [
        "sigsrv",
        "sigsrv scan",
        "sigsrv pytest",
        "sigsrv waive",
        "sigsrv policies try",
        "sigsrv demo",
        "sigsrv-remediate",
    ],
)
def test_help_ends_with_the_exit_statuses_and_fits_a_terminal(command):
    """``--help`` shows what the command does, its options and its exit statuses, in 80 columns."""
    done = run(*command.split(), "--help", COLUMNS="80")

    assert done.returncode == 0
    assert "exit status: 0" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert run("sigsrv", "--version").stdout == f"sigsrv {__version__}\n"


@pytest.mark.parametrize(("columns", "most"), [(40, 40), (60, 60), (120, 120)])
def test_the_summary_fits_the_terminal(tmp_path, columns, most):
    """Its text is wrapped at the width of the terminal. Ids, commands and paths stay whole, so that they can be copied."""
    done = sigsrv("demo", "--report-dir", str(tmp_path), COLUMNS=str(columns))

    lines = [line for line in done.stdout.splitlines() if " " in line.strip() and "sigsrv-remediate" not in line]
    text = [line for line in lines if not line.startswith(("report: ", "demo: all", "this run"))]
    assert max(map(len, text)) <= most
    assert max(map(len, text)) > most - 12


def test_explain_finds_policies_by_a_word_of_their_title():
    """Upper and lower case are the same."""
    done = sigsrv("explain", "Vlan")

    assert done.returncode == 0
    assert {"NET-001", "NET-002", "XHOST-001"} <= set(done.stdout.split())
    assert "INST-001" not in done.stdout


def test_the_command_alone_prints_its_help():
    """On standard error, with exit status 2: it did nothing."""
    done = sigsrv()

    assert (done.returncode, done.stdout) == (2, "")
    assert "accept a failure" in done.stderr
