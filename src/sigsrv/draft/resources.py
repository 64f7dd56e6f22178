"""Pools, projects with what they use, and what of instances a site file may allow."""

from __future__ import annotations

import glob
import posixpath
from collections.abc import Iterable, Iterator, Mapping

from sigsrv.draft.document import Entry, Field, Section
from sigsrv.draft.found import Found, fitting
from sigsrv.facts.resources import Pool, Project
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import boolean, split_list

_FILE = ".img"  # the ending of the file that Incus makes where a pool is told no device
_ACCESS = "restricted.networks.access"


def pools(found: Found) -> Section:
    """``pools``: each with its driver, the ZFS pool below it and, where they are not all, the hosts that have it."""
    rows = found.listed("pools", lambda cluster: cluster.incus.pools)
    entries = tuple(_pool(found, row) for row in {row.name: row for row in rows}.values())
    return fitting(Section("pools", entries=entries))


def _pool(found: Found, pool: Pool) -> Entry:
    there = found.of_hosts(f"pool {pool.name}", lambda host: host.incus.pool_at(pool.name, host.member))
    configs = {name: here.config for name, here in there.items() if here}
    fields = [Field("name", pool.name), Field("driver", pool.driver)]
    zpools = {config["zfs.pool_name"] for config in configs.values() if config.get("zfs.pool_name")}
    if len(zpools) == 1 and "/" not in (zpool := zpools.pop()):
        fields.append(Field("zpool", zpool))
    members = [name for name, host in found.hosts.items() if not pool.locations or host.member in pool.locations]
    if pool.locations and len(members) < len(found.hosts):
        fields.append(Field("members", members))
    files = [name for name, config in configs.items() if config.get("source", "").endswith(_FILE)]
    if files:
        fields.append(Field("loop_ok", True, f"it is a file on {', '.join(files)}: only if that is meant", off=True))
    return Entry((pool.name,), tuple(fields))


def projects(found: Found, networks: Iterable[str], storage: Iterable[str]) -> Section:
    """``projects``, each with the networks and pools that it uses now. networks, storage: those that the draft has."""
    rows = found.listed("projects", lambda cluster: cluster.incus.projects)
    known = {"networks": tuple(networks), "pools": tuple(storage)}
    used = _used(found)
    for row in rows:
        used.setdefault(row.name, {}).setdefault("networks", set()).update(split_list(row.config.get(_ACCESS)))
    entries = [_project(row, used.get(row.name, {}), known) for row in {row.name: row for row in rows}.values()]
    entries.sort(key=lambda entry: entry.names != ("default",))
    if entries:
        rest = (Field("match", "*"), Field("kind", "user"))
        notes = ("projects that come later: without such an entry each of them is a finding",)
        entries.append(Entry(("*",), rest, notes, off=True))
    note = "networks and pools: those in use or allowed now. Take out what a project must not use"
    return fitting(Section("projects", (note,) if entries else (), tuple(entries)))


def _project(project: Project, used: Mapping[str, set[str]], known: Mapping[str, tuple[str, ...]]) -> Entry:
    kind = "system" if project.name == "default" else "user"
    fields = [Field("match", glob.escape(project.name)), Field("kind", kind)]
    for key, names in known.items():
        mine = used.get(key, set())
        strange = ", ".join(sorted(mine - set(names)))
        note = f"also {strange}: once it stands above" if strange else ""
        fields.append(Field(key, [name for name in names if name in mine], note))
    return Entry((project.name,), tuple(fields), () if kind == "system" else ("system or user?",))


def _used(found: Found) -> dict[str, dict[str, set[str]]]:
    """By project the networks and pools that devices of its instances and profiles name."""
    used: dict[str, dict[str, set[str]]] = {}
    holders = [(instance.project, instance.expanded_devices) for instance, _ in found.instances]
    profiles = found.listed("profiles", lambda cluster: cluster.incus.profiles)
    holders += [(profile.project, profile.devices) for profile in profiles]
    for project, devices in holders:
        mine = used.setdefault(project, {"networks": set(), "pools": set()})
        for device in devices.values():
            if device.get("type") == "nic":
                mine["networks"] |= {device["network"]} if device.get("network") else set()
            elif device.get("type") == "disk":
                mine["pools"] |= {device["pool"]} if device.get("pool") else set()
    return used


def proxies(found: Found) -> Section:
    """``proxies``: every proxy device, commented out: a person decides which may be."""
    entries = [
        Entry(
            (instance,),
            (
                Field("instance", glob.escape(instance)),
                Field("listen", glob.escape(device.get("listen", ""))),
                Field("connect", glob.escape(device.get("connect", ""))),
            ),
            off=True,
        )
        for instance, device in _devices(found, "proxy")
    ]
    return Section("proxies", ("as found; uncomment those that may be",) if entries else (), tuple(entries))


def host_paths(found: Found) -> Section:
    """``host_paths``: every path of a host in an instance, commented out."""
    entries = []
    for instance, device in _devices(found, "disk"):
        source = device.get("source", "")
        if not device.get("pool") and source.startswith("/"):
            fields = [
                Field("instance", glob.escape(instance)),
                Field("source", glob.escape(posixpath.normpath(source))),
            ]
            if device.get("readonly", "").lower() in ("true", "1", "yes", "on"):
                fields.append(Field("readonly", True))
            entries.append(Entry((instance,), tuple(fields), off=True))
    note = "paths of a host that an instance mounts now; uncomment those that may be"
    return Section("host_paths", (note,) if entries else (), tuple(entries))


def _devices(found: Found, kind: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    for instance, _ in found.instances:
        for device in instance.expanded_devices.values():
            if device.get("type") == kind:
                yield instance.resource, device


def critical(found: Found) -> Section:
    """``critical``: instances that start with their host, commented out: a suggestion."""
    names = []
    for instance, _ in found.instances:
        try:
            starts = boolean(instance.expanded_config.get("boot.autostart"), False, instance.resource)
        except EvidenceError as cause:
            found.miss(f"boot.autostart of {instance.resource}", cause)
            continue
        if starts:
            names.append(glob.escape(instance.resource))
    note = "instances that must run, start by themselves and be protected. These start with their host now"
    entries = tuple(Entry((name,), name, off=True) for name in names)
    return Section("critical", (note,) if names else (), entries)
