"""The facts of a cluster: what its hosts report, put together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

from sigsrv.facts.cluster_incus import ClusterIncus
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.instance_rows import InstanceRow
from sigsrv.facts.instances import Instances
from sigsrv.facts.reading import fact, guard
from sigsrv.facts.resources import Config, Instance, UnreadInstance
from sigsrv.facts.volumes import Volume, VolumeUser, attached
from sigsrv.model.errors import EvidenceError, FailureKind


@dataclass(frozen=True)
class ClusterFacts:
    """What a check of a cluster gets. A standalone host is a cluster of one."""

    name: str
    """``cluster``; of a standalone host its own name."""

    hosts: Mapping[str, HostFacts]
    """The facts of each host of the cluster that was selected, by name, in the order of the site."""

    standalone: Mapping[str, HostFacts] = field(default_factory=dict)
    """The other hosts that were read and that report to be in no cluster, by name."""

    others: Mapping[str, HostFacts] = field(default_factory=dict)
    """Seen from a standalone host: the hosts that are in a cluster, or that could not be asked, by name."""

    unselected: frozenset[str] | None = None
    """The members of the site's other hosts: not selected, or in no cluster. What is on them is left out; None: on any other member."""

    @property
    def collected(self) -> float:
        """Return when the evidence of the last host was collected, in seconds since the epoch."""
        return max(host.collected for host in self.hosts.values())

    @fact
    def incus(self) -> ClusterIncus:
        """Return what the Incus daemons report of the whole cluster."""
        return ClusterIncus(self.hosts.values())

    @property
    def listening(self) -> tuple[str, ...]:
        """Return the hosts whose daemon listens on the network.

        Raises EvidenceError if there is none, but the configuration of a daemon could not be read.
        """
        found: list[str] = []
        unread: EvidenceError | None = None
        for host in self.hosts.values():
            try:
                config = host.incus.config
            except EvidenceError as cause:
                unread = cause
                continue
            if config.get("core.https_address") or config.get("cluster.https_address"):
                found.append(host.name)
        if not found and unread is not None:
            raise unread
        return tuple(found)

    @property
    def project_names(self) -> frozenset[str]:
        """Return the names of the projects of the cluster."""
        return frozenset(project.name for project in self.incus.projects)

    @fact
    def instances(self) -> Instances:
        """Return the instances on the hosts of this cluster, all projects, each as its own member's daemon reports it, else another one.

        Raises EvidenceError if no daemon gave the list. Instances of members that were not selected are left out. An instance on a member
        that is no host of the site counts as one that could not be read, with the name of the cluster as its host.
        """
        _ = self.incus.listed_instances
        views: dict[str, dict[str, InstanceRow]] = {}
        found: list[tuple[Instance | UnreadInstance, HostFacts]] = []
        lost: list[tuple[UnreadInstance, EvidenceError]] = []
        for host in self.hosts.values():
            with suppress(EvidenceError):
                if host.wrong_member:
                    continue
                if _is_clustered(host):
                    views[host.name] = {each.resource: each for each in host.incus.instance_rows}
                else:
                    found += [(each, host) for each in host.incus.instances]
        for resource in dict.fromkeys(chain.from_iterable(views.values())):
            rows = [view[resource] for view in views.values() if resource in view]
            at = (
                None if rows[0].location == "none" else self.host_of(rows[0].location)
            )  # only a standalone server reports none
            if at is not None:
                own = [views[at.name][resource]] if resource in views.get(at.name, {}) else []
                read = (row.read for row in [*own, *rows])
                found.append((next((row for row in read if not _is_away(row)), None) or rows[0].read, at))
            elif not self.leaves_out(rows[0].location):
                unread = UnreadInstance(rows[0].name, rows[0].project, rows[0].location)
                lost.append((unread, self._nowhere(resource, rows[0].location)))
        found.sort(key=lambda each: (each[0].resource, each[1].name))
        return Instances(
            tuple((each, at.name) for each, at in found if isinstance(each, Instance)),
            (
                *((each, _unread_cause(each, at)) for each, at in found if isinstance(each, UnreadInstance)),
                *sorted(lost, key=lambda each: each[0].resource),
            ),
        )

    @fact
    def instance_names(self) -> frozenset[str]:
        """Return the names in findings of the instances that any daemon lists, without those on members that were not selected."""
        found: set[str] = set()
        for host in self.hosts.values():
            with suppress(EvidenceError):
                found.update(each.resource for each in host.incus.instance_rows if not self.leaves_out(each.location))
        return frozenset(found)

    def leaves_out(self, location: str) -> bool:
        """Return whether a location is another host of the site: not selected, or in no cluster.

        Any other location without a host is unknown.
        """
        is_elsewhere = self.unselected is None or location in self.unselected
        return is_elsewhere and self.host_of(location) is None

    def _nowhere(self, resource: str, location: str) -> EvidenceError:
        return EvidenceError(
            f"{resource}: it is on {location or 'no member'}, which is no host of the site", host=self.name
        )

    def volumes(self, pool: str) -> tuple[tuple[Volume, str], ...]:
        """Return the custom volumes of a pool, each with the name of the host that holds it, or of the cluster if all members share it.

        Raises EvidenceError if no daemon gave the list. Volumes of members that were not selected are left out, and those in
        ``unlocated_volumes``.
        """
        found = []
        for volume in self.incus.volumes(pool):
            at = self.host_of(volume.location) if volume.location else self
            if at is not None:
                found.append((volume, at.name))
        return tuple(found)

    def unlocated_volumes(self, pool: str) -> Iterator[tuple[Volume, EvidenceError]]:
        """Yield the custom volumes of a pool on members that are no host of the site, each with why nothing is said of it."""
        for volume in self.incus.volumes(pool):
            location = volume.location
            if location and self.host_of(location) is None and not self.leaves_out(location):
                yield volume, self._nowhere(volume.resource, location)

    def users(
        self, volume: Volume, decisive: Callable[[frozenset[VolumeUser]], object] = bool
    ) -> frozenset[VolumeUser]:
        """Return who uses a custom volume: instances, also through a profile, profiles, and Incus itself.

        decisive: whether the users that are known decide the verdict; by default one user does. Raises EvidenceError if they don't and an
        instance that may use the volume could not be read; also if instances or profiles could not be read at all.
        """
        found = frozenset(use for use in volume.used_by if use.kind != "profiles").union(
            use
            for use, location in self._attached.get((volume.pool, volume.project, volume.name), ())
            if not location or not volume.location or location == volume.location
        )
        if not decisive(found):
            self.instances.require_at(volume.location)
            if reason := self._why_odd.get(volume.location):
                raise EvidenceError(reason)
        return found

    @fact
    def _why_odd(self) -> Mapping[str, str]:
        """Map a member that was not selected to the reason why the row of its first odd instance can't be read; "" to that of any."""
        elsewhere = (each for each in self._instances_elsewhere() if isinstance(each, UnreadInstance) and each.reason)
        found: dict[str, str] = {}
        for each in elsewhere:
            found.setdefault("", each.reason)
            found.setdefault(each.location, each.reason)
        return found

    def _instances_elsewhere(self) -> Iterator[Instance | UnreadInstance]:
        """Yield the instances that ``instances`` leaves out: those on members that were not selected."""
        for each in self.incus.listed_instances:
            if self.host_of(each.location) is None:
                yield each.read

    @fact
    def _attached(self) -> Mapping[tuple[str, str, str], list[tuple[VolumeUser, str]]]:
        """Map (pool, project, name) of a volume to what attaches it, and the member; "" for a profile, which does so on all members.

        Includes instances on members that were not selected: all members may share a pool.
        """
        found: dict[tuple[str, str, str], list[tuple[VolumeUser, str]]] = {}
        # Unread instances are left out here; ``users`` asks for them if they matter.
        instances = [each for each, _ in self.instances.known(decisive=lambda _: True)]
        instances += [each for each in self._instances_elsewhere() if isinstance(each, Instance)]
        holders: list[tuple[VolumeUser, str, Mapping[str, Config]]] = [
            (VolumeUser("instances", each.project, each.name), each.location, each.expanded_devices)
            for each in instances
        ]
        holders += [(VolumeUser("profiles", each.project, each.name), "", each.devices) for each in self.incus.profiles]
        for use, location, devices in holders:
            for pool, name in attached(devices):
                owner = self.incus.owner(use.project, "features.storage.volumes")
                found.setdefault((pool, owner, name), []).append((use, "" if location == "none" else location))
        return found

    def host_of(self, location: str) -> HostFacts | None:
        """Return the host that is the member ``location``, or None if that host was not selected.

        Instances of a standalone host have the location ``none``.
        """
        if location in ("", "none"):
            return next(iter(self.hosts.values()), None) if len(self.hosts) == 1 else None
        return self._host_at.get(location)

    @fact
    def _host_at(self) -> Mapping[str, HostFacts]:
        """Map a member to the host of the site; to the first one if the site names the member twice."""
        return {host.member: host for host in reversed(list(self.hosts.values()))}


def _is_away(row: Instance | UnreadInstance) -> bool:
    """Return whether a daemon does not know an instance, because its member did not answer."""
    return isinstance(row, UnreadInstance) and not row.reason


def _unread_cause(unread: UnreadInstance, host: HostFacts) -> EvidenceError:
    """Return why nothing is known of an instance: its row is odd, its host is unreachable, its daemon is down, or Incus alone knows why."""
    if unread.reason:
        return EvidenceError(f"{host.name}: {unread.reason}", host=host.name)

    reason = f"{unread.resource}: its member {unread.location} did not answer"
    if guard(lambda: host.unreachable):
        return EvidenceError(reason, FailureKind.UNREACHABLE, host.name)
    try:
        guard(lambda: host.incus.instance_rows)
    except EvidenceError as own:  # its own daemon does not list it either
        return EvidenceError(reason, own.kind, host.name, own.source)
    return EvidenceError(reason, host=host.name)


def clusters(hosts: Mapping[str, HostFacts], members: Collection[str] | None = None) -> tuple[ClusterFacts, ...]:
    """Group hosts by cluster. Each host that reports to be in no cluster is one by itself, all others are ``cluster``.

    members: the member names of all hosts of the site, see ``ClusterFacts.unselected``.
    """
    alone = {name: host for name, host in hosts.items() if _is_standalone(host)}
    joined = {name: host for name, host in hosts.items() if name not in alone}

    def others(own: Mapping[str, HostFacts]) -> frozenset[str] | None:
        return None if members is None else frozenset(members) - {host.member for host in own.values()}

    together = (ClusterFacts("cluster", joined, alone, unselected=others(joined)),) if joined else ()
    return together + tuple(
        ClusterFacts(
            name,
            {name: host},
            {other: row for other, row in alone.items() if other != name},
            joined,
            others({name: host}),
        )
        for name, host in alone.items()
    )


def _is_clustered(host: HostFacts) -> bool:
    """Return whether a host reports that it is in a cluster. It decides only where an answer is, so it is a guard."""
    return guard(lambda: host.incus.server.clustered)


def _is_standalone(host: HostFacts) -> bool:
    try:
        return not _is_clustered(host)
    except EvidenceError:
        return False
