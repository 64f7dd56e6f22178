"""Tests the likeliest outage of two hosts: the daemon with the only vote of the database stops, and the fix starts it again."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import clean, verdicts
from tests.e2e.safety import FINDING, has_systemd, leftovers, remediate

pytestmark = pytest.mark.lab

VOTER = "HOST-002@sigsrv/sigsrv"


@pytest.fixture
def stopped(lab):
    """Stop the daemon of sigsrv. Afterwards the lab is clean again, with nothing left on the host."""
    lab.fault("incusd-stopped", "sigsrv")
    yield lab
    lab.fault("incusd-stopped", "sigsrv", heal=True)
    if has_systemd(lab):  # HOST-003 counts the errors of the outage
        for host in ("sigsrv", "minisrv"):
            lab.on(host, "sh", "-c", "journalctl --quiet --rotate && journalctl --quiet --vacuum-time=1s")
    assert verdicts(lab.scan()[0]) == clean()
    assert leftovers(lab, "sigsrv") == ""


def test_start_of_the_daemon_with_the_only_vote_is_let_through(stopped, tmp_path):
    """minisrv can't report its members. The plan says so, and its step runs: verified, or refused by the script itself without systemd."""
    journal = tmp_path / "journal.sqlite"

    planned = stopped.command(*remediate(stopped, journal, VOTER, "--plan", "--json"))
    done = stopped.command(*remediate(stopped, journal, VOTER, "--yes"))

    plan = json.loads(planned.stdout)
    assert (planned.returncode, plan["refused"], len(plan["steps"])) == (0, [], 1)
    assert plan["notes"][0].startswith("minisrv can't report whether all members are Online")
    assert "note: minisrv can't report whether all members are Online" in " ".join(done.stdout.split())
    if has_systemd(stopped):
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"verified: {VOTER} no longer fails; no other finding got worse" in done.stdout
        now = verdicts(stopped.scan()[0])
        assert now[VOTER] == "pass"
        # The journals keep the errors of the outage; a member is Offline until its next heartbeat.
        assert {key.partition("@")[0] for key, verdict in now.items() if verdict != clean().get(key)} <= {
            "HOST-003",
            "CLUS-001",
        }
    else:
        assert done.returncode == 4, done.stdout + done.stderr
        assert "refused: sigsrv was not booted with systemd" in done.stderr
        assert "rolled back, the host is as it was before" in done.stderr


def test_every_other_fix_is_refused_without_the_vote(stopped, tmp_path):
    """--plan exits with 1 then, too."""
    stopped.fault("vlan-detached", "minisrv")
    try:
        done = stopped.command(*remediate(stopped, tmp_path / "journal.sqlite", FINDING, "--plan", "--json"))
    finally:
        stopped.fault("vlan-detached", "minisrv", heal=True)

    assert done.returncode == 1, done.stdout + done.stderr
    plan = json.loads(done.stdout)
    assert plan["refused"][0] == "the Incus daemon of sigsrv does not answer"
    assert plan["refused"][1].startswith("can't determine whether all members are Online")
    assert plan["notes"] == []


@pytest.mark.lab("vm")
def test_daemon_that_does_not_come_up_is_reported_as_before(stopped, tmp_path):
    """Its program is broken: nothing is verified, and the host is as it was."""
    stopped.on("sigsrv", "mount", "--bind", "/bin/false", "/usr/libexec/incus/startup")
    try:
        done = stopped.command(*remediate(stopped, tmp_path / "journal.sqlite", VOTER, "--yes"))
    finally:
        stopped.on("sigsrv", "umount", "/usr/libexec/incus/startup")

    assert done.returncode == 4, done.stdout + done.stderr
    assert "rolled back, the host is as it was before" in done.stderr
