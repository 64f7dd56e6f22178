"""Drafts hosts and the settings of their daemons: addresses, versions, cluster thresholds, trust, images."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sigsrv.collect import urls
from sigsrv.draft.document import Entry, Field, Section
from sigsrv.draft.facts import DraftFacts, schema_checked
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.members import Member
from sigsrv.facts.server import Server
from sigsrv.model.site import ClusterSettings

_LISTENING = ("core.https_address", "cluster.https_address")
_WILDCARDS = frozenset({"", "0.0.0.0", "::", "[::]", "*"})  # noqa: S104
_LONG_TERM = ("6.0", "7.0")  # LTS series
_ROUTE = "authorization.client."
_VERSION = re.compile(r"\d+(?:\.\d+){1,2}", re.ASCII)

Options = Mapping[str, Mapping[str, object]]


def hosts(facts: DraftFacts, options: Options, notes: tuple[str, ...]) -> Section:
    """Draft ``hosts``, each with its member name. options: how the command line reaches each host, by host."""
    daemons = facts.from_hosts("the daemon", lambda host: host.incus.server)
    entries = tuple(_host(facts, host, daemons, options.get(name, {})) for name, host in facts.hosts.items())
    rows = facts.rows_of("members", lambda each: each.incus.first(_members))
    named = {host.member for host in facts.hosts.values()}
    others = ", ".join(row.name for row in rows if row.name not in named)
    more = (f"cluster members that were not scanned: {others}",) if others else ()
    return schema_checked(Section("hosts", (*notes, *more), entries))


def _host(facts: DraftFacts, host: HostFacts, daemons: Mapping[str, Server], options: Mapping[str, object]) -> Entry:
    """Draft a host. If two hosts claim the same member name, only the first gets it: a site file has each member once."""
    fields, notes = [Field("name", host.name)], []
    members = {server.name: name for name, server in reversed(list(daemons.items())) if server.clustered}
    own = daemons[host.name].name if host.name in daemons and daemons[host.name].clustered else ""
    if host.unreachable:
        facts.add_unread(host.name, host.unreachable.reason)
        notes.append(f"could not be read: {host.unreachable.reason}")
    if own and members[own] == host.name:
        fields.append(Field("member", own))
    elif own:
        notes.append(f"it reports the member name {own}, and so does {members[own]}: is it the same machine?")
    elif host.name not in daemons:
        notes.append("its member name is unknown: add member, if it differs from the host name")
    fields += [Field(key, value) for key, value in options.items()]
    is_another = members.get(host.name, host.name) != host.name and len(fields) == 1 + len(options)
    return Entry((host.name, host.member), tuple(fields), tuple(notes), commented=is_another)


def _members(incus: IncusFacts) -> tuple[Member, ...]:
    return incus.members if incus.server.clustered else ()


def auth(facts: DraftFacts) -> Section:
    """Draft ``auth``: the API addresses, without wildcards; and, commented out, everyone with full access."""
    listen, notes = {}, []
    for name, config in facts.from_hosts("the daemon's configuration", lambda host: host.incus.config).items():
        addresses = []
        for key in _LISTENING:
            address = config.get(key, "")
            if address and _host_part(address) in _WILDCARDS:
                notes.append(f"{name} listens on all addresses ({key} is {address}): left out. Which one is right?")
            elif address and address not in addresses:
                addresses.append(address)
        if addresses:
            listen[name] = addresses
    fields = [Field("listen", listen)] if listen else []
    trusted = facts.rows_of("certificates", lambda each: each.incus.trust)
    full = sorted(
        {entry.name or entry.fingerprint for entry in trusted if entry.type == "client" and not entry.restricted}
    )
    if full:
        fields.append(
            Field(
                "full_certificates", full, "these have full access now: uncomment only if they need it", commented=True
            )
        )
    admins = facts.from_hosts("the group incus-admin", lambda host: host.accounts.admins.all)
    if names := sorted({name for names in admins.values() for name in names}):
        fields.append(Field("admins", names, "these are in incus-admin now, which equals root access", commented=True))
    users = facts.from_hosts("the group incus", lambda host: host.accounts.users.all)
    if names := sorted({name for names in users.values() for name in names}):
        fields.append(Field("users", names, "these are in incus now, and may have a project each", commented=True))
    fields += _clients(facts)
    return schema_checked(Section("auth", tuple(notes), fields=tuple(fields)))


def _clients(facts: DraftFacts) -> list[Field]:
    """Draft the identity provider and the routes of clients, commented out: a person decides who may get in."""
    rows = facts.from_clusters(
        "the configuration of clients", lambda each: each.incus.first(lambda incus: incus.config)
    )
    fields = []
    providers = {row["oidc.issuer"]: row.get("oidc.client.id", "") for row in rows if row.get("oidc.issuer")}
    for issuer, client in list(providers.items())[:1]:
        found = {"issuer": issuer, **({"client_id": client} if client else {})}
        fields.append(Field("oidc", found, "its accounts get in now: uncomment only if they must", commented=True))
    routes = {
        key.removeprefix(_ROUTE): value
        for row in rows
        for key, value in sorted(row.items())
        if key.startswith(_ROUTE) and value
    }
    if routes:
        note = "what decides now what clients may do; allow means everything"
        fields.append(Field("routes", routes, note, commented=True))
    return fields


def zones(facts: DraftFacts) -> Section:
    """Draft ``zones``, with the peers commented out: a person decides who may get all names. Nothing if no daemon was asked for zones."""
    if not any(urls.ZONES in host.evidence.api for host in facts.hosts.values()):
        return Section("zones")
    entries = []
    for zone in facts.rows_of("DNS zones", lambda each: each.incus.zones):
        fields = [Field("name", zone.name)]
        if zone.project != "default":
            fields.append(Field("project", zone.project))
        if zone.peers:
            note = "these servers may transfer it now: uncomment only those that must"
            fields.append(Field("peers", dict(zone.peers), note, commented=True))
        entries.append(Entry((zone.resource,), tuple(fields)))
    return schema_checked(Section("zones", entries=tuple(entries)))


def _host_part(address: str) -> str:
    """Return the host of ``HOST:PORT``; an IPv6 address without brackets has no port."""
    if address.startswith("[") or address.count(":") == 1:
        return address.rpartition(":")[0] if not address.endswith("]") else address
    return address


def cluster(facts: DraftFacts) -> Section:
    """Draft ``cluster``: its current thresholds."""
    rows = facts.from_clusters("the cluster's configuration", lambda each: each.incus.first(_timing))
    fields = [Field(key, int(value)) for row in rows[:1] for key, value in row.items() if _is_number(value)]
    return schema_checked(Section("cluster", fields=tuple(fields)))


def _timing(incus: IncusFacts) -> dict[str, str]:
    """Return the thresholds of a cluster; none for a standalone host."""
    if not incus.server.clustered:
        return {}
    unset = ClusterSettings()
    return {
        "offline_threshold": incus.config.get("cluster.offline_threshold") or str(unset.offline_threshold),
        "healing_threshold": incus.config.get("cluster.healing_threshold") or str(unset.healing_threshold),
    }


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 10


def incus(facts: DraftFacts) -> Section:
    """Draft ``incus``: the oldest running version as the minimum."""
    servers = facts.from_hosts("the daemon", lambda host: host.incus.server)
    versions = {name: server.version for name, server in servers.items()}
    known = sorted({each for each in versions.values() if _VERSION.fullmatch(each)}, key=_numbers)
    if not known:
        return Section("incus")
    long_term = all(".".join(version.split(".")[:2]) in _LONG_TERM for version in known)
    notes = []
    if len(set(versions.values())) > 1:
        notes.append(f"versions differ: {', '.join(f'{name} {version}' for name, version in versions.items())}")
    fields = (Field("minimum", known[0]), Field("track", "lts" if long_term else "feature"))
    return schema_checked(Section("incus", tuple(notes), fields=fields))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def images(facts: DraftFacts) -> Section:
    """Draft ``images``: the servers of the existing images; without any, the default stays."""
    rows = facts.rows_of("images", lambda each: each.incus.images)
    servers = sorted({row.server.rstrip("/") for row in rows if row.server})
    notes = ("servers of the existing images: remove those that you do not trust",) if servers else ()
    fields = (Field("servers", servers),) if servers else ()
    return schema_checked(Section("images", notes, fields=fields))
