"""What a fix changes in Incus permanently: the changes that ``permanent.yaml.j2`` declares, and the objects as they are now.

``tofu`` writes the OpenTofu configuration from both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sigsrv.model import yamlfile
from sigsrv.model.managed import Manager
from sigsrv.model.values import split_list

Config = Mapping[str, str | None]  # None: the value is secret, so evidence does not have it


@dataclass(frozen=True)
class DeviceChange:
    """How a device of an instance or a profile changes. type: the new type, "" for the same; is_gone: whether it is removed."""

    set: Mapping[str, str] = field(default_factory=dict)
    type: str = ""
    is_gone: bool = False


@dataclass(frozen=True)
class Change:
    """A change of one object of Incus.

    kind: network, project, profile, instance, volume, pool or server. host: the host of the site file whose own keys of a network change;
    "" for keys of the whole cluster. member: the member whose own keys of a server change. set: the value of each key, "" unsets it.
    add, remove: entries of lists, by key.
    """

    kind: str
    name: str = ""
    project: str = ""
    pool: str = ""
    host: str = ""
    member: str = ""
    set: Mapping[str, str] = field(default_factory=dict)
    add: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remove: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    devices: Mapping[str, DeviceChange] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the configuration keys that change."""
        return tuple(dict.fromkeys((*self.set, *self.add, *self.remove)))

    def config(self, now: Config) -> dict[str, str | None]:
        """Return the configuration after the change."""
        found = dict(now)
        for key, value in self.set.items():
            found[key] = value
        for key in dict.fromkeys((*self.add, *self.remove)):
            gone = self.remove.get(key, ())
            # An interface may be listed with its parent and VLAN: user0/eth1/24.
            entries = [each for each in split_list(now.get(key)) if not {each, each.partition("/")[0]} & set(gone)]
            found[key] = ",".join(dict.fromkeys((*entries, *self.add.get(key, ()))))
        return {key: value for key, value in found.items() if value != ""}

    def changes(self, now: IncusObject) -> bool:
        """Report whether the object is not yet as the change makes it."""
        return self.config(now.config) != dict(now.config) or self.changed_devices(now) != dict(now.devices)

    def changed_devices(self, now: IncusObject) -> dict[str, Config]:
        """Return the object's own devices after the change. One that a profile gives becomes its own, with all that it has."""
        found = dict(now.devices)
        for name, change in self.devices.items():
            if change.is_gone:
                found.pop(name, None)
            elif change.type:
                found[name] = {"type": change.type, **change.set}
            else:
                before = found.get(name) or now.given_devices.get(name, {})
                merged: dict[str, str | None] = {**before, **change.set}
                found[name] = {key: value for key, value in merged.items() if value != ""}
        return found


@dataclass(frozen=True)
class IncusObject:
    """An object of Incus as the evidence has it.

    config: all keys that it has; of a network of one member, that member's own keys too. devices: its own devices, each with its type as
    ``type``. given_devices: those of an instance, with those of its profiles. type: of an instance, of a network or of a volume's content;
    of a pool its driver. host: of an instance, the host of the site file that has it, "" if that is unknown. member: the member of the
    cluster whose configuration this is, "" for that of the whole cluster and on a standalone server. has_twin: whether another member has
    a volume of this name.
    """

    kind: str
    name: str
    project: str = ""
    pool: str = ""
    member: str = ""
    config: Config = field(default_factory=dict)
    devices: Mapping[str, Config] = field(default_factory=dict)
    given_devices: Mapping[str, Config] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    description: str = ""
    type: str = ""
    status: str = ""
    is_ephemeral: bool = False
    host: str = ""
    has_twin: bool = False


@dataclass(frozen=True)
class Giver:
    """A profile that gives an instance a key. users: how many instances have the profile."""

    profile: str
    project: str
    value: str | None
    users: int


class Known(Protocol):
    """What was read of the hosts of one cluster, as far as permanent fixes need it. Each method returns None for what is not known."""

    def object_of(self, change: Change) -> IncusObject | None:
        """Return the object that a change concerns."""

    def giver(self, project: str, instance: str, key: str) -> Giver | None:
        """Return the profile that gives an instance a key which the instance does not set itself."""

    def profiles_of(self, project: str, instance: str) -> tuple[IncusObject, ...] | None:
        """Return the profiles of an instance, in the order in which Incus applies them: the last one wins."""

    def users(self, project: str, profile: str) -> tuple[IncusObject, ...] | None:
        """Return the instances that have a profile. None also if an instance could not be read: it may have the profile."""

    def vlan(self, host: str, link: str) -> tuple[str, int] | None:
        """Return the parent link and the id of a VLAN interface."""

    @property
    def managers(self) -> Sequence[Manager]:
        """Return the entries of ``managed_by`` of the site file."""

    def is_nixos(self, host: str) -> bool:
        """Report whether a host runs NixOS, or a system derived from it; False if that is unknown."""

    def group(self, host: str, name: str) -> tuple[str, ...] | None:
        """Return the accounts that a group of a host lists."""


def parse(text: str, path: Path) -> tuple[Change, ...]:
    """Parse a rendered ``permanent.yaml.j2``. path: for errors. Raises UsageError with file and line."""
    document = yamlfile.parse(text, path)
    for mistake in yamlfile.mistakes(document, yamlfile.schema("permanent")):
        raise mistake
    return tuple(_change(row) for row in document.data or ())


def _change(row: Mapping[str, Any]) -> Change:
    return Change(
        **{key: row[key] for key in ("kind", "name", "project", "pool", "host", "member") if key in row},
        set=_pairs(row.get("set") or ()),
        add={key: split_list(value) for key, value in _pairs(row.get("add") or ()).items()},
        remove={key: split_list(value) for key, value in _pairs(row.get("remove") or ()).items()},
        devices={
            each["name"]: DeviceChange(_pairs(each.get("set") or ()), each.get("type", ""), each.get("gone", False))
            for each in row.get("devices") or ()
        },
    )


def _pairs(words: Iterable[str]) -> dict[str, str]:
    """Return ``KEY=VALUE`` words as a mapping; the last one of a key counts."""
    return {key: value for key, _, value in (word.partition("=") for word in words)}
