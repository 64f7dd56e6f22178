"""facts: evidence -> typed views; the only thing that a check looks at.

Room: facts. May import errors and collect. ``HostFacts`` is what a check of a host gets, ``ClusterFacts`` one of the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from sigsrv.collect.evidence import Evidence, Failure
from sigsrv.errors import EvidenceError, FailureKind
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.network import NetworkFacts
from sigsrv.facts.storage import StorageFacts
from sigsrv.facts.system import SystemFacts

__all__ = ["ClusterFacts", "HostFacts", "IncusFacts", "NetworkFacts", "StorageFacts", "SystemFacts"]

T = TypeVar("T")


@dataclass(frozen=True)
class HostFacts:
    """One host: ``network``, ``incus`` (what its own daemon says), ``storage``, ``system``. member: its name in the cluster."""

    name: str
    member: str
    evidence: Evidence

    @property
    def unreachable(self) -> Failure | None:
        return self.evidence.failure

    @cached_property
    def network(self) -> NetworkFacts:
        return NetworkFacts(self.evidence)

    @cached_property
    def incus(self) -> IncusFacts:
        return IncusFacts(self.evidence)

    @cached_property
    def storage(self) -> StorageFacts:
        return StorageFacts(self.evidence)

    @cached_property
    def system(self) -> SystemFacts:
        return SystemFacts(self.evidence)

    @cached_property
    def daemon_down(self) -> bool:
        """Whether the host answers and its Incus daemon does not. False where that can't be told."""
        try:
            _ = self.incus.server
        except EvidenceError as cause:
            return cause.kind is FailureKind.DOWN
        return False


@dataclass(frozen=True)
class ClusterFacts:
    """A cluster: its hosts in the order of the site. name: ``cluster``; an unclustered host's own name."""

    name: str
    hosts: Mapping[str, HostFacts]

    def first(self, view: Callable[[IncusFacts], T]) -> T:
        """A cluster-wide view, from the first host in site order that could give it. Raises the first host's EvidenceError."""
        refused: list[EvidenceError] = []
        for host in self.hosts.values():
            try:
                return view(host.incus)
            except EvidenceError as cause:
                refused.append(cause)
        if not refused:
            raise EvidenceError("no host was asked", FailureKind.ABSENT)
        reasons = "; ".join(dict.fromkeys(cause.reason for cause in refused))
        raise EvidenceError(reasons, refused[0].kind, refused[0].host)

    def host_of(self, location: str) -> HostFacts | None:
        """The host that is the member ``location``; an unclustered host's instances are at ``none``. None: not selected."""
        if location in ("", "none"):
            return next(iter(self.hosts.values()), None) if len(self.hosts) == 1 else None
        return next((host for host in self.hosts.values() if host.member == location), None)


def clusters(hosts: Mapping[str, HostFacts]) -> tuple[ClusterFacts, ...]:
    """The hosts by cluster: those that say that they are in none stand for themselves, all others are ``cluster``."""
    alone = {name: host for name, host in hosts.items() if _stands_alone(host)}
    joined = {name: host for name, host in hosts.items() if name not in alone}
    together = (ClusterFacts("cluster", joined),) if joined else ()
    return together + tuple(ClusterFacts(name, {name: host}) for name, host in alone.items())


def _stands_alone(host: HostFacts) -> bool:
    try:
        return not host.incus.server.clustered
    except EvidenceError:
        return False
