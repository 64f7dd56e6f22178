"""Tests runs over a real sshd that the test starts on this machine: connections that break, and a fix that stops sshd."""

from __future__ import annotations

import dataclasses

import pytest

from sigsrv.remediate.transaction import EndState
from sigsrv.scan.options import DEMO, Options
from tests.loopback_sshd import loopback_sshd
from tests.run_world import APPLY, UNDO, A, two_files


@pytest.fixture
def sshd(tmp_path):
    with loopback_sshd(tmp_path) as found:
        yield found


@pytest.fixture
def world(tmp_path, sshd, monkeypatch):
    """Provide the two files of a host that is reached over this sshd."""
    with two_files(tmp_path, monkeypatch) as found:
        found.hosts = found.reached_by(Options(evidence=DEMO, ssh_config=str(sshd.ssh_config())))
        found.limits = dataclasses.replace(found.limits, confirm_s=10)
        yield found


def test_run_over_ssh_is_verified_and_undone(world):
    """Each login is a new one, and nothing is left on the host."""
    (done,) = world.apply(A)
    assert (done.outcome.end_state, world.state()[0], world.leftovers) == (EndState.VERIFIED, "new", [])

    (undone,) = world.undo(world.journal.history()[0].id)

    assert (undone.outcome.end_state, world.state()[0], world.leftovers) == (EndState.VERIFIED, "old", [])


def test_fix_that_cuts_its_own_connection_is_verified_over_a_new_one(world, sshd):
    """The script continues. A new login gets its result and confirms it."""
    (world.scripts / "apply.sh.j2").write_text(f"{sshd.cut}\nsleep 1\n{APPLY}")

    (done,) = world.apply(A)

    assert any("the connection broke while the script ran" in line for line in world.messages), world.messages
    assert (done.outcome.end_state, world.state()[0], world.leftovers) == (EndState.VERIFIED, "new", [])
    assert world.journal.history()[0].steps[0].states == ("applying", "applied", "confirming", "verified")


def test_host_restarts_the_sshd_that_a_fix_stopped(world, sshd):
    """No login can confirm the fix: the host rolls it back in time, and then a login sees that."""
    (world.scripts / "apply.sh.j2").write_text(f"{APPLY}{sshd.stop}\n")
    (world.scripts / "undo.sh.j2").write_text(f"{UNDO}{sshd.start}\n")

    (done,) = world.apply(A)

    assert done.outcome.end_state is EndState.UNDONE, done.outcome.reason
    assert (world.state()[0], world.leftovers, sshd.answers()) == ("old", [], True)
    assert world.end_states() == ["undone"]


def test_undo_that_cuts_its_own_connection_still_ends(world, sshd):
    """The fix fails, and its undo cuts the connection: a new login sees the old state."""
    (world.scripts / "apply.sh.j2").write_text(f"{APPLY}exit 3\n")
    (world.scripts / "undo.sh.j2").write_text(f"{sshd.cut}\nsleep 1\n{UNDO}")

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.leftovers) == (EndState.UNDONE, "old", [])
