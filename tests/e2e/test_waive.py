"""Tests the life of a waiver on the lab, from the failure to a waiver that is no longer needed."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.conftest import Lab, clean
from tests.e2e.test_scan import copied_site, findings

pytestmark = pytest.mark.lab("ns")  # waits until a waiver expires

FINDING = "NET-001@minisrv/sigsrvbr0"
FOLLOWS = "XHOST-001@cluster/sigsrvbr0"  # sees the detached VLAN too, and leaves it to NET-001 while that fails


@pytest.fixture
def detached(lab: Lab):
    """Detach sigsrv0 from its bridge on minisrv."""
    lab.fault("vlan-detached", "minisrv")
    yield lab
    lab.fault("vlan-detached", "minisrv", heal=True)


def test_life_of_a_waiver(detached, tmp_path):
    """The finding fails, is waived, expires soon with a warning, fails again, is fixed by its id, and then the waiver is stale.

    A waiver excuses its own finding alone: the one that follows from it needs a waiver too.
    """
    site = copied_site(detached, tmp_path)
    where = ("--site", str(site), "--report-dir", str(tmp_path / "out"))
    file = tmp_path / "waivers.yaml"

    def scanned() -> tuple[int, str, str, str]:
        done = detached.command("sigsrv", "scan", *where)
        found = findings(tmp_path / "out")[FINDING]
        return done.returncode, done.stdout, found["verdict"], found["reason"]

    assert scanned()[::2] == (1, "fail")
    for finding in (FINDING, FOLLOWS):
        done = detached.command(
            "sigsrv", "waive", finding, "--reason", "cable", "--until", "20d", "--owner", "Ada", *where
        )
        assert done.returncode == 0, done.stderr
        status, _, verdict, _ = scanned()
        failing = [key for key, found in findings(tmp_path / "out").items() if found["verdict"] == "fail"]
        assert (status, verdict, failing) == ((1, "waived", [FOLLOWS]) if finding == FINDING else (0, "waived", []))

    assert scanned()[:3] == (0, "", "waived")
    verdicts = {key: found["verdict"] for key, found in findings(tmp_path / "out").items()}
    assert [key for key in verdicts if verdicts[key] == "waived"] == [FINDING, FOLLOWS]
    assert not {"fail", "error"} & set(verdicts.values())

    pytest_run = detached.command("pytest", "checks", "-q", f"--site={site}", f"--report-dir={tmp_path / 'out'}")
    assert pytest_run.returncode == 0, pytest_run.stdout
    assert "waived by Ada until " in pytest_run.stdout

    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=15)
    file.write_text(re.sub("until: .*", f"until: {end.isoformat()}", file.read_text()))
    status, out, verdict, _ = scanned()
    assert (status, verdict) == (0, "waived")
    assert "ends in less than a day, on" in out
    time.sleep(max(0.0, end.timestamp() - time.time()))
    status, out, verdict, reason = scanned()
    assert (status, verdict) == (1, "fail")
    assert f"the waiver by Ada ({file}:5) expired on {end:%Y-%m-%d %H:%M:%S} UTC" in reason

    file.write_text(re.sub("until: .*", f"until: {(end + timedelta(days=20)).isoformat()}", file.read_text()))
    done = detached.command("sigsrv-remediate", FINDING, "--yes", "--site", str(site), XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "    waived by Ada until " in done.stdout
    assert "verified: " in done.stdout

    status, out, verdict, _ = scanned()
    assert (status, verdict) == (0, "pass")
    assert "Waivers to review: 2 no longer needed" in out
    assert {key: found["verdict"] for key, found in findings(tmp_path / "out").items()} == clean()
    assert Path(file).read_text().count("policy:") == 2


def test_user_test_can_be_waived(lab, tmp_path):
    """A failing testinfra test with a waiver is an expected failure. --runxfail makes it fail."""
    site = copied_site(lab, tmp_path)
    (tmp_path / "test_mine.py").write_text("def test_it(host):\n    assert host.exists('no-such-program')\n")
    entry = {"policy": "test_mine.test_it", "host": "*", "resource": "*", "owner": "Ada", "reason": "soon"}
    entry |= {"until": (datetime.now(UTC) + timedelta(days=60)).isoformat()}
    (tmp_path / "waivers.yaml").write_text(json.dumps({"version": 1, "waivers": [entry]}))
    options = (str(tmp_path / "test_mine.py"), f"--site={site}", f"--report-dir={tmp_path / 'out'}")

    done = lab.command("sigsrv", "pytest", *options)
    strict = lab.command("sigsrv", "pytest", *options, "--runxfail")

    assert done.returncode == 0, done.stdout
    assert len([line for line in done.stdout.splitlines() if line.startswith("XFAIL") and "waived by Ada" in line]) == 2
    assert strict.returncode == 1
    found = {key: value["verdict"] for key, value in findings(tmp_path / "out").items()}
    assert found == {f"test_mine.test_it@{host}/{host}": "waived" for host in ("sigsrv", "minisrv")}
