"""Evidence -> typed views; the only thing that a check looks at.

``HostFacts`` is what a check of a host gets, ``ClusterFacts`` one of the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from sigsrv.collect.evidence import Evidence, Failure
from sigsrv.facts import listening, packages
from sigsrv.facts.accounts import AccountFacts
from sigsrv.facts.backups import BackupFacts
from sigsrv.facts.firewall import FirewallFacts
from sigsrv.facts.frames import FrameFacts
from sigsrv.facts.incus import IncusFacts, Instance, UnreadInstance
from sigsrv.facts.journal import JournalFacts
from sigsrv.facts.listening import Listener
from sigsrv.facts.machine import MachineFacts
from sigsrv.facts.network import NetworkFacts
from sigsrv.facts.storage import StorageFacts
from sigsrv.facts.system import SystemFacts
from sigsrv.facts.updates import UpdateFacts
from sigsrv.facts.volumes import Volume, VolumeUser, attached
from sigsrv.model.errors import EvidenceError, FailureKind

T = TypeVar("T")


@dataclass(frozen=True)
class HostFacts:
    """One host: ``network``, ``firewall``, ``incus`` (what its own daemon says), ``storage``, ``system``, ``backups``.

    member: its name in the cluster.
    """

    name: str
    member: str
    evidence: Evidence

    @property
    def collected(self) -> float:
        """When the evidence was collected, in seconds since the epoch: ages are counted from it, never from the clock."""
        return self.evidence.collected

    @property
    def unreachable(self) -> Failure | None:
        return self.evidence.failure

    @property
    def no_probe_answered(self) -> Failure | None:
        """Why not one probe answered although there was a login; None where one did, or where none was to be run."""
        failures = [answer.failure for answer in self.evidence.probes.values()]
        told = [failure for failure in failures if failure and failure.kind is not FailureKind.ABSENT]
        return told[0] if told and len(told) == len(failures) else None

    @cached_property
    def network(self) -> NetworkFacts:
        return NetworkFacts(self._own)

    @cached_property
    def firewall(self) -> FirewallFacts:
        return FirewallFacts(self._own)

    @cached_property
    def frames(self) -> FrameFacts:
        return FrameFacts(self._own)

    @cached_property
    def incus(self) -> IncusFacts:
        return IncusFacts(self.evidence)

    @cached_property
    def storage(self) -> StorageFacts:
        return StorageFacts(self._own)

    @cached_property
    def system(self) -> SystemFacts:
        return SystemFacts(self._own)

    @cached_property
    def accounts(self) -> AccountFacts:
        return AccountFacts(self._own)

    @cached_property
    def packages(self) -> Mapping[str, str]:
        """The versions of Incus's packages that are installed, by name; none on a host without dpkg."""
        return packages.of_host(self._own)

    @cached_property
    def machine(self) -> MachineFacts:
        return MachineFacts(self._own)

    @cached_property
    def journal(self) -> JournalFacts:
        return JournalFacts(self._own)

    @cached_property
    def updates(self) -> UpdateFacts:
        return UpdateFacts(self._own)

    @cached_property
    def listeners(self) -> tuple[Listener, ...]:
        """The TCP sockets that wait for connections."""
        return listening.of_host(self._own)

    @cached_property
    def wrong_member(self) -> EvidenceError | None:
        """Why nothing can be told of this host: the daemon that answers there is another member's, as where an alias leads astray.

        None where it is this one's, and where that can't be told.
        """
        with suppress(EvidenceError):
            server = self.incus.server
            if server.clustered and server.name and server.name != self.member:
                reason = f"{self.name}: the daemon there says that it is {server.name}"
                return EvidenceError(reason, FailureKind.WRONG_MEMBER, self.member)
        return None

    @property
    def _own(self) -> Evidence:
        """The evidence, where it is this host's. Raises EvidenceError where it is another one's."""
        if self.wrong_member:
            raise self.wrong_member
        return self.evidence

    @cached_property
    def backups(self) -> BackupFacts:
        return BackupFacts(self._own)

    @cached_property
    def is_evacuated(self) -> bool:
        """Whether its member is out of service on purpose, as its own daemon says. False where that can't be told."""
        try:
            return any(member.name == self.member and member.is_evacuated for member in self.incus.members)
        except EvidenceError:
            return False

    @cached_property
    def daemon_down(self) -> bool:
        """Whether the host answers and its Incus daemon does not. False where that can't be told."""
        try:
            _ = self.incus.server
        except EvidenceError as cause:
            return cause.kind in (FailureKind.DOWN, FailureKind.SILENT)
        return False


@dataclass(frozen=True)
class Instances:
    """read: each instance with the name of its host. unread: those that nobody could tell more of, each with the reason."""

    read: tuple[tuple[Instance, str], ...]
    unread: tuple[tuple[UnreadInstance, EvidenceError], ...]


def _away(unread: UnreadInstance, host: HostFacts) -> EvidenceError:
    """Why nothing is known of an instance: its host is away, its host's daemon is, or Incus alone knows."""
    reason = f"{unread.resource}: its member {unread.location} did not answer"
    if host.unreachable:
        return EvidenceError(reason, FailureKind.UNREACHABLE, host.name)
    return EvidenceError(reason, FailureKind.DOWN if host.daemon_down else FailureKind.GARBLED, host.name)


@dataclass(frozen=True)
class ClusterFacts:
    """A cluster: its hosts in the order of the site. name: ``cluster``; an unclustered host's own name.

    apart: the other hosts that were read, which say that they are in no cluster; elsewhere: those that do not.
    """

    name: str
    hosts: Mapping[str, HostFacts]
    standalone: Mapping[str, HostFacts] = field(default_factory=dict)
    others: Mapping[str, HostFacts] = field(default_factory=dict)

    @property
    def collected(self) -> float:
        """When the last host's evidence was collected, in seconds since the epoch."""
        return max(host.collected for host in self.hosts.values())

    def first(self, view: Callable[[IncusFacts], T]) -> T:
        """A cluster-wide view, from the first host in site order that could give it. Raises the first host's EvidenceError.

        A daemon that is another one's may be of another cluster: it is not asked.
        """
        refused: list[EvidenceError] = []
        for host in self.hosts.values():
            try:
                if host.wrong_member:
                    raise host.wrong_member
                return view(host.incus)
            except EvidenceError as cause:
                refused.append(cause)
        if not refused:
            raise EvidenceError("no host was asked", FailureKind.ABSENT)
        reasons = "; ".join(dict.fromkeys(cause.reason for cause in refused))
        raise EvidenceError(reasons, refused[0].kind, refused[0].host)

    @cached_property
    def instances(self) -> Instances:
        """The instances on the hosts of this cluster, all projects; each as its own member's daemon has it, else another.

        Raises EvidenceError where no daemon gave the list. Instances of members that were not selected are left out.
        """
        self.first(lambda incus: incus.instances)
        views: dict[str, dict[str, Instance | UnreadInstance]] = {}
        found: list[tuple[Instance | UnreadInstance, HostFacts]] = []
        for host in self.hosts.values():
            with suppress(EvidenceError):
                if host.wrong_member:
                    continue
                if host.incus.server.clustered:
                    views[host.name] = {each.resource: each for each in host.incus.instances}
                else:
                    found += [(each, host) for each in host.incus.instances]
        for resource in {resource for view in views.values() for resource in view}:
            rows = [view[resource] for view in views.values() if resource in view]
            if rows[0].location == "none":  # that is of a server in no cluster
                raise EvidenceError(f"{resource}: Incus does not say on which member it is")
            at = self.host_of(rows[0].location)
            if at is not None:
                own = [views[at.name][resource]] if resource in views.get(at.name, {}) else []
                found.append((next((row for row in [*own, *rows] if isinstance(row, Instance)), rows[0]), at))
        found.sort(key=lambda each: (each[0].resource, each[1].name))
        return Instances(
            tuple((each, at.name) for each, at in found if isinstance(each, Instance)),
            tuple((each, _away(each, at)) for each, at in found if isinstance(each, UnreadInstance)),
        )

    def volumes(self, pool: str) -> tuple[tuple[Volume, str], ...]:
        """The custom volumes of a pool, each with the name of the host that holds it; the cluster's, where all of it does.

        Raises EvidenceError where no daemon gave the list. Volumes of members that were not selected are left out.
        """
        found = []
        for volume in self.first(lambda incus: incus.volumes(pool)):
            at = self.host_of(volume.location) if volume.location else self
            if at is not None:
                found.append((volume, at.name))
        return tuple(found)

    def users(self, volume: Volume) -> frozenset[VolumeUser]:
        """Who uses a custom volume: instances, also those that have it from a profile, profiles, and Incus itself.

        Raises EvidenceError where instances or profiles could not be read. Of instances on a member that is away only those are
        known that have the volume of their own.
        """
        own = {use for use in volume.used_by if use.kind != "profiles"}
        return frozenset(own).union(
            use
            for use, location in self._attached.get((volume.pool, volume.project, volume.name), ())
            if not location or not volume.location or location == volume.location
        )

    @cached_property
    def _attached(self) -> Mapping[tuple[str, str, str], list[tuple[VolumeUser, str]]]:
        """By pool, project and name of a volume: what attaches it, and on which member; a profile does so on all.

        Also what is on members that were not selected: a pool may be of the whole cluster.
        """
        found: dict[tuple[str, str, str], list[tuple[VolumeUser, str]]] = {}
        instances = [each for each, _ in self.instances.read]
        instances += [each for each in self.first(lambda incus: incus.instances) if isinstance(each, Instance)]
        holders = [
            (VolumeUser("instances", each.project, each.name), each.location, each.expanded_devices)
            for each in instances
        ]
        holders += [
            (VolumeUser("profiles", each.project, each.name), "", each.devices)
            for each in self.first(lambda incus: incus.profiles)
        ]
        for use, location, devices in holders:
            for pool, name in attached(devices):
                owner = self.first(lambda incus, p=use.project: incus.owner(p, "features.storage.volumes"))  # type: ignore[misc]
                found.setdefault((pool, owner, name), []).append((use, "" if location == "none" else location))
        return found

    def host_of(self, location: str) -> HostFacts | None:
        """The host that is the member ``location``; an unclustered host's instances are at ``none``. None: not selected."""
        if location in ("", "none"):
            return next(iter(self.hosts.values()), None) if len(self.hosts) == 1 else None
        return next((host for host in self.hosts.values() if host.member == location), None)


def clusters(hosts: Mapping[str, HostFacts]) -> tuple[ClusterFacts, ...]:
    """The hosts by cluster: those that say that they are in none stand for themselves, all others are ``cluster``."""
    alone = {name: host for name, host in hosts.items() if _stands_alone(host)}
    joined = {name: host for name, host in hosts.items() if name not in alone}
    together = (ClusterFacts("cluster", joined, alone),) if joined else ()
    return together + tuple(
        ClusterFacts(name, {name: host}, {other: row for other, row in alone.items() if other != name}, joined)
        for name, host in alone.items()
    )


def _stands_alone(host: HostFacts) -> bool:
    try:
        return not host.incus.server.clustered
    except EvidenceError:
        return False
