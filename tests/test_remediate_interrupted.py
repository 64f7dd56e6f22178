"""Runs that break off on this machine as the host: interrupted, killed, unheard. The journal says in which state it ended."""

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
from sigsrv.remediate.undoing import finish_interrupted_first
from tests.local_host import wait
from tests.run_world import APPLY, A, finding, two_files


@pytest.fixture
def world(tmp_path, monkeypatch):
    with two_files(tmp_path, monkeypatch) as found:
        yield found


def test_a_journal_that_fails_after_the_script_has_it_undone(world, monkeypatch):
    """What can't be recorded does not stay."""
    write = Journal.write

    def refuse(self, transaction, fix, state, detail=""):
        if state == "applied":
            raise UsageError("the journal can't be written")
        write(self, transaction, fix, state, detail)

    monkeypatch.setattr(Journal, "write", refuse)

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.left) == (EndState.UNDONE, "old", [])


LOST = ConnectionFailed(Failure(FailureKind.UNREACHABLE, "the connection broke"))


def confirmation_ends_with(error: BaseException, monkeypatch, came_through: bool) -> None:
    """Confirming raises it, after the host heard or before."""
    confirm = RemoteFix.confirm

    def cut(self, session):
        if came_through:
            confirm(self, session)
        raise error

    monkeypatch.setattr(RemoteFix, "confirm", cut)


@pytest.mark.parametrize("error", [LOST, OSError("no memory")], ids=["cut", "a bug"])
@pytest.mark.parametrize(("came_through", "end_state", "state"), [(True, "verified", "new"), (False, "undone", "old")])
def test_a_confirmation_that_nobody_heard_is_told_by_fresh_facts(
    world, monkeypatch, came_through, end_state, state, error
):
    """Whatever ends it while it is confirmed: it is in the new state where the host heard it, else in the old one."""
    confirmation_ends_with(error, monkeypatch, came_through)

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.left) == (end_state, state, [])
    assert world.ends() == [end_state]


def test_what_this_very_call_undid_is_not_called_verified(world, monkeypatch):
    """A finding may stay right for a while after its fix was undone, as a clock does whose service was stopped."""
    judge, was_right = world.judge, []

    def remembers():
        found = [finding("a", Verdict.PASS) if was_right else each for each in judge()]
        was_right.extend(each for each in found if each.resource == "a" and each.verdict is Verdict.PASS)
        return tuple(found)

    world.judge = remembers
    confirmation_ends_with(LOST, monkeypatch, came_through=False)

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.ends()) == (EndState.UNDONE, "old", ["undone"])


def heard_by_the_host_alone(monkeypatch, then) -> None:
    """Confirming comes through, and its answer is lost. then: what is done in between."""
    confirm = RemoteFix.confirm

    def cut(self, session):
        confirm(self, session)
        then()
        raise LOST

    monkeypatch.setattr(RemoteFix, "confirm", cut)


def test_one_bad_look_after_a_confirmation_that_nobody_heard_is_looked_at_again(world, monkeypatch):
    """It stays as it is, and the journal may not call it undone."""
    bad = []
    heard_by_the_host_alone(monkeypatch, lambda: bad.append(finding("x", Verdict.ERROR, policy="NET-004")))
    world.also = lambda: (bad.pop() if bad else finding("x", Verdict.PASS, policy="NET-004"),)

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.ends()) == (EndState.VERIFIED, "new", ["verified"])


def test_what_nobody_can_tell_after_such_a_confirmation_is_not_called_undone(world, monkeypatch):
    """It is neither proven nor as before: a person must look."""

    def blind() -> None:
        world.judge = lambda: (finding("a", Verdict.ERROR),)

    heard_by_the_host_alone(monkeypatch, blind)
    monkeypatch.setattr("sigsrv.remediate.transaction._VERIFY_TRIES", 2)

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.ends()) == (EndState.UNKNOWN, "new", ["failed"])


@pytest.mark.parametrize(("verdict", "end"), [(Verdict.PASS, "verified"), (Verdict.ERROR, "failed")])
def test_a_state_that_cannot_be_told_is_not_called_verified_by_the_next_run(world, monkeypatch, verdict, end):
    """Whoever applied it was killed while the host confirmed it."""
    monkeypatch.setattr(Transaction, "_verified", lambda self: time.sleep(60))
    killed(world, lambda: world.state()[0] == "new" and not [each for each in world.left if "lock" not in each])
    monkeypatch.undo()
    world.judge = lambda: (finding("a", verdict),)

    finish_interrupted_first(world.hosts, world.runner(), world.journal, world.told.append)

    assert world.ends() == [end]


def test_who_interrupts_while_the_host_confirms_ends_the_run_with_that_step_verified(world, monkeypatch):
    """The host has let go of it: it is told as what it is, and the next step is not taken."""
    confirmation_ends_with(KeyboardInterrupt(), monkeypatch, came_through=True)

    with pytest.raises(KeyboardInterrupt):
        world.apply()

    assert (world.state(), world.ends(), world.left) == (["new", "old"], ["verified"], [])


def test_who_interrupts_an_undo_while_the_host_confirms_ends_it_there(world, monkeypatch):
    """The last step is put back, the first one is not."""
    world.apply()
    (run,) = world.journal.history()
    confirmation_ends_with(KeyboardInterrupt(), monkeypatch, came_through=True)

    with pytest.raises(KeyboardInterrupt):
        world.undo(run.id)

    assert (world.state(), world.left) == (["new", "old"], [])
    assert world.ends() == ["verified", "verified", "verified"]


def test_who_interrupts_before_the_host_confirms_has_it_undone(world, monkeypatch):
    """And the next step is not taken."""
    confirmation_ends_with(KeyboardInterrupt(), monkeypatch, came_through=False)

    (done,) = world.apply()

    assert (done.outcome.end_state, world.state(), world.left) == (EndState.UNDONE, ["old", "old"], [])
    assert world.ends() == ["undone"]


def test_an_error_of_ours_while_the_script_runs_has_it_undone(world, monkeypatch):
    """It is not left to the host's timer: the host is in its old state when the run ends."""
    apply = RemoteFix.apply

    def broken(self, session, notify):
        apply(self, session, notify)
        raise OSError("too many open files")

    monkeypatch.setattr(RemoteFix, "apply", broken)

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.left) == (EndState.UNDONE, "old", [])
    assert done.outcome.reason == "it could not be proven: OSError: too many open files"
    assert world.ends() == ["undone"]


def test_old_values_that_the_journal_cannot_take_have_it_undone(world):
    """What could not be undone later is undone now."""
    (world.scripts / "apply.sh.j2").write_text(APPLY + 'head -c 600000 /dev/zero >"$SIGSRV_STATE/large"\n')

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.left) == (EndState.UNDONE, "old", [])
    assert "what it takes to undo it is more than" in done.outcome.reason


def killed(world, until) -> None:
    """Apply in another process, and kill it when ``until`` holds."""
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


@pytest.mark.parametrize("waits", [True, False], ids=["the host did it", "the next run does it"])
def test_whoever_is_killed_before_the_confirmation_leaves_the_old_state(world, waits):
    """Within its time the host is as it was; the next run writes that it is, and goes on."""
    world.limits = dataclasses.replace(world.limits, confirm_s=4)
    world.delay_s = 0.7
    killed(world, lambda: world.state()[0] == "new" and world.ends() == ["broken off"])
    world.delay_s = 0
    if waits:
        assert wait(lambda: world.left == [], 5)
        assert world.state()[0] == "old"

    (done,) = world.apply(A)

    assert done.outcome.end_state is EndState.VERIFIED
    assert world.ends() == ["undone", "verified"]
    assert (world.state()[0], world.left) == ("new", [])
    assert any("was broken off: NET-001@minisrv/a undone" in line for line in world.told)


def test_whoever_is_killed_after_the_confirmation_leaves_the_new_state(world, monkeypatch):
    """The host has let go of it: the next run writes that it was verified, and finds nothing to do."""
    monkeypatch.setattr(Transaction, "_verified", lambda self: time.sleep(60))
    killed(world, lambda: world.state()[0] == "new" and not [each for each in world.left if "lock" not in each])
    assert world.ends() == ["broken off"]
    monkeypatch.undo()

    finish_interrupted_first(world.hosts, world.runner(), world.journal, world.told.append)

    assert world.ends() == ["verified"]
    assert (world.state()[0], world.left) == ("new", [])


def test_an_undo_that_failed_is_not_taken_for_an_end(world):
    """Neither the new nor the old state could be shown: it is said, the journal says so, and the folder stays for a person."""
    (world.scripts / "apply.sh.j2").write_text(APPLY + "exit 3\n")
    (world.scripts / "undo.sh.j2").write_text("exit 1\n# {{ file }}\n")

    (done,) = world.apply(A)

    assert done.outcome.end_state is EndState.UNKNOWN
    assert world.ends() == ["failed"]
    assert [Path(each).name for each in world.left if each.endswith("undo.sh")] == ["undo.sh"]
