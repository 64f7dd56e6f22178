"""Tests the sets of addresses, ports and packets that ACL rules match."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigsrv.facts.acl_rule import AclRule, NamedAddresses, acl_rule
from sigsrv.facts.address_sets import with_sets
from sigsrv.facts.ranges import (
    ANY,
    Addresses,
    addresses,
    common,
    covers,
    is_every_port,
    joined,
    merged,
    no_unknown_set,
    packets,
    peers,
    ports,
    union,
)
from sigsrv.facts.resources import NetworkAcl
from sigsrv.model.errors import EvidenceError

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: tuple(sorted(pair))), max_size=6)


def members(spans) -> set[int]:
    return {number for first, last in spans for number in range(first, last + 1)}


@given(SPANS, SPANS)
def test_spans_are_sets(one, other):
    """Merging, covering and the common part give the same results as for sets of numbers."""
    a, b = merged(one), merged(other)

    assert members(a) == members(one)
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(a))
    assert covers(a, b) is (members(b) <= members(a))
    assert members(common(a, b)) == members(a) & members(b)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "0.0.0.0/0",
        "::/0",
        "0.0.0.0/0,::/0",
        "0.0.0.0/1, 128.0.0.0/1",
        "0.0.0.0-127.255.255.255,128.0.0.0/2,192.0.0.0-255.255.255.255",
        "1.0.0.0-126.255.255.255,128.0.0.0-223.255.255.255",
        "2000::/3",
        "::/1,8000::/1",
        "10.0.0.0/8,@internal,::/0",
    ],
)
def test_text_with_every_routed_address_means_any(text):
    """The text may split the addresses into any pieces. All addresses of one family are enough."""
    assert addresses(text).is_any


@pytest.mark.parametrize(
    "text", ["10.0.0.0/8", "0.0.0.0/1", "128.0.0.0/1", "fe80::/10", "@internal", "any", "2001:db8::/32", "0.0.0.0"]
)
def test_text_without_some_routed_addresses_does_not_mean_any(text):
    """An unknown word does not mean any either."""
    assert not addresses(text).is_any


def test_addresses_are_read_in_every_form():
    """Covers CIDR with host bits, single addresses and ranges. Any other word is kept as an unknown word."""
    found = addresses("10.0.0.5/31, 10.0.0.6, 10.0.0.7 - 10.0.0.9, fe80::1,@external,a-b,9.9.9.9-1.1.1.1,1.1.1.1-::1")

    assert found.v4 == ((10 << 24 | 4, 10 << 24 | 9),)
    assert found.v6 == ((0xFE80 << 112 | 1, 0xFE80 << 112 | 1),)
    assert found.unknown == {"@external", "a-b", "9.9.9.9-1.1.1.1", "1.1.1.1-::1"}
    assert addresses("") == ANY
    assert union([found, addresses("::/0")]).is_any
    assert union([addresses("10.0.0.0/9"), addresses("10.128.0.0/9,x")]) == Addresses(
        addresses("10.0.0.0/8").v4, (), frozenset("x")
    )


def test_ports_are_read_in_every_form():
    """Covers single ports, ranges and lists. An empty text means all ports."""
    assert ports("22, 80-81,82") == ((22, 22), (80, 82))
    assert [
        is_every_port(ports(text)) for text in ("", "0-65535", "1-65535", "1-1023,1024-65535", "2-65535", "443")
    ] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    for text in ("http", "-1", "80-", "81-80", "65536", "1-2-3"):
        with pytest.raises(EvidenceError, match="not a port"):
            ports(text)


def rule(**more: str) -> AclRule:
    return AclRule(**{"direction": "egress", "action": "allow", "state": "enabled", **more})


ALLOW = {"destination": "172.24.0.0/16", "protocol": "tcp", "destination_port": "80,443"}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"destination": "172.16.0.0/12"},
        {"destination": "172.24.0.0/17,172.24.128.0-172.24.255.255"},
        {"destination": "0.0.0.0/0", "protocol": "tcp"},
        {"protocol": "tcp", "destination_port": "1-1000"},
        {"source": "0.0.0.0/0"},
    ],
)
def test_a_rule_covers_a_rule_that_matches_only_a_part_of_its_packets(more):
    """Covers any, a larger network, and the same network in pieces. A family that the other rule lacks does not matter."""
    assert packets(rule(**more)).covers(packets(rule(**ALLOW)))


@pytest.mark.parametrize(
    "more",
    [
        {"destination": "172.24.0.0/17"},
        {"protocol": "udp"},
        {"protocol": "tcp", "destination_port": "80"},
        {"source": "172.20.0.0/16"},
        {"protocol": "tcp", "source_port": "1024-65535"},
        {"destination": "::/0"},
        {"destination": "@internal"},
    ],
)
def test_a_rule_does_not_cover_a_rule_that_matches_other_packets_too(more):
    """Covers half of the addresses, another protocol, fewer ports, the other family, and an unknown word."""
    assert not packets(rule(**more)).covers(packets(rule(**ALLOW)))


def test_an_icmp_rule_matches_one_family():
    """A rule for all of IPv4 covers a rule for icmp4 to any address, and not a rule for icmp6."""
    every = packets(rule(destination="0.0.0.0/0"))

    assert every.covers(packets(rule(protocol="icmp4")))
    assert not every.covers(packets(rule(protocol="icmp6")))
    assert packets(rule(protocol="icmp4")).covers(packets(rule(protocol="icmp4", icmp_type="8")))
    assert not packets(rule(protocol="icmp4", icmp_type="8")).covers(packets(rule(protocol="icmp4")))


def test_an_unknown_word_is_covered_by_the_same_word_and_by_any():
    """The addresses of the word are unknown. A rule for any contains them, and so does a rule with the same word."""
    named = packets(rule(destination="@internal"))

    assert packets(rule()).covers(named)
    assert packets(rule(destination="@internal,10.0.0.0/8")).covers(named)
    assert not packets(rule(destination="0.0.0.0/0")).covers(named)


def test_rules_that_share_some_packets_meet():
    """Rules with different protocols, ports, families or addresses share no packets."""
    allow = packets(rule(**ALLOW))

    assert packets(rule(destination="172.24.0.0/24", protocol="tcp", destination_port="443-500")).meets(allow)
    assert not packets(rule(destination="10.0.0.0/8")).meets(allow)
    assert not packets(rule(protocol="udp")).meets(allow)
    assert not packets(rule(protocol="tcp", destination_port="22")).meets(allow)
    assert not packets(rule(destination="::/0")).meets(allow)
    assert not packets(rule(protocol="icmp4", icmp_type="8")).meets(packets(rule(protocol="icmp4", icmp_type="0")))


def test_packets_within_a_subnet_are_those_from_and_to_it():
    """Only packets from and to addresses of the subnet remain of a rule for any."""
    own = addresses("172.24.0.0/16,fe80::/10")
    inside = packets(rule()).within(own)

    assert (inside.source, inside.destination) == (own, own)
    assert packets(rule(destination="172.16.0.0/12")).within(own).families == (4,)
    assert packets(rule(destination="10.0.0.0/8")).within(own).families == ()


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"destination": "10.0.0.0/9"}, {"destination": "10.128.0.0/9"}], [{"destination": "10.0.0.0/8"}]),
        (
            [
                {"source": "10.0.0.0/9", "destination": "10.9.0.0/16"},
                {"source": "10.128.0.0/9", "destination": "10.9.0.0/16"},
            ],
            [{"source": "10.0.0.0/8", "destination": "10.9.0.0/16"}],
        ),
        (
            [{"destination": "10.0.0.0/9", "protocol": "tcp"}, {"destination": "10.128.0.0/9"}],
            [{"destination": "10.0.0.0/9", "protocol": "tcp"}, {"destination": "10.128.0.0/9"}],
        ),
        (
            [
                {"source": "10.1.0.0/16", "destination": "10.0.0.0/9"},
                {"source": "10.2.0.0/16", "destination": "10.128.0.0/9"},
            ],
            [
                {"source": "10.1.0.0/16", "destination": "10.0.0.0/9"},
                {"source": "10.2.0.0/16", "destination": "10.128.0.0/9"},
            ],
        ),
        ([], []),
    ],
    ids=["by destination", "by source", "not with two protocols", "not if both sides differ", "no rules"],
)
def test_rules_that_differ_only_in_source_or_destination_are_joined(rules, expected):
    """Two rules that differ in both are not joined: the joined rule would match more packets than the two rules."""
    assert joined([packets(rule(**each)) for each in rules]) == [packets(rule(**each)) for each in expected]


def test_ports_are_joined_over_all_rules_with_at_least_the_same_peers():
    """A rule for fewer peers, or for another protocol, adds no ports."""
    narrow = packets(rule(destination="10.1.0.0/16", protocol="tcp", destination_port="1-100"))
    others = [
        packets(rule(destination="10.0.0.0/8", protocol="tcp", destination_port="101-200")),
        packets(rule(destination="10.1.1.0/24", protocol="tcp", destination_port="201-300")),
        packets(rule(destination="10.0.0.0/8", protocol="udp", destination_port="301-400")),
    ]

    assert narrow.ports_with(others) == ((1, 200),)


@pytest.mark.parametrize("action", ["allow", "reject"])
def test_a_rule_with_an_unknown_address_set_is_an_error(action):
    """The set may have every address: an allow rule then allows everything, and a reject rule covers every other rule."""
    with pytest.raises(EvidenceError, match=r"\$everybody"):
        no_unknown_set(AclRule("egress", action, "enabled", destination="10.0.0.0/8,$everybody"))


@pytest.mark.parametrize(
    ("known", "same"),
    [
        (NamedAddresses("$some", "192.0.2.0/24"), "10.0.0.0/8,192.0.2.0/24"),
        (NamedAddresses("$some", "192.0.2.1-192.0.2.9,2001:db8::/32"), "10.0.0.0/8,192.0.2.1-192.0.2.9,2001:db8::/32"),
        (NamedAddresses("$some", ""), "10.0.0.0/8"),
    ],
)
def test_an_address_set_counts_with_its_addresses(known, same):
    """Beside the other addresses of the list."""
    named = rule(destination="10.0.0.0/8,$some", sets=(known,))
    no_unknown_set(named)

    assert peers(named) == addresses(same)
    assert packets(named).destination == addresses(same)


def test_an_empty_address_set_is_no_address_and_not_any():
    """A rule without a destination concerns any; one with an empty set concerns none."""
    named = rule(destination="$none", sets=(NamedAddresses("$none", ""),))

    assert peers(named).is_none
    assert not peers(named).is_any
    assert not addresses("@internal").is_none


def test_a_rule_from_the_daemon_can_not_bring_its_own_sets():
    """The addresses come from the list of sets only."""
    with pytest.raises(TypeError, match="sets"):
        acl_rule({"action": "allow", "state": "enabled", "sets": "x"}, "egress", "ACL a")


def test_a_rule_names_the_sets_of_its_own_project():
    """Another project may have a set of the same name."""
    acl = NetworkAcl("a", "user-john", (rule(destination="$some,$other"), rule()))
    sets = {("default", "some"): "0.0.0.0/0", ("user-john", "some"): "192.0.2.1", ("default", "other"): "10.0.0.1"}

    assert [each.sets for each in with_sets(acl, sets).rules] == [(NamedAddresses("$some", "192.0.2.1"),), ()]
