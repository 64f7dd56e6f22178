"""Runs on this machine as the host: applied and proven, undone, broken off and brought to an end. What is judged is a file's content."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sigsrv import remediation, scan
from sigsrv.collect import ConnectionFailed, Failure
from sigsrv.errors import FailureKind, UsageError
from sigsrv.finding import Finding, Severity, Verdict
from sigsrv.remediate import Ending, Transaction
from sigsrv.remediate.holding import Refused
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.planning import Named
from sigsrv.remediate.remote import RemoteFix
from sigsrv.remediate.runs import Done, Limits, Runner, propose
from sigsrv.remediate.undoing import reverse, run_of, settle, settle_first, undo
from tests.local_host import Host, local_host, wait
from tests.test_remediate_brakes import OFFLINE, facts

YAML = """\
title: Write what is right into the file
mends: [NET-001]
disruption: network
changes: bridge
survives_reboot: false
disrupts: Nothing but the file.
undo: Writes what was in it.
parameters: {file: the file}
timeout_s: 5
"""
APPLY = 'file={{ file }}\ncp "$file" "$SIGSRV_STATE/old"\necho new >"$file"\necho "$file: new"\n'
UNDO = 'file={{ file }}\n[ ! -e "$SIGSRV_STATE/old" ] || cp "$SIGSRV_STATE/old" "$file"\n'


class World:
    """Two files of one host: each fails a policy unless it says "new". also: what further is found. delay_s: what judging takes."""

    def __init__(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = host
        self.files = {name: host.folder / name for name in ("a", "b")}
        for path in self.files.values():
            path.write_text("old\n")
        self.scripts = host.folder / "remediations" / "write-file"
        self.scripts.mkdir(parents=True)
        for name, text in (("remediation.yaml", YAML), ("apply.sh.j2", APPLY), ("undo.sh.j2", UNDO)):
            (self.scripts / name).write_text(text)
        self.also = lambda: ()
        self.delay_s = 0.0
        self.facts = facts()
        load = remediation.load
        monkeypatch.setattr(remediation, "load", lambda folder=None: load(self.scripts.parent))
        monkeypatch.setattr(scan, "judge", lambda plan, evidences: self.judge())
        monkeypatch.setattr(scan, "facts_of", lambda plan, evidences: self.facts)
        self.plan = scan.prepare(scan.Options(evidence=scan.DEMO, connection="local"))
        self.journal = Journal(host.folder / "journal.sqlite")
        self.limits = Limits(confirm_s=8, places=host.places)
        self.told: list[str] = []

    def judge(self) -> tuple[Finding, ...]:
        time.sleep(self.delay_s)
        found = [
            finding(name, Verdict.PASS if path.read_text() == "new\n" else Verdict.FAIL, file=str(path))
            for name, path in self.files.items()
        ]
        return (*found, *self.also())

    def state(self) -> list[str]:
        return [path.read_text().strip() for path in self.files.values()]

    @property
    def left(self) -> list[str]:
        return self.host.left

    def runner(self) -> Runner:
        return Runner(self.plan, self.journal, self.told.append, self.limits)

    def apply(self, named: Named | None = None, runner: Runner | None = None) -> list[Done]:
        named = named or Named(policies=("NET-001",))
        settle_first(self.plan, self.runner(), self.journal, self.told.append)
        runner = runner or self.runner()
        shown = propose(self.plan, named, self.journal, self.limits)
        if shown.stops:
            raise Refused(shown.stops)
        with runner.hold([step.fix for step in shown.steps]) as hold:
            settle(self.plan, self.journal, hold, self.told.append)
            return list(runner.apply(hold, shown, named))

    def undo(self, run: str) -> list[Done]:
        runner = self.runner()
        shown = reverse(self.plan, run_of(self.journal, run), self.limits)
        with runner.hold([step.fix for step, _ in shown.steps], run) as hold:
            return list(undo(self.plan, runner, shown, hold))

    def ends(self) -> list[str]:
        """How the steps of the journal ended, the oldest first."""
        return [step.end for run in reversed(self.journal.history()) for step in run.steps]


def finding(
    name: str, verdict: Verdict, file: str = "", policy: str = "NET-001", because: str | None = None
) -> Finding:
    fix = {"file": file}
    return Finding(policy, "t", Severity.HIGH, "minisrv", name, verdict, "new", "old", "", because, "write-file", fix)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setattr("sigsrv.remediate._SETTLE_S", 0.1)
    with local_host(tmp_path) as host:
        found = World(host, monkeypatch)
        yield found
        found.journal.close()


A = Named(findings=("NET-001@minisrv/a",))


def test_a_run_puts_right_and_its_undo_puts_back(world):
    """Two steps in order, verified; nothing on the host; undone the last first; then there is nothing to undo."""
    done = world.apply()

    assert [(each.step.finding.resource, each.outcome.ending) for each in done] == [
        ("a", Ending.VERIFIED),
        ("b", Ending.VERIFIED),
    ]
    assert (world.state(), world.left) == (["new", "new"], [])
    (run,) = world.journal.history()

    undone = world.undo(run.id)

    assert [each.step.finding.resource for each in undone] == ["b", "a"]
    assert {each.outcome.ending for each in undone} == {Ending.VERIFIED}
    assert (world.state(), world.left) == (["old", "old"], [])
    newest = world.journal.history()[0]
    shown = reverse(world.plan, run_of(world.journal, run.id), world.limits)
    assert (shown.steps, {reason for _, reason in shown.left}) == ((), {f"undone by run {newest.id} already"})
    assert (newest.undoes, [step.end for step in newest.steps]) == (run.id, ["verified", "verified"])
    with pytest.raises(UsageError, match=f"run {newest.id} undid run {run.id}"):
        run_of(world.journal, newest.id)


def test_the_first_step_that_fails_ends_the_run(world):
    """What was verified before it stays; what comes after it is not tried."""
    world.also = lambda: (finding("x", Verdict.FAIL if world.state()[1] == "new" else Verdict.PASS, policy="NET-004"),)
    world.files["c"] = world.host.folder / "c"
    world.files["c"].write_text("old\n")

    done = world.apply()

    assert [each.outcome.ending for each in done] == [Ending.VERIFIED, Ending.UNDONE]
    assert "it makes others worse: NET-004@minisrv/x fail" in done[1].outcome.reason
    assert (world.state(), world.left) == (["new", "old", "old"], [])
    assert world.ends() == ["verified", "undone"]


def test_what_an_earlier_step_put_right_is_not_done_again(world):
    """One fix may mend two findings."""
    (world.scripts / "apply.sh.j2").write_text(APPLY + f"echo new >{world.files['b']}\n")

    done = world.apply()

    assert [(each.outcome is None, each.note) for each in done] == [(False, ""), (True, "it is right by now")]


def test_what_undoing_a_fix_makes_worse_again_is_what_it_had_made_better(world):
    """A consequence that was mended with it may come back with it; anything else may not."""
    world.also = lambda: (finding("y", Verdict.PASS if world.state()[0] == "new" else Verdict.FAIL, policy="NET-005"),)
    world.apply(A)
    assert [each.outcome.ending for each in world.undo(world.journal.history()[0].id)] == [Ending.VERIFIED]

    world.apply(A)
    run = world.journal.history()[0].id
    world.also = lambda: (finding("z", Verdict.PASS if world.state()[0] == "new" else Verdict.FAIL, policy="NET-006"),)
    (done,) = world.undo(run)

    assert (done.outcome.ending, "NET-006@minisrv/z fail" in done.outcome.reason) == (Ending.UNDONE, True)
    assert world.state()[0] == "new"


def test_what_fails_again_is_not_undone(world):
    """Somebody changed it since: it is not as the run left it."""
    world.apply(A)
    world.files["a"].write_text("other\n")

    shown = reverse(world.plan, run_of(world.journal, world.journal.history()[0].id), world.limits)

    assert shown.steps == ()
    assert "it is fail again" in shown.left[0][1]


def test_the_script_that_is_run_is_the_one_that_was_shown(world):
    """It was changed between the question and the answer: nothing is applied."""
    named = A
    runner, shown = world.runner(), propose(world.plan, A, world.journal, world.limits)
    (world.scripts / "apply.sh.j2").write_text(APPLY + "echo more\n")

    with pytest.raises(Refused, match="no longer the one that was shown"), runner.hold([shown.steps[0].fix]) as hold:
        list(runner.apply(hold, shown, named))

    assert (world.state(), world.left) == (["old", "old"], [])


def test_what_speaks_against_it_by_now_stops_it(world):
    """A member went offline between the question and the answer."""
    runner, shown = world.runner(), propose(world.plan, A, world.journal, world.limits)
    world.facts = facts(OFFLINE)

    with pytest.raises(Refused, match="is Offline"), runner.hold([shown.steps[0].fix]) as hold:
        list(runner.apply(hold, shown, A))

    assert world.left == []


def test_two_runs_never_mix(world):
    """The second is told who is at work, before it looks at anything; it gives nothing back that is not its own."""
    first = world.runner()
    with first.hold([propose(world.plan, A, None, world.limits).steps[0].fix]):
        with pytest.raises(Refused, match=f"is at work here, run {first.id}"):
            world.apply()
        assert world.left == ["run/lock"]
    assert (world.state(), world.left) == (["old", "old"], [])


def test_after_the_third_fix_of_a_day_it_stops(world):
    """Something puts it back; fixes that were undone by a run do not count."""
    world.apply(A)
    world.undo(world.journal.history()[0].id)
    for _ in range(3):
        world.apply(A)
        world.files["a"].write_text("old\n")

    with pytest.raises(Refused, match="put right 3 times within a day"):
        world.apply(A)


def test_more_objects_than_allowed_stop_it(world):
    """Two files, and one is the most."""
    world.limits = dataclasses.replace(world.limits, most=1)

    with pytest.raises(Refused, match="2 objects would change and --max is 1"):
        world.apply()


def test_a_journal_that_fails_after_the_script_has_it_undone(world, monkeypatch):
    """What can't be recorded does not stay."""
    write = Journal.write

    def refuse(self, transaction, fix, state, detail=""):
        if state == "applied":
            raise UsageError("the journal can't be written")
        write(self, transaction, fix, state, detail)

    monkeypatch.setattr(Journal, "write", refuse)

    (done,) = world.apply(A)

    assert (done.outcome.ending, world.state()[0], world.left) == (Ending.UNDONE, "old", [])


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
@pytest.mark.parametrize(("came_through", "ending", "state"), [(True, "verified", "new"), (False, "undone", "old")])
def test_a_confirmation_that_nobody_heard_is_told_by_fresh_facts(
    world, monkeypatch, came_through, ending, state, error
):
    """Whatever ends it while it is confirmed: it is in the new state where the host heard it, else in the old one."""
    confirmation_ends_with(error, monkeypatch, came_through)

    (done,) = world.apply(A)

    assert (done.outcome.ending, world.state()[0], world.left) == (ending, state, [])
    assert world.ends() == [ending]


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

    assert (done.outcome.ending, world.state(), world.left) == (Ending.UNDONE, ["old", "old"], [])
    assert world.ends() == ["undone"]


def test_old_values_that_the_journal_cannot_take_have_it_undone(world):
    """What could not be undone later is undone now."""
    (world.scripts / "apply.sh.j2").write_text(APPLY + 'head -c 600000 /dev/zero >"$SIGSRV_STATE/large"\n')

    (done,) = world.apply(A)

    assert (done.outcome.ending, world.state()[0], world.left) == (Ending.UNDONE, "old", [])
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

    assert done.outcome.ending is Ending.VERIFIED
    assert world.ends() == ["undone", "verified"]
    assert (world.state()[0], world.left) == ("new", [])
    assert any("was broken off: NET-001@minisrv/a undone" in line for line in world.told)


def test_whoever_is_killed_after_the_confirmation_leaves_the_new_state(world, monkeypatch):
    """The host has let go of it: the next run writes that it was verified, and finds nothing to do."""
    monkeypatch.setattr(Transaction, "_verified", lambda self: time.sleep(60))
    killed(world, lambda: world.state()[0] == "new" and not [each for each in world.left if "lock" not in each])
    assert world.ends() == ["broken off"]
    monkeypatch.undo()

    monkeypatch.setattr(scan, "judge", lambda plan, evidences: world.judge())
    settle_first(world.plan, world.runner(), world.journal, world.told.append)

    assert world.ends() == ["verified"]
    assert (world.state()[0], world.left) == ("new", [])


def test_what_anothers_run_left_on_a_host_stops_it(world):
    """A folder of a fix that no run of this journal broke off: a person must look."""
    folder = world.host.folder / "run" / "deadbeef" / "state"
    folder.mkdir(parents=True)

    with pytest.raises(Refused, match="is of a fix that did not come to an end"):
        world.apply(A)

    assert world.state() == ["old", "old"]


def test_an_undo_that_failed_is_not_taken_for_an_end(world):
    """Neither the new nor the old state could be shown: it is said, the journal says so, and the folder stays for a person."""
    (world.scripts / "apply.sh.j2").write_text(APPLY + "exit 3\n")
    (world.scripts / "undo.sh.j2").write_text("exit 1\n# {{ file }}\n")

    (done,) = world.apply(A)

    assert done.outcome.ending is Ending.UNKNOWN
    assert world.ends() == ["failed"]
    assert [Path(each).name for each in world.left if each.endswith("undo.sh")] == ["undo.sh"]
