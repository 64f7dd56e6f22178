"""Tests what Incus would delete or change beside a fix of a network, from pictures of the hosts."""

from __future__ import annotations

import pytest

from sigsrv.model.touches import Touch
from sigsrv.remediate.network_resets import losses, side_effects
from sigsrv.remediate.picture import Picture
from tests.test_guard import fix

ACLS = Touch("network", "br0", "security.acls", "a", True)
CONFIG = {"ipv4.address": "10.9.0.1/16", "ipv6.address": "none", "bridge.external_interfaces": "eth7, eth8/trunk/8"}


def link(name: str, kind: str = "", master: str = "", up: str = "yes", **more: str) -> dict:
    return {("link", name): {"kind": kind, "master": master, "up": up, "mtu": "1500", **more}}


def address(text: str, scope: str = "global") -> dict:
    return {("address", text): {"flags": f"scope {scope}"}}


def route(text: str, family: str = "ipv4", table: str = "main") -> dict:
    return {("route", f"{family} {table} {text}"): {"dev": "br0"}}


def picture(*things: dict, member: str = "sigsrv", **config: str) -> Picture:
    """Return a picture of a member with a network br0 that is as Incus sets it up. config: dots are underscores."""
    own = CONFIG | {key.replace("__", "."): value for key, value in config.items()}
    found = {("network", "br0"): own} | link("br0", "bridge") | link("eth7", master="br0") | link("eth8", "vlan", "br0")
    found |= address("br0 10.9.0.1/16") | route("10.9.0.0/16 dev br0 protocol kernel scope link prefsrc 10.9.0.1")
    for each in things:
        found |= each
    return Picture(found, member=member)


def lost(*things: dict, touches: tuple[Touch, ...] = (ACLS,), is_undo: bool = False, **config: str) -> list[str]:
    found = {"sigsrv": picture(*things, **config)}
    return losses(fix(*touches, reaches="members", resets=("br0",)), found, is_undo)


def changed(*things: dict, touches: tuple[Touch, ...] = (ACLS,), **config: str) -> list[str]:
    found = {"sigsrv": picture(*things, **config)}
    return side_effects(fix(*touches, reaches="members", resets=("br0",)), found)


def test_network_as_incus_made_it_loses_nothing():
    """Its own address, the kernel's routes, ports that are named, NICs of guests and ports of other kinds stay."""
    nics = link("veth0", "veth", "br0") | link("tap0", "tun", "br0") | link("v24", "vlan", "br0")
    assert lost(nics, address("eth0 10.1.0.1/16"), route("default via 10.1.0.254 dev eth0", table="7")) == []
    assert changed(nics) == []


@pytest.mark.parametrize("kind", ["vxlan", "gretap", "dummy"])
def test_port_of_a_kind_that_incus_deletes_is_named(kind):
    (reason,) = lost(link("x1", kind, "br0"))

    assert reason.startswith(
        f"sigsrv: Incus would delete x1 ({kind}), a port of br0 that bridge.external_interfaces does not name"
    )
    assert lost(link("x1", kind, "br1")) == []
    assert lost(link("x1", kind, "br0"), bridge__external_interfaces="x1 , y") == []
    assert lost(link("x1", kind, "br0"), bridge__external_interfaces="x1/eth0/7") == []


def test_port_that_the_fix_itself_names_is_not_lost():
    """Incus looks at the new list. The undo takes the port out of the bridge before Incus looks."""
    names = Touch("network", "br0", "bridge.external_interfaces", "eth7,vx24", True)
    port = Touch("link", "vx24", "master", "br0", True)
    vxlan = link("vx24", "vxlan", "br0")

    assert lost(vxlan, touches=(names, port)) == []
    assert lost(vxlan, touches=(names, port), is_undo=True, bridge__external_interfaces="eth7,vx24") == []
    assert len(lost(vxlan, link("vx25", "vxlan", "br0"), touches=(names, port))) == 1


def test_ports_that_incus_makes_again_are_not_lost():
    """They are those of its tunnels, and the dummy that keeps the MTU of the bridge."""
    made = link("br0-lan", "vxlan", "br0") | link("br0-mtu", "dummy", "br0")

    assert lost(made, tunnel__lan__protocol="vxlan", bridge__mtu="1400") == []
    assert len(lost(made)) == 2
    assert len(lost(made, bridge__mtu="1400")) == 1


@pytest.mark.parametrize(
    ("text", "scope", "is_lost"),
    [
        ("br0 10.9.0.9/16", "global", True),
        ("br0 10.9.0.1/24", "global", True),
        ("br0 10.9.0.9/16", "link", False),
        ("br0 fd00::9/64", "global", True),
        ("br0 fe80::9/64", "link", True),  # without ipv6.address, Incus turns IPv6 off
        ("br1 10.9.0.9/16", "global", False),
    ],
)
def test_further_address_of_the_bridge_is_lost(text, scope, is_lost):
    assert bool(lost(address(text, scope))) is is_lost


def test_bridge_with_an_ipv6_address_keeps_its_link_local_one():
    assert lost(address("br0 fe80::9/64", "link") | address("br0 fd00::1/64"), ipv6__address="FD00:0::1/64") == []
    assert len(lost(address("br0 fd00::9/64"), ipv6__address="fd00::1/64")) == 1


def test_address_that_the_fix_replaces_is_no_loss():
    """It goes on purpose, with the link-local one if IPv6 ends."""
    touches = (
        Touch("network", "br0", "ipv4.address", "10.8.0.1/16", True),
        Touch("network", "br0", "ipv6.address", "none", True),
    )
    own = address("br0 fd00::1/64") | address("br0 fe80::9/64", "link")

    assert lost(own, touches=touches, ipv6__address="fd00::1/64") == []


@pytest.mark.parametrize(
    ("text", "table", "is_lost"),
    [
        ("10.7.0.0/16 via 10.9.0.7 dev br0 protocol static", "main", True),
        ("10.7.0.0/16 via 10.9.0.7 dev br0 protocol bird metric 32", "main", True),
        ("10.7.0.0/16 via 10.9.0.7 dev br0", "main", False),  # boot: Incus adds it again
        ("10.7.0.0/16 dev br0 scope link", "main", False),
        ("10.7.0.0/16 via 10.9.0.7 dev br0 prefsrc 10.9.0.9", "main", True),
        ("10.7.0.0/16 via 10.6.0.7 dev br0 onlink", "main", False),
        ("default via 10.9.0.7 dev br0 via 10.1.0.7 dev eth0", "main", True),
        ("default via 10.9.0.7 dev br0", "100", True),
        ("default via 10.9.0.7 dev br0 protocol kernel", "100", False),
        ("default via 10.1.0.7 dev eth0 protocol static", "100", False),
    ],
)
def test_route_that_incus_does_not_add_again_is_lost(text, table, is_lost):
    assert bool(lost(route(text, table=table))) is is_lost


def test_routes_of_the_configuration_are_not_lost():
    own = route("10.7.0.0/16 dev br0 protocol static scope link")

    assert lost(own, ipv4__routes="10.6.0.0/16, 10.7.0.0/16") == []
    assert len(lost(own, ipv4__routes="10.6.0.0/16")) == 1


def test_route_with_a_gateway_of_the_old_subnet_is_lost_with_a_new_address():
    """The kernel refuses it. Whether an undo has the address for it, nobody knows."""
    moves = Touch("network", "br0", "ipv4.address", "10.8.0.1/16", True)
    boot = route("10.7.0.0/16 via 10.9.0.7 dev br0")

    assert len(lost(boot, touches=(moves,))) == 1
    assert len(lost(boot, touches=(moves,), is_undo=True)) == 1
    assert lost(route("10.7.0.0/16 dev br0 scope link"), touches=(moves,)) == []


def test_routes_of_ipv6_are_lost_if_the_network_turns_it_off():
    """With an address of its own, only static routes of table main are lost: the link-local address stays."""
    routes = route("fd07::/64 via fe80::7 dev br0 metric 1024", "ipv6") | route(
        "fd06::/64 dev br0 protocol static", "ipv6"
    )
    routes |= route("fe80::/64 dev br0 protocol kernel metric 256", "ipv6")

    assert len(lost(routes)) == 2
    assert lost(routes, ipv6__address="fd00::1/64") == [
        "sigsrv: Incus would delete the route fd06::/64 dev br0 protocol static"
    ]


def test_bridge_without_an_ipv4_address_loses_only_static_routes():
    """Incus has no address to take away, so the kernel keeps the others."""
    found = {key: value for key, value in picture(ipv4__address="none").things.items() if key[0] != "address"}
    found |= route("10.7.0.0/16 dev br0 scope link") | route("10.6.0.0/16 dev br0 protocol static scope link")

    reasons = losses(fix(ACLS, reaches="members", resets=("br0",)), {"sigsrv": Picture(found, member="sigsrv")})

    assert reasons == ["sigsrv: Incus would delete the route 10.6.0.0/16 dev br0 protocol static scope link"]


def test_each_member_is_looked_at_and_no_other_host():
    """A host in no cluster has another network of that name. A fix of one member reaches that one only."""
    vxlan = link("x1", "vxlan", "br0")
    found = {name: picture(vxlan, member=member) for name, member in (("sigsrv", "a"), ("minisrv", "b"), ("alone", ""))}

    everywhere = losses(fix(ACLS, reaches="members", resets=("br0",)), found)
    here = losses(fix(ACLS, reaches="host", resets=("br0",)), found)

    assert [reason.partition(":")[0] for reason in everywhere] == ["sigsrv", "minisrv"]
    assert [reason.partition(":")[0] for reason in here] == ["sigsrv"]


def test_fix_that_changes_no_key_of_the_network_resets_nothing():
    """The MTU of a link is the kernel's. A fix without ``resets`` does not concern a network."""
    vxlan = link("x1", "vxlan", "br0")

    assert lost(vxlan, touches=(Touch("link", "eth7", "mtu", "1500", True),)) == []
    assert losses(fix(ACLS, reaches="members"), {"sigsrv": picture(vxlan)}) == []


@pytest.mark.parametrize("what", ["host", "link", "addr", "routes-4", "routes-6", "network br0"])
def test_what_could_not_be_read_is_a_reason(what):
    """Unknown is not nothing."""
    found = {"sigsrv": Picture(picture().things, {what: "no answer"}, "sigsrv")}

    (reason,) = losses(fix(ACLS, reaches="members", resets=("br0",)), found)
    assert reason == f"sigsrv: can't determine what Incus would delete when it sets up br0 again: {what}: no answer"
    assert (
        losses(fix(ACLS, resets=("br0",)), {"sigsrv": Picture(picture().things, {"units": "no answer"}, "sigsrv")})
        == []
    )


def test_restart_of_the_daemon_sets_up_all_its_networks():
    """It changes no key. What it would bring is what it is for; its undo starts nothing."""
    restart = fix(resets=("br0", "br1"), disruption="service")
    found = {"sigsrv": picture(link("x1", "vxlan", "br0"), {("network", "br1"): {}}, link("x2", "dummy", "br1"))}

    reasons = losses(restart, found)

    assert [reason.partition(", ")[0] for reason in reasons] == [
        "sigsrv: Incus would delete x1 (vxlan)",
        "sigsrv: Incus would delete x2 (dummy)",
    ]
    assert losses(restart, found, is_undo=True) == []
    assert side_effects(restart, {"sigsrv": Picture({("network", "br0"): CONFIG}, member="sigsrv")}) == []


def test_member_without_the_network_loses_nothing():
    assert (
        losses(fix(ACLS, reaches="members", resets=("br0",)), {"sigsrv": Picture(link("br0", "bridge"), member="a")})
        == []
    )


def test_what_incus_would_change_beside_the_fix_is_told():
    """Each of these has a finding and a fix of its own, so it is asked only before the step."""
    filtering = {("port-vlan", "eth7 1"): {"flags": "PVID"}}
    forward = {("sysctl", "net.ipv4.ip_forward"): {"value": "0"}}

    assert changed(link("br0", "bridge", up="no")) == ["sigsrv: Incus would bring up br0, which is down"]
    assert (
        "set the MTU of br0 to 1500; it is 1450"
        in changed(link("br0", "bridge") | {("link", "br0"): link("br0")["link", "br0"] | {"mtu": "1450"}})[0]
    )
    assert "VLAN filter" in changed(filtering, link("br0", "bridge", vlan_filtering="0"))[0]
    assert changed(link("br0", "bridge", vlan_filtering="0")) == []
    assert "forward packets" in changed(forward)[0]
    assert changed(forward, ipv4__routing="false") == []
    assert "attach eth7 to br0; it is in br1" in changed(link("eth7", master="br1"))[0]
    assert "attach eth7 to br0; it is in no bridge" in changed(link("eth7"))[0]
    assert "bring up eth7" in changed(link("eth7", master="br0", up="no"))[0]
    assert "stop half way: eth7" in changed(address("eth7 10.3.0.1/24"))[0]


def test_mtu_that_the_fix_sets_is_no_side_effect():
    assert changed(touches=(Touch("network", "br0", "bridge.mtu", "1400", True),)) == []


def test_missing_interface_is_made_only_from_its_long_form():
    """Incus skips a missing interface that it can't make."""
    things = picture().things
    gone = {place: value for place, value in things.items() if place not in (("link", "eth7"), ("link", "eth8"))}

    found = side_effects(fix(ACLS, resets=("br0",)), {"sigsrv": Picture(gone, member="a")})

    assert found == ["sigsrv: Incus would make eth8, which br0 names and which is not there"]


def test_bridge_that_is_not_there_is_told():
    gone = {place: value for place, value in picture().things.items() if place != ("link", "br0")}

    assert side_effects(fix(ACLS, resets=("br0",)), {"sigsrv": Picture(gone, member="a")}) == [
        "sigsrv: Incus would make the bridge br0, which is not there"
    ]


def test_link_that_the_fix_declares_is_no_side_effect():
    """The fix attaches it, or its undo leaves it where somebody moved it."""
    names = Touch("network", "br0", "bridge.external_interfaces", "eth7,eth9", True)
    port = Touch("link", "eth9", "master", "br0", True)

    assert changed(link("eth9"), touches=(names, port)) == []
    assert changed(link("eth9", master="br1"), touches=(names, port), bridge__external_interfaces="eth7,eth9") == []
