"""Tests what happens between two steps: questions, the pause after the canary, and the site's own tests. This machine is the host."""

from __future__ import annotations

import dataclasses
import time

import pytest

from sigsrv.model.finding import Verdict
from sigsrv.remediate import pauses
from sigsrv.remediate.host_locks import HostLocks, Refused
from sigsrv.remediate.planning import FixRequest
from sigsrv.remediate.runs import Choice, make_plan
from sigsrv.remediate.transaction import EndState
from tests.run_world import A, finding, two_files

BOTH = FixRequest(policies=("NET-001",))


@pytest.fixture
def world(tmp_path, monkeypatch):
    with two_files(tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture
def two_hosts(world):
    """Let file b be of another host, so that the two fixes have a canary."""
    judge = world.evaluate

    def evaluate():
        return tuple(dataclasses.replace(f, host="sigsrv") if f.resource == "b" else f for f in judge())

    world.evaluate = evaluate
    return world


def decided(world, decide):
    """Run all steps; decide: gets the number of the question."""
    questions = []

    def ask(step, keep):
        questions.append(step)
        return decide(len(questions), keep)

    shown = make_plan(world.hosts, BOTH, world.journal, world.limits)
    runner = world.runner()
    with runner.lock_hosts([step.fix for step in shown.steps]) as locks:
        return list(runner.apply(locks, shown, BOTH, ask))


def test_only_steps_that_the_operator_wants_are_applied(world):
    """A step that is left out does not end the run."""
    done = decided(world, lambda number, _: Choice.LEAVE_OUT if number == 1 else Choice.APPLY)

    assert [(each.left_out, each.outcome is None) for each in done] == [(True, True), (False, False)]
    assert world.state() == ["old", "new"]


def test_stop_ends_the_run_without_touching_the_rest(world):
    """The step before stays."""
    done = decided(world, lambda number, _: Choice.APPLY if number == 1 else Choice.STOP)

    assert [each.outcome.end_state for each in done] == [EndState.VERIFIED]
    assert (world.state(), world.leftovers) == (["new", "old"], [])


def test_second_question_comes_after_the_first_step_is_verified(world):
    """So the answer can depend on it."""
    seen = []

    def decide(_, __):
        seen.append(world.state())
        return Choice.APPLY

    decided(world, decide)

    assert seen == [["old", "old"], ["new", "old"]]


def test_hosts_stay_locked_while_a_person_thinks(world, monkeypatch):
    """The lock is extended once a minute."""
    monkeypatch.setattr(pauses, "_EXTEND_S", 0.0)
    extended = []
    extend = HostLocks.extend
    monkeypatch.setattr(HostLocks, "extend", lambda self, seconds: (extended.append(seconds), extend(self, seconds)))

    def decide(_, keep):
        before = len(extended)
        keep()
        assert len(extended) == before + 1
        return Choice.LEAVE_OUT

    decided(world, decide)


def test_finding_that_got_worse_during_a_question_stops_the_run(world, monkeypatch):
    """Nobody would know whether the next fix did it."""
    monkeypatch.setattr("sigsrv.remediate.runs.FRESH_S", 0.0)
    broken = []
    world.extra_findings = lambda: (finding("x", Verdict.FAIL if broken else Verdict.PASS, policy="NET-004"),)

    def decide(number, _):
        if number == 2:
            broken.append(1)
        return Choice.APPLY

    with pytest.raises(Refused, match="NET-004@minisrv/x is fail since the last step"):
        decided(world, decide)

    assert world.state() == ["new", "old"]


def test_finding_that_somebody_fixed_during_a_question_needs_nothing(world, monkeypatch):
    """Fresh facts decide after a wait."""
    monkeypatch.setattr("sigsrv.remediate.runs.FRESH_S", 0.0)

    def decide(number, _):
        if number == 2:
            world.files["b"].write_text("new\n")
        return Choice.APPLY

    done = decided(world, decide)

    assert [(each.outcome is None, each.note) for each in done] == [(False, ""), (True, "it no longer fails")]


@pytest.mark.parametrize(
    ("resource", "reason"),
    [("b", "can't be determined now: no answer in 8 s"), ("minisrv", "is error since the last step")],
    ids=["the finding", "its whole host"],
)
def test_finding_that_is_unknown_after_a_wait_stops_the_run(world, monkeypatch, resource, reason):
    """A probe that timed out does not show that nothing is left to do."""
    monkeypatch.setattr("sigsrv.remediate.runs.FRESH_S", 0.0)

    def decide(number, _):
        if number == 2:
            world.extra_findings = lambda: (
                dataclasses.replace(finding(resource, Verdict.ERROR), reason="no answer in 8 s"),
            )
            del world.files["b"]
        return Choice.APPLY

    with pytest.raises(Refused, match=f"NET-001@minisrv/{resource} {reason}"):
        decided(world, decide)


def test_pause_is_after_the_canary_only(two_hosts):
    """The operator sees why nothing happens."""
    world = two_hosts
    world.limits = dataclasses.replace(world.limits, pause_s=1.5)
    began = time.monotonic()

    done = world.apply(BOTH)

    assert [each.step.fix.runs_on for each in done] == [each.step.fix.runs_on for each in done if each.outcome]
    assert len({each.step.fix.runs_on for each in done}) == 2
    assert time.monotonic() - began >= 1.5
    canary = done[0].step.fix.runs_on
    assert [line for line in world.messages if line.startswith("pause of")] == [
        f"pause of 1.5 s: write-file is verified on {canary}; the hosts stay locked"
    ]


def test_one_host_has_no_pause(world):
    """There is no canary."""
    world.limits = dataclasses.replace(world.limits, pause_s=60)

    done = world.apply(BOTH)

    assert [each.outcome.end_state for each in done] == ["verified", "verified"]
    assert [line for line in world.messages if line.startswith("pause of")] == []


def test_other_hosts_are_left_alone_if_something_gets_worse_during_the_pause(two_hosts, monkeypatch):
    """That is what the pause is for."""
    world = two_hosts
    monkeypatch.setattr("sigsrv.remediate.runs.FRESH_S", 0.0)
    world.limits = dataclasses.replace(world.limits, pause_s=0.5)

    def other():
        is_paused = any(line.startswith("pause of") for line in world.messages)
        return (finding("x", Verdict.FAIL if is_paused else Verdict.PASS, policy="NET-004"),)

    world.extra_findings = other

    with pytest.raises(Refused, match="NET-004@minisrv/x is fail since the last step"):
        world.apply(BOTH)

    assert sorted(world.state()) == ["new", "old"]


def with_proof(world, proof):
    world.hosts = dataclasses.replace(world.hosts, proof=proof)


def test_fix_that_breaks_a_test_of_the_site_is_rolled_back(world, monkeypatch):
    """All policies pass, and still the host goes back to its old state."""
    monkeypatch.setattr("sigsrv.remediate.transaction._VERIFY_TRIES", 2)
    with_proof(world, lambda _: "the site's own tests fail: web does not answer" if world.state()[0] == "new" else "")

    (done,) = world.apply(A)

    assert (done.outcome.end_state, done.outcome.reason) == (
        EndState.UNDONE,
        "the site's own tests fail: web does not answer",
    )
    assert (world.state(), world.leftovers) == (["old", "old"], [])


def test_plan_is_refused_while_a_test_of_the_site_fails(world):
    """It could not prove anything."""
    with_proof(world, lambda _: "the site's own tests fail: web does not answer")

    with pytest.raises(Refused, match="before any change, the site's own tests fail: web does not answer"):
        world.apply(A)

    assert world.state() == ["old", "old"]


def test_tests_of_the_site_end_before_the_host_rolls_back(world):
    """A later result would be of the old state."""
    times = []
    with_proof(world, lambda seconds: times.append(seconds) or "")

    world.apply(A)

    planned, again, verified = times
    assert planned == again == 300
    assert 0 < verified < world.limits.confirm_s - 3


def test_undo_is_not_refused_because_of_tests_that_the_fix_broke(world):
    """They failed before the undo, so they do not count for it."""
    world.apply(A)
    with_proof(world, lambda _: "the site's own tests fail: x" if world.state()[0] == "new" else "")

    (done,) = world.undo(world.journal.history()[0].id)

    assert (done.outcome.end_state, world.state()[0]) == (EndState.VERIFIED, "old")


def test_undo_that_breaks_a_test_of_the_site_is_rolled_back(world, monkeypatch):
    """The tests passed before it."""
    monkeypatch.setattr("sigsrv.remediate.transaction._VERIFY_TRIES", 2)
    world.apply(A)
    with_proof(world, lambda _: "the site's own tests fail: x" if world.state()[0] == "old" else "")

    (done,) = world.undo(world.journal.history()[0].id)

    assert (done.outcome.end_state, world.state()[0]) == (EndState.UNDONE, "new")


def test_reason_is_in_the_journal(world):
    """Also of an undo."""
    world.limits = dataclasses.replace(world.limits, reason="ticket 12")
    world.apply(A)
    world.undo(world.journal.history()[0].id)

    assert [run.reason for run in world.journal.history()] == ["ticket 12", "ticket 12"]


KEEPING_UNDO = """\
file={{ file }}
[ -s "$SIGSRV_STATE/old" ] || exit 0
if [ "$(cat "$file")" != new ] && [ "${SIGSRV_FORCE:-}" != yes ]; then echo "kept: $file is not new as the fix left it"; exit 0; fi
cp "$SIGSRV_STATE/old" "$file"
"""


def test_forced_undo_overwrites_what_the_undo_before_left(world):
    """Without --force there is nothing more to undo. Afterwards there is nothing left for --force either."""
    (world.scripts / "undo.sh.j2").write_text(KEEPING_UNDO)
    world.apply(A)
    run = world.journal.history()[0].id
    judge = world.evaluate
    world.evaluate = lambda: tuple(
        dataclasses.replace(each, verdict=Verdict.PASS) if each.resource == "a" else each for each in judge()
    )
    world.files["a"].write_text("other\n")
    (kept,) = world.undo(run)
    assert (kept.outcome.end_state, len(kept.outcome.kept), world.state()[0]) == (EndState.VERIFIED, 1, "other")
    assert world.undo(run) == []

    world.limits = dataclasses.replace(world.limits, force=True)
    (done,) = world.undo(run)

    assert (done.outcome.end_state, done.outcome.kept, world.state()[0]) == (EndState.VERIFIED, (), "old")
    assert world.undo(run) == []
