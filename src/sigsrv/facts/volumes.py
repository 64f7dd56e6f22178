"""The custom volumes of the storage pools, with their snapshots and users.

Incus's list ``used_by`` is incomplete: it lacks instances that get a volume from a profile. In a list of all projects Incus also
looks a profile up as if it were in the project of the request. Source: Incus REST API, doc/rest-api.yaml (StorageVolume);
doc/config_options.txt (storage_volume).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from sigsrv.facts.config import VOLUME_BOOLEANS, Values, VolumeConfig, normalised
from sigsrv.facts.parsing import mapping, moment, rows, string, text, texts

ContentType = Annotated[str, Values(("filesystem", "block", "iso"))]
UserKind = Literal["instances", "profiles", "other"]
_USERS: tuple[UserKind, ...] = ("instances", "profiles")
_TYPES = frozenset({"custom", "container", "virtual-machine", "image"})


@dataclass(frozen=True)
class VolumeUser:
    """A resource that uses a volume."""

    kind: UserKind
    """``instances``, ``profiles`` or ``other``."""
    project: str
    """The project of the instance or profile; empty for kind ``other``."""
    name: str
    """The name of the instance or profile; the whole API path for kind ``other``."""


@dataclass(frozen=True)
class Volume:
    """A custom volume."""

    pool: str
    """The storage pool that contains the volume."""
    project: str
    """The project that owns the volume."""
    name: str
    """The volume's name."""
    location: str
    """The member that has the volume; empty if all members share the pool or the server is in no cluster."""
    content_type: ContentType
    """``filesystem``, ``block`` or ``iso``."""
    created: float | None
    """When the volume was created, in seconds since the epoch; None if Incus does not know."""
    config: VolumeConfig
    """The configuration, with its booleans filled in as ``true`` or ``false``."""
    used_by: tuple[VolumeUser, ...]
    """The users that Incus lists. The list is incomplete: ``ClusterFacts.users`` returns all users."""
    snapshots: tuple[float | None, ...]
    """When each snapshot was taken, in seconds since the epoch; None in place of a time that Incus does not know."""

    @property
    def resource(self) -> str:
        """Return the volume's name in findings: ``POOL/PROJECT/NAME``."""
        return f"{self.pool}/{self.project}/{self.name}"


def attached(devices: Mapping[str, Mapping[str, str]]) -> frozenset[tuple[str, str]]:
    """Return the custom volumes that devices attach, as (pool, name). A source may continue with a path inside the volume."""
    return frozenset(
        (device["pool"], device["source"].partition("/")[0])
        for device in devices.values()
        if device.get("type") == "disk" and device.get("pool") and device.get("source")
    )


def custom_volumes(pool: str, listed: Iterable[Mapping[str, Any]], full: bool = False) -> tuple[Volume, ...]:
    """Return the custom volumes among the rows of a pool's volumes. Snapshots have rows of their own, named ``VOLUME/SNAPSHOT``.

    full: each row has its snapshots as a list instead, null if it has none.
    Raises KeyError, TypeError or ValueError if a key is missing or has another type, or if a snapshot has no volume. Raises
    EvidenceError if the value of a boolean key is not a boolean.
    """
    custom = [row for row in listed if _type(row) == "custom"]
    taken: dict[tuple[str, str, str], list[float | None]] = {}
    for row in custom:
        taken.setdefault(_key(row), [])
        if "/" in row["name"]:
            taken[_key(row)].append(moment(row["created_at"], f"snapshot {row['name']}: created_at"))
        elif full:
            inside = [] if row["snapshots"] is None else row["snapshots"]
            own = rows(inside, f"volume {row['name']}: snapshots")
            taken[_key(row)] += [moment(each["created_at"], f"snapshot {row['name']}/{each['name']}") for each in own]
    found = tuple(_volume(pool, row, taken[_key(row)]) for row in custom if "/" not in row["name"])
    if orphans := set(taken) - {(each.location, each.project, each.name) for each in found}:
        raise ValueError(f"a snapshot without a volume: {sorted(orphans)[0][2]}")
    return found


def _type(row: Mapping[str, Any]) -> str:
    """Return the type of a volume. A row of another type may be a custom volume of a newer Incus, so it raises ValueError."""
    found = text(row["type"], "type")
    if found not in _TYPES:
        raise ValueError(f"volume {row['name']}: type {found!r} is not known")
    return found


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what identifies a volume in its pool: location, project and name. Several members may have volumes of one name."""
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
    """Read an entry of ``used_by``: ``/1.0/instances/web?project=user-john``. Without a project it means project default."""
    parts = urlsplit(address)
    segments = parts.path.split("/")
    kind = next((each for each in _USERS if len(segments) > 3 and segments[2] == each), None)
    if kind is None:
        return VolumeUser("other", "", address)
    return VolumeUser(kind, parse_qs(parts.query).get("project", ["default"])[0], unquote(segments[3]))
