"""The network links of one host, with their addresses, bridges and learned MAC addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any

from sigsrv.collect.evidence import Evidence
from sigsrv.collect.frames_script import ALIAS, PREFIX
from sigsrv.facts.config import Values
from sigsrv.facts.parsing import integer, mapping, output, parsed, parsing, rows, string, text
from sigsrv.facts.reading import fact

LinkFlag = Annotated[
    str,
    Values(("UP", "LOWER_UP", "NO-CARRIER", "BROADCAST", "MULTICAST", "PROMISC", "LOOPBACK", "NOARP"), may_grow=True),
]
VlanProtocol = Annotated[str, Values(("802.1Q", "802.1ad"))]
PortState = Annotated[str, Values(("disabled", "listening", "learning", "forwarding", "blocking"))]


@dataclass(frozen=True)
class Link:
    """A network link."""

    name: str
    """The link's name."""
    kind: str
    """The kernel's kind, for example ``vlan``, ``bridge`` or ``veth``; empty for hardware."""
    mtu: int
    """The largest packet in bytes."""
    flags: frozenset[LinkFlag]
    """The kernel's flags, for example ``UP`` (administratively up) and ``LOWER_UP`` (has a carrier)."""
    master: str | None
    """The bridge, bond or VRF that the link is a port of; None if there is none."""
    parent: str | None
    """The link below, for example the one that carries a VLAN interface; None if there is none."""
    vlan_id: int | None = None
    """The VLAN id of a VLAN interface, or the VNI of a VXLAN; None for any other link."""
    vlan_protocol: VlanProtocol | None = None
    """``802.1Q`` or ``802.1ad`` for a VLAN interface; None for any other link."""
    port_state: PortState | None = None
    """The kernel's state of a bridge port, for example ``forwarding`` or ``blocking``; None if it is not a bridge port."""
    gone_at: int | None = None
    """When the host removes a temporary link of a scan with ``--probe``, in seconds since the epoch; None for any other link."""

    def carries(self, vlan_id: int) -> bool:
        """Return whether the link is the 802.1Q VLAN with this id, or the VXLAN with this VNI."""
        return self.vlan_id == vlan_id and (self.kind != "vlan" or self.vlan_protocol == "802.1Q")

    @property
    def description(self) -> str:
        """Return the VLAN or VXLAN that the link carries and the link below, else its kind."""
        if self.vlan_id is None:
            return f"of kind {self.kind or 'hardware'} and has no VLAN ID"
        return f"{self.tag} on {self.parent or 'no link'}"

    @property
    def tag(self) -> str:
        """Return the VLAN or VXLAN that the link carries, for example ``802.1Q VLAN 10``; empty for any other link."""
        if self.vlan_id is None:
            return ""
        return f"VXLAN {self.vlan_id}" if self.kind == "vxlan" else f"{self.vlan_protocol} VLAN {self.vlan_id}"


@dataclass(frozen=True)
class Address:
    """An IP address of a link."""

    ip: IPv4Address | IPv6Address
    """The address."""
    prefix: int
    """The length of the network prefix in bits."""

    def __str__(self) -> str:
        return f"{self.ip}/{self.prefix}"

    @property
    def is_global_unicast(self) -> bool:
        """Return whether Incus counts the address as global: private ranges are global, link-local addresses are not.

        Incus asks this before it adds a link to a bridge.

        Source: Go, net.IP.IsGlobalUnicast; ipaddress's own is_global excludes private ranges.
        """
        other = self.ip.is_unspecified or self.ip.is_loopback or self.ip.is_multicast or self.ip.is_link_local
        return not other and str(self.ip) != "255.255.255.255"


@dataclass(frozen=True)
class FdbEntry:
    """A MAC address that a bridge learned on one of its ports. The bridge forgets it after some minutes without traffic."""

    mac: str
    """The MAC address, in lower case."""
    port: str
    """The port that the bridge learned it on."""
    bridge: str
    """The bridge's name."""


def fdb_entries(document: str, host: str = "") -> tuple[FdbEntry, ...]:
    """Return the MAC addresses that the bridges of one host learned, without those of the host's own links.

    document: the output of the probe ``fdb`` (``bridge -j fdb show``): a JSON array. Raises EvidenceError if it is malformed, also
    if it is empty: the addresses of the host's own links are always listed. Source: bridge(8).
    """
    with parsing("bridge fdb", host):
        listed = rows(parsed(document), "fdb")
        if not listed:
            raise ValueError("empty: the addresses of the host's own links are missing")
        found = []
        for row in listed:
            mac, port, state = text(row["mac"], "mac").lower(), text(row["ifname"], "ifname"), row["state"]
            if not isinstance(state, str) or not isinstance(row["flags"], list):
                raise ValueError(f"{mac}: state or flags")
            if row.get("master") and state not in ("permanent", "static"):
                found.append(FdbEntry(mac, port, text(row["master"], "master")))
        return tuple(dict.fromkeys(found))


def links(document: str, host: str = "") -> dict[str, Link]:
    """Return the links of one host, by name.

    document: the output of the probe ``link`` (``ip -j -d link show``): a JSON array. Raises EvidenceError if it is malformed, also
    if it lacks ``lo``, which every host has. Source: ip-link(8).
    """
    with parsing("ip link", host):
        found = {}
        for row in rows(parsed(document), "links"):
            if not row:
                continue  # iproute2 prints {} for a link that is filtered out
            info = mapping(row.get("linkinfo") or {}, "linkinfo")
            data = mapping(info.get("info_data") or {}, "info_data")
            kind = info.get("info_kind") or ""
            is_port = info.get("info_slave_kind") == "bridge"
            has_id = kind == "vlan" or (kind == "vxlan" and "id" in data)
            name = text(row["ifname"], "ifname")
            flags = row["flags"]
            if not isinstance(flags, list):
                raise ValueError("flags: not a list")
            found[name] = Link(
                name=name,
                kind=str(kind),
                mtu=integer(row["mtu"], f"{name}: mtu"),
                flags=frozenset(str(flag) for flag in flags),
                master=_name(row, "master"),
                parent=_name(row, "link") or (_name(data, "link") if kind == "vxlan" else None),
                vlan_id=integer(data["id"], f"{name}: VLAN id") if has_id else None,
                vlan_protocol=text(data["protocol"], f"{name}: protocol") if kind == "vlan" else None,
                port_state=text(mapping(info["info_slave_data"], "info_slave_data")["state"], "state")
                if is_port
                else None,
                gone_at=_gone_at(name, str(kind), row.get("ifalias")),
            )
        if "lo" not in found:
            raise ValueError("no loopback among the links")
        return found


def _name(row: Mapping[str, Any], key: str) -> str | None:
    """Return the name of another link; None if there is none, which ip writes as null for some kinds."""
    value = row.get(key)
    return None if value is None else string(value, key)


def _gone_at(name: str, kind: str, alias: Any) -> int | None:
    """Return when a temporary link of a scan disappears, from its alias; None for any other link.

    Only a link of such a scan has this name, kind and alias.
    """
    reported = re.fullmatch(rf"{re.escape(ALIAS)} ([0-9]{{1,11}})", alias) if isinstance(alias, str) else None
    return int(reported[1]) if reported and kind == "veth" and re.fullmatch(rf"{PREFIX}[0-9a-f]{{8}}", name) else None


def addresses(document: str, host: str = "") -> dict[str, tuple[Address, ...]]:
    """Return the addresses of one host, by link; an empty tuple for a link without addresses.

    document: the output of the probe ``addr`` (``ip -j -d addr show``): a JSON array. Raises EvidenceError if it is malformed, also
    if it lacks ``lo``, which every host has. Source: ip-address(8).
    """
    with parsing("ip addr", host):
        found = {}
        for row in rows(parsed(document), "links"):
            if not row:
                continue  # iproute2 prints {} for a link that is filtered out
            name = text(row["ifname"], "ifname")
            found[name] = tuple(_address(each) for each in rows(row["addr_info"], f"{name}: addr_info"))
        if "lo" not in found:
            raise ValueError("no loopback among the links")
        return found


def _address(row: Mapping[str, Any]) -> Address:
    ip, prefix = ip_address(text(row["local"], "local")), integer(row["prefixlen"], "prefixlen")
    if not 0 <= prefix <= ip.max_prefixlen:
        raise ValueError(f"{ip} with a prefix of {prefix} bits")
    return Address(ip, prefix)


@dataclass(frozen=True)
class NetworkFacts:
    """The network links of one host."""

    evidence: Evidence
    """The evidence of the host."""

    @fact
    def links(self) -> Mapping[str, Link]:
        """Return the network links by name. Raises EvidenceError."""
        return links(output(self.evidence, "link"), self.evidence.host)

    def ports(self, master: str) -> tuple[Link, ...]:
        """Return the links that are ports of a bridge, bond or VRF. Raises EvidenceError."""
        return tuple(self._ports.get(master, ()))

    @fact
    def _ports(self) -> Mapping[str, list[Link]]:
        found: dict[str, list[Link]] = {}
        for link in self.links.values():
            if link.master is not None:
                found.setdefault(link.master, []).append(link)
        return found

    @fact
    def links_on(self) -> Mapping[str, tuple[str, ...]]:
        """Return the names of the links that have the same parent, by the parent's name. Raises EvidenceError."""
        found: dict[str, tuple[str, ...]] = {}
        for link in self.links.values():
            if link.parent is not None:
                found[link.parent] = (*found.get(link.parent, ()), link.name)
        return found

    @fact
    def addresses(self) -> Mapping[str, tuple[Address, ...]]:
        """Return the IP addresses of each network link, by the link's name. Raises EvidenceError."""
        return addresses(output(self.evidence, "addr"), self.evidence.host)

    @fact
    def global_addresses(self) -> Mapping[str, tuple[str, ...]]:
        """Return the addresses of each network link that Incus counts as global, see ``Address.is_global_unicast``."""
        return {
            name: tuple(str(address) for address in own if address.is_global_unicast)
            for name, own in self.addresses.items()
        }

    @fact
    def fdb_entries(self) -> tuple[FdbEntry, ...]:
        """Return the MAC addresses that the bridges learned, in no order. Raises EvidenceError."""
        return fdb_entries(output(self.evidence, "fdb"), self.evidence.host)
