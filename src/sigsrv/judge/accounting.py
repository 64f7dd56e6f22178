"""Proves that a policy accounted for each resource of its kind: no row of the evidence may be skipped without a reason.

A resource is accounted for if the policy has a finding on it, if the check left it out with a reason, or if it is on a host of the site
that was not selected. The engine records ``error`` for every other one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.instance_rows import InstanceRow
from sigsrv.facts.reading import guard
from sigsrv.facts.volumes import Volume
from sigsrv.judge.require import Require
from sigsrv.model import names
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import Verdict
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site

UNDECLARED = "the site file does not list it"  # NET-004 reports such a network, POOL-001 such a pool


def _on_host(facts: HostFacts, kind: str) -> Iterator[str]:
    if kind == "bridge":
        yield from (link.name for link in facts.network.links.values() if link.kind == "bridge")
    elif kind == "pool":
        yield from (pool.name for pool in facts.incus.pools)
    elif kind == "filesystem":
        yield from (each.target for each in facts.machine.filesystems)
        yield from facts.machine.unread_filesystems


def _instances(facts: ClusterFacts) -> Iterable[str]:
    return facts.instance_names


def _volumes(facts: ClusterFacts) -> Iterator[str]:
    for pool in facts.incus.pools:
        with suppress(EvidenceError):
            for volume in facts.incus.volumes(pool.name):
                if not (volume.location and facts.leaves_out(volume.location)):
                    yield volume.resource


def _elsewhere(kind: str, facts: HostFacts | ClusterFacts) -> Iterator[tuple[str, str]]:
    """Yield each instance or volume on another host of the site, with that member."""
    if isinstance(facts, HostFacts) or not facts.unselected:
        return
    with suppress(EvidenceError):
        rows: list[InstanceRow | Volume] = []
        if kind == "instance":
            rows += facts.incus.listed_instances
        for pool in facts.incus.pools if kind == "volume" else ():
            rows += facts.incus.volumes(pool.name)
        yield from ((each.resource, each.location) for each in rows if each.location in facts.unselected)


def _members(facts: ClusterFacts) -> Iterator[str]:
    """Yield the members of a cluster, each by the name that findings have: CLUS-002 has those of the hosts."""
    for member in facts.incus.members if facts.incus.server.clustered else ():
        host = facts.host_of(member.name)
        if host is None and not facts.leaves_out(member.name):
            yield member.name


_IN_CLUSTER: Mapping[str, Callable[[ClusterFacts], Iterable[str]]] = {
    "acl": lambda facts: (f"{each.project}/{each.name}" for each in facts.incus.network_acls),
    "certificate": lambda facts: (each.resource for each in facts.incus.trust),
    "image": lambda facts: (each.resource for each in facts.incus.images),
    "instance": _instances,
    "member": _members,
    "network": lambda facts: (each.name for each in facts.incus.networks if each.managed),
    "profile": lambda facts: (f"{each.project}/{each.name}" for each in facts.incus.profiles),
    "project": lambda facts: (each.name for each in facts.incus.projects),
    "volume": _volumes,
    "warning": lambda facts: (f"{each.type}/{each.place(facts.name)}" for each in facts.incus.warnings),
}


def listed(kind: str, facts: HostFacts | ClusterFacts) -> frozenset[str]:
    """Return the resources of a kind in the evidence; empty for a kind that has no list. Raises EvidenceError."""
    if isinstance(facts, HostFacts):
        return frozenset(_on_host(facts, kind))
    return frozenset(_IN_CLUSTER[kind](facts)) if kind in _IN_CLUSTER else frozenset()


def account(policy: Policy, facts: HostFacts | ClusterFacts, site: Site, require: Require) -> None:
    """Record ``error`` for each resource that a policy did not account for, after its check ran.

    If a list can't be read, the names in the site file stand for it: a policy of such a kind must judge each of them. If the site file has
    no such names either, the findings of the policy stay as they are: its check read what it needs, or recorded an error. No finding
    stands on what is read here.
    """
    says_all = any(each.resource == require.subject and each.verdict is not Verdict.PASS for each in require.recorded)
    declared = _declared(policy.examines, site)
    try:
        resources = guard(lambda: listed(policy.examines, facts))
        wrong = {each: names.refusal(policy.examines, each) for each in resources}
        require.disbelieve({each: reason for each, reason in wrong.items() if reason})
    except EvidenceError:
        if declared is None:
            return
        resources = declared
    if says_all:
        return  # the policy says something about all of them at once
    for resource, member in guard(lambda: tuple(_elsewhere(policy.examines, facts))):
        require.leave_out(resource, f"its host {member} was not selected, or is in no cluster")
    judged = {each.resource for each in require.recorded}
    for resource in sorted(resources - judged - require.left_out.keys()):
        if declared is not None and resource not in declared:
            require.leave_out(resource, UNDECLARED)
        elif require.others_left_out:
            require.leave_out(resource, require.others_left_out)
        else:
            require.unknown(resource, f"{policy.id} did not judge this {policy.examines}")


def _declared(kind: str, site: Site) -> frozenset[str] | None:
    """Return the names that the site file lists, for a kind whose policies concern only these; None for any other kind."""
    if kind in ("bridge", "network"):
        return frozenset(bridge.name for bridge in site.bridges)
    return frozenset(pool.name for pool in site.pools) if kind == "pool" else None
