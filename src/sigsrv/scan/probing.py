"""Plans ``--probe``: the namespaces on each host, and IP addresses that no known machine uses.

If facts of a host can't be read, this module skips them. The host then gets no namespace, and the policies that judge
frames give ``error`` for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_interface

from sigsrv.collect.frames import FramePlan, InstancePort, Port
from sigsrv.collect.frames_script import PREFIX
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.incus import Instance
from sigsrv.facts.limits import watching
from sigsrv.judge.site_resources import nics_on
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import Site
from sigsrv.model.site_bridges import SiteBridge

CANDIDATES = 3  # candidate addresses of each namespace
MAX_INSTANCES = 20  # instances to contact per host and bridge, at most
_NO_SUBNET = IPv4Network("169.254.0.0/16")
# Reserved for tests between networks (RFC 2544). Inside a VLAN tag of our own, no other machine uses it.
_TAGGED = IPv4Network("198.18.0.0/15")
_MIN_NAMESPACES = 2  # namespaces on a bridge: a single one has no receiver
_RANDOM = secrets.SystemRandom()


@watching()
def plan_frames(site: Site, facts: Mapping[str, HostFacts]) -> FramePlan:
    """Plan one namespace on each existing bridge of the site on each host, and two if the bridge must isolate its instances."""
    found: dict[str, list[Port]] = {host: [] for host in facts}
    instance_ports: list[InstancePort] = []
    for bridge in site.bridges:
        on = [host for host in facts.values() if _has_bridge(host, bridge)]
        number = 2 if bridge.isolate else 1
        if number * len(on) < _MIN_NAMESPACES:
            continue
        subnet, taken = _subnet(on, bridge), _used_addresses(facts, bridge)
        free = _free_addresses(subnet, taken)
        tag_id = 1 + _RANDOM.randrange(4094)
        tags = _RANDOM.sample(range(2, _TAGGED.num_addresses - 2), number * len(on))
        for host in on:
            for each in range(1, number + 1):
                addresses = tuple(
                    f"{address}/{subnet.prefixlen}" for _, address in zip(range(CANDIDATES), free, strict=False)
                )
                tag = f"{_TAGGED[tags.pop()]}/{_TAGGED.prefixlen}"
                found[host.name].append(_port(bridge, each, addresses, tag, tag_id))
        if bridge.isolate:
            instance_ports += _instance_ports(on, bridge, subnet)
    return FramePlan({host: tuple(ports) for host, ports in found.items()}, tuple(instance_ports))


def _port(bridge: SiteBridge, number: int, candidates: tuple[str, ...], tag: str, tag_id: int) -> Port:
    link = f"{PREFIX}{secrets.token_hex(4)}"
    # fe is the highest first octet of a local unicast MAC. A bridge without a fixed MAC takes the lowest MAC of its ports,
    # so this port does not change the bridge's MAC.
    return Port(bridge.name, number, candidates, tag, tag_id, bridge.isolate, link, _mac("fe"), _mac("02"))


def _mac(first: str) -> str:
    return ":".join([first, *(f"{octet:02x}" for octet in secrets.token_bytes(5))])


def _has_bridge(host: HostFacts, bridge: SiteBridge) -> bool:
    with suppress(EvidenceError):
        link = host.network.links.get(bridge.name)
        return link is not None and link.kind == "bridge"
    return False


def _subnet(on: list[HostFacts], bridge: SiteBridge) -> IPv4Network:
    """Return the bridge's IPv4 network from the first host that has one; else the link-local network."""
    for host in on:
        with suppress(EvidenceError):
            for address in host.network.addresses.get(bridge.name, ()):
                network = ip_interface(str(address)).network
                if address.is_global_unicast and isinstance(network, IPv4Network) and network.num_addresses > 1:
                    return network
    return _NO_SUBNET


def _used_addresses(facts: Mapping[str, HostFacts], bridge: SiteBridge) -> set[IPv4Address]:
    """Return the known IPv4 addresses: of the hosts, and of instances (running and configured addresses)."""
    known: list[str] = [bridge.on(host).gateway or "" for host in facts]
    for host in facts.values():
        with suppress(EvidenceError):
            known += [str(each.ip) for listed in host.network.addresses.values() for each in listed]
        for instance in _instances(host):
            known += [address for listed in instance.addresses.values() for address in listed]
            known += [nic.get("ipv4.address", "") for _, nic in nics_on(instance, bridge.name)]
    found = set()
    for each in known:
        with suppress(ValueError):
            address = ip_address(each.partition("/")[0])
            if isinstance(address, IPv4Address):
                found.add(address)
    return found


def _free_addresses(subnet: IPv4Network, taken: set[IPv4Address]) -> Iterator[IPv4Address]:
    """Yield unused addresses from the upper half of a network, in random order, each once."""
    first, last = subnet.num_addresses // 2, subnet.num_addresses - 2
    if subnet == _NO_SUBNET:  # RFC 3927 reserves the first and the last 256 addresses
        last -= 256
    numbers = _RANDOM.sample(range(first, last + 1), min(max(0, last - first + 1), 4096))
    yield from (subnet[number] for number in numbers if subnet[number] not in taken)


def _instances(host: HostFacts) -> list[Instance]:
    with suppress(EvidenceError):
        return [each for each in host.incus.instances if isinstance(each, Instance)]
    return []


def _instance_ports(on: list[HostFacts], bridge: SiteBridge, subnet: IPv4Network) -> Iterator[InstancePort]:
    """Yield the NICs of running instances with an address in the bridge's network, from the daemon of their own host."""
    for host in on:
        found = []
        for instance in _instances(host):
            if instance.location not in ("none", host.member) or instance.status != "Running":
                continue
            for name, nic in nics_on(instance, bridge.name):
                mac = (nic.get("hwaddr") or instance.config.get(f"volatile.{name}.hwaddr") or "").lower()
                for address in instance.addresses.get(mac, ()):
                    with suppress(ValueError):
                        if ip_address(address) in subnet:
                            found.append(
                                InstancePort(bridge.name, host.name, f"{instance.resource}/{name}", mac, address)
                            )
        yield from sorted(found, key=lambda each: each.name)[:MAX_INSTANCES]
