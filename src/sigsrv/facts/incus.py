"""facts.incus: what one host's Incus daemon answered, as typed views.

Room: facts. May import errors and collect. Values of configuration are normalised as Incus parses them.
Source: Incus REST API, doc/rest-api.yaml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from sigsrv.collect import api as url
from sigsrv.collect.evidence import Evidence
from sigsrv.errors import EvidenceError, FailureKind
from sigsrv.facts.config import INSTANCE_BOOLEANS, PROJECT_BOOLEANS, boolean, normalised
from sigsrv.facts.reading import api, mapping, reading, rows, text

T = TypeVar("T")
Config = Mapping[str, str]


@dataclass(frozen=True)
class Server:
    """The daemon itself. trusted: whether it showed us everything, or a filtered view."""

    trusted: bool
    clustered: bool
    name: str
    version: str


@dataclass(frozen=True)
class Member:
    """A cluster member, as the daemon asked sees it. status: ``Online``, ``Offline``, ``Evacuated``, ``Blocked``."""

    name: str
    status: str
    message: str


@dataclass(frozen=True)
class Project:
    name: str
    config: Config


@dataclass(frozen=True)
class Profile:
    name: str
    project: str
    config: Config
    devices: Mapping[str, Config]


@dataclass(frozen=True)
class Instance:
    """An instance of any project. config: its own, as written; expanded_*: with its profiles, booleans and defaults filled in."""

    name: str
    project: str
    location: str
    type: str  # container or virtual-machine
    status: str  # Running, Stopped, Frozen, Error (its member did not answer) ...
    config: Config
    expanded_config: Config
    expanded_devices: Mapping[str, Config]
    devices: Mapping[str, Config]
    profiles: tuple[str, ...]

    @property
    def resource(self) -> str:
        return f"{self.project}/{self.name}"


@dataclass(frozen=True)
class UnreadInstance:
    """An instance that is known by name only: the member that it is on did not answer the daemon that was asked."""

    name: str
    project: str
    location: str

    @property
    def resource(self) -> str:
        return f"{self.project}/{self.name}"


@dataclass(frozen=True)
class Network:
    name: str
    managed: bool
    type: str
    status: str
    config: Config


@dataclass(frozen=True)
class NetworkAcl:
    name: str
    project: str


@dataclass(frozen=True)
class Pool:
    """A storage pool, of the cluster or as one member has it. locations: the members that have it."""

    name: str
    driver: str
    status: str
    locations: tuple[str, ...]
    config: Config


@dataclass(frozen=True)
class Warning:
    type: str
    status: str
    location: str
    entity_url: str
    message: str


def _config(value: Any, what: str) -> dict[str, str]:
    """A configuration, or a device. Incus writes all values as text."""
    found = mapping(value, what)
    return {str(key): str(item) for key, item in found.items()}


def _devices(value: Any, what: str) -> dict[str, dict[str, str]]:
    return {str(name): _config(device, f"{what} {name}") for name, device in mapping(value, what).items()}


def instance(row: Mapping[str, Any]) -> Instance | UnreadInstance:
    """An instance from its row. Raises KeyError, TypeError, ValueError where a structural key is missing; EvidenceError.

    Of a member that is away Incus lists the instances with status Error and ``null`` for all of their configuration.
    """
    name = text(row["name"], "name")
    where = f"instance {row['project']}/{name}"
    if row["config"] is None and row["status"] == "Error":
        return UnreadInstance(
            name, text(row["project"], f"{where}: project"), text(row["location"], f"{where}: location")
        )
    return Instance(
        name=name,
        project=text(row["project"], f"{where}: project"),
        location=str(row["location"]),
        type=text(row["type"], f"{where}: type"),
        status=text(row["status"], f"{where}: status"),
        config=_config(row["config"], f"{where}: config"),
        expanded_config=normalised(
            mapping(row["expanded_config"], f"{where}: expanded_config"), INSTANCE_BOOLEANS, where
        ),
        expanded_devices=_devices(row["expanded_devices"], f"{where}: expanded_devices"),
        devices=_devices(row["devices"], f"{where}: devices"),
        profiles=tuple(str(profile) for profile in row["profiles"] or ()),
    )


def project(row: Mapping[str, Any]) -> Project:
    """A project from its row; its booleans are filled in. Raises as ``instance``."""
    name = text(row["name"], "name")
    return Project(name, normalised(mapping(row["config"], name), PROJECT_BOOLEANS, f"project {name}"))


def _network(row: Mapping[str, Any]) -> Network:
    name = text(row["name"], "name")
    if not isinstance(row["managed"], bool):
        raise ValueError(f"network {name}: managed: not a boolean")
    status = text(row["status"], "status") if row["managed"] else ""
    return Network(name, row["managed"], text(row["type"], "type"), status, _config(row["config"] or {}, name))


def _pool(row: Mapping[str, Any]) -> Pool:
    name = text(row["name"], "name")
    locations = row.get("locations") or ()
    driver, status = text(row["driver"], "driver"), text(row["status"], "status")
    return Pool(name, driver, status, tuple(str(member) for member in locations), _config(row["config"] or {}, name))


@dataclass(frozen=True)
class IncusFacts:
    """What one host's daemon told. Each view raises EvidenceError where it could not be read."""

    evidence: Evidence

    def _list(self, address: str, make: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
        with reading(f"Incus API {address}", self.evidence.host):
            return tuple(make(row) for row in rows(api(self.evidence, address), "answer"))

    def _full(self) -> None:
        """Refuse a filtered view: a restricted client sees lists without what it may not see, and no error.

        Raises EvidenceError where the daemon does not trust us, or refuses its warnings, which only a full administrator reads.
        """
        host = self.evidence.host
        if not self.server.trusted:
            raise EvidenceError(
                f"{host}: Incus does not trust this client: it sees a part only", FailureKind.DENIED, host
            )
        self.warnings  # noqa: B018  the reading is the test

    @cached_property
    def server(self) -> Server:
        address = url.SERVER
        with reading(f"Incus API {address}", self.evidence.host):
            answer = mapping(api(self.evidence, address), "answer")
            environment = mapping(answer["environment"], "environment")
            if not isinstance(environment["server_clustered"], bool):
                raise ValueError("environment.server_clustered: not a boolean")
            return Server(
                trusted=answer["auth"] == "trusted",
                clustered=environment["server_clustered"],
                name=str(environment.get("server_name", "")),
                version=text(environment["server_version"], "server_version"),
            )

    @cached_property
    def members(self) -> tuple[Member, ...]:
        return self._list(
            url.MEMBERS,
            lambda row: Member(
                text(row["server_name"], "server_name"), text(row["status"], "status"), str(row["message"])
            ),
        )

    @cached_property
    def warnings(self) -> tuple[Warning, ...]:
        return self._list(
            url.WARNINGS,
            lambda row: Warning(
                text(row["type"], "type"),
                text(row["status"], "status"),
                str(row["location"]),
                str(row["entity_url"]),
                str(row["last_message"]),
            ),
        )

    @cached_property
    def projects(self) -> tuple[Project, ...]:
        self._full()
        found = self._list(url.PROJECTS, project)
        if not any(row.name == "default" for row in found):
            host = self.evidence.host
            raise EvidenceError(f"{host}: Incus API {url.PROJECTS}: no project default: not all is shown", host=host)
        return found

    @cached_property
    def profiles(self) -> tuple[Profile, ...]:
        self._full()
        return self._list(
            url.PROFILES,
            lambda row: Profile(
                text(row["name"], "name"),
                str(row.get("project") or "default"),
                _config(row["config"], "config"),
                _devices(row["devices"], "devices"),
            ),
        )

    @cached_property
    def instances(self) -> tuple[Instance | UnreadInstance, ...]:
        """All instances of all projects. Where their state did not come in time, their configuration, with status ``Unknown``."""
        self._full()
        try:
            return self._list(url.INSTANCES, instance)
        except EvidenceError as cause:
            if cause.kind is not FailureKind.TIMEOUT:
                raise
            return self._list(url.INSTANCES_CONFIG, lambda row: instance({**row, "status": "Unknown"}))

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """The networks of project default, unmanaged links among them."""
        self._full()
        return self._list(url.NETWORKS, _network)

    @cached_property
    def network_acls(self) -> tuple[NetworkAcl, ...]:
        self._full()
        return self._list(
            url.NETWORK_ACLS, lambda row: NetworkAcl(text(row["name"], "name"), str(row.get("project") or "default"))
        )

    @cached_property
    def pools(self) -> tuple[Pool, ...]:
        """The pools of the cluster. Their status here says nothing of one member."""
        self._full()
        return self._list(url.POOLS, _pool)

    def pool_at(self, name: str, member: str) -> Pool | None:
        """A pool as this member has it; None where there is none of that name."""
        listed = next((pool for pool in self.pools if pool.name == name), None)
        if listed is None or not self.server.clustered:
            return listed
        address = url.pool_url(name, member)
        with reading(f"Incus API {address}", self.evidence.host):
            return _pool(mapping(api(self.evidence, address), "answer"))

    def origin(self, holder: Instance, key: str) -> str | None:
        """Where an instance's configuration key comes from: ``instance``, the name of a profile, or None. The last one wins."""
        if key in holder.config:
            return "instance"
        having = {profile.name for profile in self._profiles_of(holder) if key in profile.config}
        return next((name for name in reversed(holder.profiles) if name in having), None)

    def device_origin(self, holder: Instance, device: str) -> str | None:
        """Where an instance's device comes from, as ``origin``."""
        if device in holder.devices:
            return "instance"
        having = {profile.name for profile in self._profiles_of(holder) if device in profile.devices}
        return next((name for name in reversed(holder.profiles) if name in having), None)

    def profile_project(self, holder: Instance) -> str:
        """The project that an instance's profiles live in: its own with features.profiles, else default."""
        owner = next((p for p in self.projects if p.name == holder.project), None)
        if owner is None:
            raise EvidenceError(f"{self.evidence.host}: no project {holder.project}", host=self.evidence.host)
        return owner.name if boolean(owner.config["features.profiles"], False, owner.name) else "default"

    def _profiles_of(self, holder: Instance) -> tuple[Profile, ...]:
        where = self.profile_project(holder)
        return tuple(p for p in self.profiles if p.project == where and p.name in holder.profiles)
