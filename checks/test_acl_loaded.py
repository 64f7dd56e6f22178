"""Checks of ACL: whether the host's firewall has the rules of the ACLs."""

from sigsrv import HostFacts, Require, Site, finding_id, policy
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.restarting import restart_fix
from sigsrv.judge.site_resources import acls_of, missing_acls


@policy("ACL-007")
def test_acl_rules_are_loaded_in_the_firewall_of_the_host(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks for the chains of each network with ACLs in the nftables rules of the kernel. Incus does not notice if they are gone."""
    clustered = facts.incus.server.clustered
    cluster = "cluster" if clustered else facts.name
    listed = {
        network.name: network
        for network in facts.incus.networks
        if network.managed and (facts.member in network.locations or not clustered)
    }
    declared = {bridge.name: bridge for bridge in site.bridges if bridge.is_on(facts.name)}
    elsewhere = {bridge.name: bridge.only_on for bridge in site.bridges if not bridge.is_on(facts.name)}
    for name in dict.fromkeys([*declared, *elsewhere, *listed]):
        network, bridge = listed.get(name), declared.get(name)
        if name in elsewhere and (network is None or name not in facts.network.links):
            require.not_applicable(name, elsewhere[name])
        elif network is None:
            require.left_to("NET-004", name, f"there is no network {name} on {facts.name}")
        elif bridge or (network.type == "bridge" and acls_of(network.config)):
            expected = f"table inet incus has the chains of the ACLs of {name}, with their rules"
            with require.finding(name, expected, otherwise="loaded") as finding:
                is_there = None
                with finding.clause(on=facts.name):
                    is_there = name in facts.network.links
                # Incus removes the bridges of an evacuated member, and their rules
                if not is_there and ((bridge and is_there is False) or facts.is_evacuated):
                    evacuated = finding_id("CLUS-004", "cluster", facts.member)
                    missing = finding_id("NET-004", facts.name, name)
                    finding.nothing(f"there is no link {name} on {facts.name}", missing if bridge else evacuated)
                elif network.type != "bridge":
                    reason = f"{name} is a network of type {network.type}"
                    finding.nothing(reason, finding_id("NET-004", facts.name, name))
                elif acls_of(network.config):
                    _judge_loaded(facts, name, finding)
                    if finding.is_violated:
                        finding.fix.update(restart_fix(facts))
                else:
                    because = missing_acls(cluster, bridge) if bridge else None
                    finding.nothing("no ACL is attached, so there is nothing to load", because)


def _judge_loaded(facts: HostFacts, name: str, finding: Clauses) -> None:
    if facts.incus.server.firewall != "nftables":
        firewall = facts.incus.server.firewall or "an unknown firewall"
        finding.unknown(f"Incus filters with {firewall} on {facts.name}, and sigsrv reads only nftables")
        return
    with finding.clause():
        for text in facts.firewall.rules.missing_of_acls(name):
            finding.violated(text)
