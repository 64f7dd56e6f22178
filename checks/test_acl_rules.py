"""Checks of ACL: the rules of an ACL. Their order in the list does not matter: Incus applies drop and reject before allow."""

from collections.abc import Iterable

from sigsrv import ClusterFacts, Require, Site, finding_id, policy
from sigsrv.facts.acl_rule import AclRule
from sigsrv.facts.ranges import Packets, is_every_port, merged, no_unknown_set, packets, peers, ports, union
from sigsrv.judge.site_resources import acls_in_use, acls_of, each_network_with_acls, missing_acls

_DIRECTIONS = ("ingress", "egress")
_WITH_PORTS = ("tcp", "udp")


@policy("ACL-004")
def test_acl_has_no_rule_that_allows_everything(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at the enabled allow rules of each ACL that a network or a NIC names, alone and added up.

    They must not allow any peer by any protocol, or by all ports of tcp or udp.
    """
    acls = facts.incus.network_acls
    used = acls_in_use(facts, require)
    for acl in acls:
        resource = f"{acl.project}/{acl.name}"
        if (acl.project, acl.name) not in used:
            require.leave_out(resource, "no network and no NIC names it")
            continue
        all_ports_ok = acl.project == "default" and acl.name in site.acl_wide_ports_ok
        protocols = ("",) if all_ports_ok else ("", *_WITH_PORTS)
        expected = "no rule that allows any peer and any protocol" + ("" if all_ports_ok else ", or all ports")
        with require.finding(resource, expected, otherwise="none") as finding:
            allowing = []
            for rule in acl.rules:
                with finding.clause():
                    if rule.takes_effect and rule.allows:
                        ports(rule.destination_port if rule.protocol in protocols else "")
                        allowing.append(rule)
                        no_unknown_set(rule)
            for way in _DIRECTIONS:
                for rule in _allowing_any_peer(allowing, way, protocols):
                    finding.violated(str(rule))
            unknown = sorted({word for rule in allowing for word in peers(rule).unknown})
            if unknown:
                finding.note = f"addresses unknown, not counted as any peer: {', '.join(unknown)}"


def _allowing_any_peer(rules: Iterable[AclRule], direction: str, protocols: Iterable[str]) -> list[AclRule]:
    """Return the rules that together allow any peer in one direction, by any protocol or by all ports of one; [] if none do."""
    for protocol in protocols:
        relevant = [rule for rule in rules if rule.direction == direction and rule.protocol in ("", protocol)]
        with_all_ports = [rule for rule in relevant if is_every_port(ports(rule.destination_port))]
        if union(peers(rule) for rule in with_all_ports).is_any:
            alone = [rule for rule in with_all_ports if peers(rule).is_any]
            return alone or with_all_ports
        any_peer = [rule for rule in relevant if peers(rule).is_any]
        if is_every_port(merged(span for rule in any_peer for span in ports(rule.destination_port))):
            return any_peer
    return []


@policy("ACL-005")
def test_no_allow_rule_is_shadowed_by_a_drop_or_reject_rule(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Compares each allow rule with the drop and reject rules of its direction, over all ACLs of the network.

    An allow rule that is covered only in part passes, and the finding shows it.
    """
    acls = {acl.name: acl for acl in facts.incus.network_acls if acl.project == "default"}
    for bridge, network in each_network_with_acls(facts, site, require):
        attached = acls_of(network.config)
        expected = "no allow rule that a drop or reject rule covers completely"
        with require.finding(bridge.name, expected, otherwise="none") as finding:
            missing = [name for name in attached if name not in acls]
            if not attached:
                finding.nothing("no ACL is attached, so there is no rule", missing_acls(facts.name, bridge))
            elif missing:
                because = finding_id("ACL-002", facts.name, f"default/{missing[0]}")
                finding.nothing(f"there is no ACL {missing[0]}", because)
            active: list[tuple[AclRule, Packets]] = []
            for rule in [rule for name in attached if name in acls for rule in acls[name].rules]:
                with finding.clause():
                    matched = packets(rule)
                    if not rule.takes_effect:
                        continue
                    no_unknown_set(rule)
                    if not (matched.source.is_none or matched.destination.is_none):
                        active.append((rule, matched))
            for rule, matched in active:
                denying = [(no, of) for no, of in active if not no.allows and no.direction == rule.direction]
                for no, of in denying if rule.allows else ():
                    if of.covers(matched):
                        finding.violated(f"{rule}: never takes effect because of {no}")
                    elif of.meets(matched):
                        finding.holds(f"{rule}: covered in part by {no}")
