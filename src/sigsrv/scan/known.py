"""The objects of Incus as one cluster reports them, for permanent fixes: what OpenTofu must keep, which no policy looks at.

Nothing here takes part in a verdict. What can't be read is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar

from sigsrv.collect import urls
from sigsrv.collect.redact import REDACTED
from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.reading import guard
from sigsrv.model.errors import EvidenceError
from sigsrv.model.lasting import Change, Config, Giver, IncusObject
from sigsrv.model.managed import Manager
from sigsrv.model.names import bad_character
from sigsrv.model.values import is_true

T = TypeVar("T")
_Row = Mapping[str, Any]
_Key = tuple[str, str]  # project and name


class KnownObjects:
    """What the hosts of a cluster answered, as ``sigsrv.model.lasting.Known``."""

    def __init__(self, cluster: ClusterFacts, managers: Sequence[Manager] = ()) -> None:
        self._hosts = cluster.hosts
        self.managers = managers

    def is_nixos(self, host: str) -> bool:
        """Report whether a host runs NixOS, or a system derived from it; False if that is unknown."""
        return bool(self._read(host, lambda facts: facts.machine.os.is_any("nixos")))

    def object_of(self, change: Change) -> IncusObject | None:
        """Return the object that a change concerns."""
        find = {
            "network": self._network,
            "project": self._project,
            "profile": self._profile,
            "instance": self._instance,
            "volume": self._volume,
            "pool": self._pool,
        }[change.kind]
        with suppress(KeyError, TypeError, ValueError, AttributeError):  # an odd row: nothing is known of the object
            return find(change)
        return None

    def giver(self, project: str, instance: str, key: str) -> Giver | None:
        """Return the profile that gives an instance a key which the instance does not set itself. The last profile wins."""
        row = self._instances.get((project, instance))
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            if row is None or key in row["config"]:
                return None
            owner = self._profile_project(project)
            for name in reversed(row["profiles"]):
                profile = self._profiles[owner, name]
                if key in profile["config"]:
                    return Giver(name, owner, _config(profile["config"])[key], self._users[owner, name])
        return None

    def profiles_of(self, project: str, instance: str) -> tuple[IncusObject, ...] | None:
        """Return the profiles of an instance, in the order in which Incus applies them: the last one wins."""
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            owner = self._profile_project(project)
            names = self._instances[project, instance]["profiles"]
            found = [self._profile(Change("profile", name, project=owner)) for name in names]
            return None if None in found else tuple(each for each in found if each)
        return None

    def users(self, project: str, profile: str) -> tuple[IncusObject, ...] | None:
        """Return the instances that have a profile. None also if an instance could not be read: it may have the profile."""
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            if not self._has_all_instances:
                return None
            found = [
                self._instance(Change("instance", name, project=where))
                for (where, name), row in sorted(self._instances.items())
                if self._profile_project(where) == project and profile in row["profiles"]
            ]
            return None if None in found else tuple(each for each in found if each)
        return None

    def vlan(self, host: str, link: str) -> tuple[str, int] | None:
        """Return the parent link and the id of a VLAN interface."""

        def read(facts: HostFacts) -> tuple[str, int] | None:
            found = facts.network.links.get(link)
            if found is None or found.kind != "vlan" or not found.parent or found.vlan_id is None:
                return None
            return None if bad_character(found.parent) else (found.parent, found.vlan_id)

        return self._read(host, read)

    def group(self, host: str, name: str) -> tuple[str, ...] | None:
        """Return the accounts that a group of a host lists."""

        def read(facts: HostFacts) -> tuple[str, ...] | None:
            found = facts.accounts.members(name).listed
            return found if facts.accounts.knows(name) and not bad_character("".join(found)) else None

        return self._read(host, read)

    def _read(self, host: str, read: Callable[[HostFacts], T | None]) -> T | None:
        with suppress(EvidenceError, KeyError):
            facts = self._hosts[host]
            return guard(lambda: read(facts))
        return None

    def _network(self, change: Change) -> IncusObject | None:
        row = next(
            (each for each in self._rows(urls.NETWORKS) if each["name"] == change.name and each["managed"]), None
        )
        at = self._hosts.get(change.host)
        member = ""
        if change.host and (at is None or self._is_clustered is None):
            return None
        if change.host and at and self._is_clustered:
            member = at.member
            row = _answer(at, urls.network_url(change.name, member))
        if row is None:
            return None
        return self._made("network", row, project=row.get("project") or "default", member=member, type=str(row["type"]))

    def _project(self, change: Change) -> IncusObject | None:
        row = next((each for each in self._rows(urls.PROJECTS) if each["name"] == change.name), None)
        return None if row is None else self._made("project", row)

    def _pool(self, change: Change) -> IncusObject | None:
        row = next((each for each in self._rows(urls.POOLS) if each["name"] == change.name), None)
        return None if row is None else self._made("pool", row, type=str(row["driver"]))

    def _profile(self, change: Change) -> IncusObject | None:
        row = self._profiles.get((change.project or "default", change.name))
        if row is None:
            return None
        return self._made("profile", row, project=row["project"], devices=_devices(row["devices"]))

    def _instance(self, change: Change) -> IncusObject | None:
        row = self._instances.get((change.project or "default", change.name))
        if row is None:
            return None
        return self._made(
            "instance",
            row,
            project=row["project"],
            devices=_devices(row["devices"]),
            given_devices=_devices(row.get("expanded_devices") or {}),
            profiles=tuple(_text(name) for name in row["profiles"]),
            type=_text(row["type"]),
            status=_text(row["status"]),
            is_ephemeral=row["ephemeral"] is True,
            host=self._host_of(row.get("location")),
        )

    def _host_of(self, location: Any) -> str:
        """Return the host of the site file that is a member; the only one if there is no cluster."""
        if self._is_clustered is False:
            return next(iter(self._hosts))
        return next((name for name, host in self._hosts.items() if host.member == location), "")

    def _volume(self, change: Change) -> IncusObject | None:
        found = self._volumes(change.pool).get((change.project or "default", change.name), [])
        row = next((each for each in found if change.member in ("", each.get("location"))), None)
        if row is None:
            return None
        return self._made(
            "volume",
            row,
            project=row["project"],
            pool=change.pool,
            type=str(row.get("content_type") or ""),
            has_twin=len(found) > 1,
        )

    @staticmethod
    def _made(kind: str, row: _Row, **more: Any) -> IncusObject:
        return IncusObject(
            kind,
            _text(row["name"]),
            config=_config(row["config"]),
            description=str(row.get("description") or ""),
            **more,
        )

    @cached_property
    def _is_clustered(self) -> bool | None:
        """Report whether the hosts are members of a cluster; None if no daemon says so."""
        for host in self._hosts.values():
            with suppress(EvidenceError):
                return host.incus.server.clustered
        return None

    def _rows(self, url: str) -> Iterator[_Row]:
        """Yield the rows of the first answer to a URL."""
        for host in self._hosts.values():
            answer = host.evidence.api.get(url)
            if answer and isinstance(answer.metadata, list) and answer.metadata:
                yield from (row for row in answer.metadata if isinstance(row, dict))
                return

    @cached_property
    def _profiles(self) -> Mapping[_Key, _Row]:
        return _by_name(self._rows(urls.PROFILES))

    @cached_property
    def _instances(self) -> Mapping[_Key, _Row]:
        """Map (project, name) to the row of the instance's own member, else to the first one that has its configuration."""
        found: dict[_Key, _Row] = {}
        own: dict[_Key, _Row] = {}
        for host in self._hosts.values():
            answers = (host.evidence.api.get(url) for url in (urls.INSTANCES, urls.INSTANCES_CONFIG))
            rows = next((each.metadata for each in answers if each and isinstance(each.metadata, list)), [])
            for key, row in _by_name(
                row for row in rows if isinstance(row, dict) and isinstance(row.get("config"), dict)
            ).items():
                found.setdefault(key, row)
                if row.get("location") == host.member:
                    own[key] = row
        return found | own

    @cached_property
    def _has_all_instances(self) -> bool:
        """Report whether each instance that a daemon lists was read: a member that does not answer leaves rows without a configuration."""
        listed: set[_Key] = set()
        for host in self._hosts.values():
            for url in (urls.INSTANCES, urls.INSTANCES_CONFIG):
                answer = host.evidence.api.get(url)
                if answer and isinstance(answer.metadata, list):
                    listed |= {(row["project"], row["name"]) for row in answer.metadata}
        return bool(listed) and listed <= self._instances.keys()

    @cached_property
    def _users(self) -> Mapping[_Key, int]:
        """Map (project, name) of a profile to how many instances have it."""
        return Counter(
            (self._profile_project(row["project"]), name)
            for row in self._instances.values()
            for name in row.get("profiles") or ()
        )

    def _profile_project(self, project: str) -> str:
        """Return the project that owns the profiles of another one."""
        return project if project in self._with_profiles else "default"

    @cached_property
    def _with_profiles(self) -> frozenset[str]:
        rows = ((row.get("name"), row.get("config")) for row in self._rows(urls.PROJECTS))
        return frozenset(
            name
            for name, config in rows
            if isinstance(name, str) and isinstance(config, dict) and is_true(str(config.get("features.profiles")))
        )

    @cached_property
    def _pools(self) -> dict[str, Mapping[_Key, list[_Row]]]:
        return {}

    def _volumes(self, pool: str) -> Mapping[_Key, list[_Row]]:
        """Map (project, name) to the custom volumes of a pool: several if several members have one of that name."""
        if pool not in self._pools:
            found: dict[_Key, list[_Row]] = {}
            for row in (*self._rows(urls.volumes_url(pool)), *self._rows(urls.volumes_url(pool, full=True))):
                if row.get("type") == "custom" and isinstance(row.get("name"), str):
                    found.setdefault((str(row.get("project")), row["name"]), []).append(row)
            self._pools[pool] = found
        return self._pools[pool]


def _answer(host: HostFacts, url: str) -> _Row | None:
    answer = host.evidence.api.get(url)
    return answer.metadata if answer and isinstance(answer.metadata, dict) else None


def _by_name(rows: Iterable[_Row]) -> dict[_Key, _Row]:
    return {
        (row["project"], row["name"]): row
        for row in rows
        if isinstance(row.get("project"), str) and isinstance(row.get("name"), str)
    }


def _devices(value: Any) -> Mapping[str, Config]:
    return {_text(name): _config(device) for name, device in value.items()}


def _config(value: Any) -> Config:
    """Return a configuration without the values that were redacted. Raises TypeError if it is none."""
    return {_text(key): None if REDACTED in _text(text) else text for key, text in value.items()}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of a text")
    return value
