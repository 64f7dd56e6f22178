"""Checks of POOL: the health of ZFS pools."""

from collections.abc import Iterator
from datetime import UTC, datetime

from sigsrv import HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.storage import Scan, ZPool
from sigsrv.judge.ages import DAY_S
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.site_pools import each_pool, zpool_name
from sigsrv.model.errors import EvidenceError

_SPARE_STATES = ("AVAIL", "INUSE")


def _each_zfs_pool(facts: HostFacts, site: Site, require: Require) -> Iterator[str]:
    """Yield the name of each pool of the site file that is a ZFS pool on this member. Record ``not-applicable`` for the others."""
    for wanted, pool in each_pool(facts, site, require):
        driver = pool.driver if pool else wanted.driver
        on_other_members = pool is not None and facts.incus.server.clustered and facts.member not in pool.locations
        if driver != "zfs" and wanted.driver == "zfs":
            require.left_to("POOL-002", wanted.name, f"the driver is {driver}")
        elif driver != "zfs":
            require.not_applicable(wanted.name, f"the driver is {driver}")
        elif pool is None or on_other_members:
            where = f" on {facts.member}" if on_other_members else ""
            require.left_to("POOL-001", wanted.name, f"there is no pool {wanted.name}{where}")
        else:
            yield wanted.name


@policy("POOL-004")
def test_zfs_pool_is_online_without_errors(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the state of the zpool and of every device in it, at their error counters, and at data errors.

    A zpool with permanent errors is still ONLINE.
    """
    for pool in _each_zfs_pool(facts, site, require):
        with require.finding(pool, "the zpool and all its devices are ONLINE, without errors") as finding:
            name = zpool_name(facts, pool)
            finding.expected = f"zpool {name} and all its devices are ONLINE, without errors"
            finding.otherwise = f"zpool {name} is ONLINE"
            zpool = facts.storage.zpool(name)
            if zpool is None:
                _record_missing(finding, facts, pool, name)
            else:
                _require_health(finding, zpool)


def _record_missing(finding: Clauses, facts: HostFacts, pool: str, zpool: str) -> None:
    on_member = facts.incus.pool_at(pool, facts.member)
    status = on_member.status if on_member else "missing"
    if status == "Created":
        finding.violated(f"zpool {zpool} is not imported")
    else:
        root = finding_id("POOL-001", facts.name, pool)
        finding.violated(f"zpool {zpool} is not imported, because the pool is {status}", root)


def _require_health(finding: Clauses, zpool: ZPool) -> None:
    if zpool.state != "ONLINE":
        finding.violated(f"zpool {zpool.name} is {zpool.state}")
    for vdev in zpool.vdevs:
        is_spare = vdev.read_errors is None and vdev.state in _SPARE_STATES
        if vdev.state != "ONLINE" and not is_spare:
            finding.violated(f"{vdev.name} is {vdev.state}")
        if vdev.errors:
            counts = f"{vdev.read_errors} read, {vdev.write_errors} write, {vdev.checksum_errors} checksum errors"
            finding.violated(f"{vdev.name} has {counts}")
    if zpool.data_errors:
        finding.violated(f"{zpool.data_errors} data errors that ZFS can't repair")


@policy("POOL-005")
def test_zfs_pool_was_scrubbed_recently(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the last scan of the zpool, or at its age if it was never scrubbed.

    ZFS keeps only its last scan: after a resilver, the time of the last scrub is unknown. A scrub that is running passes.
    """
    days = site.thresholds.zfs_scrub_days
    for pool in _each_zfs_pool(facts, site, require):
        with require.finding(pool, f"a scrub without errors in the last {days} days") as finding:
            name = zpool_name(facts, pool)
            finding.expected = f"a scrub of zpool {name} without errors in the last {days} days"
            finding.fix["zpool"] = name
            zpool = facts.storage.zpool(name)
            damage = finding_id("POOL-004", facts.name, pool)
            if zpool is None:
                finding.nothing(f"zpool {name} is not imported", damage)
            elif zpool.data_errors and zpool.scan is not None and zpool.scan.errors:
                finding.violated(f"the last scrub of zpool {name} found data errors that are still there", damage)
            elif zpool.scan is None:
                finding.require(*_made_recently(facts, facts.storage.created(name), days))
            else:
                finding.require(*_scrubbed_recently(facts, zpool.scan, days))


def _made_recently(facts: HostFacts, created: int, days: int) -> tuple[bool, str]:
    """Return whether a zpool without a scrub is still young enough, and what was observed. Raises EvidenceError."""
    if created > facts.collected + DAY_S:
        reason = f"{facts.name}: the zpool has a creation time after the time of the evidence"
        raise EvidenceError(reason, host=facts.name)
    young = facts.collected - created <= days * DAY_S
    return young, f"never scrubbed; the zpool was created on {_date(created)}"


def _scrubbed_recently(facts: HostFacts, scan: Scan, days: int) -> tuple[bool, str]:
    """Return whether the last scan is a recent scrub without errors, and what was observed.

    Raises EvidenceError if its age is not known well enough.
    """
    if scan.function != "SCRUB":
        return False, f"the last scan is a {scan.function.lower()}; ZFS keeps no record of a scrub before it"
    if scan.state == "SCANNING":
        return True, "a scrub is running"
    if scan.state != "FINISHED":
        return False, f"the last scrub is {scan.state.lower()}"
    if scan.errors:
        return False, f"the last scrub found {scan.errors} errors that it could not repair"
    if scan.ended is None:
        raise EvidenceError(f"{facts.name}: zpool does not report when the last scrub ended")
    age = facts.collected - scan.ended
    if age < -DAY_S:
        reason = f"the last scrub ended {-age / DAY_S:.0f} days after the time of the evidence"
        raise EvidenceError(f"{facts.name}: {reason}")
    if abs(age - days * DAY_S) < scan.doubt_s:
        reason = f"the last scrub is about {days} days old, and zpool does not report the time zone"
        raise EvidenceError(f"{facts.name}: {reason}")
    return age <= days * DAY_S, f"the last scrub ended on {_date(scan.ended)}"


def _date(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d")
