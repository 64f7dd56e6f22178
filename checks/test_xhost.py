"""Checks of XHOST: whether bridges, pools and versions are the same on all hosts.

The hosts that differ from the majority get the finding. Without a majority, the cluster gets it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_interface, ip_network

from sigsrv import ClusterFacts, HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.network import Address, Link
from sigsrv.facts.pools import Pool
from sigsrv.facts.resources import Network
from sigsrv.judge.comparing import Comparison
from sigsrv.judge.site_resources import Reported, reported_by_net
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import SitePool
from sigsrv.model.site_bridges import SiteBridge

_KEYS_OF_ONE_MEMBER = ("source", "size", "zfs.pool_name", "lvm.thinpool_name", "lvm.vg_name")


@policy("XHOST-001")
def test_bridges_have_the_same_vlan_subnet_and_mtu_on_every_host(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Compares the kernel's links and addresses of each bridge that the site file lists, or that carries a VLAN on any host."""
    declared = {bridge.name: bridge for bridge in site.bridges}
    hosts = tuple(facts.hosts.values())
    carrying: set[str] = set()
    for host in hosts:
        with require.about(facts.name):
            carrying |= _bridges_with_a_vlan(host.network.links)
    for name in [*declared, *sorted(carrying - set(declared))]:
        bridge = declared.get(name)
        compared = Comparison(facts, name, "the same VLAN, subnet and MTUs")
        on = [host for host in hosts if bridge is None or bridge.is_on(host.name)]
        for host in on:
            with compared.reading(on=facts.name):
                _read_bridge(compared, host, name, bridge)
                compared.report(reported_by_net(host, bridge) if bridge else ())
            if not bridge:
                with compared.reading():
                    compared.report(_reported_network(facts, site, host, name))
        if bridge and compared.differs and not compared.is_reported:
            for host in on:
                with compared.reading():
                    compared.report(_reported_config(facts, host, bridge.on(host.name)))
        if bridge and bridge.members is not None:
            compared.record(require, alone=bridge.only_on)
        else:
            compared.record(require)


def _bridges_with_a_vlan(links: Mapping[str, Link]) -> set[str]:
    masters = {link.master for link in links.values() if link.vlan_id is not None and link.master}
    return {name for name in masters if name in links and links[name].kind == "bridge"}


def _reported_network(facts: ClusterFacts, site: Site, host: HostFacts, name: str) -> Iterator[Reported]:
    """Yield what NET-004 reports: the site file does not list the network."""
    network = None if name in site.networks_extra else _network(facts, host, name)
    if network is not None and (host.member in network.locations or not network.locations):
        yield Reported(finding_id("NET-004", host.name, name), f"the site file does not list the network {name}")


def _network(facts: ClusterFacts, host: HostFacts, name: str) -> Network | None:
    """Return a managed network as the host's own daemon lists it; if that daemon does not answer, as another one lists it."""
    try:
        found = host.incus.network(name)
    except EvidenceError:
        found = facts.incus.first(lambda incus: incus.network(name))
    return found if found and found.managed else None


def _reported_config(facts: ClusterFacts, host: HostFacts, bridge: SiteBridge) -> Iterator[Reported]:
    """Yield what NET-004 or NET-007 reports: the network is missing, or its addresses or MTUs are wrong."""
    links, addresses = host.network.links, host.network.addresses
    link, port = links[bridge.name], links[bridge.vlan.interface]
    parent = links.get(port.parent) if port.parent else None
    network = _network(facts, host, bridge.name)
    if network is None:
        because = finding_id("NET-004", host.name, bridge.name)
        yield Reported(because, f"there is no managed network {bridge.name}")
        return
    because = finding_id("NET-007", host.name, bridge.name)
    configured = {network.config.get(key) for key in ("ipv4.address", "ipv6.address")} - {None, "", "none"}
    if configured - {str(address) for address in addresses.get(bridge.name, ())}:
        yield Reported(because, f"{bridge.name} of {host.name} lacks its address")
    elif str(link.mtu) != (network.config.get("bridge.mtu") or "1500") or port.mtu != bridge.mtu:
        yield Reported(because, f"the MTU of {bridge.name} or {port.name} of {host.name} is wrong")
    elif parent and parent.mtu < bridge.mtu:
        yield Reported(because, f"the MTU of {parent.name} of {host.name} is too small")
    elif (
        bridge.subnet
        and not _is_in(network.config.get("ipv4.address", ""), bridge.subnet)
        and not host.incus.server.clustered
    ):
        yield Reported(because, f"{bridge.name} of {host.name} does not have the subnet of the site file")


def _is_in(address: str, subnet: str) -> bool:
    try:
        return ip_interface(address).network == ip_network(subnet)
    except ValueError:
        return False


def _read_bridge(compared: Comparison, host: HostFacts, name: str, bridge: SiteBridge | None) -> None:
    """Add the properties of a bridge that must be the same on each host."""
    links = host.network.links
    link = links.get(name)
    if link is None or link.kind != "bridge":
        compared.add(host.name, "bridge", "no such bridge")
        return
    compared.add(host.name, "bridge", "", "")
    if bridge:
        interface = bridge.on(host.name).vlan.interface
        ports = [links[interface]] if interface in links else []
    else:
        with_id = [each for each in host.network.ports(name) if each.vlan_id is not None]
        ports = sorted(with_id, key=lambda each: (each.vlan_id or 0, each.name))
    compared.add(host.name, "VLAN", ", ".join(_tag(port, name) for port in ports) or "no VLAN")
    with compared.reading():
        subnets = {str(ip_interface(str(each)).network) for each in _addresses(host, name) if each.is_global_unicast}
        if (
            not bridge or len({each.subnet for each in bridge.by_host.values()}) < 2
        ):  # else the site file wants them to differ
            compared.add(host.name, "subnet", ", ".join(sorted(subnets)) or "no subnet")
    with compared.reading():
        sizes = [f"MTU {link.mtu}", *(f"port {port.mtu}" for port in ports)]
        sizes += [f"parent {_parent(host, port.parent).mtu}" for port in ports if port.parent]
        compared.add(host.name, "MTU", ", ".join(sizes))


def _tag(port: Link, bridge: str) -> str:
    tag = port.tag or f"a port without VLAN ID ({port.kind})"
    return tag if port.master == bridge else f"{tag}, not attached"


def _addresses(host: HostFacts, bridge: str) -> Sequence[Address]:
    if bridge not in host.network.addresses:
        raise EvidenceError(f"{host.name} does not report the addresses of {bridge}", host=host.name)
    return host.network.addresses[bridge]


def _parent(host: HostFacts, name: str) -> Link:
    if name not in host.network.links:
        raise EvidenceError(f"{host.name} does not report the link {name}", host=host.name)
    return host.network.links[name]


@policy("XHOST-002")
def test_pools_and_system_versions_are_the_same_on_every_host(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Compares operating system, firewall, kernel and ZFS of the hosts, and driver and configuration of each pool, as Incus reports them.

    Kernel and ZFS are compared by major and minor version. Keys that belong to one member are left out.
    """
    systems = Comparison(facts, facts.name, "the same system, firewall, kernel and ZFS")
    for host in facts.hosts.values():
        with systems.reading():
            _read_system(systems, host)
    systems.record(require)
    wanted = {pool.name: pool for pool in site.pools}
    listed: set[str] = set()
    for host in facts.hosts.values():
        with require.about(facts.name):
            listed |= {pool.name for pool in host.incus.pools}
    for name in [*wanted, *sorted(listed - set(wanted))]:
        pool = wanted.get(name)
        on = [host for host in facts.hosts.values() if pool is None or pool.is_on(host.name)]
        compared = Comparison(facts, name, "the same driver and configuration")
        for host in on:
            with compared.reading(on=facts.name):
                found = host.incus.pool(name)
                compared.add(host.name, "pool", _configured(found) if found else "no such pool")
                compared.report(_reported_pool(host, found, pool, name))
        names = ", ".join(host.name for host in on) or "hosts that were not selected"
        compared.record(require, alone=f"the site file has the pool only on {names}")


def _reported_pool(host: HostFacts, found: Pool | None, wanted: SitePool | None, name: str) -> Iterator[Reported]:
    """Yield what POOL-001 or POOL-002 reports: the pool is not as the site file says."""
    if wanted is None:
        if found is not None and (host.member in found.locations or not found.locations):
            yield Reported(finding_id("POOL-001", host.name, name), f"the site file does not list the pool {name}")
    elif found is None:
        yield Reported(finding_id("POOL-001", host.name, name), f"there is no pool {name} on {host.name}")
    elif found.driver != wanted.driver:
        because = finding_id("POOL-002", host.name, name)
        yield Reported(because, f"the driver of {name} on {host.name} is {found.driver}")


def _configured(pool: Pool) -> str:
    """Describe a pool's driver and the keys that all members share."""
    keys = sorted(key for key in pool.config if key not in _KEYS_OF_ONE_MEMBER and not key.startswith("volatile."))
    return ", ".join([pool.driver, *(f"{key}={pool.config[key]}" for key in keys)])


def _read_system(compared: Comparison, host: HostFacts) -> None:
    """Add what a host's daemon runs on. A version that Incus does not report is unknown: it equals nothing."""
    server = host.incus.server
    zfs = "none" if server.zfs is None else _series(server.zfs)
    reported = {
        "operating system": (server.os, server.os),
        "version of the operating system": (server.os_version, server.os_version),
        "firewall": (server.firewall, server.firewall),
        "kernel version": (_series(server.kernel), f"kernel {_series(server.kernel)}"),
        "ZFS version": (zfs, f"ZFS {zfs}"),
    }
    for what, (value, shown) in reported.items():
        with compared.reading():
            if not value:
                raise EvidenceError(f"{host.name}: Incus does not report the {what}", host=host.name)
            compared.add(host.name, what, value, shown)


def _series(version: str) -> str:
    """Return major and minor of a version; "" if there are none."""
    match = re.match(r"[0-9]+\.[0-9]+", version)
    return match[0] if match else ""
