"""What ``--probe`` makes and sends where: the namespaces of each host, and addresses that nobody is known to have.

What can't be told of a host is left out here: it is ``error`` where the frames are judged, for nothing was made there.
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
from sigsrv.judge.site_resources import nics_on
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import Site, SiteBridge

CANDIDATES = 3  # addresses that each namespace may choose from
STATIONS = 20  # instances of each host that are asked, at most, on each bridge
_NO_SUBNET = IPv4Network("169.254.0.0/16")
_TAGGED = IPv4Network(
    "198.18.0.0/15"
)  # for tests between networks (RFC 2544); within a tag of our own nobody else has one
_LEAST = 2  # namespaces on a bridge: one alone has nobody to send to
_RANDOM = secrets.SystemRandom()


def wanted(site: Site, facts: Mapping[str, HostFacts]) -> FramePlan:
    """The namespaces of each host, one on each bridge of the site that is there, two where its instances are to be isolated."""
    found: dict[str, list[Port]] = {host: [] for host in facts}
    instance_ports: list[InstancePort] = []
    for bridge in site.bridges:
        on = [host for host in facts.values() if _is_there(host, bridge)]
        number = 2 if bridge.isolate else 1
        if number * len(on) < _LEAST:
            continue
        subnet, taken = _subnet(on, bridge), _taken(facts, bridge)
        free = _free(subnet, taken)
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
    # The highest first octet that is local and no group's: a bridge whose address nobody set takes the lowest of its ports.
    return Port(bridge.name, number, candidates, tag, tag_id, bridge.isolate, link, _mac("fe"), _mac("02"))


def _mac(first: str) -> str:
    return ":".join([first, *(f"{octet:02x}" for octet in secrets.token_bytes(5))])


def _is_there(host: HostFacts, bridge: SiteBridge) -> bool:
    with suppress(EvidenceError):
        return host.network.bridge(bridge.name) is not None
    return False


def _subnet(on: list[HostFacts], bridge: SiteBridge) -> IPv4Network:
    """The bridge's own IPv4 network, as the first host that has it; the link-local one where none has."""
    for host in on:
        with suppress(EvidenceError):
            for address in host.network.addresses.get(bridge.name, ()):
                network = ip_interface(str(address)).network
                if address.is_global_unicast and isinstance(network, IPv4Network) and network.num_addresses > 1:
                    return network
    return _NO_SUBNET


def _taken(facts: Mapping[str, HostFacts], bridge: SiteBridge) -> set[IPv4Address]:
    """The addresses that somebody is known to have: the hosts, and instances, running or as they are configured."""
    said: list[str] = [bridge.gateway or ""]
    for host in facts.values():
        with suppress(EvidenceError):
            said += [str(each.ip) for listed in host.network.addresses.values() for each in listed]
        for instance in _instances(host):
            said += [address for listed in instance.addresses.values() for address in listed]
            said += [nic.get("ipv4.address", "") for _, nic in nics_on(instance, bridge.name)]
    found = set()
    for each in said:
        with suppress(ValueError):
            address = ip_address(each.partition("/")[0])
            if isinstance(address, IPv4Address):
                found.add(address)
    return found


def _free(subnet: IPv4Network, taken: set[IPv4Address]) -> Iterator[IPv4Address]:
    """Addresses of the upper half of a network that nobody is known to have, in no order, each once."""
    first, last = subnet.num_addresses // 2, subnet.num_addresses - 2
    if subnet == _NO_SUBNET:  # RFC 3927 keeps the first and the last 256
        last -= 256
    numbers = _RANDOM.sample(range(first, last + 1), min(max(0, last - first + 1), 4096))
    yield from (subnet[number] for number in numbers if subnet[number] not in taken)


def _instances(host: HostFacts) -> list[Instance]:
    with suppress(EvidenceError):
        return [each for each in host.incus.instances if isinstance(each, Instance)]
    return []


def _instance_ports(on: list[HostFacts], bridge: SiteBridge, subnet: IPv4Network) -> Iterator[InstancePort]:
    """The NICs of running instances that have an address of the bridge's network, as each host's own daemon has them."""
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
        yield from sorted(found, key=lambda each: each.name)[:STATIONS]
