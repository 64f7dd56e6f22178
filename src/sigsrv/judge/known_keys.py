"""Finds configuration keys that a policy does not know, in the groups of keys that its verdicts depend on.

A newer Incus may add a key that changes what an old one means. The policy file names the groups (``knows: {project: {restricted.*: ...}}``)
and the keys in them that it knows. The keys that its forms or its rule name are known without that, and each of them is a group of its own:
a policy that reads ``security.nesting`` does not know ``security.nesting.depth``. If an object has a key of a group that the policy does
not know, a pass there becomes ``error``. A failure stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.reading import guard
from sigsrv.facts.resources import Config, Instance
from sigsrv.judge.form_keys import KEYS_OF, fits
from sigsrv.judge.require import Require
from sigsrv.model import incus_keys
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import Finding, Verdict
from sigsrv.model.policy import Policy

# The entities whose keys can belong to a resource, by the kind of resource. ``server`` belongs to all.
ENTITIES: Mapping[str, tuple[str, ...]] = {
    "instance": ("instance", "device_nic", "device_disk", "project"),
    "project": ("project",),
    "network": ("network",),
    "pool": ("pool",),
    "volume": ("volume", "instance", "project"),  # VOL-001 also judges the snapshots of instances
    "member": ("member",),
}
_ITEMS = {
    "expanded_config": "instance",
    "incus.config": "server",
    "pool.config": "pool",
}  # by the fact that a form reads


def read_by_itself(policy: Policy) -> frozenset[tuple[str, str]]:
    """Return entity and name of each key that the forms or the rule of a policy name. A name may have ``*``."""
    found: set[tuple[str, str]] = set()
    for form in policy.forms.keys:
        holder = form.of or KEYS_OF.get(policy.examines, "config")
        found |= {(_ITEMS.get(holder, policy.examines), key) for key in form.must}
    if policy.rule is not None:
        found |= {(policy.examines, key) for key in _named_below_config(policy.rule)}
    return frozenset(found)


def _named_below_config(schema: object) -> Iterator[str]:
    """Yield the names of the configuration keys in a rule."""
    if isinstance(schema, list):
        for each in schema:
            yield from _named_below_config(each)
    elif isinstance(schema, Mapping):
        for name, each in schema.items():
            if name in ("config", "expanded_config") and isinstance(each, Mapping):
                yield from (key for key in each.get("properties", {}) if isinstance(key, str))
            yield from _named_below_config(each)


class KnownKeys:
    """What one policy knows of the keys of one entity."""

    def __init__(self, policy: Policy, entity: str) -> None:
        """Read the groups of the policy. entity: as ``model.incus_keys`` names it."""
        declared = policy.knows.get(entity, {})
        read = [key for of, key in read_by_itself(policy) if of == entity]
        self._entity = entity
        self._groups = tuple(group.removesuffix("*") for group in declared)  # the beginnings of their keys
        self._own = tuple(f"{key}." for key in read if "*" not in key)  # the keys below one that the policy reads
        self._known = (*read, *(key for keys in declared.values() for key in keys))
        self._fine: set[str] = set()  # keys that it knows: a site has few different ones

    def knows(self, key: str) -> bool:
        """Return whether the policy knows a key, or the key is in none of its groups."""
        if any(fits(key, known) for known in self._known):
            return True
        if key.startswith(self._groups):
            return False
        return not key.startswith(self._own) or incus_keys.known(self._entity, key)

    def unknown(self, config: Config) -> list[str]:
        """Return the keys of a configuration that the policy does not know, sorted."""
        new = config.keys() - self._fine
        self._fine.update(key for key in new if self.knows(key))
        return sorted(new - self._fine)


def doubt_unknown_keys(policy: Policy, facts: HostFacts | ClusterFacts, require: Require) -> None:
    """Turn each pass into ``error`` on an object with a key that the policy does not know, of a group that it reads.

    What is read here decides only whether a verdict is believed, so no finding stands on it.
    """
    entities = dict.fromkeys([*policy.knows, *(entity for entity, _ in read_by_itself(policy))])
    judged = [each for each in require.recorded if each.verdict in (Verdict.PASS, Verdict.FAIL)]
    for entity in entities if judged else ():
        for key, reason in guard(lambda entity=entity: _doubts(policy, entity, facts, judged)):  # type: ignore[misc]
            require.doubt(key, reason)


def _doubts(
    policy: Policy, entity: str, facts: HostFacts | ClusterFacts, judged: Iterable[Finding]
) -> list[tuple[str, str]]:
    """Return the id of each finding that can't be believed, with the reason."""
    known, found = KnownKeys(policy, entity), []
    try:
        configs_of = _configs(entity, facts)
        for finding in judged:
            if unknown := [key for config in configs_of(finding) for key in known.unknown(config)]:
                versions = " and ".join(incus_keys.versions())
                knows = f"it knows the keys of Incus {versions}"
                found.append((finding.id, f"{policy.id} does not know what {', '.join(unknown)} means ({knows})"))
    except EvidenceError as cause:
        return [(finding.id, cause.reason) for finding in judged]
    return found


def _configs(entity: str, facts: HostFacts | ClusterFacts) -> Callable[[Finding], Iterable[Config]]:
    """Return what gives the configurations of an entity that belong to a finding."""
    if entity == "server":
        return lambda _: [facts.incus.config]
    if isinstance(facts, HostFacts):  # the only other kind with keys is a pool
        pools = {each.name: each.config for each in facts.incus.pools}
        return lambda finding: [pools.get(finding.resource, {})]
    if entity == "project":
        projects = {each.name: each.config for each in facts.incus.projects}
        return lambda finding: [projects.get(_project_of(finding.resource), {})]
    if entity == "instance" or entity.startswith("device_"):
        instances = {each.resource: each for each, _ in facts.instances.known(decisive=lambda _: True)}
        return lambda finding: _of_instance(instances.get(finding.resource), entity)
    listed: dict[str, list[Config]] = {}
    for each in {"network": _networks, "member": _members, "volume": _volumes}[entity](facts):
        listed.setdefault(each[0], []).append(each[1])
    return lambda finding: listed.get(finding.resource, [])


def _networks(facts: ClusterFacts) -> Iterator[tuple[str, Config]]:
    return ((each.name, each.config) for each in facts.incus.networks)


def _members(facts: ClusterFacts) -> Iterator[tuple[str, Config]]:
    return ((each.name, each.config) for each in facts.incus.members)


def _volumes(facts: ClusterFacts) -> Iterator[tuple[str, Config]]:
    for pool in facts.incus.pools:
        with suppress(EvidenceError):  # then nothing passed there
            yield from ((each.resource, each.config) for each in facts.incus.volumes(pool.name))


def _project_of(resource: str) -> str:
    """Return the project of ``PROJECT``, ``PROJECT/INSTANCE`` or ``POOL/PROJECT/VOLUME``."""
    parts = resource.split("/")
    return parts[1] if len(parts) == 3 else parts[0]


def _of_instance(instance: Instance | None, entity: str) -> Iterable[Config]:
    if instance is None:
        return []
    if entity == "instance":
        return [instance.expanded_config]
    kind = entity.removeprefix("device_")
    return [device for device in instance.expanded_devices.values() if device.get("type") == kind]
