"""Checks of ACL: whether the host's firewall has the rules of the ACLs."""

from sigsrv import HostFacts, Require, Site, finding_id, policy
from sigsrv.judge.site_resources import acls_of, missing_acls
from sigsrv.model.errors import EvidenceError


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
    declared = {bridge.name: bridge for bridge in site.bridges}
    for name in dict.fromkeys([*declared, *listed]):
        network, bridge = listed.get(name), declared.get(name)
        link = facts.network.links.get(name)
        if network is None or (bridge and link is None):
            require.left_to("NET-004", name, f"there is no network {name} on {facts.name}")
        elif link is None and facts.is_evacuated:  # Incus removes the bridges of an evacuated member, and their rules
            evacuated = finding_id("CLUS-004", "cluster", facts.member)
            require.not_applicable(name, f"{facts.member} is evacuated", because=evacuated)
        elif network.type == "bridge" and acls_of(network.config):
            with require.about(name):
                _check_loaded(facts, name, require)
        elif bridge and network.type != "bridge":
            require.left_to("NET-004", name, f"{name} is a network of type {network.type}")
        elif bridge:
            because = missing_acls(cluster, bridge)
            require.not_applicable(name, "no ACL is attached, so there is nothing to load", because=because)


def _check_loaded(facts: HostFacts, name: str, require: Require) -> None:
    if facts.incus.server.firewall != "nftables":
        firewall = facts.incus.server.firewall or "an unknown firewall"
        reason = f"Incus filters with {firewall} on {facts.name}, and sigsrv reads only nftables"
        raise EvidenceError(reason, host=facts.name)
    missing = facts.firewall.rules.missing_of_acls(name)
    require(
        name,
        not missing,
        expected=f"table inet incus has the chains of the ACLs of {name}, with their rules",
        observed="; ".join(missing) or "loaded",
    )
