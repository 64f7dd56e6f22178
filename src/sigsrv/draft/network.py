"""Bridges with their VLANs, other networks, and ACLs, as the hosts have them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, ip_interface

from sigsrv.draft.document import Entry, Field, Section
from sigsrv.draft.found import Found, fitting
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.network import Link
from sigsrv.facts.resources import Network
from sigsrv.model.values import split_list

_KINDS = ("vlan", "veth", "vxlan", "gretap")  # those that a site file knows
_WAYS = ("ingress", "egress")
_STANDARD_MTU = "1500"


@dataclass(frozen=True)
class Uplink:
    """A link that carries a bridge to the other hosts, or seems to. vlan_id: None of a kind that has none."""

    interface: str
    kind: str
    vlan_id: int | None
    parent: str | None

    def __str__(self) -> str:
        what = self.kind if self.vlan_id is None else f"VLAN {self.vlan_id}"
        return f"{self.interface} ({what}{f' on {self.parent}' if self.parent else ''})"


def sections(found: Found) -> tuple[Section, Section]:
    """``bridges`` and ``networks_extra``."""
    bridges, others = [], []
    for network in found.networks:
        uplinks = _uplinks(found, network.name) if network.type == "bridge" else {}
        if any(uplinks.values()):
            bridges.append(_bridge(network, uplinks))
        else:
            others.append(_other(found, network))
    extra = fitting(Section("networks_extra", entries=tuple(others)))
    return fitting(Section("bridges", entries=tuple(bridges))), extra


def _uplinks(found: Found, bridge: str) -> dict[str, tuple[Uplink, ...]]:
    """What may be the VLAN of a bridge, on each host that told of its links."""
    return found.of_hosts(f"the VLAN of {bridge}", lambda host: _on_host(host, bridge, _nics(found, host.name)))


def _nics(found: Found, host: str) -> set[str] | None:
    """The links of a host that instances' NICs are; None where an instance there could not be read."""
    nics = {
        value
        for instance, at in found.instances
        if at == host
        for key, value in [
            *((key, value) for key, value in instance.config.items() if key.startswith("volatile.")),
            *(
                (f"{name}.{key}", value)
                for name, device in instance.expanded_devices.items()
                for key, value in device.items()
            ),
        ]
        if key.endswith(".host_name")
    }
    return None if found.missed("instances") else nics


def _on_host(host: HostFacts, bridge: str, nics: Collection[str] | None) -> tuple[Uplink, ...]:
    """The bridge's VLAN links; else what its network names; else ports of another kind that are no instance's."""
    links = host.network.links
    ports = [link for link in links.values() if link.master == bridge and link.kind in _KINDS]
    network = host.incus.network_at(bridge, host.member)
    entries = split_list(network.config.get("bridge.external_interfaces")) if network else ()
    named = [links[name] for entry in entries if (name := entry.partition("/")[0]) in links]
    vlans = [link for link in ports if link.kind == "vlan"]
    others = [link for link in ports if nics is not None and link.name not in nics]
    both = [link for link in vlans if link in named]
    return tuple(_uplink(link) for link in (both or vlans or [link for link in named if link.kind in _KINDS] or others))


def _uplink(link: Link) -> Uplink:
    return Uplink(link.name, link.kind, link.vlan_id if link.kind == "vlan" else None, link.parent)


def _bridge(network: Network, uplinks: Mapping[str, tuple[Uplink, ...]]) -> Entry:
    """An entry; commented out where the hosts don't agree what the VLAN is, or nobody can tell its id."""
    seen = [uplink for row in uplinks.values() for uplink in row]
    same = {(uplink.interface, uplink.kind, uplink.vlan_id) for uplink in seen}
    parents = {uplink.parent for uplink in seen}
    first, notes = seen[0], []
    alone = all(len(row) <= 1 for row in uplinks.values())
    vlan: dict[str, object] = {"interface": first.interface, "id": first.vlan_id, "kinds": [first.kind]}
    if len(parents) == 1 and first.parent and first.vlan_id is not None:
        vlan["parent"] = first.parent
    off = len(same) > 1 or not alone or first.vlan_id is None
    if off:
        vlan["id"] = "which VLAN id?"
    if len(same) > 1 or not alone or len(parents) > 1:
        here = "; ".join(f"{host}: {', '.join(map(str, row)) or 'none'}" for host, row in uplinks.items())
        notes.append(f"the hosts do not agree what its VLAN is: {here}")
    elif first.vlan_id is None:
        notes.append(f"its uplink {first} has no VLAN id of its own: which VLAN does it carry?")
    fields = (Field("name", network.name), Field("vlan", vlan), *_addressing(network), *_acls(network))
    return Entry((network.name,), fields, tuple(notes), off)


def _addressing(network: Network) -> list[Field]:
    config, fields = network.config, []
    try:
        address = ip_interface(config.get("ipv4.address", ""))
    except ValueError:
        address = None
    if isinstance(address, IPv4Interface):
        fields += [Field("subnet", str(address.network)), Field("gateway", str(address.ip))]
    mtu = config.get("bridge.mtu", _STANDARD_MTU)
    if mtu.isascii() and mtu.isdigit() and mtu != _STANDARD_MTU:
        fields.append(Field("mtu", int(mtu)))
    wanted = {key: config[key] for key in ("ipv4.nat",) if config.get(key)} | {"ipv6.address": "none"}
    ipv6 = config.get("ipv6.address", "none")
    note = "" if ipv6 == "none" else f"found {ipv6}: put that here if IPv6 is meant to be there"
    return [*fields, Field("config", wanted, note)]


def _acls(network: Network) -> list[Field]:
    acls = split_list(network.config.get("security.acls"))
    if not acls:
        return [Field("acls", ["which ACLs must it carry?"], "it carries none: all traffic passes", off=True)]
    fields = [Field("acls", list(acls))]
    actions = {way: network.config.get(f"security.acls.default.{way}.action", "reject") for way in _WAYS}
    loose = {way: action for way, action in actions.items() if action not in ("reject", "drop")}
    if loose:
        note = "as found: what no rule names passes. Only if that is your choice"
        fields.append(Field("acl_default", loose, note, off=True))
    return fields


def _other(found: Found, network: Network) -> Entry:
    """A managed network that no VLAN was found for."""
    if network.type != "bridge":
        return Entry((network.name,), network.name, (f"of type {network.type}",))
    told = found.of_hosts(f"the links of {network.name}", lambda host: host.network.links)
    if not told:
        return Entry(
            (network.name,), network.name, ("no host told whether it has a VLAN: a bridge of the site?",), off=True
        )
    free = sorted({str(_uplink(link)) for links in told.values() for link in links.values() if _is_free(link)})
    notes = ["no host has a VLAN in it. If it is a bridge of the site that lost its VLAN, it belongs into bridges"]
    if free:
        notes.append(f"VLAN links that are in no bridge: {', '.join(free)}")
    return Entry((network.name,), network.name, tuple(notes))


def _is_free(link: Link) -> bool:
    return link.kind == "vlan" and link.master is None


def acls(found: Found) -> Section:
    """``acls``: each with the rules that take effect now. One without any keeps the default, which it does not meet."""
    rows = found.listed("ACLs", lambda cluster: cluster.incus.network_acls)
    entries = []
    for row in {(row.project, row.name): row for row in rows}.values():
        fields = [Field("name", row.name)]
        if row.project != "default":
            fields.append(Field("project", row.project))
        if row.enabled:
            fields.append(Field("min_rules", row.enabled))
        notes = [] if row.enabled else ["no rule of it takes effect"]
        notes += [f"{row.disabled} of its rules disabled, and not counted"] if row.disabled and row.enabled else []
        entries.append(Entry((f"{row.project}/{row.name}",), tuple(fields), tuple(notes)))
    return fitting(Section("acls", entries=tuple(entries)))
