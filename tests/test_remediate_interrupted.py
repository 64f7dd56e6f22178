"""Tests runs that are interrupted, killed or cut off, with this machine as the host.

The journal records in which state each one ended.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sigsrv.collect.evidence import Failure
from sigsrv.collect.session import ConnectionFailed
from sigsrv.model.errors import FailureKind, UsageError
from sigsrv.model.finding import Verdict
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.remote import RemoteFix
from sigsrv.remediate.transaction import EndState, Transaction
from sigsrv.remediate.undoing import finish_interrupted_before_scan
from tests.local_host import wait
from tests.run_world import APPLY, A, finding, two_files


@pytest.fixture
def world(tmp_path, monkeypatch):
    with two_files(tmp_path, monkeypatch) as found:
        yield found


def test_fix_is_rolled_back_if_the_journal_fails_after_the_script(world, monkeypatch):
    """A change that can't be recorded must not stay."""
    write = Journal.write

    def refuse(self, transaction, fix, state, detail=""):
        if state == "applied":
            raise UsageError("the journal can't be written")
        write(self, transaction, fix, state, detail)

    monkeypatch.setattr(Journal, "write", refuse)

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.leftovers) == (EndState.UNDONE, "old", [])


LOST = ConnectionFailed(Failure(FailureKind.UNREACHABLE, "the connection broke"))


def fail_confirmation(error: BaseException, monkeypatch, received: bool) -> None:
    """Make the confirmation raise an error, after the host received it or before."""
    confirm = RemoteFix.confirm

    def cut(self, session):
        if received:
            confirm(self, session)
        raise error

    monkeypatch.setattr(RemoteFix, "confirm", cut)


@pytest.mark.parametrize("error", [LOST, OSError("no memory")], ids=["cut", "a bug"])
@pytest.mark.parametrize(("received", "end_state", "state"), [(True, "verified", "new"), (False, "undone", "old")])
def test_fresh_facts_decide_whether_a_lost_confirmation_succeeded(
    world, monkeypatch, received, end_state, state, error
):
    """The host is in the new state if it received the confirmation, else in the old one."""
    fail_confirmation(error, monkeypatch, received)

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.leftovers) == (end_state, state, [])
    assert world.end_states() == [end_state]


def test_fix_that_this_run_undid_is_not_reported_as_verified(world, monkeypatch):
    """A finding may still pass for a while after the rollback: a clock stays right after its service was stopped."""
    judge, was_right = world.evaluate, []

    def remembers():
        found = [finding("a", Verdict.PASS) if was_right else each for each in judge()]
        was_right.extend(each for each in found if each.resource == "a" and each.verdict is Verdict.PASS)
        return tuple(found)

    world.evaluate = remembers
    fail_confirmation(LOST, monkeypatch, received=False)

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.end_states()) == (EndState.UNDONE, "old", ["undone"])


def lose_confirmation_answer(monkeypatch, then) -> None:
    """Let the host receive the confirmation, and lose its answer. then: runs in between."""
    confirm = RemoteFix.confirm

    def cut(self, session):
        confirm(self, session)
        then()
        raise LOST

    monkeypatch.setattr(RemoteFix, "confirm", cut)


def test_one_bad_scan_after_a_lost_confirmation_is_repeated(world, monkeypatch):
    """The change stays, and the journal must not record it as undone."""
    bad = []
    lose_confirmation_answer(monkeypatch, lambda: bad.append(finding("x", Verdict.ERROR, policy="NET-004")))
    world.extra_findings = lambda: (bad.pop() if bad else finding("x", Verdict.PASS, policy="NET-004"),)

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.end_states()) == (EndState.VERIFIED, "new", ["verified"])


def test_unknown_state_after_a_lost_confirmation_is_not_reported_as_undone(world, monkeypatch):
    """It is neither verified nor as before: a person must check the host."""

    def blind() -> None:
        world.evaluate = lambda: (finding("a", Verdict.ERROR),)

    lose_confirmation_answer(monkeypatch, blind)
    monkeypatch.setattr("sigsrv.remediate.transaction._VERIFY_TRIES", 2)

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.end_states()) == (EndState.UNKNOWN, "new", ["failed"])


@pytest.mark.parametrize(("verdict", "end"), [(Verdict.PASS, "verified"), (Verdict.ERROR, "failed")])
def test_next_run_does_not_report_an_unknown_state_as_verified(world, monkeypatch, verdict, end):
    """The run was killed while the host confirmed the fix."""
    monkeypatch.setattr(Transaction, "_verified", lambda self: time.sleep(60))
    kill_during_apply(
        world, lambda: world.state()[0] == "new" and not [each for each in world.leftovers if "lock" not in each]
    )
    monkeypatch.undo()
    world.evaluate = lambda: (finding("a", verdict),)

    finish_interrupted_before_scan(world.hosts, world.runner(), world.journal, world.messages.append)

    assert world.end_states() == [end]


def test_interruption_after_the_confirmation_leaves_the_step_verified(world, monkeypatch):
    """The host has confirmed the step, so it is reported as verified, and the next step does not run."""
    fail_confirmation(KeyboardInterrupt(), monkeypatch, received=True)

    with pytest.raises(KeyboardInterrupt):
        world.apply()

    assert (world.state(), world.end_states(), world.leftovers) == (["new", "old"], ["verified"], [])


def test_interruption_of_an_undo_leaves_its_confirmed_step_undone(world, monkeypatch):
    """The last step is undone, the first one is not."""
    world.apply()
    (run,) = world.journal.history()
    fail_confirmation(KeyboardInterrupt(), monkeypatch, received=True)

    with pytest.raises(KeyboardInterrupt):
        world.undo(run.id)

    assert (world.state(), world.leftovers) == (["new", "old"], [])
    assert world.end_states() == ["verified", "verified", "verified"]


def test_interruption_before_the_confirmation_rolls_the_step_back(world, monkeypatch):
    """The next step does not run."""
    fail_confirmation(KeyboardInterrupt(), monkeypatch, received=False)

    (done,) = world.apply()

    assert (done.outcome.end_state, world.state(), world.leftovers) == (EndState.UNDONE, ["old", "old"], [])
    assert world.end_states() == ["undone"]


def test_error_of_sigsrv_during_the_script_rolls_the_fix_back(world, monkeypatch):
    """It does not rely on the host's timer: the host is in its old state when the run ends."""
    apply = RemoteFix.apply

    def broken(self, session, notify):
        apply(self, session, notify)
        raise OSError("too many open files")

    monkeypatch.setattr(RemoteFix, "apply", broken)

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.leftovers) == (EndState.UNDONE, "old", [])
    assert done.outcome.reason == "the change could not be verified: OSError: too many open files"
    assert world.end_states() == ["undone"]


def test_fix_is_rolled_back_if_its_old_values_exceed_the_limit(world):
    """A fix that could not be undone later is rolled back now."""
    (world.scripts / "apply.sh.j2").write_text(APPLY + 'head -c 600000 /dev/zero >"$SIGSRV_STATE/large"\n')

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.leftovers) == (EndState.UNDONE, "old", [])
    assert "the old values take more than" in done.outcome.reason


def kill_during_apply(world, until) -> None:
    """Apply a fix in another process, and kill that process when ``until`` is true."""
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            world.journal = Journal(world.journal.path)
            world.apply(A)
        os._exit(0)
    assert wait(until)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("waits", [True, False], ids=["by the host", "by the next run"])
def test_run_killed_before_the_confirmation_leaves_the_old_state(world, waits):
    """The host restores the old state in time. The next run records that and continues."""
    world.limits = dataclasses.replace(world.limits, confirm_s=4)
    world.delay_s = 0.7
    kill_during_apply(world, lambda: world.state()[0] == "new" and world.end_states() == ["interrupted"])
    world.delay_s = 0
    if waits:
        assert wait(lambda: world.leftovers == [], 5)
        assert world.state()[0] == "old"

    (done,) = world.apply(A)

    assert done.outcome.end_state is EndState.VERIFIED
    assert world.end_states() == ["undone", "verified"]
    assert (world.state()[0], world.leftovers) == ("new", [])
    assert any("was interrupted: NET-001@minisrv/a undone" in line for line in world.messages)


def test_run_killed_after_the_confirmation_leaves_the_new_state(world, monkeypatch):
    """The next run records the step as verified and has nothing to do."""
    monkeypatch.setattr(Transaction, "_verified", lambda self: time.sleep(60))
    kill_during_apply(
        world, lambda: world.state()[0] == "new" and not [each for each in world.leftovers if "lock" not in each]
    )
    assert world.end_states() == ["interrupted"]
    monkeypatch.undo()

    finish_interrupted_before_scan(world.hosts, world.runner(), world.journal, world.messages.append)

    assert world.end_states() == ["verified"]
    assert (world.state()[0], world.leftovers) == ("new", [])


def test_failed_rollback_is_reported_and_keeps_its_folder(world):
    """Neither state could be verified: output and journal say so, and the folder stays for a person."""
    (world.scripts / "apply.sh.j2").write_text(APPLY + "exit 3\n")
    (world.scripts / "undo.sh.j2").write_text("exit 1\n# {{ file }}\n")

    (done,) = world.apply(A)

    assert done.outcome.end_state is EndState.UNKNOWN
    assert world.end_states() == ["failed"]
    assert [Path(each).name for each in world.leftovers if each.endswith("undo.sh")] == ["undo.sh"]
