"""Tests what a step does about a difference that its fix does not declare, with this machine as the host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sigsrv.model.touches import Touch
from sigsrv.remediate.picture import Picture
from sigsrv.remediate.rescan import FreshFinding
from sigsrv.remediate.state_guard import StateGuard
from sigsrv.remediate.transaction import EndState
from tests.run_world import APPLY, A, two_files
from tests.test_guard import fix as declares
from tests.test_remediation import finding

BEFORE = Picture({("link", "vx24"): {"kind": "vxlan", "master": "br0"}})
AFTER = Picture({})


@pytest.fixture
def world(tmp_path, monkeypatch):
    with two_files(tmp_path, monkeypatch) as found:
        yield found


def step_of(world, *pictures: Picture):
    """Run the fix of one file. pictures: what each look shows, in order; the last one stays."""
    left = list(pictures)
    world.pictures = lambda: {"minisrv": left.pop(0) if len(left) > 1 else left[0]}
    (done,) = world.apply(A)
    return done.outcome


def test_step_that_changes_something_undeclared_is_undone_and_told(world):
    """The finding is gone, no verdict is worse, and yet a link is deleted."""
    outcome = step_of(world, BEFORE, AFTER)

    assert outcome.end_state is EndState.UNDONE
    assert outcome.reason == "it changed what it does not declare: link vx24 is gone from br0 on minisrv"
    assert (world.state()[0], world.leftovers) == ("old", [])


def test_what_the_undo_does_not_bring_back_is_listed(world):
    """The rollback can't make a deleted link again: the operator must know, and the journal too."""
    outcome = step_of(world, BEFORE, AFTER)

    assert outcome.left == ("link vx24 is gone from br0 on minisrv",)
    ((step,),) = (run.steps for run in world.journal.history())
    assert step.detail.endswith("; link vx24 is gone from br0 on minisrv")


def test_undo_that_brings_everything_back_lists_nothing(world):
    world.pictures = lambda: {"minisrv": AFTER if world.state()[0] == "new" else BEFORE}
    (done,) = world.apply(A)

    assert (done.outcome.end_state, done.outcome.left) == (EndState.UNDONE, ())


def test_difference_that_goes_away_by_itself_does_not_undo_the_step(world):
    """A network that is set up again has no chains for a moment."""
    outcome = step_of(world, BEFORE, AFTER, BEFORE)

    assert (outcome.end_state, world.state()[0]) == (EndState.VERIFIED, "new")


def test_difference_that_comes_after_the_verification_still_undoes_the_step(world):
    """There is one more picture of the hosts before the fix is confirmed."""
    outcome = step_of(world, BEFORE, BEFORE, AFTER)

    assert (outcome.end_state, world.state()[0]) == (EndState.UNDONE, "old")


def test_state_that_can_not_be_read_before_the_change_refuses_it(world):
    """Nobody would know afterwards what the fix changed. Its script does not run."""
    (world.scripts / "apply.sh.j2").write_text(f"touch {world.host.folder}/ran\n{APPLY}")
    outcome = step_of(world, Picture(unread={"nft": "denied"}))

    assert outcome.end_state is EndState.REFUSED
    assert outcome.reason.endswith("nobody would know what it changes: minisrv: nft: denied")
    assert not (world.host.folder / "ran").exists()
    assert (world.end_states(), world.leftovers) == (["undone"], [])


def test_host_that_can_not_be_looked_at_after_the_change_undoes_it(world):
    outcome = step_of(world, BEFORE, Picture(unread={"host": "no route to host"}))

    assert outcome.end_state is EndState.UNDONE
    assert "no route to host" in outcome.reason


def test_value_that_an_undo_left_alone_is_told(world):
    """Somebody has changed it since the fix."""
    undo = world.scripts / "undo.sh.j2"
    undo.write_text(f"{undo.read_text()}echo 'kept: br0: security.acls is a,q, not a as the fix left it'\n")
    world.apply(A)
    (run,) = world.journal.history()

    (done,) = world.undo(run.id)

    assert done.outcome.kept == ("br0: security.acls is a,q, not a as the fix left it",)


def test_touches_of_a_fix_decide_what_is_declared(world):
    """The same difference, declared: the step is verified."""
    (world.scripts / "touches.yaml.j2").write_text("- {kind: link, name: vx24}\n")
    outcome = step_of(world, BEFORE, AFTER)

    assert (outcome.end_state, world.state()[0]) == (EndState.VERIFIED, "new")


def test_undo_of_a_run_is_guarded_too(world):
    """An undo that deletes a link is undone: the fix is in place again."""
    world.apply(A)
    (run,) = world.journal.history()
    left = [BEFORE, AFTER]
    world.pictures = lambda: {"minisrv": left.pop(0) if len(left) > 1 else left[0]}

    (done,) = world.undo(run.id)

    assert (done.outcome.end_state, world.state()[0]) == (EndState.UNDONE, "new")


DOWN = {("link", "user0"): {"up": "yes", "master": ""}, ("link", "vx24"): {"up": "yes", "mtu": "1450"}}
STARTED = DOWN | {
    ("link", "br0"): {"kind": "bridge"},
    ("link", "user0"): {"up": "yes", "master": "br0"},
    ("socket", "tcp *:8443"): {"by": "incusd"},
}


@pytest.mark.parametrize(
    ("after", "unit", "host", "result"),
    [
        (STARTED, "incus.service", "minisrv", ""),
        (STARTED, "other.service", "minisrv", "link br0 is new on minisrv"),
        (STARTED, "incus.service", "sigsrv", "link br0 is new on minisrv"),
        (
            STARTED | {("link", "vx24"): {"up": "yes", "mtu": "1400"}},
            "incus.service",
            "minisrv",
            "link vx24: mtu is 1400",
        ),
        ({("link", "user0"): DOWN["link", "user0"]}, "incus.service", "minisrv", "link vx24 is gone on minisrv"),
    ],
    ids=[
        "it brings its networks",
        "the fix does not start it",
        "another host is down",
        "a value changes",
        "a link goes",
    ],
)
def test_daemon_that_a_fix_starts_may_add_and_nothing_else(after, unit, host, result):
    """Its networks come with it, and guests that start with it. What was there stays as it was."""
    down = replace(finding("start-incus", {}), policy="HOST-002", host=host, resource=host)
    pictures = [Picture({}, {"guests": "no answer"}, raw=DOWN), Picture(after, raw=after)]
    fix = declares(Touch("unit", unit), runs_on="minisrv")
    guard = StateGuard(lambda: {"minisrv": pictures.pop(0)}, FreshFinding(down, (down,), fix), replays=False)
    guard.begin()

    found = guard.changed()

    assert (result in found) if result else (found == "")


@pytest.mark.parametrize(
    ("policy", "silent", "begins"),
    [("HOST-002", {"sigsrv"}, True), ("HOST-002", set(), False), ("HOST-003", {"sigsrv"}, False)],
    ids=[
        "the fix starts the daemon with the only vote",
        "it does not answer for another reason",
        "another fix of the plan",
    ],
)
def test_member_that_waits_for_the_daemon_which_the_fix_starts_need_not_answer(policy, silent, begins):
    """Its Incus knows nothing without the database. What its kernel has is still compared."""
    down = replace(finding("start-incus", {}), policy=policy, host="minisrv", resource="minisrv")
    was, now = {("link", "br0"): {"up": "yes"}}, {("link", "br0"): {"up": "no"}}
    pictures = [Picture(was, {"guests": "no answer in 15 s"}, raw=was), Picture(now, raw=now)]
    fix = declares(Touch("unit", "incus.service"), runs_on="minisrv")
    guard = StateGuard(lambda: {"sigsrv": pictures.pop(0)}, FreshFinding(down, (down,), fix, silent), replays=False)

    refused = guard.begin()

    assert (refused == "") is begins
    assert not begins or "link br0: up is no" in guard.changed()
