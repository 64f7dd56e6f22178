"""Checks of ACL: what the rules say. Their order in the list means nothing: drop and reject win over allow."""

from functools import reduce
from operator import or_

from sigsrv import finding_id, policy
from sigsrv.facts.ranges import Addresses, addresses, is_every_port, merged, no_set, packets, ports
from sigsrv.judge.site_resources import each_network_with_acls, owner_of_networks
from sigsrv.model.values import split_list

_DIRECTIONS = ("ingress", "egress")
_WITH_PORTS = ("tcp", "udp")


@policy("ACL-004")
def test_acl_has_no_rule_that_allows_everything(facts, site, require):
    """No allow rule, and no two that together make one, for anybody by any protocol, or by any port of tcp or udp."""
    acls = facts.incus.network_acls
    attached = _attached(facts)
    for acl in acls:
        if (acl.project, acl.name) not in attached:
            continue
        resource = f"{acl.project}/{acl.name}"
        with require.about(resource):
            wide = acl.project == "default" and acl.name in site.acl_wide_ports_ok
            allowing = [rule for rule in acl.rules if rule.takes_effect and rule.allows]
            open_for = [_open(allowing, way, wide) for way in _DIRECTIONS]
            if not any(open_for):
                for rule in allowing:
                    no_set(rule)
            unknown = sorted({word for rule in allowing for word in addresses(rule.peer).unknown})
            require(
                resource,
                not any(open_for),
                expected="no rule that allows any peer and any protocol" + ("" if wide else ", or all ports"),
                observed="; ".join(dict.fromkeys(str(rule) for rules in open_for for rule in rules)) or "none",
                reason=f"not known, and so not taken for any peer: {', '.join(unknown)}" if unknown else "",
            )
    facts.instances.require_all()  # a NIC of an unread instance may name one more ACL


def _attached(facts):
    """The ACLs that a network or a NIC names, as (project, name). NICs of unread instances are left out."""
    found = set()
    for network in facts.incus.networks:
        found |= {("default", name) for name in split_list(network.config.get("security.acls"))}
    projects = facts.incus.projects
    for instance, _ in facts.instances.known(decisive=lambda _: True):
        for device in instance.expanded_devices.values():
            if device.get("type") == "nic":
                project = owner_of_networks(projects, instance.project)
                found |= {(project, name) for name in split_list(device.get("security.acls"))}
    return found


def _open(rules, direction, wide):
    """The rules that together allow everybody in one direction, by whatever or by all ports of one protocol; none: []."""
    for protocol in ("",) if wide else ("", *_WITH_PORTS):
        speaking = [rule for rule in rules if rule.direction == direction and rule.protocol in ("", protocol)]
        found = [rule for rule in speaking if is_every_port(ports(rule.destination_port))]
        if reduce(or_, (addresses(rule.peer) for rule in found), Addresses()).is_any:
            alone = [rule for rule in found if addresses(rule.peer).is_any]
            return alone or found
        anybody = [rule for rule in speaking if addresses(rule.peer).is_any]
        if is_every_port(merged(span for rule in anybody for span in ports(rule.destination_port))):
            return anybody
    return []


@policy("ACL-005")
def test_acl_has_no_allow_rule_that_a_reject_rule_shadows(facts, site, require):
    """Whoever wrote the allow rule believes that it works. What only overlaps is told, and passes."""
    acls = {acl.name: acl for acl in facts.incus.network_acls if acl.project == "default"}
    for bridge, network in each_network_with_acls(facts, site, require):
        attached = split_list(network.config.get("security.acls"))
        if not attached:
            because = finding_id("ACL-001", facts.name, bridge.name) if bridge.acls else None
            require.not_applicable(bridge.name, "no ACL is attached: there is no rule", because=because)
            continue
        with require.about(bridge.name):
            rules = [(rule, packets(rule)) for name in attached if name in acls for rule in acls[name].rules]
            live = [(rule, speaks) for rule, speaks in rules if rule.takes_effect]
            shadowed, overlapping = [], []
            for rule, speaks in live:
                if not rule.allows:
                    continue
                against = [(no, of) for no, of in live if not no.allows and no.direction == rule.direction]
                shadowed += [f"{rule}: never, for {no}" for no, of in against if of.covers(speaks)]
                overlapping += [f"{rule}: in part, for {no}" for no, of in against if of.meets(speaks)]
            missing = [name for name in attached if name not in acls]
            if missing and not shadowed:
                because = finding_id("ACL-002", facts.name, f"default/{missing[0]}")
                require.not_applicable(bridge.name, f"there is no ACL {missing[0]}", because=because)
                continue
            require(
                bridge.name,
                not shadowed,
                expected="no allow rule wholly covered by a drop or reject rule",
                observed="; ".join(shadowed or overlapping) or "none",
            )
