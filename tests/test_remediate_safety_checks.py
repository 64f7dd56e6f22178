"""Tests each safety check: what triggers it, and what does not."""

from __future__ import annotations

import dataclasses
from itertools import zip_longest

import jsonpatch
import pytest

from sigsrv.authoring import document
from sigsrv.collect import urls
from sigsrv.collect.evidence import ApiAnswer, Failure
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.require import SERVICE as SERVICE_POLICY
from sigsrv.model import remediation
from sigsrv.model.errors import FailureKind
from sigsrv.model.finding import Verdict
from sigsrv.model.fix import Fix, fix_for
from sigsrv.remediate import safety_checks
from sigsrv.remediate.rescan import fix_of
from tests.test_remediation import finding

REMEDIATIONS = remediation.load()
OFFLINE = {"op": "replace", "path": "/cluster/members/minisrv/status", "value": "Offline"}
DENIED = {"kind": "denied", "reason": "refused"}
SERVICE = "HOST-002@minisrv/minisrv"


def facts(*changes: dict) -> dict[str, HostFacts]:
    """Return the facts of the small example cluster, with changes."""
    content = jsonpatch.apply_patch(document.document(), list(changes))
    return {host: HostFacts(host, host, document.evidence_of(content, host)) for host in ("sigsrv", "minisrv")}


def failing(host: str, what: str, kind: str) -> dict:
    return {"op": "add", "path": f"/{host}/failures/{what}", "value": {"kind": kind, "reason": "no answer"}}


def test_healthy_cluster_stops_nothing():
    """All members are Online, and no pool is resilvering."""
    assert safety_checks.offline(facts(), ()) == []
    assert safety_checks.resilvering(facts(), has_zfs=True) == []


def test_offline_member_stops_everything():
    """Any host that answers may report it."""
    result = safety_checks.offline(facts(OFFLINE), {"NET-001@sigsrv/sigsrvbr0"})

    assert "cluster member minisrv is Offline, as sigsrv reports" in result


@pytest.mark.parametrize("status", ["Evacuated", "Restoring"])
def test_evacuated_member_stops_nothing(status):
    """Somebody took it out of service on purpose, perhaps to fix it."""
    assert safety_checks.offline(facts({**OFFLINE, "value": status}), ()) == []


def test_blocked_member_stops_everything():
    """Any state but Online and evacuated stops everything."""
    assert safety_checks.offline(facts({**OFFLINE, "value": "Blocked"}), ()) != []


def test_unreachable_host_stops_everything():
    """Its member may still be reported as Online for some seconds."""
    down = {"op": "replace", "path": "/minisrv/failure", "value": {"kind": "unreachable", "reason": "no route"}}

    assert safety_checks.offline(facts(down), ()) == ["minisrv can't be reached: no route"]


def test_stopped_daemon_stops_everything_but_its_own_fix():
    """The fix for the cause of an offline member is allowed."""
    seen = facts(failing("minisrv", "api", "down"), OFFLINE)

    assert safety_checks.offline(seen, {"NET-001@sigsrv/sigsrvbr0"}) == ["the Incus daemon of minisrv does not answer"]
    assert safety_checks.offline(seen, {SERVICE}) == []


def test_unreadable_members_stop_everything():
    """Unknown is no reason to continue."""
    seen = facts(failing("sigsrv", "api", "denied"))

    (result,) = safety_checks.offline(seen, ())
    assert result.startswith("can't determine whether all members are Online: ")


NO_LEADER = ApiAnswer(500, failure=Failure(FailureKind.GARBLED, "Incus API /x: HTTP 500: RAFT cluster is unavailable"))
NO_DATABASE = ApiAnswer(
    503,
    failure=Failure(
        FailureKind.GARBLED,
        "Incus API /x: HTTP 503: Failed to begin transaction: failed to create cowsql connection: no available cowsql leader server found",
    ),
)
LATE = ApiAnswer(failure=Failure(FailureKind.TIMEOUT, "Incus API /x: no answer in 5 s"))
REFUSED = ApiAnswer(403, failure=Failure(FailureKind.DENIED, "Incus API /x: HTTP 403: not authorized"))
BROKEN = ApiAnswer(500, failure=Failure(FailureKind.GARBLED, "Incus API /x: HTTP 500: database is locked"))
VOTER = "HOST-002@sigsrv/sigsrv"


def voter_away(*answers: ApiAnswer, sigsrv: str = "down") -> dict[str, HostFacts]:
    """Return facts of the daemon of sigsrv being away; that of minisrv gives these answers, the last one to all other requests."""
    found = facts(failing("sigsrv", "api", sigsrv))
    evidence = found["minisrv"].evidence
    given = dict(zip_longest(urls.WANTED, answers, fillvalue=answers[-1]))
    api = {url: given.get(url, LATE) if url != urls.SERVER else answer for url, answer in evidence.api.items()}
    found["minisrv"] = HostFacts("minisrv", "minisrv", dataclasses.replace(evidence, api=api))
    return found


@pytest.mark.parametrize(
    "answers", [(NO_LEADER,), (NO_DATABASE,), (NO_LEADER, LATE), (LATE, NO_DATABASE, LATE), (LATE,)]
)
def test_start_of_the_daemon_with_the_only_vote_is_let_through(answers):
    """Of two hosts, one has the only vote. Without it, the other one can't report its members; the plan says so."""
    seen = voter_away(*answers)

    assert safety_checks.offline(seen, {VOTER}) == []
    ((host, note),) = safety_checks.let_through(seen, {VOTER}).items()
    assert host == "minisrv"
    assert note.startswith(
        "minisrv can't report whether all members are Online, because the database of the cluster has no leader"
    )
    assert "The daemon of sigsrv is down" in note


@pytest.mark.parametrize("fixing", [set(), {"NET-001@minisrv/sigsrvbr0"}, {SERVICE}, {"HOST-002@other/other"}])
def test_database_without_a_leader_stops_every_other_fix(fixing):
    """Only the step that starts the daemon which is down repairs the cause."""
    seen = voter_away(NO_LEADER, LATE)

    reasons = safety_checks.offline(seen, fixing)
    assert reasons[0] == "the Incus daemon of sigsrv does not answer"
    assert reasons[1].startswith("can't determine whether all members are Online: ")
    assert safety_checks.let_through(seen, fixing) == {}


@pytest.mark.parametrize("answers", [(REFUSED,), (NO_LEADER, BROKEN), (NO_LEADER, REFUSED), (LATE, BROKEN)])
def test_members_that_are_unknown_for_another_reason_stop_the_start_too(answers):
    """A missing right, or any error that a database without a leader does not give, hides the state of the members."""
    seen = voter_away(*answers)

    (reason,) = safety_checks.offline(seen, {VOTER})
    assert reason.startswith("can't determine whether all members are Online: ")
    assert safety_checks.let_through(seen, {VOTER}) == {}


def test_database_without_a_leader_stops_the_start_of_a_daemon_that_is_not_down():
    """Its start would not bring the vote back, and may take the daemon away from what still runs."""
    seen = voter_away(NO_LEADER, sigsrv="denied")

    assert len(safety_checks.offline(seen, {VOTER})) == 2
    assert safety_checks.let_through(seen, {VOTER}) == {}


def test_unreachable_host_stops_the_start_of_the_daemon_with_the_only_vote():
    """It is unknown what a host does that can't be reached."""
    found = voter_away(NO_LEADER)
    lost = dataclasses.replace(found["sigsrv"].evidence, failure=Failure(FailureKind.UNREACHABLE, "no route"))
    found["sigsrv"] = HostFacts("sigsrv", "sigsrv", lost)

    assert "sigsrv can't be reached: no route" in safety_checks.offline(found, {VOTER})
    assert safety_checks.let_through(found, {VOTER}) == {}


def test_unreachable_standalone_host_stops_nothing():
    """Another standalone host can still be fixed."""
    alone = {"op": "add", "path": "/cluster/server/environment/server_clustered", "value": False}
    down = {"op": "replace", "path": "/minisrv/failure", "value": {"kind": "unreachable", "reason": "no route"}}

    assert safety_checks.offline(facts(alone, down), ()) == []


def test_resilvering_pool_stops_everything():
    """Further load would slow the resilvering down."""
    scan = {"function": "RESILVER", "state": "SCANNING", "start_time": 1, "end_time": 0, "errors": 0, "scrub_pause": 0}
    change = {"op": "replace", "path": "/minisrv/zpools/tank/scan_stats", "value": scan}

    assert safety_checks.resilvering(facts(change), True) == [
        "zpool tank of minisrv is resilvering: see zpool status tank"
    ]


@pytest.mark.parametrize("state", ["ACTIVE", "PAUSED"])
def test_sequential_resilver_stops_everything(state):
    """A rebuild beside a finished scrub counts, and so does a state that sigsrv does not know."""
    rebuild = {"mirror-0": {"name": "mirror-0", "state": state, "start_time": 1, "end_time": 0, "errors": 0}}
    change = {"op": "add", "path": "/minisrv/zpools/tank/scan_stats/rebuild_stats", "value": rebuild}

    (result,) = safety_checks.resilvering(facts(change), True)

    known = "zpool tank of minisrv is resilvering: see zpool status tank"
    unknown = "can't determine whether a pool of minisrv is resilvering: minisrv: zpool status -j: state of a rebuild: "
    assert result.startswith(known if state == "ACTIVE" else unknown)


def test_unreadable_pools_stop_everything_on_a_site_with_zfs():
    """A site without ZFS is not checked."""
    seen = facts(failing("minisrv", "zpool-json", "denied"))

    (result,) = safety_checks.resilvering(seen, has_zfs=True)
    assert result.startswith("can't determine whether a pool of minisrv is resilvering: ")
    assert safety_checks.resilvering(seen, has_zfs=False) == []


@pytest.mark.parametrize(("count", "stops"), [(0, False), (2, False), (3, True), (7, True)])
def test_fourth_fix_within_a_day_is_refused(count, stops):
    """Another fix would hide the cause."""
    result = safety_checks.recurring({"NET-001@a/b": count})

    assert [f"NET-001@a/b was fixed {count} times within a day" in line for line in result] == [True] * stops
    assert all("something reverts the fix" in line for line in result)


def fix(name: str, **changes: object) -> Fix:
    found = fix_for(finding(name), REMEDIATIONS, "sigsrv")
    assert found
    return dataclasses.replace(found, **changes)


def test_link_of_the_login_is_changed_only_by_an_armed_fix():
    """Such a fix is allowed if the host rolls it back for certain, else refused."""
    assert safety_checks.touches_own_login(fix("attach-vlan"), ["eth0", "v0"], is_armed=True) == []
    assert safety_checks.touches_own_login(fix("attach-vlan"), ["eth0", "v0"], is_armed=False) == [
        "NET-001@minisrv/br0: the ssh login to minisrv uses v0, and attach-vlan has no rollback timer that survives a reboot"
    ]
    unmarked = safety_checks.touches_own_login(fix("attach-vlan", disruption="none"), ["br0"], is_armed=False)
    assert "is not marked as cutting the network" in unmarked[0]
    assert safety_checks.touches_own_login(fix("attach-vlan"), ["eth0"], is_armed=False) == []


def test_links_of_an_instance_are_not_links_of_the_host():
    """The eth0 of a container is not that of the host."""
    assert safety_checks.touches_own_login(fix("detach-devices", words=("eth0",)), ["eth0"], is_armed=False) == []


EVACUATED = {**OFFLINE, "value": "Evacuated"}
UNREAD_NETWORKS = [failing(host, "~11.0~1networks?recursion=1", "denied") for host in ("sigsrv", "minisrv")]


def of_network(**changes: object) -> Fix:
    values = {"runs_on": "sigsrv", "reaches": "members", "resets": ("userbr0",)} | changes
    return fix("attach-acls", **values)


@pytest.mark.parametrize(
    ("changes", "more", "is_refused"),
    [
        ({}, [], True),
        ({"resets": ("nowhere0",)}, [], False),  # the member does not have the network
        ({"resets": ("nowhere0",)}, UNREAD_NETWORKS, True),
        ({"reaches": "host"}, [], False),
        ({"reaches": "host", "runs_on": "minisrv"}, [], True),
        ({"reaches": "host", "runs_on": "minisrv", "resets": ()}, [], True),
        ({"runs_on": "minisrv", "disruption": "none"}, [], False),
    ],
)
def test_network_of_an_evacuated_member_is_left_alone(changes, more, is_refused):
    """Incus would bring its bridge up again, while somebody works on cables, a switch or disks."""
    result = safety_checks.evacuated(facts(EVACUATED, *more), [of_network(**changes)])

    assert bool(result) is is_refused
    assert all("minisrv is evacuated, and Incus would bring up" in reason for reason in result)
    assert all("incus cluster restore minisrv" in reason for reason in result)


def test_network_fix_is_allowed_while_no_member_is_evacuated():
    assert safety_checks.evacuated(facts(), [of_network()]) == []
    assert safety_checks.evacuated_hosts(facts()) == frozenset()


def test_one_report_of_an_evacuated_member_is_enough():
    """Its own daemon may not answer."""
    down = failing("minisrv", "api", "down")

    assert safety_checks.evacuated_hosts(facts(EVACUATED, down)) == frozenset({"minisrv"})


def test_fix_of_the_cluster_does_not_run_on_an_evacuated_host():
    """It runs on the first other host whose daemon answers, else on the host that is named for that."""
    answers = [
        dataclasses.replace(finding("start-incus", policy=SERVICE_POLICY, host=host), verdict=Verdict.PASS)
        for host in ("a", "b")
    ]
    failed = finding("restrict-project", host="cluster")

    def runs_on(*away: str) -> str:
        found = fix_of(failed, answers, "c", away)
        assert found
        return found.runs_on

    assert (runs_on(), runs_on("a"), runs_on("a", "b")) == ("a", "b", "c")
