"""Tests what a new address of a network leaves behind: the fix of NET-007 refuses it, with names."""

from __future__ import annotations

from typing import Any

import jsonpatch
import pytest

from sigsrv.authoring import document
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate
from sigsrv.judge.network_moves import moves
from sigsrv.model import data, policy
from sigsrv.model.finding import Finding

POLICIES = [policy.load()["NET-007"]]
CHECKS = load_checks(data.folder("checks"))
MOVED = {"op": "replace", "path": "/cluster/networks/userbr0/config/ipv4.address", "value": "172.25.0.1/16"}
STOPPED = {"op": "replace", "path": "/cluster/instances/vm/status", "value": "Stopped"}
NIC = "/cluster/instances/vm/expanded_devices/eth0"
RULE = {"action": "allow", "state": "enabled", "source": "172.25.3.0/24,10.0.0.0/8"}
UPLINK = {
    "managed": True,
    "type": "ovn",
    "status": "Created",
    "locations": ["sigsrv", "minisrv"],
    "config": {"network": "userbr0"},
}
STATE = {"memory": {"usage": 1}, "processes": 1}


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def has_address(address: str) -> dict[str, Any]:
    """Let the running instance have an address."""
    listed = [{"address": address, "family": "inet"}]
    return add(
        "/cluster/instances/vm/state",
        {**STATE, "network": {"eth0": {"hwaddr": "10:66:6a:00:00:01", "addresses": listed}}},
    )


def found(*changes: dict[str, Any]) -> Finding:
    """Return NET-007 of userbr0, whose subnet is 172.24.0.0/16 in the site file."""
    site, facts = document.facts_of(jsonpatch.apply_patch(document.document(), [MOVED, *changes]))
    return {each.id: each for each in evaluate(POLICIES, CHECKS, site, facts)}["NET-007@cluster/userbr0"]


def refused(*changes: dict[str, Any]) -> str:
    return str(found(*changes).fix["refuse"])


def test_network_that_nobody_uses_moves():
    """The script gets the families that leave their subnet: it asks Incus for forwards then."""
    finding = found(STOPPED)

    assert finding.fix["network_keys"] == ["ipv4.address=172.24.0.1/16"]
    assert (finding.fix["refuse"], finding.fix["moves"]) == ("", "IPv4")


def test_larger_subnet_leaves_nothing_behind():
    """All addresses of the old subnet are in the new one."""
    part = {**MOVED, "value": "172.24.0.1/24"}
    finding = found(part, has_address("172.24.0.9"), add(f"{NIC}/ipv4.address", "172.24.0.7"))

    assert (finding.fix["refuse"], finding.fix["moves"]) == ("", "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (add(f"{NIC}/ipv4.address", "172.25.0.50"), "NIC eth0 of user-john/vm has 172.25.0.50, outside of 172.24.0.0/16"),
        (add(f"{NIC}/ipv4.address", "172.24.0.1"), "NIC eth0 of user-john/vm has 172.24.0.1, the new address of the bridge"),
        (
            add("/cluster/profiles/svc/devices/net", {"type": "nic", "parent": "userbr0", "ipv4.address": "172.25.0.51"}),
            "NIC net of profile default/svc has 172.25.0.51, outside of 172.24.0.0/16",
        ),
        (
            add("/cluster/networks/userbr0/config/ipv4.dhcp.ranges", "172.24.1.1-172.24.1.9, 172.25.1.1-172.25.1.9"),
            "ipv4.dhcp.ranges has 172.25.1.1-172.25.1.9, outside of 172.24.0.0/16",
        ),
        (add("/cluster/networks/userbr0/config/ipv4.dhcp.gateway", "172.25.0.3"), "ipv4.dhcp.gateway has 172.25.0.3, outside of"),
        (
            add("/cluster/networks/userbr0/config/ipv4.dhcp.routes", "10.8.0.0/16,172.25.0.3,10.7.0.0/16,10.0.0.1"),
            "ipv4.dhcp.routes has 172.25.0.3 of the old subnet",
        ),
        (add("/cluster/networks/userbr0/config/dns.nameservers", "172.25.0.3,9.9.9.9"), "dns.nameservers has 172.25.0.3 of the old subnet"),
        (
            add("/cluster/network_acls/system-base/ingress/-", RULE),
            "ACL default/system-base has rules for 172.25.3.0/24 of the old subnet",
        ),
        (
            add("/cluster/networks/up0", UPLINK),
            "network up0 has an address of the old subnet on its uplink",
        ),
    ],
)  # fmt: skip
def test_what_would_stay_behind_is_refused_by_name(change, reason):
    """Incus accepts the new address. The instance does not start again, or gets no lease."""
    assert refused(STOPPED, change).startswith(reason)


def test_addresses_of_the_new_subnet_are_no_reason():
    """Also addresses of other networks, and rules that name more than the old subnet."""
    rule = {"action": "allow", "state": "enabled", "source": "172.16.0.0/12,@internal", "destination": "172.24.0.9"}
    changes = (
        add(f"{NIC}/ipv4.address", "172.24.0.50"),
        add("/cluster/instances/web/expanded_devices/eth0/ipv4.address", "172.20.0.7"),
        add("/cluster/networks/userbr0/config/ipv4.dhcp.ranges", "172.24.1.1-172.24.1.9"),
        add("/cluster/network_acls/system-base/ingress/-", rule),
    )

    assert refused(STOPPED, *changes) == ""


@pytest.mark.parametrize(
    ("state", "is_refused"),
    [([has_address("172.25.0.9")], True), ([], True), ([has_address("172.24.0.9")], False), ([STOPPED], False)],
    ids=["old", "unknown", "new", "stopped"],
)
def test_running_guest_with_a_lease_of_the_old_subnet_is_named(state, is_refused):
    """It is cut off until it renews the lease, perhaps for half an hour. One that stops gets another address at its start."""
    reason = refused(*state)

    assert (
        "user-john/vm would be cut off until the DHCP lease is renewed: stop the instance first" in reason
    ) is is_refused
    assert bool(reason) is is_refused


def test_network_that_loses_ipv6_names_the_static_addresses():
    """With ipv6.address=none, no address of IPv6 is left."""
    site = add("/site/bridges/1/config", {"ipv6.address": "none"})
    own = add("/cluster/networks/userbr0/config/ipv6.address", "fd00::1/64")
    right = {**MOVED, "value": "172.24.0.1/16"}

    finding = found(right, STOPPED, site, own, add(f"{NIC}/ipv6.address", "fd00::7"))

    assert finding.fix["refuse"] == "NIC eth0 of user-john/vm has fd00::7, outside of every subnet"
    assert finding.fix["moves"] == "IPv6"


@pytest.mark.parametrize(
    "what",
    [
        "instances?recursion=2&all-projects=true",
        "profiles?recursion=1&all-projects=true",
        "network-acls?recursion=1&all-projects=true",
    ],
)
def test_what_can_not_be_read_is_refused(what):
    """The finding is certain, but nobody knows what would stay behind."""
    failure = {"kind": "denied", "reason": "refused"}
    finding = found(STOPPED, *(add(f"/{host}/failures/~11.0~1{what}", failure) for host in ("sigsrv", "minisrv")))

    assert finding.verdict == "fail"
    assert finding.fix["refuse"] == "can't determine what uses the IPv4 addresses of userbr0"


def test_same_address_in_another_spelling_is_no_move():
    assert moves({"ipv6.address": "FD00:0::1/64"}, {"ipv6.address": "fd00::1/64"}) == []
    assert moves({"ipv4.address": "none"}, {}) == []
