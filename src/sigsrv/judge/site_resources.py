"""The resources of the site file, matched with the facts, for checks of more than one file.

Each ``each_...`` function yields what is there and records the rest as ``not-applicable``, because of the policy that reports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.network import Link
from sigsrv.facts.resources import Config, Instance, Network, Project
from sigsrv.judge.require import Require
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import finding_id
from sigsrv.model.site import Site, SiteBridge, Vlan
from sigsrv.model.values import split_list


def each_bridge(facts: HostFacts, site: Site, require: Require) -> Iterator[tuple[SiteBridge, Link]]:
    """Yield each bridge of the site with the kernel's link of its name. NET-004 reports a missing one.

    The link may be of another kind than ``bridge``; NET-004 reports that too.
    """
    links = facts.network.links
    for wanted in site.bridges:
        if wanted.name in links:
            yield wanted, links[wanted.name]
        else:
            require.left_to("NET-004", wanted.name, f"there is no link {wanted.name} on {facts.name}")


def each_vlan_interface(facts: HostFacts, site: Site, require: Require) -> Iterator[tuple[SiteBridge, Link]]:
    """Yield each bridge of the site with the kernel's link of its VLAN interface. NET-001 reports a missing one."""
    links = facts.network.links
    for wanted in site.bridges:
        if wanted.vlan.interface in links:
            yield wanted, links[wanted.vlan.interface]
        else:
            require.left_to("NET-001", wanted.name, f"there is no link {wanted.vlan.interface} on {facts.name}")


def each_network(facts: ClusterFacts, site: Site, require: Require) -> Iterator[tuple[SiteBridge, Network]]:
    """Yield each bridge of the site with its managed network. NET-004 reports a missing one, on the host whose daemon gave the list."""
    listed, host = facts.incus.first(lambda incus: (incus.networks, incus.evidence.host))
    networks = {network.name: network for network in listed}
    for wanted in site.bridges:
        network = networks.get(wanted.name)
        if network is None or not network.managed:
            because = finding_id("NET-004", host, wanted.name)
            require.not_applicable(wanted.name, f"there is no managed network {wanted.name}", because=because)
        else:
            yield wanted, network


def each_network_with_acls(facts: ClusterFacts, site: Site, require: Require) -> Iterator[tuple[SiteBridge, Network]]:
    """Yield each bridge of the site with its network, and each other managed network that has ACLs.

    A network that the site file does not list gets a bridge of its name and nothing else.
    """
    yield from each_network(facts, site, require)
    declared = {bridge.name for bridge in site.bridges}
    for network in facts.incus.networks:
        if network.managed and network.name not in declared and split_list(network.config.get("security.acls")):
            yield SiteBridge(network.name, Vlan("", 0)), network


def nics_on(instance: Instance, network: str) -> Iterator[tuple[str, Config]]:
    """Yield name and configuration of each NIC of an instance on a network, also of NICs that name the bridge as their parent."""
    for name, device in sorted(instance.expanded_devices.items()):
        if device.get("type") == "nic" and network in (device.get("network"), device.get("parent")):
            yield name, device


def owner_of_networks(projects: Iterable[Project], name: str) -> str:
    """Return the project whose networks and ACLs the instances of a project use. Raises EvidenceError if it is not listed."""
    found = next((project for project in projects if project.name == name), None)
    if found is None:
        raise EvidenceError(f"no project {name} among those that Incus lists")
    return name if found.config["features.networks"] == "true" else "default"


def reported_by_net(host: HostFacts, bridge: SiteBridge) -> Iterator[tuple[str, str]]:
    """Yield (finding id, reason) if a NET policy already reports that the bridge is not as the site file says."""
    links, vlan = host.network.links, bridge.vlan
    link, port = links.get(bridge.name), links.get(vlan.interface)
    if link is None or link.kind != "bridge":
        yield finding_id("NET-004", host.name, bridge.name), f"there is no bridge {bridge.name} on {host.name}"
    elif port is None or port.master != bridge.name:
        yield finding_id("NET-001", host.name, bridge.name), f"{vlan.interface} is not attached on {host.name}"
    elif port.kind in vlan.kinds and port.vlan_id is None:
        return  # the site accepts this kind, which has no VLAN id: NET-002 does not judge it
    elif port.kind not in vlan.kinds or not port.carries(vlan.id):
        yield finding_id("NET-002", host.name, bridge.name), f"{vlan.interface} on {host.name} carries another VLAN"
    elif vlan.parent not in (None, port.parent):
        yield finding_id("NET-002", host.name, bridge.name), f"{vlan.interface} on {host.name} has another parent"
