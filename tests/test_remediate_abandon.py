"""Tests ``--abandon``: it frees a site from a rollback that can never succeed, with this machine as the host."""

from __future__ import annotations

import dataclasses
import subprocess

import pytest

from sigsrv.commands.remediate_abandon import abandon
from sigsrv.remediate.abandoning import look
from sigsrv.remediate.host_locks import Refused
from sigsrv.remediate.undoing import finish_interrupted_before_scan
from tests.local_host import wait
from tests.run_world import A, two_files

UNKNOWN = "deadbeefdeadbeef"


@pytest.fixture
def world(tmp_path, monkeypatch):
    with two_files(tmp_path, monkeypatch) as found:
        found.limits = dataclasses.replace(found.limits, reason="the file is gone")
        yield found


def call(world, transaction: str, only_plan: bool = False, sure: bool = True) -> int:
    return abandon(
        world.hosts, world.journal, transaction, world.limits, only_plan, sure, lambda line: world.messages.append(line)
    )


def leave(world, folder: str = "disk", transaction: str = UNKNOWN) -> None:
    """Leave the folder of a fix whose undo always fails."""
    home = world.host.folder / folder / transaction
    (home / "state").mkdir(parents=True)
    (home / "state" / "old").write_text("old\nvalues\x1b[31m\n")
    (home / "undo-once.sh").write_text("exit 1\n")


def failed_undo(world) -> str:
    """Apply a fix and undo it with a script that always fails; return the id of the transaction that is left on the host."""
    (world.scripts / "undo.sh.j2").write_text("echo 'Error: Instance not found' >&2\nexit 1\n")
    (world.scripts / "apply.sh.j2").write_text('file={{ file }}\n: >"$SIGSRV_STATE/old"\necho new >"$file"\nexit 1\n')
    world.apply(A)
    return world.journal.history()[0].steps[0].transaction


def test_abandoned_rollback_no_longer_blocks_the_site(world, capsys):
    """Before, each run is refused and names the command. Afterwards nothing is left, and the journal has who and why."""
    transaction = failed_undo(world)
    with pytest.raises(Refused, match=f"sigsrv-remediate --abandon {transaction} --reason TEXT"):
        world.apply(A)

    assert call(world, transaction) == 0

    assert world.leftovers == []
    (step,) = (step for run in world.journal.history() for step in run.steps)
    assert (step.end, step.detail.partition(": ")[2]) == ("abandoned", "the file is gone")
    assert world.journal.history()[0].reason == f"abandons {transaction}: the file is gone"
    shown = capsys.readouterr().out
    assert "write-file on minisrv for NET-001@minisrv/a" in shown
    assert f"abandoned: {transaction}. What it changed stays" in shown
    (world.scripts / "apply.sh.j2").write_text('file={{ file }}\necho new >"$file"\n')
    world.files["a"].write_text("old\n")
    assert [each.outcome.end_state for each in world.apply(A)] == ["verified"]


def test_folder_that_the_journal_does_not_know_is_removed_too(world, capsys):
    """Both folders, below /run and on the disk. Its old values are shown, without control characters."""
    leave(world, "run")
    leave(world, "disk")
    leave(world, "old/armed")
    for end in ("service", "timer"):
        (world.host.folder / "units" / f"sigsrv-undo-{UNKNOWN}.{end}").write_text("[Unit]\n")
    (world.host.folder / "booted").mkdir()

    assert call(world, UNKNOWN) == 0

    assert world.leftovers == ["old/armed"]
    shown = capsys.readouterr().out
    assert "does not have this transaction" in " ".join(shown.split())
    assert "  | values\\x1b[31m\n" in shown
    assert max(map(len, shown.splitlines())) <= 80 + len(str(world.host.folder))
    assert f"systemctl --quiet stop sigsrv-undo-{UNKNOWN}.timer" in world.host.calls
    assert world.journal.history()[0].reason == f"abandons {UNKNOWN}: the file is gone"


def test_plan_shows_and_removes_nothing(world, capsys):
    """The host is not even locked."""
    leave(world)
    before = world.leftovers

    assert call(world, UNKNOWN, only_plan=True) == 0

    assert world.leftovers == before
    assert f"{world.host.folder}/disk/{UNKNOWN}" in "".join(capsys.readouterr().out.split())
    assert world.journal.history() == []


def test_transaction_without_leftovers_is_nothing_to_abandon(world, capsys):
    """A mistyped id does no harm."""
    assert call(world, UNKNOWN) == 0

    assert "nothing of it is left on a host" in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["run", "disk"])
def test_folder_that_others_can_write_is_not_touched(world, folder):
    """Another account could have put links into it."""
    leave(world, folder)
    (world.host.folder / folder / UNKNOWN).chmod(0o777)

    with pytest.raises(Refused, match="can be written by other accounts"):
        call(world, UNKNOWN)

    assert f"{folder}/{UNKNOWN}/undo-once.sh" in world.leftovers


def test_script_that_still_runs_is_not_abandoned(world):
    """Its change would go on without a rollback."""
    leave(world, "run")
    with subprocess.Popen(["sleep", "60"]) as process:
        (world.host.folder / "run" / UNKNOWN / "running").write_text(f"{process.pid}\n")
        try:
            with pytest.raises(Refused, match=f"its script still runs .process {process.pid}."):
                call(world, UNKNOWN)
        finally:
            process.kill()

    assert call(world, UNKNOWN) == 0


def test_timer_of_an_abandoned_transaction_is_stopped(world):
    """Otherwise it would roll back later."""
    leave(world, "run")
    timer = subprocess.Popen(["setsid", "sleep", "60"])
    (world.host.folder / "run" / UNKNOWN / "timer").write_text(f"{timer.pid}\n")

    assert call(world, UNKNOWN) == 0

    try:
        assert wait(lambda: timer.poll() is not None, 5)
    finally:
        timer.kill()
        timer.wait()


def test_rollback_that_runs_now_is_not_abandoned(world, monkeypatch):
    """It may succeed. The latch that it has taken says so."""
    leave(world, "run")
    latch = world.host.folder / "run" / UNKNOWN / "decided"
    latch.mkdir()
    monkeypatch.setattr("sigsrv.remediate.abandoning._WAIT_HALVES", 1)
    with subprocess.Popen(["sleep", "60"]) as process:
        (latch / "by").write_text(f"{process.pid}\n")
        try:
            with pytest.raises(Refused, match="the host is rolling it back now"):
                call(world, UNKNOWN)
        finally:
            process.kill()

    assert f"run/{UNKNOWN}/undo-once.sh" in world.leftovers


def test_locked_host_is_not_touched(world):
    """The run that has locked it may be the one of this transaction."""
    leave(world)
    with world.runner().lock_hosts([]), pytest.raises(Refused, match="the host is locked by"):
        call(world, UNKNOWN)

    assert f"disk/{UNKNOWN}/undo-once.sh" in world.leftovers


def test_abandoned_step_is_not_finished_by_the_next_run(world):
    """Nothing would be found on the host, and the journal would say something else than what happened."""
    transaction = failed_undo(world)
    call(world, transaction)

    finish_interrupted_before_scan(world.hosts, world.runner(), world.journal, world.messages.append)

    assert look(world.hosts, world.journal, transaction, world.limits.paths).leftovers == ()
    assert [step.end for run in world.journal.history() for step in run.steps] == ["abandoned"]
