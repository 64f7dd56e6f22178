"""Tests runs with this machine as the host: steps in order, each verified before the next, undo, and refusals."""

from __future__ import annotations

import dataclasses

import pytest

from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Verdict
from sigsrv.remediate.effects import Ceilings
from sigsrv.remediate.host_locks import Refused
from sigsrv.remediate.planning import FixRequest
from sigsrv.remediate.runs import make_plan
from sigsrv.remediate.transaction import EndState
from sigsrv.remediate.undoing import find_run, make_undo_plan
from tests.run_world import APPLY, A, finding, two_files
from tests.test_remediate_safety_checks import OFFLINE, facts


@pytest.fixture
def world(tmp_path, monkeypatch):
    with two_files(tmp_path, monkeypatch) as found:
        yield found


def test_run_fixes_two_findings_and_its_undo_restores_them(world):
    """The undo runs in reverse order. A second undo has nothing to do."""
    done = world.apply()

    assert [(each.step.finding.resource, each.outcome.end_state) for each in done] == [
        ("a", EndState.VERIFIED),
        ("b", EndState.VERIFIED),
    ]
    assert (world.state(), world.leftovers) == (["new", "new"], [])
    (run,) = world.journal.history()

    undone = world.undo(run.id)

    assert [each.step.finding.resource for each in undone] == ["b", "a"]
    assert {each.outcome.end_state for each in undone} == {EndState.VERIFIED}
    assert (world.state(), world.leftovers) == (["old", "old"], [])
    newest = world.journal.history()[0]
    shown = make_undo_plan(world.hosts, world.journal, find_run(world.journal, run.id), world.limits)
    assert (shown.steps, {reason for _, reason in shown.skipped}) == ((), {f"already undone by run {newest.id}"})
    assert (newest.undoes, [step.end for step in newest.steps]) == (run.id, ["verified", "verified"])
    with pytest.raises(UsageError, match=f"run {newest.id} is an undo of run {run.id}"):
        find_run(world.journal, newest.id)


def test_first_failing_step_ends_the_run(world):
    """Steps verified before stay. Later steps do not run."""
    world.extra_findings = lambda: (
        finding("x", Verdict.FAIL if world.state()[1] == "new" else Verdict.PASS, policy="NET-004"),
    )
    world.files["c"] = world.host.folder / "c"
    world.files["c"].write_text("old\n")

    done = world.apply()

    assert [each.outcome.end_state for each in done] == [EndState.VERIFIED, EndState.UNDONE]
    assert "other findings got worse: NET-004@minisrv/x fail" in done[1].outcome.reason
    assert (world.state(), world.leftovers) == (["new", "old", "old"], [])
    assert world.end_states() == ["verified", "undone"]


def test_finding_that_an_earlier_step_fixed_is_skipped(world):
    """One fix may fix two findings."""
    (world.scripts / "apply.sh.j2").write_text(APPLY + f"echo new >{world.files['b']}\n")

    done = world.apply()

    assert [(each.outcome is None, each.note) for each in done] == [(False, ""), (True, "it no longer fails")]


def test_undo_may_worsen_only_what_its_fix_improved(world):
    """A consequence that the fix removed may come back; nothing else may."""
    world.extra_findings = lambda: (
        finding("y", Verdict.PASS if world.state()[0] == "new" else Verdict.FAIL, policy="NET-005"),
    )
    world.apply(A)
    assert [each.outcome.end_state for each in world.undo(world.journal.history()[0].id)] == [EndState.VERIFIED]

    world.apply(A)
    run = world.journal.history()[0].id
    world.extra_findings = lambda: (
        finding("z", Verdict.PASS if world.state()[0] == "new" else Verdict.FAIL, policy="NET-006"),
    )
    (done,) = world.undo(run)

    assert (done.outcome.end_state, "NET-006@minisrv/z fail" in done.outcome.reason) == (EndState.UNDONE, True)
    assert world.state()[0] == "new"


def test_finding_that_fails_again_is_not_undone(world):
    """Somebody changed the host since: it is not as the run left it."""
    world.apply(A)
    world.files["a"].write_text("other\n")

    shown = make_undo_plan(
        world.hosts, world.journal, find_run(world.journal, world.journal.history()[0].id), world.limits
    )

    assert shown.steps == ()
    assert "the verdict is fail again" in shown.skipped[0][1]


def test_later_fix_of_the_same_finding_must_be_undone_first(world):
    """The older values would remove the later fix, while the journal would still have it as verified."""
    world.apply(A)
    first = world.journal.history()[0].id
    world.files["a"].write_text("other\n")
    world.apply(A)
    second = world.journal.history()[0].id

    shown = make_undo_plan(world.hosts, world.journal, find_run(world.journal, first), world.limits)
    assert (shown.steps, shown.skipped[0][1]) == ((), f"run {second} has fixed it again since: undo that run first")

    world.undo(second)
    assert world.state()[0] == "other"


def test_script_that_changed_after_the_question_is_refused(world):
    """It changed between the question and the answer: nothing is applied."""
    request = A
    runner, shown = world.runner(), make_plan(world.hosts, A, world.journal, world.limits)
    (world.scripts / "apply.sh.j2").write_text(APPLY + "echo more\n")

    with (
        pytest.raises(Refused, match="differs from the one that was shown"),
        runner.lock_hosts([shown.steps[0].fix]) as locks,
    ):
        list(runner.apply(locks, shown, request))

    assert (world.state(), world.leftovers) == (["old", "old"], [])


def test_safety_check_that_fails_after_the_question_stops_the_run(world):
    """A member went offline between the question and the answer."""
    runner, shown = world.runner(), make_plan(world.hosts, A, world.journal, world.limits)
    world.facts = facts(OFFLINE)

    with pytest.raises(Refused, match="is Offline"), runner.lock_hosts([shown.steps[0].fix]) as locks:
        list(runner.apply(locks, shown, A))

    assert world.leftovers == []


def test_two_runs_never_mix(world):
    """The second run learns who has the lock before it scans. It does not release a lock that is not its own."""
    first = world.runner()
    with first.lock_hosts([make_plan(world.hosts, A, None, world.limits).steps[0].fix]):
        with pytest.raises(Refused, match=f"the host is locked by .*, run {first.id}"):
            world.apply()
        assert world.leftovers == ["run/lock"]
    assert (world.state(), world.leftovers) == (["old", "old"], [])


def test_fourth_fix_within_a_day_is_refused(world):
    """Something reverts the fix. Fixes that a run undid do not count."""
    world.apply(A)
    world.undo(world.journal.history()[0].id)
    for _ in range(3):
        world.apply(A)
        world.files["a"].write_text("old\n")

    with pytest.raises(Refused, match="fixed 3 times within a day"):
        world.apply(A)


def test_more_objects_than_max_are_refused(world):
    """Two files would change, and the limit is one."""
    world.limits = dataclasses.replace(world.limits, ceilings=Ceilings(objects=1))

    with pytest.raises(Refused, match="2 objects would change and --max allows 1"):
        world.apply()


def test_leftovers_of_another_run_stop_the_run(world):
    """No interrupted run of this journal explains the folder: a person must check the host."""
    folder = world.host.folder / "run" / "deadbeef" / "state"
    folder.mkdir(parents=True)

    by_hand = f"roll it back there: sh {folder.parent}/undo-once.sh"
    with pytest.raises(Refused, match=f"an unfinished fix left {folder.parent}, and .*{by_hand}"):
        world.apply(A)

    assert world.state() == ["old", "old"]


SERVICE = FixRequest(findings=("HOST-002@minisrv/minisrv",))


def starts_daemon(world, before, after):
    """Make HOST-002 the finding of file a, beside these findings before the fix and after it."""

    def findings():
        is_up = world.state()[0] == "new"
        daemon = finding("minisrv", Verdict.PASS if is_up else Verdict.FAIL, str(world.files["a"]), policy="HOST-002")
        return (daemon, *(after if is_up else before))

    world.extra_findings = findings


def test_start_of_a_daemon_shows_failures_that_nobody_could_know(world):
    """They are named, and do not count: an error before, an error of the whole policy before, and the journal of the outage."""
    unknown = [
        finding(name, Verdict.ERROR, policy=policy) for name, policy in (("x", "POOL-001"), ("minisrv", "INST-001"))
    ]
    starts_daemon(
        world,
        [*unknown, finding("minisrv", Verdict.PASS, policy="HOST-003")],
        [
            finding("x", Verdict.FAIL, policy="POOL-001"),
            finding("default/web", Verdict.FAIL, policy="INST-001"),
            finding("minisrv", Verdict.FAIL, policy="HOST-003"),
        ],
    )

    (done,) = world.apply(SERVICE)

    assert done.outcome.end_state is EndState.VERIFIED, done.outcome.reason
    assert done.outcome.reason == (
        "HOST-002@minisrv/minisrv no longer fails; no other finding got worse. Only shown by the start of the daemon, so not counted: "
        "POOL-001@minisrv/x fail, INST-001@minisrv/default/web fail, HOST-003@minisrv/minisrv fail"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([finding("x", Verdict.PASS, policy="NET-004")], [finding("x", Verdict.FAIL, policy="NET-004")]),
        ([finding("x", Verdict.PASS, policy="NET-004")], [finding("x", Verdict.ERROR, policy="NET-004")]),
        ([], [finding("x", Verdict.FAIL, policy="NET-004")]),
        ([finding("y", Verdict.ERROR, policy="NET-005")], [finding("x", Verdict.FAIL, policy="NET-004")]),
    ],
)
def test_start_of_a_daemon_that_makes_something_known_worse_is_rolled_back(world, before, after):
    """A finding that passed, or one of a policy that could be determined."""
    starts_daemon(world, before, after)

    (done,) = world.apply(SERVICE)

    assert done.outcome.end_state is EndState.UNDONE
    assert "other findings got worse: NET-004@minisrv/x" in done.outcome.reason


def test_another_fix_may_not_turn_an_error_into_a_failure(world):
    """Only the start of a daemon explains why something becomes known."""
    world.extra_findings = lambda: (
        finding("x", Verdict.FAIL if world.state()[0] == "new" else Verdict.ERROR, policy="NET-004"),
    )

    (done,) = world.apply(A)

    assert done.outcome.end_state is EndState.UNDONE


def test_failed_start_of_a_daemon_that_comes_up_later_is_rolled_back(world):
    """What the daemon shows then is not worse than before: the host is as it was, not in an unknown state."""
    (world.scripts / "apply.sh.j2").write_text(APPLY + "exit 1\n")
    (world.scripts / "undo.sh.j2").write_text("")
    starts_daemon(
        world, [finding("x", Verdict.ERROR, policy="POOL-001")], [finding("x", Verdict.FAIL, policy="POOL-001")]
    )

    (done,) = world.apply(SERVICE)

    assert done.outcome.end_state is EndState.UNDONE, done.outcome.reason
