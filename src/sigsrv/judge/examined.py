"""The kinds of resources that rules and forms can examine.

Each kind is one line in a table: a function that yields, from the facts of a host or a cluster, (host, resource, its facts). The
class of the facts is in ``RECORDS``; ``rule_schema`` derives from it what a rule may name.
A list that could not be read raises EvidenceError; an empty list was read completely.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.config import ServerConfig
from sigsrv.facts.filesystems import Filesystem
from sigsrv.facts.host_pools import PoolFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.images import Image
from sigsrv.facts.members import Member
from sigsrv.facts.network import Link
from sigsrv.facts.pools import Pool
from sigsrv.facts.resources import Instance, Network, NetworkAcl, Profile, Project
from sigsrv.facts.server import Server
from sigsrv.facts.trust import TrustEntry
from sigsrv.facts.volumes import Volume
from sigsrv.judge.custom_volumes import each_volume
from sigsrv.judge.require import Require
from sigsrv.model.errors import EvidenceError, FailureKind
from sigsrv.model.policy import Policy

Resource = tuple[str, str, Mapping[str, Any]]
Examined = tuple[str, str, Any]  # host, resource, its facts
_ABSENT = object()  # the value of a fact that a resource does not have


@dataclass(frozen=True)
class Host:
    """What a rule examines of a host."""

    name: str
    """The name of the host in the site file."""
    member: str
    """The name of the host in the cluster."""
    server: Server
    """The daemon of the host."""
    config: ServerConfig
    """The configuration of the daemon."""


@dataclass(frozen=True)
class Cluster:
    """What a rule examines of a cluster, or of a server that is in none."""

    name: str
    """``cluster``; of a standalone host its own name."""
    server: Server
    """The daemon that answered first."""
    config: ServerConfig
    """The configuration of the cluster."""


def _bridges(facts: HostFacts) -> Iterable[Examined]:
    return ((facts.name, link.name, link) for link in facts.network.links.values() if link.kind == "bridge")


def _filesystems(facts: HostFacts, require: Require) -> Iterable[Examined]:
    for target, reason in facts.machine.unread_filesystems.items():
        require.unknown(target, f"df can't read it: {reason}")
    return ((facts.name, each.target, each) for each in facts.machine.filesystems)


def _members(facts: ClusterFacts) -> Iterable[Examined]:
    if facts.incus.server.clustered:
        yield from ((facts.name, member.name, member) for member in facts.incus.members)


ON_A_HOST: Mapping[str, Callable[[HostFacts, Require], Iterable[Examined]]] = {
    "host": lambda facts, _: [(facts.name, facts.name, facts)],
    "bridge": lambda facts, _: _bridges(facts),
    "pool": lambda facts, _: ((facts.name, each.name, each) for each in facts.pools.values()),
    "filesystem": _filesystems,
}
ON_A_CLUSTER: Mapping[str, Callable[[ClusterFacts, Require], Iterable[Examined]]] = {
    "cluster": lambda facts, _: [(facts.name, facts.name, facts)],
    "member": lambda facts, _: _members(facts),
    "network": lambda facts, _: ((facts.name, each.name, each) for each in facts.incus.networks),
    "acl": lambda facts, _: ((facts.name, f"{each.project}/{each.name}", each) for each in facts.incus.network_acls),
    "certificate": lambda facts, _: ((facts.name, each.resource, each) for each in facts.incus.trust),
    "image": lambda facts, _: ((facts.name, each.resource, each) for each in facts.incus.images),
    "project": lambda facts, _: ((facts.name, each.name, each) for each in facts.incus.projects),
    "profile": lambda facts, _: ((facts.name, f"{each.project}/{each.name}", each) for each in facts.incus.profiles),
    "instance": lambda facts, require: ((host, each.resource, each) for each, host in require.each(facts.instances)),
    "volume": lambda facts, require: ((host, each.resource, each) for each, host in each_volume(facts, require)),
}
RECORDS: Mapping[str, type] = {
    "host": Host,
    "bridge": Link,
    "pool": Pool,
    "filesystem": Filesystem,
    "cluster": Cluster,
    "member": Member,
    "network": Network,
    "acl": NetworkAcl,
    "certificate": TrustEntry,
    "image": Image,
    "project": Project,
    "profile": Profile,
    "instance": Instance,
    "volume": Volume,
}
KINDS = frozenset(RECORDS)


def objects(kind: str, facts: HostFacts | ClusterFacts, require: Require) -> Iterable[Examined]:
    """Yield each resource of a kind. Record ``error`` for each one that could not be read.

    Raises EvidenceError if the resources could not be listed, or if no rule and no form can examine the kind.
    """
    if isinstance(facts, HostFacts) and kind in ON_A_HOST:
        return ON_A_HOST[kind](facts, require)
    if isinstance(facts, ClusterFacts) and kind in ON_A_CLUSTER:
        return ON_A_CLUSTER[kind](facts, require)
    raise EvidenceError(f"a rule can't examine {kind}", FailureKind.ABSENT)


def resources(kind: str, facts: HostFacts | ClusterFacts, require: Require) -> Iterable[Resource]:
    """Yield each resource of a kind with its facts as JSON, see ``objects``. Record ``error`` for each one whose facts can't be read."""
    for host, resource, each in objects(kind, facts, require):
        found: Mapping[str, Any] | None = None
        with require.about(resource, host):
            found = document(each)
        if found is not None:
            yield host, resource, found


def document(each: Any) -> Mapping[str, Any]:
    """Return the facts of a resource as a rule and ``match`` see them."""
    if isinstance(each, HostFacts):
        each = Host(each.name, each.member, each.incus.server, each.incus.config)
    if isinstance(each, ClusterFacts):
        each = Cluster(each.name, each.incus.server, each.incus.config)
    if isinstance(each, PoolFacts):
        each = each.reported
    found = as_json(each)
    assert isinstance(found, dict)
    return found


class Matcher:
    """Decides whether the ``match`` of a policy selects a resource. It asks once for resources that are alike in what ``match`` reads."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        names = _names_read(policy.match)
        self._names = names
        self._known: dict[tuple[Any, ...], bool] = {}
        self.reason = f"the match of {policy.id} does not select it"

    def matches(self, each: Any) -> bool:
        """Return whether a resource is selected. Raises EvidenceError if its facts could not be read."""
        if not self._policy.match:
            return True
        if self._names is None or isinstance(each, HostFacts | ClusterFacts):
            return self._policy.match_validator.is_valid(document(each))
        values = tuple([getattr(each, name, _ABSENT) for name in self._names])
        try:
            known = self._known.get(values)
        except TypeError:  # a mapping is no key
            return self._selects(values)
        if known is None:
            known = self._known[values] = self._selects(values)
        return known

    def _selects(self, values: tuple[Any, ...]) -> bool:
        named = zip(self._names or (), values, strict=True)
        return self._policy.match_validator.is_valid(
            {name: as_json(value) for name, value in named if value is not _ABSENT}
        )


def _names_read(match: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the facts that a ``match`` reads, if it is as simple as ``{properties: ..., required: ...}``; None for any other one."""
    if not match.keys() <= {"properties", "required", "$comment"}:
        return None
    return tuple(sorted({*match.get("properties", {}), *match.get("required", ())}))


def as_json(value: Any) -> Any:
    """Return a view as JSON Schema sees it: objects, arrays, strings, numbers, booleans and null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: as_json(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(as_json(item) for item in value)
    return [as_json(item) for item in value] if isinstance(value, tuple | list) else value
