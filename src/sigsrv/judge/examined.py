"""The resources that a rule examines, by their kind.

A kind of resource that rules can look at is one line in a table here: a function of the facts of a host, or of a cluster, that
gives each resource as (host, resource, its facts as JSON). What could not be read raises EvidenceError; an empty list was read
completely.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sigsrv.facts.hosts import ClusterFacts, HostFacts
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
    told = {"server": as_json(daemon.server), "config": as_json(daemon.config)}
    yield facts.name, facts.name, {"name": facts.name, "member": facts.member, **told}


def _clusters(facts: ClusterFacts) -> Iterable[Resource]:
    server, config = facts.first(lambda incus: (incus.server, incus.config))
    yield facts.name, facts.name, {"name": facts.name, "server": as_json(server), "config": as_json(config)}


def _members(facts: ClusterFacts) -> Iterable[Resource]:
    if not facts.first(lambda incus: incus.server).clustered:
        return
    for member in facts.first(lambda incus: incus.members):
        yield facts.name, member.name, as_json(member)


def _projects(facts: ClusterFacts) -> Iterable[Resource]:
    for project in facts.first(lambda incus: incus.projects):
        yield facts.name, project.name, as_json(project)


def _networks(facts: ClusterFacts) -> Iterable[Resource]:
    for network in facts.first(lambda incus: incus.networks):
        yield facts.name, network.name, as_json(network)


def _acls(facts: ClusterFacts) -> Iterable[Resource]:
    for acl in facts.first(lambda incus: incus.network_acls):
        yield facts.name, f"{acl.project}/{acl.name}", as_json(acl)


def _certificates(facts: ClusterFacts) -> Iterable[Resource]:
    for entry in facts.first(lambda incus: incus.trust):
        yield facts.name, entry.resource, as_json(entry)


def _images(facts: ClusterFacts) -> Iterable[Resource]:
    for image in facts.first(lambda incus: incus.images):
        yield facts.name, image.resource, as_json(image)


def _instances(facts: ClusterFacts) -> Iterable[Resource]:
    for instance, host in facts.instances.read:
        yield host, instance.resource, as_json(instance)


def _volumes(facts: ClusterFacts) -> Iterable[Resource]:
    for pool in facts.first(lambda incus: incus.pools):
        for volume, host in facts.volumes(pool.name):
            yield host, volume.resource, as_json(volume)


ON_A_HOST: Mapping[str, Callable[[HostFacts], Iterable[Resource]]] = {
    "host": _hosts,
    "bridge": _bridges,
    "pool": _pools,
}
ON_A_CLUSTER: Mapping[str, Callable[[ClusterFacts], Iterable[Resource]]] = {
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


def resources(kind: str, facts: HostFacts | ClusterFacts) -> Iterable[Resource]:
    """Each resource of a kind. Raises EvidenceError where they could not be read, or no rule can examine the kind."""
    if isinstance(facts, HostFacts) and kind in ON_A_HOST:
        return ON_A_HOST[kind](facts)
    if isinstance(facts, ClusterFacts) and kind in ON_A_CLUSTER:
        return ON_A_CLUSTER[kind](facts)
    raise EvidenceError(f"a rule can't examine {kind}", FailureKind.ABSENT)


def as_json(value: Any) -> Any:
    """A view as JSON Schema sees it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: as_json(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(as_json(item) for item in value)
    return [as_json(item) for item in value] if isinstance(value, tuple | list) else value
