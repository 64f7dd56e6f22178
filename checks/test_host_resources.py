"""Checks of HOST: memory, load, file systems and the clock."""

from sigsrv import HostFacts, Require, Site, policy
from sigsrv.model.errors import EvidenceError, FailureKind


@policy("HOST-005")
def test_host_has_free_memory_and_an_acceptable_load(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the available memory and at the load of the last 15 minutes per CPU.

    Memory that the ZFS cache gives back on demand counts as available.
    """
    wanted = site.thresholds
    machine = facts.machine
    total, available = machine.memory.total, machine.memory.available
    load = machine.load15 / machine.cpus
    try:
        available += machine.arc_reclaimable
    except EvidenceError as cause:
        # Saved evidence may lack this probe. The ZFS cache can only add memory, so enough without it is enough.
        if cause.kind is not FailureKind.ABSENT or 100 * available < wanted.memory_available_percent * total:
            raise
    enough = 100 * available >= wanted.memory_available_percent * total
    require(
        facts.name,
        enough and load <= wanted.load_per_cpu,
        expected=f"at least {wanted.memory_available_percent} % of the memory available, load at most {wanted.load_per_cpu:g} per CPU",
        observed=f"{100 * available / total:.1f} % of the memory available; load {load:.2f} per CPU in 15 minutes",
    )


@policy("HOST-006")
def test_host_file_systems_have_free_space_and_inodes(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the space and the inodes of each file system of the host.

    A storage that is mounted more than once is checked once, at the mount point with the shortest path.
    """
    wanted = site.thresholds.fs_free_percent
    for target, reason in facts.machine.unread_filesystems.items():
        require.unknown(target, f"df can't read it: {reason}")
    for row in facts.machine.filesystems:
        free = 100 * row.available / (row.used + row.available)
        observed = [f"{free:.1f} % of the space"]
        if row.inodes:
            inodes = 100 * (row.inodes - row.inodes_used) / row.inodes
            observed.append(f"{inodes:.1f} % of the inodes")
            free = min(free, inodes)
        require(
            row.target,
            free >= wanted,
            expected=f"at least {wanted} % of the space and of the inodes free",
            observed=f"{' and '.join(observed)} of {row.source} free",
        )


@policy("HOST-007")
def test_host_clock_is_correct_and_synchronized(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the difference between the host clock and the clock of the machine that scans, and at what timedatectl reports.

    The difference lies between two bounds. The policy compares the smallest possible difference with the limit.
    """
    limit = site.thresholds.clock_skew_seconds
    skew, synchronized = facts.machine.skew, facts.machine.synchronized
    observed = f"{skew.least:+.2f} to {skew.most:+.2f} s from the clock of the machine that scans"
    wrong = skew.nearest > limit
    if not wrong and skew.width > limit:
        require.unknown(facts.name, f"{observed}: the answer took too long to detect a difference of {limit:g} s")
        return
    if synchronized is None and not wrong:
        reason = f"{observed}: the clock is correct now, but without systemd it is unknown whether it is synchronized"
        require.not_applicable(facts.name, reason)
        return
    if wrong and synchronized:
        observed += (
            "; the host clock is synchronized: if all hosts differ alike, the clock of the machine that scans is wrong"
        )
    elif synchronized is False:
        observed += "; the host clock is not synchronized"
    require(
        facts.name,
        bool(synchronized) and not wrong,
        expected=f"at most {limit:g} s from the clock of the machine that scans, and synchronized",
        observed=observed,
    )
