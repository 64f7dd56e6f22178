"""Checks of HOST: memory, load, file systems and the clock."""

from sigsrv import policy
from sigsrv.model.errors import EvidenceError, FailureKind


@policy("HOST-005")
def test_host_has_free_memory_and_a_bearable_load(facts, site, require):
    """What ZFS's cache gives back when asked counts as available."""
    wanted = site.thresholds
    machine = facts.machine
    total, available = machine.memory.total, machine.memory.available
    load = machine.load15 / machine.cpus
    try:
        available += machine.arc_reclaimable
    except EvidenceError as cause:  # what was not asked can only add to it
        if cause.kind is not FailureKind.ABSENT or 100 * available < wanted.memory_available_percent * total:
            raise
    enough = 100 * available >= wanted.memory_available_percent * total
    require(
        facts.name,
        enough and load <= wanted.load_per_cpu,
        expected=f"at least {wanted.memory_available_percent} % of memory available, load at most {wanted.load_per_cpu:g} a CPU",
        observed=f"{100 * available / total:.1f} % of memory available; load {load:.2f} a CPU in 15 minutes",
    )


@policy("HOST-006")
def test_host_file_systems_have_free_space_and_inodes(facts, site, require):
    """Each storage once, by the mount point that is nearest to the root."""
    wanted = site.thresholds.fs_free_percent
    for target, reason in facts.machine.unread_filesystems.items():
        require.unknown(target, f"df could not look at it: {reason}")
    for row in facts.machine.filesystems:
        free = 100 * row.available / (row.used + row.available)
        seen = [f"{free:.1f} % of the space"]
        if row.inodes:
            inodes = 100 * (row.inodes - row.inodes_used) / row.inodes
            seen.append(f"{inodes:.1f} % of the inodes")
            free = min(free, inodes)
        require(
            row.target,
            free >= wanted,
            expected=f"at least {wanted} % of space and inodes free",
            observed=f"free: {' and '.join(seen)} of {row.source}",
        )


@policy("HOST-007")
def test_host_clock_is_right(facts, site, require):
    """The deviation from the collector's clock is known to lie between two bounds; the smaller is held against the limit."""
    limit = site.thresholds.clock_skew_seconds
    skew, synchronized = facts.machine.skew, facts.machine.synchronized
    seen = f"{skew.least:+.2f} to {skew.most:+.2f} s from the clock of the machine that scanned"
    wrong = skew.nearest > limit
    if not wrong and skew.width > limit:
        require.unknown(facts.name, f"{seen}: the way to the host took too long to tell {limit:g} s")
        return
    if synchronized is None and not wrong:
        reason = f"{seen}: right now; what keeps it right can't be told on a host without systemd"
        require.not_applicable(facts.name, reason)
        return
    if wrong and synchronized:
        seen += (
            "; the host's own is synchronised: where all hosts deviate alike it is the scanning machine's that is wrong"
        )
    elif synchronized is False:
        seen += "; nothing keeps it synchronised"
    require(
        facts.name,
        bool(synchronized) and not wrong,
        expected=f"at most {limit:g} s from the clock of the machine that scans, and synchronised",
        observed=seen,
    )
