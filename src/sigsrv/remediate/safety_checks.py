"""Finds reasons not to apply anything now. Pure functions: they read facts, findings and steps and return reasons."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from sigsrv.facts import leader
from sigsrv.facts.clusters import ClusterFacts, clusters
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.limits import watching
from sigsrv.judge.require import SERVICE
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import finding_id
from sigsrv.model.fix import Fix

FIXES_A_DAY = 3
# The values of these fixes name links of the host. Values of other fixes may name links of an instance, such as its eth0.
_NAMES_LINKS = frozenset({"host", "bridge", "acl"})


@watching()
def offline(facts: Mapping[str, HostFacts], fixing: Collection[str]) -> list[str]:
    """Return which cluster members are offline, or may be.

    fixing: ids of the findings that the plan fixes. If one of them is the reason why a member is offline, that member
    is not reported. If one of them is the likely reason why a daemon can't read its members, that is not reported either: see
    ``let_through``.
    """
    reasons = []
    for cluster in (each for each in clusters(facts) if _is_clustered(each.hosts.values())):
        names = {host.member: host for host in cluster.hosts.values()}
        for host in cluster.hosts.values():
            if host.unreachable:
                reasons.append(f"{host.name} can't be reached: {host.unreachable.reason}")
            elif host.daemon_down:
                if finding_id(SERVICE, host.name, host.name) not in fixing:
                    reasons.append(f"the Incus daemon of {host.name} does not answer")
            else:
                try:
                    away = [
                        member for member in host.incus.members if not _is_healthy(member.status, member.is_evacuated)
                    ]
                except EvidenceError as cause:
                    if not _starts_voter_for(host, cluster, fixing):
                        reasons.append(f"can't determine whether all members are Online: {cause.reason}")
                    continue
                for member in away:
                    other = names.get(member.name)
                    root = other and finding_id(SERVICE, other.name, other.name)
                    if root not in fixing and not (other and (other.unreachable or other.daemon_down)):
                        reasons.append(f"cluster member {member.name} is {member.status}, as {host.name} reports")
    return reasons


def let_through(facts: Mapping[str, HostFacts], fixing: Collection[str]) -> dict[str, str]:
    """Return what ``offline`` does not refuse although it is unknown, because the plan starts the daemon that is the likely cause.

    By the host whose daemon can't answer.
    """
    notes = {}
    for cluster in clusters(facts):
        for host in cluster.hosts.values():
            if (voter := _starts_voter_for(host, cluster, fixing)) is not None:
                notes[host.name] = (
                    f"{host.name} can't report whether all members are Online, because the database of the cluster has no leader. "
                    f"The daemon of {voter} is down, perhaps with the only database vote, and this plan starts it"
                )
    return notes


def _starts_voter_for(host: HostFacts, cluster: ClusterFacts, fixing: Collection[str]) -> str | None:
    """Return the host whose daemon is down and is started by the plan, if the daemon of another host misses the database's leader."""
    if host.unreachable or not leader.is_missing(host.evidence):
        return None
    down = (other for other in cluster.hosts.values() if not other.unreachable and other.daemon_down)
    return next((other.name for other in down if finding_id(SERVICE, other.name, other.name) in fixing), None)


def _is_clustered(hosts: Iterable[HostFacts]) -> bool:
    for host in hosts:
        with suppress(EvidenceError):
            if host.incus.server.clustered:
                return True
    return False


def _is_healthy(status: str, evacuated: bool) -> bool:
    return status == "Online" or evacuated


@watching()
def resilvering(facts: Mapping[str, HostFacts], has_zfs: bool) -> list[str]:
    """Return which pools are resilvering, or may be. has_zfs: whether the site has a ZFS pool."""
    reasons = []
    for host in facts.values():
        if not has_zfs or host.unreachable:
            continue
        try:
            pools = [pool.name for pool in host.storage.zpools.values() if pool.resilvering]
            reasons += [f"zpool {name} of {host.name} is resilvering: see zpool status {name}" for name in pools]
        except EvidenceError as cause:
            reasons.append(f"can't determine whether a pool of {host.name} is resilvering: {cause.reason}")
    return reasons


def recurring(counts: Mapping[str, int]) -> list[str]:
    """Return which findings were fixed so often within a day that something must revert the fix.

    counts: by finding id.
    """
    return [
        f"{finding} was fixed {count} times within a day and fails again: something reverts the fix. Find it first: "
        "configuration management, a boot script, another person. See also the permanent fix"
        for finding, count in counts.items()
        if count >= FIXES_A_DAY
    ]


def touches_own_login(fix: Fix, links: Sequence[str], is_armed: bool) -> list[str]:
    """Return a reason if a fix would change a link of the ssh login to its host, and nothing would roll it back for certain.

    links: the links of the login, with the links above and below them. is_armed: a new login must confirm the fix,
    and the rollback timer survives a reboot if the change does.
    """
    touched = [word for word in fix.words if word in links] if fix.changes in _NAMES_LINKS else []
    if not touched or is_armed:
        return []
    reason = (
        "has no rollback timer that survives a reboot" if fix.cuts_network else "is not marked as cutting the network"
    )
    return [f"{fix.finding}: the ssh login to {fix.runs_on} uses {', '.join(touched)}, and {fix.name} {reason}"]


def evacuated_hosts(facts: Mapping[str, HostFacts]) -> frozenset[str]:
    """Return the hosts that any daemon reports as evacuated, or on the way there or back."""
    away: set[str] = set()
    for host in facts.values():
        with suppress(EvidenceError):
            if host.incus.server.clustered:
                away |= {member.name for member in host.incus.members if member.is_evacuated}
    return frozenset(host.name for host in facts.values() if host.member in away)


@watching()
def evacuated(facts: Mapping[str, HostFacts], fixes: Iterable[Fix]) -> list[str]:
    """Return which fixes would bring up a network on an evacuated member. Somebody works on it: cables, a switch, disks."""
    away = evacuated_hosts(facts)
    return [
        f"{fix.finding}: {host} is evacuated, and Incus would bring up {', '.join(fix.resets) or 'links'} there. "
        f"Restore it first: incus cluster restore {facts[host].member}"
        for fix in fixes
        if fix.cuts_network
        for host in sorted(away)
        if host == fix.runs_on or (fix.reaches == "members" and _has_any(facts, fix.resets, facts[host].member))
    ]


def _has_any(facts: Mapping[str, HostFacts], networks: Iterable[str], member: str) -> bool:
    """Return whether a member has one of these networks; also if no daemon says so."""
    return any(_has_network(facts, each, member) for each in networks)


def _has_network(facts: Mapping[str, HostFacts], network: str, member: str) -> bool:
    unknown = True
    for host in facts.values():
        with suppress(EvidenceError):
            found = host.incus.network(network)
            unknown = False
            if found is not None and found.managed and member in found.locations:
                return True
    return unknown
