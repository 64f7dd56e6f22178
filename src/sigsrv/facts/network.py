"""The links of one host, bridges with their ports among them, and their addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from sigsrv.collect.evidence import Evidence
from sigsrv.collect.frames_script import ALIAS, PREFIX
from sigsrv.facts.parsing import integer, mapping, output, parsed, parsing, rows, text


@dataclass(frozen=True)
class Link:
    """One network link. kind: the kernel's (``vlan``, ``bridge``, ``veth`` ...), "" for hardware; master and parent: names.

    vlan_id: of a VLAN its id, of a VXLAN its VNI; vlan_protocol: of a VLAN, ``802.1Q`` or ``802.1ad``.
    port_state: of a port of a bridge, the kernel's word (``forwarding``, ``disabled``, ``blocking`` ...); None for any other link.
    gone_at: of a throw-away link of a scan with ``--probe``, when the host will have taken it away, in seconds since the epoch.
    """

    name: str
    kind: str
    mtu: int  # bytes
    flags: frozenset[str]
    master: str | None
    parent: str | None
    vlan_id: int | None = None
    vlan_protocol: str | None = None
    port_state: str | None = None
    gone_at: int | None = None

    def carries(self, vlan_id: int) -> bool:
        """Whether it is that VLAN by 802.1Q, or a VXLAN of that number."""
        return self.vlan_id == vlan_id and (self.kind != "vlan" or self.vlan_protocol == "802.1Q")

    @property
    def tag(self) -> str:
        """What it carries, in words; "" where it is of a kind without an id."""
        if self.vlan_id is None:
            return ""
        return f"VXLAN {self.vlan_id}" if self.kind == "vxlan" else f"{self.vlan_protocol} VLAN {self.vlan_id}"


@dataclass(frozen=True)
class Address:
    """One IP address of a link, with the length of its prefix in bits."""

    ip: IPv4Address | IPv6Address
    prefix: int

    def __str__(self) -> str:
        return f"{self.ip}/{self.prefix}"

    @property
    def is_global_unicast(self) -> bool:
        """As Incus asks before it takes a link into a bridge: private ranges count as global, link-local ones do not.

        Source: Go, net.IP.IsGlobalUnicast; ipaddress's own is_global excludes private ranges.
        """
        other = self.ip.is_unspecified or self.ip.is_loopback or self.ip.is_multicast or self.ip.is_link_local
        return not other and str(self.ip) != "255.255.255.255"


@dataclass(frozen=True)
class Bridge:
    """One bridge. ports: the names of the links that have it as master."""

    name: str
    mtu: int  # bytes
    ports: frozenset[str]


@dataclass(frozen=True)
class FdbEntry:
    """A station that a bridge has seen by one of its ports. mac: in lower case; it is forgotten after some minutes of silence."""

    mac: str
    port: str
    bridge: str


def fdb_entries(document: str, host: str = "") -> tuple[FdbEntry, ...]:
    """The stations that the bridges of one host have learned; addresses of the host's own links are none.

    document: the probe ``fdb`` (``bridge -j fdb show``): a JSON array. Each link has addresses of its own there, so an empty one
    raises EvidenceError. Source: bridge(8).
    """
    with parsing("bridge fdb", host):
        listed = rows(parsed(document), "fdb")
        if not listed:
            raise ValueError("empty: not even the addresses of the links themselves")
        found = []
        for row in listed:
            mac, port, state = text(row["mac"], "mac").lower(), text(row["ifname"], "ifname"), row["state"]
            if not isinstance(state, str) or not isinstance(row["flags"], list):
                raise ValueError(f"{mac}: state or flags")
            if row.get("master") and state not in ("permanent", "static"):
                found.append(FdbEntry(mac, port, text(row["master"], "master")))
        return tuple(dict.fromkeys(found))


def links(document: str, host: str = "") -> dict[str, Link]:
    """The links of one host, by name.

    document: the probe ``link`` (``ip -j -d link show``): a JSON array that holds at least ``lo``; anything else raises
    EvidenceError, for a host without links does not exist. Source: ip-link(8).
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
                master=row.get("master"),
                parent=row.get("link"),
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


def _gone_at(name: str, kind: str, alias: Any) -> int | None:
    """When a link that a scan made is gone, which its alias says. Any other link has no such name, kind and alias."""
    said = re.fullmatch(rf"{re.escape(ALIAS)} (\d{{1,11}})", alias) if isinstance(alias, str) else None
    return int(said[1]) if said and kind == "veth" and re.fullmatch(rf"{PREFIX}[0-9a-f]{{8}}", name) else None


def addresses(document: str, host: str = "") -> dict[str, tuple[Address, ...]]:
    """The addresses of one host, by link; a link without any is there, with an empty tuple.

    document: the probe ``addr`` (``ip -j -d addr show``): a JSON array that holds at least ``lo``; anything else raises
    EvidenceError, for a host without links does not exist. Source: ip-address(8).
    """
    with parsing("ip addr", host):
        found = {}
        for row in rows(parsed(document), "links"):
            if not row:
                continue  # iproute2 prints {} for a link that is filtered out
            name = text(row["ifname"], "ifname")
            found[name] = tuple(
                Address(ip_address(text(each["local"], "local")), integer(each["prefixlen"], "prefixlen"))
                for each in rows(row["addr_info"], f"{name}: addr_info")
            )
        if "lo" not in found:
            raise ValueError("no loopback among the links")
        return found


@dataclass(frozen=True)
class NetworkFacts:
    """What one host tells of its network."""

    evidence: Evidence

    @cached_property
    def links(self) -> Mapping[str, Link]:
        """All links, by name. Raises EvidenceError."""
        return links(output(self.evidence, "link"), self.evidence.host)

    @cached_property
    def addresses(self) -> Mapping[str, tuple[Address, ...]]:
        """The addresses of each link, by its name. Raises EvidenceError."""
        return addresses(output(self.evidence, "addr"), self.evidence.host)

    @cached_property
    def fdb_entries(self) -> tuple[FdbEntry, ...]:
        """What the bridges have learned, by no order. Raises EvidenceError."""
        return fdb_entries(output(self.evidence, "fdb"), self.evidence.host)

    def bridge(self, name: str) -> Bridge | None:
        """A bridge with its ports; None where there is no link of that name, or it is no bridge. Raises EvidenceError."""
        link = self.links.get(name)
        if link is None or link.kind != "bridge":
            return None
        return Bridge(name, link.mtu, frozenset(port.name for port in self.links.values() if port.master == name))
