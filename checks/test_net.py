"""Checks of NET: bridges and their VLANs."""

from sigsrv import HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.network import Link


@policy("NET-004")
def test_bridge_exists_on_the_host_as_a_managed_incus_network(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the kernel's links and at this member's own network list: the bridge must exist and have the status Created.

    A managed network on this host that the site file does not list fails too.
    """
    links = facts.network.links
    listed = {network.name: network for network in facts.incus.networks}
    for bridge in site.bridges:
        with require.about(bridge.name):
            link = links.get(bridge.name)
            if link is None and facts.is_evacuated:  # Incus removes the bridges of an evacuated member until its return
                because = finding_id("CLUS-004", "cluster", facts.member)
                require.not_applicable(bridge.name, f"{facts.member} is evacuated", because=because)
                continue
            faults = _link_faults(bridge.name, link) + _network_faults(facts, bridge.name)
            require(
                bridge.name,
                not faults,
                expected=f"a bridge, and a managed network of type bridge with status Created on {facts.member}",
                observed="; ".join(faults) or f"a bridge, and a managed network with status Created on {facts.member}",
            )
    known = set(site.networks)
    for name in sorted(name for name, network in listed.items() if network.managed and name not in known):
        network = listed[name]
        if not network.locations or facts.member in network.locations or not facts.incus.server.clustered:
            require(
                name,
                False,
                expected="a network in bridges or networks_extra of the site file",
                observed=f"the site file does not list {name} ({network.type}, {network.status})",
            )


def _link_faults(name: str, link: Link | None) -> list[str]:
    if link is None:
        return [f"there is no link {name}"]
    return [] if link.kind == "bridge" else [f"{name} is of kind {link.kind or 'hardware'}"]


def _network_faults(facts: HostFacts, name: str) -> list[str]:
    network = facts.incus.network_at(name, facts.member)
    if network is None:
        return [f"Incus has no network {name}"]
    if not network.managed:
        return [f"Incus does not manage {name}"]
    faults = [] if network.type == "bridge" else [f"the network is of type {network.type}"]
    if network.status != "Created":
        faults.append(f"the network has the status {network.status}")
    if facts.incus.server.clustered and facts.member not in network.locations:
        faults.append(f"the network is not on {facts.member}, only on {', '.join(network.locations) or 'no member'}")
    return faults
