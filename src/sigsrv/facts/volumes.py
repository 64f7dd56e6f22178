"""The custom volumes of the storage pools, with their snapshots and who uses them.

What Incus lists as ``used_by`` is not the whole truth: instances that have a volume from a profile are not in it, and in a list
of all projects a profile is looked up as if its project were the one that was asked. Source: Incus REST API, doc/rest-api.yaml
(StorageVolume); doc/config_options.txt (storage_volume).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sigsrv.facts.config import normalised
from sigsrv.facts.parsing import mapping, moment, string, text, texts

VOLUME_BOOLEANS: Mapping[str, bool] = {
    "security.shared": False,
    "security.shifted": False,
    "security.unmapped": False,
}
_USERS = ("instances", "profiles")


@dataclass(frozen=True)
class VolumeUser:
    """What uses a volume. kind: ``instances``, ``profiles``, or ``other`` with the whole address as its name."""

    kind: str
    project: str
    name: str


@dataclass(frozen=True)
class Volume:
    """A custom volume. location: its member; "" where the pool is of the whole cluster, or there is none.

    created, snapshots: when it was made, and each of them taken, in seconds since the epoch; None where Incus does not know.
    used_by: as Incus lists it (see above).
    """

    pool: str
    project: str
    name: str
    location: str
    content_type: str
    created: float | None
    config: Mapping[str, str]
    used_by: tuple[VolumeUser, ...]
    snapshots: tuple[float | None, ...]

    @property
    def resource(self) -> str:
        return f"{self.pool}/{self.project}/{self.name}"


def attached(devices: Mapping[str, Mapping[str, str]]) -> frozenset[tuple[str, str]]:
    """The custom volumes that devices attach, as pool and name; a source may go on with a path within the volume."""
    return frozenset(
        (device["pool"], device["source"].partition("/")[0])
        for device in devices.values()
        if device.get("type") == "disk" and device.get("pool") and device.get("source")
    )


def custom_volumes(pool: str, listed: Iterable[Mapping[str, Any]]) -> tuple[Volume, ...]:
    """The custom volumes among the rows of a pool's volumes; snapshots are rows of their own, ``VOLUME/SNAPSHOT``.

    Raises KeyError, TypeError or ValueError where something is missing or of another shape, also a snapshot of no volume;
    EvidenceError where a boolean is none.
    """
    custom = [row for row in listed if text(row["type"], "type") == "custom"]
    taken: dict[tuple[str, str, str], list[float | None]] = {}
    for row in custom:
        taken.setdefault(_key(row), [])
        if "/" in row["name"]:
            taken[_key(row)].append(moment(row["created_at"], f"snapshot {row['name']}: created_at"))
    found = tuple(_volume(pool, row, taken[_key(row)]) for row in custom if "/" not in row["name"])
    if orphans := set(taken) - {(each.location, each.project, each.name) for each in found}:
        raise ValueError(f"a snapshot of no volume: {sorted(orphans)[0][2]}")
    return found


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """What tells a volume of a pool from the others: volumes of one name may be on several members."""
    name = text(row["name"], "name").partition("/")[0]
    location = string(row["location"], f"volume {name}: location")
    return "" if location == "none" else location, text(row["project"], f"volume {name}: project"), name


def _volume(pool: str, row: Mapping[str, Any], snapshots: Iterable[float | None]) -> Volume:
    location, project, name = _key(row)
    where = f"volume {pool}/{project}/{name}"
    return Volume(
        pool=pool,
        project=project,
        name=name,
        location=location,
        content_type=text(row["content_type"], f"{where}: content_type"),
        created=moment(row["created_at"], f"{where}: created_at"),
        config=normalised(mapping(row["config"], f"{where}: config"), VOLUME_BOOLEANS, where),
        used_by=tuple(_use(address) for address in texts(row["used_by"], f"{where}: used_by")),
        snapshots=tuple(snapshots),
    )


def _use(address: str) -> VolumeUser:
    """Who an address of ``used_by`` names: ``/1.0/instances/web?project=user-john``; without a project it is default."""
    parts = urlsplit(address)
    segments = parts.path.split("/")
    if len(segments) < 4 or segments[2] not in _USERS:
        return VolumeUser("other", "", address)
    return VolumeUser(segments[2], parse_qs(parts.query).get("project", ["default"])[0], unquote(segments[3]))
