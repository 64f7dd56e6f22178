"""Drafts bridges with their VLANs, other networks, and ACLs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, ip_interface

from sigsrv.draft.document import Entry, Field, Section
from sigsrv.draft.facts import DraftFacts, schema_checked
from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.network import Link
from sigsrv.facts.resources import Network
from sigsrv.model.values import split_list

_KINDS = ("vlan", "veth", "vxlan", "gretap")  # the kinds that a site file accepts
_WITH_ID = ("vlan", "vxlan")  # NET-002 compares the number of a VXLAN as the VLAN's
_WAYS = ("ingress", "egress")
_STANDARD_MTU = "1500"


@dataclass(frozen=True)
class Uplink:
    """A link that connects, or seems to connect, a bridge to the other hosts. vlan_id: None if the kind has no VLAN id."""

    interface: str
    kind: str
    vlan_id: int | None
    parent: str | None

    def __str__(self) -> str:
        what = self.kind if self.vlan_id is None else f"{self.kind.upper()} {self.vlan_id}"
        return f"{self.interface} ({what}{f' on {self.parent}' if self.parent else ''})"


def sections(facts: DraftFacts) -> tuple[Section, Section]:
    """Draft ``bridges`` and ``networks_extra``."""
    bridges, others = [], []
    for network in facts.networks:
        uplinks = _uplinks(facts, network.name) if network.type == "bridge" else {}
        if any(uplinks.values()):
            bridges.append(_bridge(facts, network, uplinks))
        else:
            others.append(_other(facts, network))
    extra = schema_checked(Section("networks_extra", entries=tuple(others)))
    return schema_checked(Section("bridges", entries=tuple(bridges))), extra


def _uplinks(facts: DraftFacts, bridge: str) -> dict[str, tuple[Uplink, ...]]:
    """Return the possible VLAN links of a bridge, by host, for each host with readable links."""
    return facts.from_hosts(f"the VLAN of {bridge}", lambda host: _on_host(host, bridge, _nics(facts, host.name)))


def _nics(facts: DraftFacts, host: str) -> set[str] | None:
    """Return the host-side links of the NICs of a host's instances; None if an instance could not be read."""
    nics = {
        value
        for instance, at in facts.instances
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
    return None if facts.has_unread("instances") else nics


def _on_host(host: HostFacts, bridge: str, nics: Collection[str] | None) -> tuple[Uplink, ...]:
    """Return the VLAN links of a bridge; else the links that its network names; else other ports that no instance uses."""
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
    return Uplink(link.name, link.kind, link.vlan_id if link.kind in _WITH_ID else None, link.parent)


def _bridge(facts: DraftFacts, network: Network, uplinks: Mapping[str, tuple[Uplink, ...]]) -> Entry:
    """Draft a bridge. It is commented out if the hosts disagree about its VLAN, or the VLAN id is unknown.

    Names of links may differ from host to host. A host without the VLAN is a question: it lost it, or it must not have it.
    """
    having = facts.hosts_with(network.name, _managed)
    rows = {host: row for host, row in uplinks.items() if host in having}
    seen = [uplink for row in rows.values() for uplink in row] or [each for row in uplinks.values() for each in row]
    same = {(uplink.kind, uplink.vlan_id) for uplink in seen}
    first, notes = seen[0], []
    alone = all(len(row) <= 1 for row in rows.values())
    own = {host: row[0] for host, row in rows.items() if row}
    vlan: dict[str, object] = {"interface": _by_host({host: each.interface for host, each in own.items()}, having)}
    vlan |= {"id": first.vlan_id, "kinds": [first.kind]}
    parents = {host: each.parent for host, each in own.items()}
    if first.vlan_id is not None and all(parents.values()):
        vlan["parent"] = _by_host({host: parent for host, parent in parents.items() if parent}, having)
    commented = len(same) > 1 or not alone or first.vlan_id is None
    if commented:
        vlan |= {"id": "which VLAN id?", "interface": first.interface}
    lacking = [host for host, row in rows.items() if not row]
    if len(same) > 1 or not alone or lacking:
        here = "; ".join(f"{host}: {', '.join(map(str, row)) or 'none'}" for host, row in rows.items())
        notes.append(f"the hosts disagree about its VLAN: {here}")
    elif first.vlan_id is None:
        notes.append(f"its uplink {first} has no VLAN id: which VLAN does it carry?")
    fields = [Field("name", network.name)]
    if len(having) < len(facts.hosts):
        fields.append(Field("members", having))
    elif lacking and not commented:
        on = [host for host in having if host not in lacking]
        question = f"uncomment only if {' and '.join(lacking)} must not carry the VLAN"
        fields.append(Field("members", on, question, commented=True))
    addressing = _addressing(facts, network, having)
    return Entry((network.name,), (*fields, Field("vlan", vlan), *addressing, *_acls(network)), tuple(notes), commented)


def _managed(cluster: ClusterFacts) -> list[Network]:
    return [each for each in cluster.incus.networks if each.managed]


def _by_host(values: Mapping[str, str], hosts: Sequence[str]) -> str | dict[str, str]:
    """Return the value that all hosts have; else a mapping by host, in which ``*`` stands for hosts of which it is unknown."""
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    rest = {} if values.keys() >= set(hosts) else {"*": next(iter(values.values()), "")}
    return {**values, **rest}


def _addressing(facts: DraftFacts, network: Network, having: Sequence[str]) -> list[Field]:
    """Draft subnet and gateway, by host if servers in no common cluster have different ones, the MTU and the keys."""
    config, fields = network.config, []
    configs = facts.from_hosts(
        f"the addresses of {network.name}", lambda host: host.incus.network_at(network.name, host.member)
    )
    own = {host: _ipv4(row.config) for host, row in configs.items() if row and host in having}
    if own and all(own.values()):
        fields += [
            Field("subnet", _by_host({host: str(each.network) for host, each in own.items() if each}, having)),
            Field("gateway", _by_host({host: str(each.ip) for host, each in own.items() if each}, having)),
        ]
    mtu = config.get("bridge.mtu", _STANDARD_MTU)
    if mtu.isascii() and mtu.isdigit() and mtu != _STANDARD_MTU:
        fields.append(Field("mtu", int(mtu)))
    wanted = {key: config[key] for key in ("ipv4.nat",) if config.get(key)} | {"ipv6.address": "none"}
    ipv6 = config.get("ipv6.address", "none")
    note = "" if ipv6 == "none" else f"found {ipv6}: write that here if IPv6 is intended"
    return [*fields, Field("config", wanted, note)]


def _ipv4(config: Mapping[str, str]) -> IPv4Interface | None:
    try:
        address = ip_interface(config.get("ipv4.address", ""))
    except ValueError:
        return None
    return address if isinstance(address, IPv4Interface) else None


def _acls(network: Network) -> list[Field]:
    acls = split_list(network.config.get("security.acls"))
    if not acls:
        return [
            Field("acls", ["which ACLs must it carry?"], "this network has no ACL: all traffic passes", commented=True)
        ]
    fields = [Field("acls", list(acls))]
    actions = {way: network.config.get(f"security.acls.default.{way}.action", "reject") for way in _WAYS}
    loose = {way: action for way, action in actions.items() if action not in ("reject", "drop")}
    if loose:
        note = "found: traffic that matches no rule passes. Uncomment only if this is intended"
        fields.append(Field("acl_default", loose, note, commented=True))
    return fields


def _other(facts: DraftFacts, network: Network) -> Entry:
    """Draft a managed network without a VLAN."""
    if network.type != "bridge":
        return Entry((network.name,), network.name, (f"of type {network.type}",))
    links_by_host = facts.from_hosts(f"the links of {network.name}", lambda host: host.network.links)
    if not links_by_host:
        return Entry(
            (network.name,),
            network.name,
            ("no host could say whether it has a VLAN: is it a bridge of the site?",),
            commented=True,
        )
    free = sorted({str(_uplink(link)) for links in links_by_host.values() for link in links.values() if _is_free(link)})
    notes = ["no host has a VLAN on it. If it is a bridge of the site that lost its VLAN, move it to bridges"]
    if free:
        notes.append(f"VLAN links without a bridge: {', '.join(free)}")
    return Entry((network.name,), network.name, tuple(notes))


def _is_free(link: Link) -> bool:
    return link.kind == "vlan" and link.master is None


def acls(facts: DraftFacts) -> Section:
    """Draft ``acls``, each with its number of enabled rules. An ACL without any keeps the default minimum, so it fails."""
    rows = facts.rows_of("ACLs", lambda cluster: cluster.incus.network_acls)
    entries = []
    for row in {(row.project, row.name): row for row in rows}.values():
        fields = [Field("name", row.name)]
        if row.project != "default":
            fields.append(Field("project", row.project))
        if row.enabled:
            fields.append(Field("min_rules", row.enabled))
        notes = [] if row.enabled else ["it has no enabled rule"]
        notes += [f"{row.disabled} disabled rules, not counted"] if row.disabled and row.enabled else []
        entries.append(Entry((f"{row.project}/{row.name}",), tuple(fields), tuple(notes)))
    return schema_checked(Section("acls", entries=tuple(entries)))
