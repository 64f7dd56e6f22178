"""What of the site is there to be judged, for checks of more than one file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sigsrv.facts.hosts import ClusterFacts, HostFacts
from sigsrv.facts.incus import Instance
from sigsrv.facts.resources import Config, Network, Project
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import finding_id
from sigsrv.model.site import Site, SiteBridge, Vlan
from sigsrv.model.values import split_list


def managed(facts: ClusterFacts, site: Site, require: Any) -> Iterator[tuple[SiteBridge, Network]]:
    """Each bridge of the site with its network; one that is missing is the fault of NET-004, on the host that told of it."""
    listed, host = facts.first(lambda incus: (incus.networks, incus.evidence.host))
    networks = {network.name: network for network in listed}
    for bridge in site.bridges:
        network = networks.get(bridge.name)
        if network is None or not network.managed:
            because = finding_id("NET-004", host, bridge.name)
            require.not_applicable(bridge.name, f"there is no managed network {bridge.name}", because=because)
        else:
            yield bridge, network


def filtered(facts: ClusterFacts, site: Site, require: Any) -> Iterator[tuple[SiteBridge, Network]]:
    """Each bridge of the site with its network, and each other managed network that has ACLs, of which the site says nothing."""
    yield from managed(facts, site, require)
    declared = {bridge.name for bridge in site.bridges}
    for network in facts.first(lambda incus: incus.networks):
        if network.managed and network.name not in declared and split_list(network.config.get("security.acls")):
            yield SiteBridge(network.name, Vlan("", 0)), network


def nics_on(instance: Instance, network: str) -> Iterator[tuple[str, Config]]:
    """The NICs that an instance has on a network, by the device's name; also those that name the bridge as their parent."""
    for name, device in sorted(instance.expanded_devices.items()):
        if device.get("type") == "nic" and network in (device.get("network"), device.get("parent")):
            yield name, device


def owner_of_networks(projects: Iterable[Project], name: str) -> str:
    """The project whose networks and ACLs the instances of a project use. Raises EvidenceError where it is not listed."""
    found = next((project for project in projects if project.name == name), None)
    if found is None:
        raise EvidenceError(f"no project {name} among those that Incus lists")
    return name if found.config["features.networks"] == "true" else "default"


def not_of_the_site(host: HostFacts, bridge: SiteBridge) -> Iterator[tuple[str, str]]:
    """Whether a finding of NET says already that the bridge is otherwise than the site wants it: (id, reason)."""
    links, vlan = host.network.links, bridge.vlan
    link, port = links.get(bridge.name), links.get(vlan.interface)
    if link is None or link.kind != "bridge":
        yield finding_id("NET-004", host.name, bridge.name), f"there is no bridge {bridge.name} on {host.name}"
    elif port is None or port.master != bridge.name:
        yield finding_id("NET-001", host.name, bridge.name), f"{vlan.interface} is not attached on {host.name}"
    elif port.kind in vlan.kinds and port.vlan_id is None:
        return  # an accepted kind without an id, which NET-002 does not judge
    elif port.kind not in vlan.kinds or not port.carries(vlan.id):
        yield finding_id("NET-002", host.name, bridge.name), f"{vlan.interface} of {host.name} is another VLAN"
    elif vlan.parent not in (None, port.parent):
        yield finding_id("NET-002", host.name, bridge.name), f"{vlan.interface} of {host.name} is on another link"
