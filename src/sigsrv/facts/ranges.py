"""The addresses, ports and packets that an ACL rule matches, as sets that can be compared.

IPv4 and IPv6 are separate. A word that is not an address (a selector such as @internal, the name of another ACL) stands for unknown
addresses: it is never "any", and it covers only itself. Source: Incus, doc/howto/network_acls.md (rule properties).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from sigsrv.facts.acl_rule import AclRule, NamedAddresses
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import split_list

Span = tuple[int, int]  # the first and the last address or port
_BITS = {4: 32, 6: 128}
_PORTS = ((0, 65535),)
# The routed unicast addresses: 1.0.0.0 to 223.255.255.255 without the loopback network, and 2000::/3.
_ROUTED = {4: ((1 << 24, (127 << 24) - 1), (128 << 24, (224 << 24) - 1)), 6: ((1 << 125, (1 << 126) - 1),)}
_FAMILY_OF = {"icmp4": 4, "icmp6": 6}


@dataclass(frozen=True)
class Addresses:
    """A set of addresses."""

    v4: tuple[Span, ...] = ()
    """The IPv4 addresses as spans (first, last) of numbers, in order; no two spans overlap or touch."""
    v6: tuple[Span, ...] = ()
    """The IPv6 addresses as spans (first, last) of numbers, in order; no two spans overlap or touch."""
    unknown: frozenset[str] = frozenset()
    """The words that are not addresses, for example ``@internal`` or the name of another ACL."""

    @property
    def is_none(self) -> bool:
        """Return whether the set is known to be empty, as that of an address set without addresses."""
        return not (self.v4 or self.v6 or self.unknown)

    def of(self, family: int) -> tuple[Span, ...]:
        """Return the spans of a family: 4 or 6."""
        return self.v4 if family == 4 else self.v6

    @property
    def is_any(self) -> bool:
        """Return whether the set contains every routed unicast address of at least one family."""
        return any(covers(self.of(family), routed) for family, routed in _ROUTED.items())


def _all(family: int) -> tuple[Span, ...]:
    return ((0, 2 ** _BITS[family] - 1),)


ANY = Addresses(_all(4), _all(6))


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the spans in order, with spans that overlap or touch joined."""
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def covers(outer: tuple[Span, ...], inner: tuple[Span, ...]) -> bool:
    """Return whether ``outer`` contains all of ``inner``. Both are results of ``merged``."""
    return common(outer, inner) == inner


def common(one: tuple[Span, ...], other: tuple[Span, ...]) -> tuple[Span, ...]:
    """Return the spans that are in both. Both are results of ``merged``."""
    found: list[Span] = []
    mine, theirs = 0, 0
    while mine < len(one) and theirs < len(other):
        (low, high), (first, last) = one[mine], other[theirs]
        if max(low, first) <= min(high, last):
            found.append((max(low, first), min(high, last)))
        if high < last:
            mine += 1
        else:
            theirs += 1
    return tuple(found)


def union(sets: Iterable[Addresses]) -> Addresses:
    """Return the addresses that are in any of some sets."""
    every = tuple(sets)
    v4, v6 = (merged(span for each in every for span in each.of(family)) for family in (4, 6))
    return Addresses(v4, v6, frozenset().union(*(each.unknown for each in every)))


def addresses(text: str, sets: Iterable[NamedAddresses] = ()) -> Addresses:
    """Return the addresses in a list of CIDR prefixes, single addresses and ranges ``a-b``; any address if the list is empty.

    sets: the address sets that the list may name, as ``AclRule.sets``. An empty set stands for no address.
    """
    if not text.strip():
        return ANY
    spans: dict[int, list[Span]] = {4: [], 6: []}
    unknown = set()
    known = {each.name: each.addresses for each in sets}
    for word in [part for each in split_list(text) for part in (split_list(known[each]) if each in known else (each,))]:
        try:
            family, span = _span(word)
            spans[family].append(span)
        except ValueError:
            unknown.add(word)
    return Addresses(merged(spans[4]), merged(spans[6]), frozenset(unknown))


def _span(word: str) -> tuple[int, Span]:
    """Return the family and the span of a word. Raises ValueError if it is not an address."""
    first, dash, last = word.partition("-")
    if not dash:
        network = ip_network(word, strict=False)
        return network.version, (int(network.network_address), int(network.broadcast_address))
    low, high = ip_address(first.strip()), ip_address(last.strip())
    if low.version != high.version or int(low) > int(high):
        raise ValueError(f"{word}: not a range")
    return low.version, (int(low), int(high))


def ports(text: str) -> tuple[Span, ...]:
    """Return the ports in a list of ports and ranges ``a-b``; all ports if it is empty. Raises EvidenceError if it is malformed."""
    if not text.strip():
        return _PORTS
    found = []
    for word in split_list(text):
        match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", word)
        span = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not span[0] <= span[1] <= _PORTS[0][1]:
            raise EvidenceError(f"{word!r} is not a port or a range of ports")
        found.append(span)
    return merged(found)


def is_every_port(spans: tuple[Span, ...]) -> bool:
    """Return whether the spans contain every port. Port 0 does not count: no packet uses it."""
    return covers(spans, ((1, 65535),))


@dataclass(frozen=True)
class Packets:
    """The packets that an ACL rule matches."""

    source: Addresses
    """The source addresses."""
    destination: Addresses
    """The destination addresses."""
    protocol: str
    """The protocol; empty for any."""
    source_ports: tuple[Span, ...]
    """The source ports as spans (first, last), in order."""
    destination_ports: tuple[Span, ...]
    """The destination ports as spans (first, last), in order."""
    icmp: tuple[str, str]
    """The ICMP type and code; an empty string for any."""

    @property
    def families(self) -> tuple[int, ...]:
        """Return the families (4, 6) that the rule can match: both sides have addresses of it, and the protocol exists there."""
        return tuple(
            family
            for family in (4, 6)
            if self.source.of(family)
            and self.destination.of(family)
            and _FAMILY_OF.get(self.protocol, family) == family
        )

    def within(self, both: Addresses) -> Packets:
        """Return the packets whose source and destination are both in a set of addresses."""

        def clipped(side: Addresses) -> Addresses:
            return Addresses(common(side.v4, both.v4), common(side.v6, both.v6))

        return Packets(
            clipped(self.source),
            clipped(self.destination),
            self.protocol,
            self.source_ports,
            self.destination_ports,
            self.icmp,
        )

    def ports_with(self, others: Iterable[Packets]) -> tuple[Span, ...]:
        """Return the destination ports of this rule and of those others that match at least the same sources and destinations."""
        alike = [
            other.destination_ports
            for other in others
            if other.protocol in ("", self.protocol)
            and _covers(other.source, self.source, self.families)
            and _covers(other.destination, self.destination, self.families)
            and covers(other.source_ports, self.source_ports)
        ]
        return merged(span for spans in (self.destination_ports, *alike) for span in spans)

    def covers(self, other: Packets) -> bool:
        """Return whether the set contains every packet of ``other``."""
        sides = ((self.source, other.source), (self.destination, other.destination))
        return (
            self.protocol in ("", other.protocol)
            and all(_covers(mine, theirs, other.families) for mine, theirs in sides)
            and covers(self.source_ports, other.source_ports)
            and covers(self.destination_ports, other.destination_ports)
            and all(mine in ("", theirs) for mine, theirs in zip(self.icmp, other.icmp, strict=True))
        )

    def meets(self, other: Packets) -> bool:
        """Return whether some packet may be in both sets."""
        return (
            (self.protocol == other.protocol or "" in (self.protocol, other.protocol))
            and any(
                common(self.source.of(family), other.source.of(family))
                and common(self.destination.of(family), other.destination.of(family))
                for family in set(self.families) & set(other.families)
            )
            and bool(common(self.source_ports, other.source_ports))
            and bool(common(self.destination_ports, other.destination_ports))
            and all(a == b or "" in (a, b) for a, b in zip(self.icmp, other.icmp, strict=True))
        )


def _covers(mine: Addresses, theirs: Addresses, families: tuple[int, ...]) -> bool:
    """Return whether one side of a rule contains that side of another rule.

    An unknown word is contained only in any address, or in a side with the same word.
    """
    named = theirs.unknown <= mine.unknown or mine == ANY
    return named and all(covers(mine.of(family), theirs.of(family)) for family in families)


def joined(speaking: Iterable[Packets]) -> list[Packets]:
    """Return the same packets in fewer sets: sets that differ only in their source, or only in their destination, are joined."""
    by_source = [
        replace(same[-1], source=union(each.source for each in same))
        for same in _alike(speaking, lambda each: each.destination)
    ]
    return [
        replace(same[-1], destination=union(each.destination for each in same))
        for same in _alike(by_source, lambda each: each.source)
    ]


def _alike(speaking: Iterable[Packets], side: Callable[[Packets], Addresses]) -> Iterable[list[Packets]]:
    """Return the sets of packets in groups that have one side, the protocol, the ports and the type in common."""
    found: dict[tuple[object, ...], list[Packets]] = {}
    for each in speaking:
        common_parts = (side(each), each.protocol, each.source_ports, each.destination_ports, each.icmp)
        found.setdefault(common_parts, []).append(each)
    return found.values()


def peers(rule: AclRule) -> Addresses:
    """Return the addresses of the other side: the sources for ingress, the destinations for egress."""
    return addresses(rule.peer, rule.sets)


def no_unknown_set(rule: AclRule) -> None:
    """Raises EvidenceError if a rule names an address set (``$NAME``) whose addresses are unknown: it may have every address.

    Incus does not list the set, or the list could not be read. Source: Incus, doc/howto/network_address_sets.md.
    """
    unknown = [name for name in rule.set_names if name not in {each.name for each in rule.sets}]
    if unknown:
        raise EvidenceError(f"{rule}: the addresses of the address set {unknown[0]} could not be read")


def packets(rule: AclRule) -> Packets:
    """Return the packets that a rule matches. Raises EvidenceError if its ports are malformed."""
    return Packets(
        addresses(rule.source, rule.sets),
        addresses(rule.destination, rule.sets),
        rule.protocol,
        ports(rule.source_port),
        ports(rule.destination_port),
        (rule.icmp_type, rule.icmp_code),
    )
