"""facts.network: the links of one host, bridges with their ports among them.

Room: facts. May import errors and collect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.reading import mapping, output, parsed, reading, rows, text


@dataclass(frozen=True)
class Link:
    """One network link. kind: the kernel's (``vlan``, ``bridge``, ``veth`` ...), "" for hardware; master and parent: names."""

    name: str
    kind: str
    mtu: int  # bytes
    flags: frozenset[str]
    master: str | None
    parent: str | None
    vlan_id: int | None = None
    vlan_protocol: str | None = None


@dataclass(frozen=True)
class Bridge:
    """One bridge. ports: the names of the links that have it as master."""

    name: str
    mtu: int  # bytes
    ports: frozenset[str]


def links(document: str, host: str = "") -> dict[str, Link]:
    """The links of one host, by name.

    document: the probe ``link`` (``ip -j -d link show``): a JSON array that holds at least ``lo``; anything else raises
    EvidenceError, for a host without links does not exist. Source: ip-link(8).
    """
    with reading("ip link", host):
        found = {}
        for row in rows(parsed(document), "links"):
            if not row:
                continue  # iproute2 prints {} for a link that is filtered out
            info = mapping(row.get("linkinfo") or {}, "linkinfo")
            data = mapping(info.get("info_data") or {}, "info_data")
            kind = info.get("info_kind") or ""
            name = text(row["ifname"], "ifname")
            flags = row["flags"]
            if not isinstance(flags, list):
                raise ValueError("flags: not a list")
            found[name] = Link(
                name=name,
                kind=str(kind),
                mtu=int(row["mtu"]),
                flags=frozenset(str(flag) for flag in flags),
                master=row.get("master"),
                parent=row.get("link"),
                vlan_id=int(data["id"]) if kind == "vlan" else None,
                vlan_protocol=str(data["protocol"]) if kind == "vlan" else None,
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

    def bridge(self, name: str) -> Bridge | None:
        """A bridge with its ports; None where there is no link of that name, or it is no bridge. Raises EvidenceError."""
        link = self.links.get(name)
        if link is None or link.kind != "bridge":
            return None
        return Bridge(name, link.mtu, frozenset(port.name for port in self.links.values() if port.master == name))
