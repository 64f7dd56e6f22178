"""Which ACL rules let instances on one bridge reach each other.

With br_netfilter, a frame between two ports of a bridge meets the network's rules of both directions. Incus applies drop and reject
before allow. A NIC with its own ACLs has its own filter. Source: Incus, doc/howto/network_acls.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_interface

from sigsrv.facts.acl_rule import AclRule, Direction
from sigsrv.facts.parsing import parsing
from sigsrv.facts.ranges import (
    ANY,
    Addresses,
    Packets,
    addresses,
    common,
    is_every_port,
    joined,
    no_unknown_set,
    packets,
    ports,
)
from sigsrv.facts.resources import Config, NetworkAcl
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.site_resources import acls_of
from sigsrv.model.site_bridges import SiteBridge

LINK_LOCAL = "fe80::/10"  # every instance has such an address, whatever the network assigns


@dataclass(frozen=True)
class RuleSet:
    """The rules that a packet meets. open_direction: the direction whose default action is allow; None if there is none."""

    rules: tuple[AclRule, ...]
    open_direction: Direction | None = None


def of_network(config: Config, acls: Mapping[str, NetworkAcl]) -> RuleSet:
    """Return the rules that a frame between two ports of a network's bridge meets. acls: those of project default, by name."""
    is_open = config.get("security.acls.default.egress.action") == "allow"
    return RuleSet(_rules(config, acls), "egress" if is_open else None)


def to_nic(config: Config, acls: Mapping[str, NetworkAcl]) -> RuleSet:
    """Return the rules of a NIC's own ACLs for what it receives. Its egress rules apply only to what it sends."""
    is_open = config.get("security.acls.default.ingress.action") == "allow"
    ingress = tuple(rule for rule in _rules(config, acls) if rule.direction == "ingress")
    return RuleSet(ingress, "ingress" if is_open else None)


def _rules(config: Config, acls: Mapping[str, NetworkAcl]) -> tuple[AclRule, ...]:
    return tuple(rule for name in acls_of(config) if name in acls for rule in acls[name].rules)


def instance_addresses(config: Config, bridge: SiteBridge) -> dict[int, Addresses]:
    """Return the addresses that the instances of a network can have, by family (4 and 6).

    The addresses of the bridge and of the gateway are left out. The subnet of the site file counts too: a router elsewhere on the VLAN
    may assign its addresses. If neither names an IPv4 subnet, all IPv4 addresses are returned. Raises EvidenceError if the network has an
    address that is none.
    """
    known = [each for each in (config.get("ipv4.address", ""), config.get("ipv6.address", "")) if "/" in each]
    subnet = [bridge.subnet] if bridge.subnet else []
    found = addresses(",".join([*known, *subnet, LINK_LOCAL]))
    spans = {4: found.v4 or ANY.v4, 6: found.v6}
    with parsing(f"network {bridge.name}", ""):
        own = [ip_interface(each) for each in (*known, *([bridge.gateway] if bridge.gateway else []))]
    for address in own:
        number = int(address.ip)
        others = (*(((0, number - 1),) if number else ()), (number + 1, 2**128))
        spans[address.version] = common(spans[address.version], others)
    return {4: Addresses(v4=spans[4]), 6: Addresses(v6=spans[6])}


def judge_openings(rule_set: RuleSet, instances: Mapping[int, Addresses], finding: Clauses) -> None:
    """Record why one instance can reach another on all ports: allow rules and default actions that no denying rule covers.

    instances: as ``instance_addresses`` returns them. An allow rule that can't be read, or that names an unknown address set, is an unknown
    clause. Raises EvidenceError if a denying rule can't be read, or names an unknown address set: it may cover everything.
    """
    denying: list[Packets] = []
    for rule in rule_set.rules:
        if rule.takes_effect and not rule.allows:
            no_unknown_set(rule)
            denying.append(packets(rule))
    allowing: list[tuple[AclRule, str, Packets]] = []
    for rule in rule_set.rules:
        if rule.takes_effect and rule.allows:
            with finding.clause():
                allowing.append((rule, str(rule), packets(rule)))
                no_unknown_set(rule)
    if rule_set.open_direction:
        rule = AclRule(rule_set.open_direction, "allow", "enabled")
        allowing.append((rule, f"the default action for {rule_set.open_direction} is allow", packets(rule)))
    for family, own in instances.items():
        denied = joined([matched.within(own) for matched in denying])
        inside = [(rule, text, matched.within(own)) for rule, text, matched in allowing]
        for rule, text, matched in inside:
            same_direction = [each for other, _, each in inside if other.direction == rule.direction]
            all_ports = is_every_port(matched.ports_with(same_direction)) and not matched.protocol.startswith("icmp")
            # if the instances can have any IPv4 address, only a rule from any address to any address counts
            concerns_them = own.v4 != ANY.v4 or (matched.source.is_any and matched.destination.is_any)
            if all_ports and concerns_them and matched.families and not any(no.covers(matched) for no in denied):
                finding.violated(f"{text}: lets one instance reach another by IPv{family}")


def lets_ping_pass(rule_set: RuleSet, source: Addresses, destination: Addresses) -> bool:
    """Return whether a ping may pass the rules. A rule that names unknown addresses (a selector, another ACL) may allow it."""
    protocol, kind = ("icmp4", "8") if source.v4 else ("icmp6", "128")
    ping = Packets(source, destination, protocol, ports(""), ports(""), (kind, "0"))
    active = [(rule, packets(rule)) for rule in rule_set.rules if rule.takes_effect]
    if any(not rule.allows and matched.covers(ping) for rule, matched in active):
        return False
    allowing = [matched for rule, matched in active if rule.allows]
    return rule_set.open_direction is not None or any(_may_match(matched, ping) for matched in allowing)


def _may_match(matched: Packets, ping: Packets) -> bool:
    return bool(matched.source.unknown or matched.destination.unknown) or matched.meets(ping)
