"""What speaks against applying anything now: each reason with what brings it about, and what does not."""

from __future__ import annotations

import dataclasses

import jsonpatch
import pytest

from sigsrv.authoring import document
from sigsrv.facts.hosts import HostFacts
from sigsrv.model import remediation
from sigsrv.model.fix import Fix, fix_for
from sigsrv.remediate import safety_checks
from tests.test_remediation import finding

REMEDIATIONS = remediation.load()
OFFLINE = {"op": "replace", "path": "/cluster/members/minisrv/status", "value": "Offline"}
DENIED = {"kind": "denied", "reason": "refused"}
SERVICE = "HOST-002@minisrv/minisrv"


def facts(*changes: dict) -> dict[str, HostFacts]:
    """The facts of the small cluster of the policies' examples, changed."""
    content = jsonpatch.apply_patch(document.document(), list(changes))
    return {host: HostFacts(host, host, document.evidence_of(content, host)) for host in ("sigsrv", "minisrv")}


def failing(host: str, what: str, kind: str) -> dict:
    return {"op": "add", "path": f"/{host}/failures/{what}", "value": {"kind": kind, "reason": "no answer"}}


def test_a_cluster_that_is_well_stops_nothing():
    """All members Online, no pool that resilvers."""
    assert safety_checks.offline(facts(), ()) == []
    assert safety_checks.resilvering(facts(), has_zfs=True) == []


def test_a_member_that_is_offline_stops_everything():
    """In the eyes of any host that answers."""
    result = safety_checks.offline(facts(OFFLINE), {"NET-001@sigsrv/sigsrvbr0"})

    assert "cluster member minisrv is Offline in the eyes of sigsrv" in result


@pytest.mark.parametrize("status", ["Evacuated", "Restoring"])
def test_a_member_that_is_away_on_purpose_stops_nothing(status):
    """Somebody took it out of service, and may be mending it."""
    assert safety_checks.offline(facts({**OFFLINE, "value": status}), ()) == []


def test_a_member_that_is_blocked_stops_everything():
    """Whatever is neither Online nor away on purpose."""
    assert safety_checks.offline(facts({**OFFLINE, "value": "Blocked"}), ()) != []


def test_a_host_that_is_down_stops_everything():
    """Its member may still count as Online for some seconds."""
    down = {"op": "replace", "path": "/minisrv/failure", "value": {"kind": "unreachable", "reason": "no route"}}

    assert safety_checks.offline(facts(down), ()) == ["minisrv can't be reached: no route"]


def test_a_daemon_that_is_down_stops_all_but_what_starts_it():
    """The fix of the very fault that makes a member offline is let through."""
    seen = facts(failing("minisrv", "api", "down"), OFFLINE)

    assert safety_checks.offline(seen, {"NET-001@sigsrv/sigsrvbr0"}) == ["the Incus daemon of minisrv does not answer"]
    assert safety_checks.offline(seen, {SERVICE}) == []


def test_members_that_cannot_be_read_stop_everything():
    """Unknown is no reason to go on."""
    seen = facts(failing("sigsrv", "api", "denied"))

    (result,) = safety_checks.offline(seen, ())
    assert result.startswith("whether all members are Online can't be told: ")


def test_hosts_in_no_cluster_have_no_members():
    """Two single servers: one that is away is no reason not to mend the other."""
    alone = {"op": "add", "path": "/cluster/server/environment/server_clustered", "value": False}
    down = {"op": "replace", "path": "/minisrv/failure", "value": {"kind": "unreachable", "reason": "no route"}}

    assert safety_checks.offline(facts(alone, down), ()) == []


def test_a_pool_that_resilvers_stops_everything():
    """Whatever load is put on it now is put on what makes it whole."""
    scan = {"function": "RESILVER", "state": "SCANNING", "start_time": 1, "end_time": 0, "errors": 0, "scrub_pause": 0}
    change = {"op": "replace", "path": "/minisrv/zpools/tank/scan_stats", "value": scan}

    assert safety_checks.resilvering(facts(change), True) == ["zpool tank of minisrv resilvers: zpool status tank"]


def test_pools_that_cannot_be_read_stop_everything_where_the_site_has_any():
    """A site without ZFS is not asked for it."""
    seen = facts(failing("minisrv", "zpool-json", "denied"))

    (result,) = safety_checks.resilvering(seen, has_zfs=True)
    assert result.startswith("whether a pool of minisrv resilvers can't be told: ")
    assert safety_checks.resilvering(seen, has_zfs=False) == []


def test_more_objects_than_allowed_are_refused():
    """The reason says how many there would be, and what lets them through."""
    assert safety_checks.too_many({1, 2}, 2) == []
    assert safety_checks.too_many({1, 2, 3}, 2) == [
        "3 objects would change and --max is 2: name fewer findings, or say --max 3"
    ]


@pytest.mark.parametrize(("count", "stops"), [(0, False), (2, False), (3, True), (7, True)])
def test_after_the_third_fix_within_a_day_something_puts_it_back(count, stops):
    """Another fix would hide what does."""
    result = safety_checks.comes_back({"NET-001@a/b": count})

    assert [f"NET-001@a/b was put right {count} times within a day" in line for line in result] == [True] * stops
    assert all("something puts it back" in line for line in result)


def fix(name: str, **changes: object) -> Fix:
    found = fix_for(finding(name), REMEDIATIONS, "sigsrv")
    assert found
    return dataclasses.replace(found, **changes)


def test_the_way_in_is_touched_only_by_what_is_armed():
    """A link that the login came over: let through where the host undoes it whatever happens, refused where nothing would."""
    assert safety_checks.own_way(fix("attach-vlan"), ["eth0", "v0"], is_armed=True) == []
    assert safety_checks.own_way(fix("attach-vlan"), ["eth0", "v0"], is_armed=False) == [
        "NET-001@minisrv/br0: this login came over v0, and attach-vlan is not armed over a reboot"
    ]
    unmarked = safety_checks.own_way(fix("attach-vlan", disruption="none"), ["br0"], is_armed=False)
    assert "is not marked as one that may cut the network" in unmarked[0]
    assert safety_checks.own_way(fix("attach-vlan"), ["eth0"], is_armed=False) == []


def test_what_an_instance_calls_its_links_is_not_the_hosts():
    """The eth0 of a container is not that of the host."""
    assert safety_checks.own_way(fix("detach-devices", words=("eth0",)), ["eth0"], is_armed=False) == []
