"""Drafts pools, projects with the resources they use, and what instances may do."""

from __future__ import annotations

import glob
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping

from sigsrv.draft.document import Entry, Field, Section
from sigsrv.draft.facts import DraftFacts, schema_checked
from sigsrv.facts.pools import Pool
from sigsrv.facts.resources import Project
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import DEFAULT_LIMITS
from sigsrv.model.values import boolean, split_list

_FILE = ".img"  # suffix of the file that Incus creates for a pool without a device
_ACCESS = "restricted.networks.access"
_DEFAULT = "default"  # the project that Incus always has
_LIMIT = re.compile(r"limits\.[a-z.-]+")  # not limits.disk.pool.NAME of a pool with another character in its name
_REASON = "instances of the system are in it, and may need host devices"


def pools(facts: DraftFacts) -> Section:
    """Draft ``pools``, each with its driver, its ZFS pool and, if not all hosts have it, its members."""
    rows = facts.rows_of("pools", lambda cluster: cluster.incus.pools)
    entries = tuple(_pool(facts, row) for row in {row.name: row for row in rows}.values())
    return schema_checked(Section("pools", entries=entries))


def _pool(facts: DraftFacts, pool: Pool) -> Entry:
    there = facts.from_hosts(f"pool {pool.name}", lambda host: host.incus.pool_at(pool.name, host.member))
    configs = {name: here.config for name, here in there.items() if here}
    fields = [Field("name", pool.name), Field("driver", pool.driver)]
    zpools = {config["zfs.pool_name"] for config in configs.values() if config.get("zfs.pool_name")}
    if len(zpools) == 1 and "/" not in (zpool := zpools.pop()):
        fields.append(Field("zpool", zpool))
    members = facts.hosts_with(pool.name, lambda cluster: cluster.incus.pools)
    if len(members) < len(facts.hosts):
        fields.append(Field("members", members))
    files = [name for name, config in configs.items() if config.get("source", "").endswith(_FILE)]
    if files:
        fields.append(
            Field("loop_ok", True, f"it is a file on {', '.join(files)}: uncomment only if intended", commented=True)
        )
    return Entry((pool.name,), tuple(fields))


def projects(facts: DraftFacts, networks: Iterable[str], storage: Iterable[str]) -> Section:
    """Draft ``projects``, each with the networks and pools that it uses now. networks, storage: those in the draft."""
    rows = facts.rows_of("projects", lambda cluster: cluster.incus.projects)
    known = {"networks": tuple(networks), "pools": tuple(storage)}
    used = _used(facts)
    for row in rows:
        used.setdefault(row.name, {}).setdefault("networks", set()).update(split_list(row.config.get(_ACCESS)))
    entries = [_project(row, used.get(row.name, {}), known) for row in {row.name: row for row in rows}.values()]
    entries.sort(key=lambda entry: entry.names != (_DEFAULT,))
    if entries:
        rest = (Field("match", "*"), Field("kind", "user"))
        notes = ("for later projects: without such an entry, each new project is a finding",)
        entries.append(Entry(("*",), rest, notes, commented=True))
    note = "networks and pools: those in use or allowed now. Remove those that a project must not use"
    return schema_checked(Section("projects", (note,) if entries else (), tuple(entries)))


def _project(project: Project, used: Mapping[str, set[str]], known: Mapping[str, tuple[str, ...]]) -> Entry:
    kind = "system" if project.name == _DEFAULT else "user"
    fields = [Field("match", glob.escape(project.name)), Field("kind", kind)]
    for key, names in known.items():
        mine = used.get(key, set())
        strange = ", ".join(sorted(mine - set(names)))
        note = f"also uses {strange}: add it here once it is defined above" if strange else ""
        fields.append(Field(key, [name for name in names if name in mine], note))
    fields += _limits(project, kind)
    return Entry((project.name,), tuple(fields), () if kind == "system" else ("system or user?",))


def _limits(project: Project, kind: str) -> list[Field]:
    """Draft the limits of a project with the values that they have. What a project of users lacks stays a finding."""
    values = {
        key: value
        for key, value in sorted(project.config.items())
        if _LIMIT.fullmatch(key) and key in project.limits and key not in project.unread_limits
    }
    if not values:
        return []
    lacks = [key for key in DEFAULT_LIMITS if key not in values] if kind == "user" else []
    note = f"now; it has no {' and no '.join(lacks)}: add that before you uncomment" if lacks else ""
    return [Field("limits", values, note, commented=bool(lacks))]


def exempt(facts: DraftFacts) -> Section:
    """Draft ``exempt``: an unrestricted project ``default``. The fix of PROJ-001 could stop what its instances need."""
    rows = facts.rows_of("projects", lambda cluster: cluster.incus.projects)
    if all(row.name != _DEFAULT or row.config.get("restricted") == "true" for row in rows):
        return Section("exempt")
    notes = (
        "Permanent exceptions, each with its reason. Decide about this one: the project default is not restricted now. Without",
        "this entry PROJ-001 fails, and its fix sets restricted=true there.",
    )
    return Section("exempt", notes, fields=(Field("PROJ-001", [{"match": _DEFAULT, "reason": _REASON}]),))


def _used(facts: DraftFacts) -> dict[str, dict[str, set[str]]]:
    """Return the networks and pools that the devices of instances and profiles name, by project."""
    used: dict[str, dict[str, set[str]]] = {}
    holders = [(instance.project, instance.expanded_devices) for instance, _ in facts.instances]
    profiles = facts.rows_of("profiles", lambda cluster: cluster.incus.profiles)
    holders += [(profile.project, profile.devices) for profile in profiles]
    for project, devices in holders:
        mine = used.setdefault(project, {"networks": set(), "pools": set()})
        for device in devices.values():
            if device.get("type") == "nic":
                mine["networks"] |= {device["network"]} if device.get("network") else set()
            elif device.get("type") == "disk":
                mine["pools"] |= {device["pool"]} if device.get("pool") else set()
    return used


def proxies(facts: DraftFacts) -> Section:
    """Draft ``proxies``: every proxy device, commented out, because a person decides which are allowed."""
    entries = [
        Entry(
            (instance,),
            (
                Field("instance", glob.escape(instance)),
                Field("listen", glob.escape(device.get("listen", ""))),
                Field("connect", glob.escape(device.get("connect", ""))),
            ),
            commented=True,
        )
        for instance, device in _devices(facts, "proxy")
    ]
    return Section("proxies", ("found now; uncomment those that are allowed",) if entries else (), tuple(entries))


def host_paths(facts: DraftFacts) -> Section:
    """Draft ``host_paths``: every host path that an instance mounts, commented out."""
    entries = []
    for instance, device in _devices(facts, "disk"):
        source = device.get("source", "")
        if not device.get("pool") and source.startswith("/"):
            fields = [
                Field("instance", glob.escape(instance)),
                Field("source", glob.escape(posixpath.normpath(source))),
            ]
            if device.get("readonly", "").lower() in ("true", "1", "yes", "on"):
                fields.append(Field("readonly", True))
            entries.append(Entry((instance,), tuple(fields), commented=True))
    note = "host paths that instances mount now; uncomment those that are allowed"
    return Section("host_paths", (note,) if entries else (), tuple(entries))


def _devices(facts: DraftFacts, kind: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    for instance, _ in facts.instances:
        for device in instance.expanded_devices.values():
            if device.get("type") == kind:
                yield instance.resource, device


def critical(facts: DraftFacts) -> Section:
    """Draft ``critical``: instances that start with their host, commented out, as a suggestion."""
    names = []
    for instance, _ in facts.instances:
        try:
            starts = boolean(instance.expanded_config.get("boot.autostart"), False, instance.resource)
        except EvidenceError as cause:
            facts.add_unread(f"boot.autostart of {instance.resource}", cause)
            continue
        if starts:
            names.append(glob.escape(instance.resource))
    note = "instances that must run, start with their host and be protected. These start with their host now"
    entries = tuple(Entry((name,), name, commented=True) for name in names)
    return Section("critical", (note,) if names else (), entries)
