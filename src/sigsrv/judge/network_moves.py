"""What a new address of a network leaves behind: guests, ranges, rules and networks that use addresses of its old subnet.

Incus accepts most of them. Then instances do not start again, or get no lease. Source: Incus, internal/server/device/nic_bridged.go
(validation at each start), doc/reference/network_bridge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_interface

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.ranges import Span, addresses, common, covers
from sigsrv.facts.resources import Config, Instance
from sigsrv.judge.site_resources import nics_on
from sigsrv.model.values import split_list

_NAMED = 5  # guests that a reason names


@dataclass(frozen=True)
class Move:
    """A new address of a network. family: 4 or 6. old, new: None if the network has no address of the family."""

    family: int
    old: IPv4Interface | IPv6Interface | None
    new: IPv4Interface | IPv6Interface | None

    @property
    def leaves_subnet(self) -> bool:
        """Return whether an address of the old subnet is not in the new one."""
        return self.old is not None and not covers(_spans(self._new_subnet), _spans(self.old.network))

    @property
    def _new_subnet(self) -> IPv4Network | IPv6Network | None:
        return self.new.network if self.new else None

    def loses(self, text: str) -> bool:
        """Return whether an address, prefix or range is in the old subnet and not in the new one. Other words are in none."""
        spans = addresses(text).of(self.family) if text.strip() else ()
        old = _spans(self.old.network if self.old else None)
        return bool(common(spans, old)) and not covers(_spans(self._new_subnet), common(spans, old))

    def is_outside(self, text: str) -> bool:
        """Return whether an address or range of the family is not, or not all, in the new subnet."""
        spans = addresses(text).of(self.family) if text.strip() else ()
        return bool(spans) and not covers(_spans(self._new_subnet), spans)

    def is_taken(self, text: str) -> bool:
        """Return whether an address is the new one of the network itself."""
        return self.new is not None and addresses(text).of(self.family) == ((int(self.new.ip), int(self.new.ip)),)


def _spans(subnet: IPv4Network | IPv6Network | None) -> tuple[Span, ...]:
    return ((int(subnet.network_address), int(subnet.broadcast_address)),) if subnet else ()


def moves(before: Mapping[str, str], after: Mapping[str, str]) -> list[Move]:
    """Return the new addresses of a network. before, after: its configuration."""
    found = (Move(family, *(_address(each, family) for each in (before, after))) for family in (4, 6))
    return [move for move in found if move.old != move.new]


def _address(config: Mapping[str, str], family: int) -> IPv4Interface | IPv6Interface | None:
    try:
        return ip_interface(config.get(f"ipv{family}.address", ""))
    except ValueError:
        return None


def left_behind(facts: ClusterFacts, network: str, after: Mapping[str, str], move: Move) -> list[str]:
    """Return what does not fit a new address of a network, with names. after: the network's configuration with the new address.

    Raises EvidenceError if something that may not fit could not be read.
    """
    return [
        *_keys(after, move),
        *_static_addresses(facts, network, move),
        *_rules(facts, move),
        *_networks_on(facts, network),
        *_guests(facts, network, move),
    ]


def _keys(after: Mapping[str, str], move: Move) -> Iterator[str]:
    """Yield the keys of the network itself that name addresses outside of the new subnet."""
    if move.new is None:
        return
    prefix = f"ipv{move.family}"
    for key in (f"{prefix}.dhcp.ranges", f"{prefix}.ovn.ranges", f"{prefix}.dhcp.gateway"):
        wrong = [word for word in split_list(after.get(key)) if move.is_outside(word)]
        if wrong:
            yield f"{key} has {', '.join(wrong)}, outside of {move.new.network}"
    gateways = split_list(after.get(f"{prefix}.dhcp.routes"))[1::2]
    for key, words in (
        (f"{prefix}.dhcp.routes", gateways),
        ("dns.nameservers", split_list(after.get("dns.nameservers"))),
    ):
        wrong = [word for word in words if move.loses(word)]
        if wrong:
            yield f"{key} has {', '.join(wrong)} of the old subnet"


def _static_addresses(facts: ClusterFacts, network: str, move: Move) -> Iterator[str]:
    """Yield the NICs of instances and profiles whose own address the network does not have, or has itself."""
    rows: list[tuple[str, Config]] = [
        (f"NIC {name} of profile {each.project}/{each.name}", device)
        for each in facts.incus.profiles
        for name, device in each.devices.items()
        if device.get("type") == "nic" and network in (device.get("network"), device.get("parent"))
    ]
    for instance, _ in facts.instances:
        rows += [(f"NIC {name} of {instance.resource}", nic) for name, nic in nics_on(instance, network)]
    for where, nic in rows:
        address = nic.get(f"ipv{move.family}.address", "")
        if move.is_outside(address):
            yield f"{where} has {address}, outside of {move.new.network if move.new else 'every subnet'}"
        elif move.is_taken(address):
            yield f"{where} has {address}, the new address of the bridge"


def _rules(facts: ClusterFacts, move: Move) -> Iterator[str]:
    """Yield the ACLs with a rule that names only addresses of the old subnet."""
    for acl in facts.incus.network_acls:
        words = {
            word
            for rule in acl.rules
            for word in (*split_list(rule.source), *split_list(rule.destination))
            if move.loses(word)
            and covers(_spans(move.old.network if move.old else None), addresses(word).of(move.family))
        }
        if words:
            yield f"ACL {acl.project}/{acl.name} has rules for {', '.join(sorted(words))} of the old subnet"


def _networks_on(facts: ClusterFacts, network: str) -> Iterator[str]:
    """Yield the networks that have this one as their uplink: they keep an address of it."""
    for each in facts.incus.networks:
        if each.managed and each.config.get("network") == network:
            yield f"network {each.name} has an address of the old subnet on its uplink"


def _guests(facts: ClusterFacts, network: str, move: Move) -> Iterator[str]:
    """Yield the running instances that have an address of the old subnet, or an unknown one, until they renew their lease."""
    found = [
        instance.resource
        for instance, _ in facts.instances
        if instance.may_run and any(nics_on(instance, network)) and _is_cut_off(instance, move)
    ]
    if found:
        yield (
            f"{_named(found)} would be cut off until the DHCP lease is renewed: stop the instance first, "
            "it gets an address of the new subnet at its start"
        )


def _is_cut_off(instance: Instance, move: Move) -> bool:
    """Return whether a running instance has an address that the network loses. Addresses of IPv6 are not reported."""
    if move.family != 4:
        return False
    own = [address for each in instance.addresses.values() for address in each]
    return not instance.addresses or any(move.loses(address) or move.is_taken(address) for address in own)


def _named(names: Iterable[str]) -> str:
    every = sorted(names)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return ", ".join(every[:_NAMED]) + more
