"""The kinds of resources that a rule can examine.

Each kind is one line in a table: a function that yields, from the facts of a host or a cluster, (host, resource, its facts as JSON).
A list that could not be read raises EvidenceError; an empty list was read completely.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.require import Require
from sigsrv.model.errors import EvidenceError, FailureKind

Resource = tuple[str, str, Mapping[str, Any]]


def _pools(facts: HostFacts) -> Iterable[Resource]:
    for pool in facts.incus.pools:
        yield facts.name, pool.name, as_json(facts.incus.pool_at(pool.name, facts.member))


def _bridges(facts: HostFacts) -> Iterable[Resource]:
    for link in facts.network.links.values():
        if link.kind == "bridge":
            yield facts.name, link.name, as_json(link)


def _hosts(facts: HostFacts) -> Iterable[Resource]:
    daemon = facts.incus
    daemon_facts = {"server": as_json(daemon.server), "config": as_json(daemon.config)}
    yield facts.name, facts.name, {"name": facts.name, "member": facts.member, **daemon_facts}


def _clusters(facts: ClusterFacts, _: Require) -> Iterable[Resource]:
    server, config = facts.incus.server, facts.incus.config
    yield facts.name, facts.name, {"name": facts.name, "server": as_json(server), "config": as_json(config)}


def _members(facts: ClusterFacts, _: Require) -> Iterable[Resource]:
    if not facts.incus.server.clustered:
        return
    for member in facts.incus.members:
        yield facts.name, member.name, as_json(member)


def _projects(facts: ClusterFacts, _: Require) -> Iterable[Resource]:
    for project in facts.incus.projects:
        yield facts.name, project.name, as_json(project)


def _networks(facts: ClusterFacts, _: Require) -> Iterable[Resource]:
    for network in facts.incus.networks:
        yield facts.name, network.name, as_json(network)


def _acls(facts: ClusterFacts, _: Require) -> Iterable[Resource]:
    for acl in facts.incus.network_acls:
        yield facts.name, f"{acl.project}/{acl.name}", as_json(acl)


def _certificates(facts: ClusterFacts, _: Require) -> Iterable[Resource]:
    for entry in facts.incus.trust:
        yield facts.name, entry.resource, as_json(entry)


def _images(facts: ClusterFacts, _: Require) -> Iterable[Resource]:
    for image in facts.incus.images:
        yield facts.name, image.resource, as_json(image)


def _instances(facts: ClusterFacts, require: Require) -> Iterable[Resource]:
    for instance, host in require.each(facts.instances):
        yield host, instance.resource, as_json(instance)


def _volumes(facts: ClusterFacts, _: Require) -> Iterable[Resource]:
    for pool in facts.incus.pools:
        for volume, host in facts.volumes(pool.name):
            yield host, volume.resource, as_json(volume)


ON_A_HOST: Mapping[str, Callable[[HostFacts], Iterable[Resource]]] = {
    "host": _hosts,
    "bridge": _bridges,
    "pool": _pools,
}
ON_A_CLUSTER: Mapping[str, Callable[[ClusterFacts, Require], Iterable[Resource]]] = {
    "cluster": _clusters,
    "member": _members,
    "network": _networks,
    "acl": _acls,
    "certificate": _certificates,
    "image": _images,
    "project": _projects,
    "instance": _instances,
    "volume": _volumes,
}
KINDS = frozenset(ON_A_HOST) | frozenset(ON_A_CLUSTER)


def resources(kind: str, facts: HostFacts | ClusterFacts, require: Require) -> Iterable[Resource]:
    """Yield each resource of a kind. Record ``error`` for each instance that could not be read.

    Raises EvidenceError if the resources could not be listed, or if no rule can examine the kind.
    """
    if isinstance(facts, HostFacts) and kind in ON_A_HOST:
        return ON_A_HOST[kind](facts)
    if isinstance(facts, ClusterFacts) and kind in ON_A_CLUSTER:
        return ON_A_CLUSTER[kind](facts, require)
    raise EvidenceError(f"a rule can't examine {kind}", FailureKind.ABSENT)


def as_json(value: Any) -> Any:
    """Return a view as JSON Schema sees it: objects, arrays, strings, numbers, booleans and null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: as_json(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(as_json(item) for item in value)
    return [as_json(item) for item in value] if isinstance(value, tuple | list) else value
