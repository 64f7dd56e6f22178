"""Hosts, and what their daemons say of themselves: addresses, versions, the cluster's timing, trust, images."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sigsrv.draft.document import Entry, Field, Section
from sigsrv.draft.found import Found, fitting
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.members import Member
from sigsrv.facts.resources import Server
from sigsrv.model.site import ClusterSettings

_LISTENING = ("core.https_address", "cluster.https_address")
_WILDCARDS = frozenset({"", "0.0.0.0", "::", "[::]", "*"})  # noqa: S104
_LONG_TERM = ("6.0", "7.0")  # the series that get fixes for years
_VERSION = re.compile(r"\d+(?:\.\d+){1,2}", re.ASCII)

Options = Mapping[str, Mapping[str, object]]


def hosts(found: Found, options: Options, notes: tuple[str, ...]) -> Section:
    """``hosts``, each with its name in the cluster. options: by host, what the command line says of the way to it."""
    told = found.of_hosts("the daemon", lambda host: host.incus.server)
    entries = tuple(_host(found, host, told, options.get(name, {})) for name, host in found.hosts.items())
    rows = found.listed("members", lambda each: each.incus.first(_members))
    named = {host.member for host in found.hosts.values()}
    others = ", ".join(row.name for row in rows if row.name not in named)
    more = (f"members of the cluster that were not asked: {others}",) if others else ()
    return fitting(Section("hosts", (*notes, *more), entries))


def _host(found: Found, host: HostFacts, told: Mapping[str, Server], options: Mapping[str, object]) -> Entry:
    """A host. Where two say that they are one member, the first of them is it; a site file has each member once."""
    fields, notes = [Field("name", host.name)], []
    members = {server.name: name for name, server in reversed(list(told.items())) if server.clustered}
    own = told[host.name].name if host.name in told and told[host.name].clustered else ""
    if host.unreachable:
        found.miss(host.name, host.unreachable.reason)
        notes.append(f"could not be read: {host.unreachable.reason}")
    if own and members[own] == host.name:
        fields.append(Field("member", own))
    elif own:
        notes.append(f"it says that it is the member {own}, as {members[own]} does: is it the same machine?")
    elif host.name not in told:
        notes.append("its name in the cluster is not known: add it as member, if it is another")
    fields += [Field(key, value) for key, value in options.items()]
    is_another = members.get(host.name, host.name) != host.name and len(fields) == 1 + len(options)
    return Entry((host.name, host.member), tuple(fields), tuple(notes), off=is_another)


def _members(incus: IncusFacts) -> tuple[Member, ...]:
    return incus.members if incus.server.clustered else ()


def auth(found: Found) -> Section:
    """``auth``: where each API listens, but not on every address; who may do everything, commented out."""
    listen, notes = {}, []
    for name, config in found.of_hosts("the daemon's configuration", lambda host: host.incus.config).items():
        addresses = []
        for key in _LISTENING:
            address = config.get(key, "")
            if address and _host_part(address) in _WILDCARDS:
                notes.append(f"{name} listens on every address ({key} is {address}): left out. On which should it?")
            elif address and address not in addresses:
                addresses.append(address)
        if addresses:
            listen[name] = addresses
    fields = [Field("listen", listen)] if listen else []
    trusted = found.listed("certificates", lambda each: each.incus.trust)
    full = sorted(
        {entry.name or entry.fingerprint for entry in trusted if entry.type == "client" and not entry.restricted}
    )
    if full:
        fields.append(Field("full_certificates", full, "these may do everything now: only if they must", off=True))
    admins = found.of_hosts("the group incus-admin", lambda host: host.accounts.members("incus-admin").all)
    if names := sorted({name for names in admins.values() for name in names}):
        fields.append(Field("admins", names, "these are in incus-admin now, which is as good as root", off=True))
    return fitting(Section("auth", tuple(notes), fields=tuple(fields)))


def _host_part(address: str) -> str:
    """The host of ``HOST:PORT``; an IPv6 address without brackets has no port."""
    if address.startswith("[") or address.count(":") == 1:
        return address.rpartition(":")[0] if not address.endswith("]") else address
    return address


def cluster(found: Found) -> Section:
    """``cluster``: its timing as it is now."""
    rows = found.of_clusters("the cluster's configuration", lambda each: each.incus.first(_timing))
    fields = [Field(key, int(value)) for row in rows[:1] for key, value in row.items() if _is_number(value)]
    return fitting(Section("cluster", fields=tuple(fields)))


def _timing(incus: IncusFacts) -> dict[str, str]:
    """The thresholds of a cluster; none of a server that is in none."""
    if not incus.server.clustered:
        return {}
    unset = ClusterSettings()
    return {
        "offline_threshold": incus.config.get("cluster.offline_threshold") or str(unset.offline_threshold),
        "healing_threshold": incus.config.get("cluster.healing_threshold") or str(unset.healing_threshold),
    }


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 10


def incus(found: Found) -> Section:
    """``incus``: no older than what runs now."""
    servers = found.of_hosts("the daemon", lambda host: host.incus.server)
    versions = {name: server.version for name, server in servers.items()}
    known = sorted({each for each in versions.values() if _VERSION.fullmatch(each)}, key=_numbers)
    if not known:
        return Section("incus")
    long_term = all(".".join(version.split(".")[:2]) in _LONG_TERM for version in known)
    notes = []
    if len(set(versions.values())) > 1:
        notes.append(f"not the same everywhere: {', '.join(f'{name} {version}' for name, version in versions.items())}")
    fields = (Field("minimum", known[0]), Field("track", "lts" if long_term else "feature"))
    return fitting(Section("incus", tuple(notes), fields=fields))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def images(found: Found) -> Section:
    """``images``: the servers that images came from; where none did, the default stands."""
    rows = found.listed("images", lambda each: each.incus.images)
    servers = sorted({row.server.rstrip("/") for row in rows if row.server})
    notes = ("where images came from: take out what you do not trust",) if servers else ()
    fields = (Field("servers", servers),) if servers else ()
    return fitting(Section("images", notes, fields=fields))
