"""The resources of the site file, matched with the facts, for checks of more than one file.

Each ``each_...`` function yields the resources that exist. It records each other one as ``not-applicable``, because of the finding that
reports it as missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.network import Link
from sigsrv.facts.resources import Config, Instance, Network, Project
from sigsrv.judge.require import Require
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import finding_id
from sigsrv.model.site import Site
from sigsrv.model.site_bridges import SiteBridge, Vlan
from sigsrv.model.values import split_list


@dataclass(frozen=True)
class Reported:
    """A problem that another policy reports. finding: the id of its finding."""

    finding: str
    reason: str


@dataclass(frozen=True)
class Nic:
    """A NIC of an instance. host: the name of the instance's host; config: the device, profiles included."""

    instance: Instance
    host: str
    name: str
    config: Config

    @property
    def resource(self) -> str:
        """Return ``PROJECT/INSTANCE/NIC``."""
        return f"{self.instance.resource}/{self.name}"

    @property
    def acls(self) -> tuple[str, ...]:
        """Return the ACLs of the NIC itself; those of its network are left out."""
        return acls_of(self.config)


def each_bridge(facts: HostFacts, site: Site, require: Require) -> Iterator[tuple[SiteBridge, Link]]:
    """Yield each bridge that the site has on this host with the kernel's link of its name. NET-004 reports a missing one.

    The link may be of another kind than ``bridge``; NET-004 reports that too.
    """
    links = facts.network.links
    for wanted in site.bridges:
        if not wanted.is_on(facts.name):
            require.not_applicable(wanted.name, wanted.only_on)
        elif wanted.name in links:
            yield wanted, links[wanted.name]
        else:
            require.left_to("NET-004", wanted.name, f"there is no link {wanted.name} on {facts.name}")


def each_vlan_interface(facts: HostFacts, site: Site, require: Require) -> Iterator[tuple[SiteBridge, Link]]:
    """Yield each bridge that the site has on this host with the kernel's link of its VLAN interface. NET-001 reports a missing one."""
    links = facts.network.links
    for wanted in site.bridges:
        if not wanted.is_on(facts.name):
            require.not_applicable(wanted.name, wanted.only_on)
        elif wanted.vlan.interface in links:
            yield wanted, links[wanted.vlan.interface]
        else:
            require.left_to("NET-001", wanted.name, f"there is no link {wanted.vlan.interface} on {facts.name}")


def each_network(facts: ClusterFacts, site: Site, require: Require) -> Iterator[tuple[SiteBridge, Network]]:
    """Yield each bridge of the site with its managed network. NET-004 reports a missing one, on the host whose daemon gave the list."""
    listed, host = facts.incus.first(lambda incus: (incus.networks, incus.evidence.host))
    networks = {network.name: network for network in listed}
    for wanted in site.bridges:
        network = networks.get(wanted.name)
        on = [name for name in (host, *facts.hosts) if wanted.is_on(name)]
        if (network is None or not network.managed) and not on:
            require.not_applicable(wanted.name, wanted.only_on)
        elif network is None or not network.managed:
            because = finding_id("NET-004", on[0], wanted.name)
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
        if network.managed and network.name not in declared and acls_of(network.config):
            yield SiteBridge(network.name, Vlan("", 0)), network


def hosts_with(facts: ClusterFacts, bridge: SiteBridge) -> dict[str, HostFacts]:
    """Return the hosts that have a bridge: those of the site file, and each other one whose links show it, or can't be read."""
    found = {}
    for name, host in facts.hosts.items():
        has_link = True
        with suppress(EvidenceError):
            has_link = bridge.is_on(name) or bridge.name in host.network.links
        if has_link:
            found[name] = host
    return found


def acls_of(config: Config) -> tuple[str, ...]:
    """Return the names of the ACLs that the configuration of a network or a NIC attaches."""
    return split_list(config.get("security.acls"))


def acls_in_use(facts: ClusterFacts, require: Require) -> set[tuple[str, str]]:
    """Return (project, name) of each ACL that a network or a NIC names. Record ``error`` for the scope if some could not be read."""
    found: set[tuple[str, str]] = set()
    with require.about(require.subject):
        found |= {("default", name) for network in facts.incus.networks for name in acls_of(network.config)}
    with require.about(require.subject):
        projects = {project.name: project for project in facts.incus.projects}
        for instance, _ in facts.instances:  # raises at its end if a NIC of an unread instance may name another ACL
            for device in instance.expanded_devices.values():
                if device.get("type") == "nic" and (names := acls_of(device)):
                    with require.about(require.subject):
                        found |= {(owner_of_networks(projects, instance.project), name) for name in names}
    return found


def missing_acls(cluster: str, bridge: SiteBridge) -> str | None:
    """Return the id of the finding that reports a network without ACLs; None if the site file names no ACL for the bridge.

    cluster: the name of the ClusterFacts.
    """
    return finding_id("ACL-001", cluster, bridge.name) if bridge.acls else None


def nics_of(facts: ClusterFacts, network: str, partial: bool = False) -> list[Nic]:
    """Return the NICs on a network, sorted by instance. Raises EvidenceError if an instance could not be read.

    partial: leave out the NICs of unread instances; the check calls ``facts.instances.require_all()`` where they could matter.
    """
    return [
        Nic(instance, host, name, nic)
        for instance, host in _instances(facts, partial)
        for name, nic in nics_on(instance, network)
    ]


def _instances(facts: HostFacts | ClusterFacts, partial: bool) -> Iterable[tuple[Instance, str]]:
    return facts.instances.known(decisive=lambda _: True) if partial else facts.instances


def nics_on(instance: Instance, network: str) -> Iterator[tuple[str, Config]]:
    """Yield name and configuration of each NIC of an instance on a network, also of NICs that name the bridge as their parent."""
    yield from sorted(
        (name, device)
        for name, device in instance.expanded_devices.items()
        if device.get("type") == "nic" and network in (device.get("network"), device.get("parent"))
    )


def nic_links(host: HostFacts, partial: bool = False) -> set[str]:
    """Return the names of the host's links that belong to NICs of its instances, in all projects, as Incus records them.

    Raises EvidenceError if an instance could not be read. partial: leave out the NICs of unread instances; the check calls
    ``host.instances.require_all()`` where they could matter.
    """
    found: set[str] = set()
    for instance, _ in _instances(host, partial):
        for name, device in instance.expanded_devices.items():
            links = (instance.config.get(f"volatile.{name}.host_name"), device.get("host_name"))
            found |= {link for link in links if link}
    return found


def owner_of_networks(projects: Mapping[str, Project], name: str) -> str:
    """Return the project whose networks and ACLs the instances of a project use. Raises EvidenceError if it is not listed."""
    found = projects.get(name)
    if found is None:
        raise EvidenceError(f"Incus does not list the project {name}")
    return name if found.config["features.networks"] == "true" else "default"


def unattached(host: HostFacts, bridge: SiteBridge) -> Iterator[Reported]:
    """Yield what NET-004 or NET-001 reports: the bridge is missing, or its VLAN interface is not attached."""
    links, vlan = host.network.links, bridge.on(host.name).vlan
    link, port = links.get(bridge.name), links.get(vlan.interface)
    if link is None or link.kind != "bridge":
        because = finding_id("NET-004", host.name, bridge.name)
        yield Reported(because, f"there is no bridge {bridge.name} on {host.name}")
    elif port is None or port.master != bridge.name:
        because = finding_id("NET-001", host.name, bridge.name)
        yield Reported(because, f"{vlan.interface} is not attached on {host.name}")


def reported_by_net(host: HostFacts, bridge: SiteBridge) -> Iterator[Reported]:
    """Yield what NET-004, NET-001 or NET-002 reports: bridge, attachment or VLAN is not as the site file says."""
    detached = tuple(unattached(host, bridge))
    if detached:
        yield from detached
        return
    vlan = bridge.on(host.name).vlan
    port = host.network.links[vlan.interface]
    if port.kind in vlan.kinds and port.vlan_id is None:
        return  # the site file accepts this kind, which has no VLAN ID: NET-002 does not check it
    because = finding_id("NET-002", host.name, bridge.name)
    if port.kind not in vlan.kinds or not port.carries(vlan.id):
        yield Reported(because, f"{vlan.interface} on {host.name} carries another VLAN")
    elif vlan.parent not in (None, port.parent):
        yield Reported(because, f"{vlan.interface} on {host.name} has another parent")
