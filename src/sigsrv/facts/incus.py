"""What one host's Incus daemon reports, as typed views.

``resources`` parses the rows of the answers. Source: Incus REST API, doc/rest-api.yaml.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sigsrv.collect import urls
from sigsrv.collect.evidence import Evidence
from sigsrv.facts import pools, resources
from sigsrv.facts.address_sets import address_set, with_sets
from sigsrv.facts.authorization import routes
from sigsrv.facts.complete import Devices, incomplete, require_known, require_pools, require_unique, require_volumes
from sigsrv.facts.config import SERVER_BOOLEANS, ServerConfig, normalised
from sigsrv.facts.images import Image, image
from sigsrv.facts.instance_rows import InstanceRow, instance_row
from sigsrv.facts.members import Member, Warning, member, warning
from sigsrv.facts.operations import Token, open_tokens
from sigsrv.facts.parsing import api, mapping, parsing, rows, string, text, texts
from sigsrv.facts.pools import Pool, PoolResources
from sigsrv.facts.reading import fact, guard, note
from sigsrv.facts.resources import (
    Instance,
    Network,
    NetworkAcl,
    Profile,
    Project,
    UnreadInstance,
)
from sigsrv.facts.server import Server
from sigsrv.facts.trust import X509, TrustEntry, trust_entry, x509
from sigsrv.facts.volumes import Volume, custom_volumes
from sigsrv.model.errors import EvidenceError, FailureKind
from sigsrv.model.values import boolean

__all__ = ["IncusFacts", "Instance", "UnreadInstance"]

T = TypeVar("T")


def _zfs(drivers: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the version of the ZFS driver, None if there is none, "" if the server lists no driver at all: every server has one."""
    versions = {
        text(driver["Name"], "driver"): string(driver.get("Version", ""), "a driver's version") for driver in drivers
    }
    return versions.get("zfs") if versions else ""


@dataclass(frozen=True)
class IncusFacts:
    """What one host's Incus daemon reports. Each view raises EvidenceError if it could not be read."""

    evidence: Evidence
    """What the host answered."""

    def _list(self, address: str, make: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
        with parsing(f"Incus API {address}", self.evidence.host):
            return tuple(make(row) for row in rows(api(self.evidence, address), "answer"))

    def _full(self) -> None:
        """Refuse filtered answers: a restricted client gets shorter lists and no error.

        Raises EvidenceError if the daemon does not trust this client or refuses its warnings, which only a full administrator can read.
        """
        guard(lambda: self.warnings)  # reading them is the test

    def _trusted(self) -> None:
        host = self.evidence.host
        if not guard(lambda: self.server.trusted):
            raise EvidenceError(
                f"{host}: Incus does not trust this client: it sees a part only", FailureKind.DENIED, host, urls.SERVER
            )

    @property
    def _clustered(self) -> bool:
        """Return whether the daemon is a member of a cluster. It decides only where an answer is, so it is a guard."""
        return guard(lambda: self.server.clustered)

    @fact
    def server(self) -> Server:
        """Return version, name, firewall and operating system of the server."""
        address = urls.SERVER
        with parsing(f"Incus API {address}", self.evidence.host):
            answer = mapping(api(self.evidence, address), "answer")
            environment = mapping(answer["environment"], "environment")
            if not isinstance(environment["server_clustered"], bool):
                raise ValueError("environment.server_clustered: not a boolean")
            return Server(
                trusted=answer["auth"] == "trusted",
                clustered=environment["server_clustered"],
                name=string(environment.get("server_name", ""), "server_name"),
                version=text(environment["server_version"], "server_version"),
                firewall=string(environment.get("firewall", ""), "firewall"),
                kernel=string(environment.get("kernel_version", ""), "kernel_version"),
                os=string(environment.get("os_name", ""), "os_name"),
                os_version=string(environment.get("os_version", ""), "os_version"),
                zfs=_zfs(rows(environment.get("storage_supported_drivers", []), "storage_supported_drivers")),
            )

    @fact
    def config(self) -> ServerConfig:
        """Return the configuration keys of the cluster and of this member. Unset booleans have their default."""
        self._full()
        with parsing(f"Incus API {urls.SERVER}", self.evidence.host):
            config = mapping(mapping(api(self.evidence, urls.SERVER), "answer")["config"], "config")
            if self._clustered and "cluster.https_address" not in config:  # every member has one
                raise ValueError("config: no cluster.https_address: the answer is incomplete")
            return normalised(config, SERVER_BOOLEANS, "server")

    @fact
    def certificate(self) -> X509:
        """Return the certificate that the daemon presents: that of the cluster, the same on every member, else its own."""
        with parsing(f"Incus API {urls.SERVER}", self.evidence.host):
            environment = mapping(mapping(api(self.evidence, urls.SERVER), "answer")["environment"], "environment")
            return x509(environment["certificate"], f"certificate of {self.server.name}")

    @fact
    def extensions(self) -> frozenset[str]:
        """Return the names of the API extensions."""
        with parsing(f"Incus API {urls.SERVER}", self.evidence.host):
            listed = texts(mapping(api(self.evidence, urls.SERVER), "answer")["api_extensions"], "api_extensions")
            if not listed:
                raise ValueError("api_extensions: none at all")
            return frozenset(listed)

    @fact
    def routes(self) -> Mapping[str, str]:
        """Return which authorizer decides about each class of clients, for example ``tls`` about ``tls-restricted``."""
        return routes(self.config, self.extensions)

    @fact
    def members(self) -> tuple[Member, ...]:
        """Return the members of the cluster, as this daemon sees them."""
        self._full()
        found = self._list(urls.MEMBERS, member)
        own = guard(lambda: self.server.name)  # empty if the daemon does not report it
        if not found or (own and not any(each.name == own for each in found)):
            raise incomplete(self.evidence, urls.MEMBERS, f"no member {own}" if own else "no member")
        return found

    @fact
    def warnings(self) -> tuple[Warning, ...]:
        """Return the warnings of all members, resolved ones too."""
        self._trusted()
        return self._list(urls.WARNINGS, warning)

    @fact
    def trust(self) -> tuple[TrustEntry, ...]:
        """Return the trust store: client certificates, and in a cluster the certificate of each member."""
        self._full()
        listed = self._list(urls.CERTIFICATES, trust_entry)
        if self._clustered and not any(each.type == "server" for each in listed):
            raise incomplete(self.evidence, urls.CERTIFICATES, "no certificate of a member")
        clients = Counter(each.name for each in listed if each.type == "client")
        return tuple(replace(each, is_name_unique=clients[each.name] < 2) for each in listed)

    @fact
    def tokens(self) -> tuple[Token, ...]:
        """Return the open tokens of all members. A token lets its holder join the cluster or become a trusted client."""
        self._full()
        address = urls.OPERATIONS
        with parsing(f"Incus API {address}", self.evidence.host):
            return open_tokens(api(self.evidence, address))

    @fact
    def images(self) -> tuple[Image, ...]:
        """Return the images of all projects."""
        self._full()
        found = self._list(urls.IMAGES, image)
        require_known(self.evidence, urls.IMAGES, found, "/1.0/images/")
        return found

    @fact
    def projects(self) -> tuple[Project, ...]:
        """Return the projects."""
        self._full()
        found = self._list(urls.PROJECTS, resources.project)
        if not any(row.name == "default" for row in found):
            raise incomplete(self.evidence, urls.PROJECTS, "no project default")
        return found

    @fact
    def profiles(self) -> tuple[Profile, ...]:
        """Return the profiles of all projects. Incus does not allow to delete profile default."""
        self._full()
        found = self._list(
            urls.PROFILES,
            lambda row: Profile(
                text(row["name"], "name"),
                text(row["project"], "project"),
                resources.config_of(row["config"], "config"),
                resources.devices_of(row["devices"], "devices"),
            ),
        )
        if not any(each.name == each.project == "default" for each in found):
            raise incomplete(self.evidence, urls.PROFILES, "no profile default in project default")
        return found

    @fact
    def instances(self) -> tuple[Instance | UnreadInstance, ...]:
        """Return all instances of all projects and members. UnreadInstance: its member did not answer this daemon.

        If the states did not arrive in time, the instances have the status ``Unknown``. A row without a configuration keeps its status,
        which marks it as an instance of a member that is away.
        """
        return tuple(each.read for each in self.instance_rows)

    @fact
    def instance_rows(self) -> tuple[InstanceRow, ...]:
        """Return the rows of ``instances``, most of them not read yet: a cluster reads a row where its own member's daemon lists it."""
        self._full()
        address = urls.INSTANCES
        try:
            found = self._list(address, lambda row: instance_row(row, self.evidence.host))
        except EvidenceError as cause:
            if cause.kind is not FailureKind.TIMEOUT or urls.INSTANCES_CONFIG not in self.evidence.api:
                raise
            address = urls.INSTANCES_CONFIG
            found = self._list(
                address,
                lambda row: instance_row(
                    row if row.get("config") is None else {**row, "status": "Unknown"}, self.evidence.host
                ),
            )
        require_unique(self.evidence, address, [each.resource for each in found])
        require_known(self.evidence, address, found, "/1.0/instances/")
        return found

    @fact
    def networks(self) -> tuple[Network, ...]:
        """Return the networks of project default, unmanaged links too: each host has at least its loopback link."""
        self._full()
        found = self._list(urls.NETWORKS, resources.network)
        if all(each.managed for each in found):
            raise incomplete(self.evidence, urls.NETWORKS, "no link of the host, not even the loopback link")
        return found

    @fact
    def network_acls(self) -> tuple[NetworkAcl, ...]:
        """Return the network ACLs of all projects. Their rules know the addresses of the sets that they name, if these could be read."""
        self._full()
        found = self._list(urls.NETWORK_ACLS, resources.network_acl)
        require_known(self.evidence, urls.NETWORK_ACLS, found, "/1.0/network-acls/")
        with suppress(EvidenceError):
            if any(rule.set_names for acl in found for rule in acl.rules):
                return tuple(with_sets(acl, dict(self._list(urls.ADDRESS_SETS, address_set))) for acl in found)
        return found

    def network(self, name: str) -> Network | None:
        """Return a network of project default, or an unmanaged link, as the list has it; None if there is none."""
        return self._network_named.get(name)

    @fact
    def _network_named(self) -> Mapping[str, Network]:
        return {each.name: each for each in reversed(self.networks)}

    def network_at(self, name: str, member: str) -> Network | None:
        """Return a network as this member has it, or None if there is none. An unmanaged network is as in the list."""
        listed = self.network(name)
        if listed is None or not listed.managed or not self._clustered:
            return listed
        address = urls.network_url(name, member)
        with parsing(f"Incus API {address}", self.evidence.host):
            found = resources.network(mapping(api(self.evidence, address), "answer"))
            if (found.name, found.type) != (listed.name, listed.type):
                raise ValueError(f"this is {found.type} {found.name}, the list has {listed.type} {listed.name}")
            return found

    @fact
    def pools(self) -> tuple[Pool, ...]:
        """Return the storage pools. Their status says nothing about a single member: see ``pool_at``."""
        self._full()
        found = self._list(urls.POOLS, pools.pool)
        require_unique(self.evidence, urls.POOLS, [each.name for each in found])
        guard(lambda: require_pools(self.evidence, found, self._devices()))
        return found

    def _devices(self) -> Iterator[Devices]:
        with suppress(EvidenceError):  # instances that can't be read prove nothing about pools
            yield from (each.expanded_devices for each in self.instances if isinstance(each, Instance))

    def pool(self, name: str) -> Pool | None:
        """Return a pool as the list has it; None if there is none."""
        return self._pool_named.get(name)

    @fact
    def _pool_named(self) -> Mapping[str, Pool]:
        return {each.name: each for each in self.pools}

    def pool_at(self, name: str, member: str) -> Pool | None:
        """Return a pool as this member has it, or None if there is none."""
        listed = self.pool(name)
        if listed is None or not self._clustered:
            return listed
        address = urls.pool_url(name, member)
        with parsing(f"Incus API {address}", self.evidence.host):
            found = pools.pool(mapping(api(self.evidence, address), "answer"))
            if (found.name, found.driver) != (listed.name, listed.driver):
                raise ValueError(f"this is {found.driver} {found.name}, the list has {listed.driver} {listed.name}")
            return found

    def pool_resources(self, name: str, member: str) -> PoolResources:
        """Return used and total space and inodes of a pool on this member. Raises EvidenceError also if the pool has 0 bytes."""
        address = urls.pool_resources_url(name, member if self._clustered else None)
        with parsing(f"Incus API {address}", self.evidence.host):
            answer = mapping(api(self.evidence, address), "answer")
            found = PoolResources(pools.space(answer["space"], "space"), pools.space(answer["inodes"], "inodes"))
            if not found.space.total:
                raise ValueError("space: a pool of 0 bytes")
            return found

    def volumes(self, pool: str) -> tuple[Volume, ...]:
        """Return the custom volumes of a pool, of all members and projects."""
        server = self.evidence.api.get(urls.SERVER)
        full = server is not None and urls.volumes_are_full(server.metadata)
        address = urls.volumes_url(pool, full)
        note(self.evidence.host, address)  # also if the volumes were parsed before
        if pool not in self._volumes:
            self._full()
            with parsing(f"Incus API {address}", self.evidence.host):
                listed = rows(api(self.evidence, address), "answer")
                require_volumes(self.evidence, address, pool, listed)
                self._volumes[pool] = custom_volumes(pool, listed, full)
        return self._volumes[pool]

    @fact
    def _volumes(self) -> dict[str, tuple[Volume, ...]]:
        return {}

    def owner(self, project: str, feature: str) -> str:
        """Return the project that owns what ``project`` uses of a feature, such as ``features.profiles``: itself, or ``default``.

        Raises EvidenceError if Incus does not list the project.
        """
        found = self.project(project)
        if found is None:
            raise EvidenceError(f"{self.evidence.host}: no project {project}", host=self.evidence.host)
        return project if boolean(found.config[feature], False, project) else "default"

    def project(self, name: str) -> Project | None:
        """Return a project; None if there is none."""
        return self._project_named.get(name)

    @fact
    def _project_named(self) -> Mapping[str, Project]:
        return {each.name: each for each in reversed(self.projects)}

    def origin(self, holder: Instance, key: str) -> str | None:
        """Return where a configuration key of an instance comes from: ``instance``, the name of a profile, or None."""
        return "instance" if key in holder.config else self.profile_with(holder, key)

    def profile_with(self, holder: Instance, key: str) -> str | None:
        """Return the profile that gives an instance a configuration key, whatever the instance sets itself. The last profile wins."""
        return self._last(holder, lambda profile: key in profile.config)

    def written(self, holder: Instance) -> frozenset[str]:
        """Return the keys that an instance or one of its profiles sets; keys with their default value are left out."""
        return frozenset(holder.config).union(*(profile.config for profile in self._profiles_of(holder)))

    def device_origin(self, holder: Instance, device: str) -> str | None:
        """Return where a device of an instance comes from: ``instance``, the name of a profile, or None."""
        return "instance" if device in holder.devices else self.profile_with_device(holder, device)

    def profile_with_device(self, holder: Instance, device: str) -> str | None:
        """Return the profile that gives an instance a device, whatever the instance sets itself. The last profile wins."""
        return self._last(holder, lambda profile: device in profile.devices)

    def _last(self, holder: Instance, has: Callable[[Profile], bool]) -> str | None:
        return next((profile.name for profile in reversed(self._profiles_of(holder)) if has(profile)), None)

    def profile_project(self, holder: Instance) -> str:
        """Return the project of an instance's profiles: its own if it has ``features.profiles``, else ``default``."""
        return self.owner(holder.project, "features.profiles")

    def _profiles_of(self, holder: Instance) -> tuple[Profile, ...]:
        """Return the profiles of an instance, in the order in which Incus applies them."""
        where, named = self.profile_project(holder), self._profiles_named
        return tuple(profile for name in holder.profiles for profile in named.get((where, name), ()))

    @fact
    def _profiles_named(self) -> Mapping[tuple[str, str], list[Profile]]:
        """Map (project, name) to the profiles of that name. Incus gives a name only once."""
        found: dict[tuple[str, str], list[Profile]] = {}
        for profile in self.profiles:
            found.setdefault((profile.project, profile.name), []).append(profile)
        return found
