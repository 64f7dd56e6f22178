"""Tests what the state guard calls a difference, and what it lets a fix declare."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sigsrv.model.fix import Fix
from sigsrv.model.touches import Touch
from sigsrv.remediate import guard
from sigsrv.remediate.picture import Picture

BRIDGE = {("link", "br0"): {"kind": "bridge", "up": "yes", "master": ""}}
PORT = {("link", "vx24"): {"kind": "vxlan", "up": "yes", "master": "br0"}}


def fix(*touches: Touch, **more) -> Fix:
    values = {"runs_on": "sigsrv", "reaches": "host", "resets": (), "disruption": "none"} | more
    return Fix(
        "NET-001@sigsrv/br0",
        "x",
        "x",
        "x",
        disrupts="",
        undo_text="",
        timeout_s=5,
        script="",
        undo="",
        permanent={},
        touches=touches,
        **values,
    )


def changed(before: dict, after: dict, host: str = "sigsrv") -> list[guard.Difference]:
    return guard.differences({host: Picture(before)}, {host: Picture(after)})


def words(found: list[guard.Difference]) -> list[str]:
    return [each.text for each in found]


def test_link_that_is_gone_is_told_with_its_bridge_and_host():
    """Incus deletes a vxlan port when it sets up a network again: the operator reads which, where."""
    found = guard.differences(
        {"sigsrv": Picture(BRIDGE | PORT), "minisrv": Picture(BRIDGE | PORT)},
        {"sigsrv": Picture(BRIDGE | PORT), "minisrv": Picture(BRIDGE)},
    )

    assert words(found) == ["link vx24 is gone from br0 on minisrv"]


def test_same_difference_on_two_hosts_is_told_once():
    before, after = {"a": Picture(PORT), "b": Picture(PORT)}, {"a": Picture({}), "b": Picture({})}

    assert words(guard.differences(before, after)) == ["link vx24 is gone from br0 on a and b"]


def test_changed_value_is_told_with_the_old_one():
    found = changed({("network", "br0"): {"security.acls": "a"}}, {("network", "br0"): {}})

    assert words(found) == ["network br0: security.acls is unset, it was a on sigsrv"]


def test_secret_value_is_not_shown():
    """A difference reaches the terminal and the journal."""
    (found,) = changed(
        {("instance", "p/i"): {"user.key": "old-secret"}}, {("instance", "p/i"): {"user.key": "new-secret"}}
    )

    assert "secret" not in found.text


@pytest.mark.parametrize(
    ("touch", "declared"),
    [
        (Touch("network", "br0", "security.acls"), True),
        (Touch("network", "br0", "security.acls", "a,b", True), True),
        (Touch("network", "br0", "security.acls", "a", True), False),  # another value than the declared one
        (Touch("network", "br0", "ipv4.nat"), False),
        (Touch("network", "br1", "security.acls"), False),
        (Touch("project", "br0", "security.acls"), False),
        (Touch("network", "br0"), True),
    ],
)
def test_declared_value_is_no_surprise(touch, declared):
    found = changed({("network", "br0"): {"security.acls": "a"}}, {("network", "br0"): {"security.acls": "a,b"}})

    assert (guard.undeclared(found, fix(touch)) == []) is declared


def test_undo_may_write_any_value_of_a_declared_key():
    """An undo writes old values, which nothing declares."""
    found = changed({("network", "br0"): {"security.acls": "a,b"}}, {("network", "br0"): {"security.acls": "q"}})
    touch = Touch("network", "br0", "security.acls", "a,b", True)

    assert guard.undeclared(found, fix(touch), exact=False) == []
    assert guard.undeclared(found, fix(touch)) == found


@pytest.mark.parametrize(
    ("touches", "declared"),
    [
        ([Touch("link", "br0")], True),
        ([Touch("link", "br0", "", "", True)], True),  # after: null, it is gone
        ([Touch("link", "br0", "up")], False),  # only one of its keys
        ([Touch("link", "br0", "up"), Touch("link", "br0", "kind")], True),
        ([Touch("link", "br0", "up"), Touch("link", "br0", "kind", "bridge", True)], False),
    ],
)
def test_thing_that_is_gone_is_declared_as_a_whole_or_by_all_its_keys(touches, declared):
    """A fix that sets the MTU of a link did not declare that it deletes the link."""
    assert (guard.undeclared(changed(BRIDGE, {}), fix(*touches)) == []) is declared


@pytest.mark.parametrize(("after", "declared"), [("1", True), ("0", False)])
def test_thing_that_is_new_has_the_declared_values(after, declared):
    """A switch of a kernel module is there only when the module is loaded."""
    found = changed({}, {("sysctl", "net.bridge.x"): {"value": "1"}})

    assert (guard.undeclared(found, fix(Touch("sysctl", "net.bridge.x", "value", after, True))) == []) is declared


def test_thing_that_is_declared_gone_may_not_only_change():
    found = changed({("address", "v0 10.0.0.1/8"): {"flags": "a"}}, {("address", "v0 10.0.0.1/8"): {"flags": "b"}})

    assert guard.undeclared(found, fix(Touch("address", "v0 10.0.0.1/8", "", "", True))) == found


def test_change_of_another_host_is_declared_only_if_the_fix_reaches_it():
    """A fix of one host that changes a link of another did not declare that."""
    touch = Touch("link", "br0", "up")
    found = changed({("link", "br0"): {"up": "no"}}, {("link", "br0"): {"up": "yes"}}, "minisrv")

    assert guard.undeclared(found, fix(touch)) == found
    assert guard.undeclared(found, fix(touch, reaches="members")) == []
    assert guard.undeclared(found, fix(touch, runs_on="minisrv")) == []


def test_configuration_of_all_members_may_be_seen_from_any_host():
    found = changed({("project", "p"): {"restricted": ""}}, {("project", "p"): {"restricted": "true"}}, "minisrv")

    assert guard.undeclared(found, fix(Touch("project", "p", "restricted", "true", True))) == []


def test_own_key_of_another_member_is_not_declared():
    key = "bridge.external_interfaces"
    found = changed({("network", "br0"): {key: ""}}, {("network", "br0"): {key: "v0"}}, "minisrv")

    assert guard.undeclared(found, fix(Touch("network", "br0", key))) == found


def test_chains_and_server_of_a_network_that_is_set_up_again_are_declared_and_its_addresses_are_not():
    """A second address of the bridge, or a route over it, is what Incus takes away then."""
    before = {
        ("nft", "inet incus acl.br0"): {"rules": "1"},
        ("nft", "inet incus acl.br1"): {"rules": "1"},
        ("socket", "tcp 10.0.0.1:53"): {"by": "dnsmasq"},
        ("address", "br0 10.9.0.1/24"): {"flags": "scope global"},
        ("route", "ipv4 100 default dev br0"): {"dev": "br0"},
        ("link", "vx24"): {"kind": "vxlan", "master": "br0"},
    }
    found = guard.undeclared(changed(before, {}), fix(resets=("br0",), reaches="members"))

    assert {(each.kind, each.name) for each in found} == before.keys() - {
        ("nft", "inet incus acl.br0"),
        ("socket", "tcp 10.0.0.1:53"),
    }


def test_addresses_and_routes_of_a_link_can_be_declared_together():
    before = {("address", "v0 10.9.0.1/24"): {"flags": "x"}, ("route", "ipv6 main default dev v0"): {"dev": "v0"}}
    touches = (Touch("link-addresses", "v0"), Touch("link-routes", "v0"))

    assert guard.undeclared(changed(before, {}), fix(*touches)) == []
    assert len(guard.undeclared(changed(before, {}), fix())) == 2


def test_port_that_gets_another_master_brings_its_options():
    before = {("link", "v0"): {"master": ""}}
    after = {("link", "v0"): {"master": "br0"}, ("port", "v0"): {"cost": "2"}, ("port-vlan", "v0 1"): {"flags": "PVID"}}
    other = {("port", "v1"): {"cost": "2"}}
    found = guard.undeclared(changed(before, after | other), fix(Touch("link", "v0", "master", "br0", True)))

    assert [(each.kind, each.name) for each in found] == [("port", "v1")]


def test_what_can_no_longer_be_read_is_a_difference():
    """Nobody knows then whether it is as before."""
    found = guard.differences({"a": Picture(BRIDGE)}, {"a": Picture({}, {"link": "timed out"})})

    assert [(each.kind, each.name) for each in found] == [("unread", "link")]
    assert guard.undeclared(found, fix(Touch("link", "br0")))


def test_host_that_can_no_longer_be_reached_is_a_difference():
    found = guard.differences({"a": Picture(BRIDGE)}, {"a": Picture(unread={"host": "no route"})})

    assert words(found) == ["unread host: can it be read is no: no route, it was yes on a"]


def test_what_could_not_be_read_before_is_not_compared_but_the_rest_is():
    before = Picture({("link", "v0"): {"up": "yes"}}, {"nft": "denied"}, raw={("link", "v0"): {"up": "yes"}})
    after = Picture({("nft", "inet t c"): {"rules": "1"}, ("link", "v0"): {"up": "no"}})

    assert words(guard.differences({"a": before}, {"a": after})) == ["link v0: up is no, it was yes on a"]


def test_links_of_guests_are_compared_by_their_own_names_if_the_guests_were_unknown():
    """A daemon that starts shows which links belong to guests: that is no difference."""
    raw = {("link", "veth1"): {"master": "br0"}}
    before = Picture(raw, {"server": "down", "guests": "down"}, raw=raw)
    after = Picture({("guest", "p/i"): {"status": "Running"}}, raw=raw)

    assert guard.differences({"a": before}, {"a": after}) == []


def test_only_a_daemon_that_is_known_to_be_down_may_be_silent():
    pictures = {"a": Picture({}, {"guests": "refused", "nft": "denied"}), "b": Picture({}, {"guests": "refused"})}

    assert guard.unread(pictures, {"b"}) == ["a: guests: refused", "a: nft: denied"]


def test_message_names_a_few_differences_and_counts_the_rest():
    found = changed({("link", f"v{number:02}"): {} for number in range(20)}, {})

    text = guard.named([replace(each, hosts=()) for each in found])
    assert text.startswith("link v00 is gone; link v01 is gone")
    assert text.endswith("link v11 is gone; and 8 more")
