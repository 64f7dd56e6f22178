"""Runs on this machine as the host: in order, each step proven before the next, undone, and refused where something speaks against it."""

from __future__ import annotations

import dataclasses

import pytest

from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Verdict
from sigsrv.remediate.host_locks import Refused
from sigsrv.remediate.runs import make_plan
from sigsrv.remediate.transaction import EndState
from sigsrv.remediate.undoing import reverse, run_of
from tests.run_world import APPLY, A, finding, two_files
from tests.test_remediate_safety_checks import OFFLINE, facts


@pytest.fixture
def world(tmp_path, monkeypatch):
    with two_files(tmp_path, monkeypatch) as found:
        yield found


def test_a_run_puts_right_and_its_undo_puts_back(world):
    """Two steps in order, verified; nothing on the host; undone the last first; then there is nothing to undo."""
    done = world.apply()

    assert [(each.step.finding.resource, each.outcome.end_state) for each in done] == [
        ("a", EndState.VERIFIED),
        ("b", EndState.VERIFIED),
    ]
    assert (world.state(), world.left) == (["new", "new"], [])
    (run,) = world.journal.history()

    undone = world.undo(run.id)

    assert [each.step.finding.resource for each in undone] == ["b", "a"]
    assert {each.outcome.end_state for each in undone} == {EndState.VERIFIED}
    assert (world.state(), world.left) == (["old", "old"], [])
    newest = world.journal.history()[0]
    shown = reverse(world.hosts, world.journal, run_of(world.journal, run.id), world.limits)
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

    assert [each.outcome.end_state for each in done] == [EndState.VERIFIED, EndState.UNDONE]
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
    assert [each.outcome.end_state for each in world.undo(world.journal.history()[0].id)] == [EndState.VERIFIED]

    world.apply(A)
    run = world.journal.history()[0].id
    world.also = lambda: (finding("z", Verdict.PASS if world.state()[0] == "new" else Verdict.FAIL, policy="NET-006"),)
    (done,) = world.undo(run)

    assert (done.outcome.end_state, "NET-006@minisrv/z fail" in done.outcome.reason) == (EndState.UNDONE, True)
    assert world.state()[0] == "new"


def test_what_fails_again_is_not_undone(world):
    """Somebody changed it since: it is not as the run left it."""
    world.apply(A)
    world.files["a"].write_text("other\n")

    shown = reverse(world.hosts, world.journal, run_of(world.journal, world.journal.history()[0].id), world.limits)

    assert shown.steps == ()
    assert "it is fail again" in shown.left[0][1]


def test_what_a_later_run_put_right_again_is_undone_first(world):
    """The older run's values are not those before the younger one: its fix would be gone, and the journal would still call it verified."""
    world.apply(A)
    first = world.journal.history()[0].id
    world.files["a"].write_text("other\n")
    world.apply(A)
    second = world.journal.history()[0].id

    shown = reverse(world.hosts, world.journal, run_of(world.journal, first), world.limits)
    assert (shown.steps, shown.left[0][1]) == ((), f"run {second} put it right again since: undo that first")

    world.undo(second)
    assert world.state()[0] == "other"


def test_the_script_that_is_run_is_the_one_that_was_shown(world):
    """It was changed between the question and the answer: nothing is applied."""
    request = A
    runner, shown = world.runner(), make_plan(world.hosts, A, world.journal, world.limits)
    (world.scripts / "apply.sh.j2").write_text(APPLY + "echo more\n")

    with (
        pytest.raises(Refused, match="no longer the one that was shown"),
        runner.lock_hosts([shown.steps[0].fix]) as locks,
    ):
        list(runner.apply(locks, shown, request))

    assert (world.state(), world.left) == (["old", "old"], [])


def test_what_speaks_against_it_by_now_stops_it(world):
    """A member went offline between the question and the answer."""
    runner, shown = world.runner(), make_plan(world.hosts, A, world.journal, world.limits)
    world.facts = facts(OFFLINE)

    with pytest.raises(Refused, match="is Offline"), runner.lock_hosts([shown.steps[0].fix]) as locks:
        list(runner.apply(locks, shown, A))

    assert world.left == []


def test_two_runs_never_mix(world):
    """The second is told who is at work, before it looks at anything; it gives nothing back that is not its own."""
    first = world.runner()
    with first.lock_hosts([make_plan(world.hosts, A, None, world.limits).steps[0].fix]):
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


def test_what_anothers_run_left_on_a_host_stops_it(world):
    """A folder of a fix that no run of this journal broke off: a person must look."""
    folder = world.host.folder / "run" / "deadbeef" / "state"
    folder.mkdir(parents=True)

    by_hand = f"sh {folder.parent}/undo-once.sh undoes it there"
    with pytest.raises(Refused, match=f"is of a fix that did not come to an end.*; {by_hand}"):
        world.apply(A)

    assert world.state() == ["old", "old"]
