"""What speaks against applying anything now. Pure functions: facts, findings and steps in, reasons out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from sigsrv.facts.clusters import clusters
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.require import SERVICE
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import finding_id
from sigsrv.model.fix import Fix

MAX_OBJECTS = 10
FIXES_A_DAY = 3
# Of what these change the values name links of the host; an instance's eth0 is another one.
_NAMES_LINKS = frozenset({"host", "bridge", "acl"})


def offline(facts: Mapping[str, HostFacts], fixing: Collection[str]) -> list[str]:
    """Which members of a cluster are away, or may be. mending: ids of the findings to be put right: the root of it may be one of them."""
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
                    away = [member for member in host.incus.members if not _is_well(member.status, member.is_evacuated)]
                except EvidenceError as cause:
                    reasons.append(f"whether all members are Online can't be told: {cause.reason}")
                    continue
                for member in away:
                    other = names.get(member.name)
                    root = other and finding_id(SERVICE, other.name, other.name)
                    if root not in fixing and not (other and (other.unreachable or other.daemon_down)):
                        reasons.append(f"cluster member {member.name} is {member.status} in the eyes of {host.name}")
    return reasons


def _is_clustered(hosts: Iterable[HostFacts]) -> bool:
    for host in hosts:
        with suppress(EvidenceError):
            if host.incus.server.clustered:
                return True
    return False


def _is_well(status: str, evacuated: bool) -> bool:
    return status == "Online" or evacuated


def resilvering(facts: Mapping[str, HostFacts], has_zfs: bool) -> list[str]:
    """Which pools are being made whole again, or may be. has_zfs: whether the site has any pool of ZFS."""
    reasons = []
    for host in facts.values():
        if not has_zfs or host.unreachable:
            continue
        try:
            pools = [pool.name for pool in host.storage.zpools.values() if pool.resilvering]
            reasons += [f"zpool {name} of {host.name} resilvers: zpool status {name}" for name in pools]
        except EvidenceError as cause:
            reasons.append(f"whether a pool of {host.name} resilvers can't be told: {cause.reason}")
    return reasons


def too_many(objects: Collection[object], most: int) -> list[str]:
    """Whether more would change than may at once. most: what --max says."""
    if len(objects) <= most:
        return []
    return [
        f"{len(objects)} objects would change and --max is {most}: name fewer findings, or say --max {len(objects)}"
    ]


def comes_back(counts: Mapping[str, int]) -> list[str]:
    """Which findings were put right so often within a day that something must put them back. counts: by the finding's id."""
    return [
        f"{finding} was put right {count} times within a day, and fails again: something puts it back. Find it first: "
        "configuration management, a boot script, somebody else; and see the permanent fix"
        for finding, count in counts.items()
        if count >= FIXES_A_DAY
    ]


def own_way(fix: Fix, links: Sequence[str], is_armed: bool) -> list[str]:
    """Whether a fix would touch what this very login came over, with nothing that would undo it for certain.

    links: those of the session, with what is above and below them. is_armed: that a new login must confirm it, also over a reboot
    where the change survives one.
    """
    touched = [word for word in fix.words if word in links] if fix.changes in _NAMES_LINKS else []
    if not touched or is_armed:
        return []
    reason = "is not armed over a reboot" if fix.cuts_network else "is not marked as one that may cut the network"
    return [f"{fix.finding}: this login came over {', '.join(touched)}, and {fix.name} {reason}"]
