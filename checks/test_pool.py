"""Checks of POOL: whether the storage pools of the site exist, how they are configured, and how full they are."""

from contextlib import suppress

from sigsrv import HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.members import Warning
from sigsrv.facts.pools import Pool, Space
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.incus_warnings import POOL_UNAVAILABLE
from sigsrv.judge.site_pools import each_pool, pool_with_status, zpool_name
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import SitePool, Thresholds
from sigsrv.model.values import FALSE, TRUE, size_bytes

_ON_DEVICES = ("zfs", "btrfs", "lvm")


@policy("POOL-001")
def test_pool_exists_and_is_created_on_every_cluster_member(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at each pool as this member's own daemon reports it, and at the warnings of this member about pools.

    Without ``?target=MEMBER``, Incus reports a pool as Created while one member has lost it. A pool that is not in the site file fails.
    """
    warnings = _open_warnings(facts)
    for wanted, listed in each_pool(facts, site, require):
        with require.finding(wanted.name, f"Created on {facts.member}") as finding:
            if listed is None:
                finding.violated("there is no such pool")
                continue
            with finding.clause():
                _require_created(finding, facts, listed)
            for warning in warnings:
                with finding.clause():
                    if warning.pool == wanted.name:
                        finding.violated(f"warning: {warning.message}")
                    elif warning.pool is None and not _shows_unavailable(facts):
                        reason = f"{facts.name}: a pool is unavailable, and Incus does not report which one"
                        raise EvidenceError(reason, host=facts.name)
    declared = {pool.name for pool in site.pools}
    for pool in facts.incus.pools:
        if pool.name not in declared and (not pool.locations or facts.member in pool.locations):
            observed = f"{pool.name} ({pool.driver}) is not in the site file"
            require(pool.name, False, expected="a pool of the site file", observed=observed)


def _require_created(finding: Clauses, facts: HostFacts, listed: Pool) -> None:
    clustered = facts.incus.server.clustered
    if clustered and facts.member not in listed.locations:
        finding.violated(f"not on {facts.member}: only on {', '.join(listed.locations) or 'no member'}")
        return
    pool = facts.incus.pool_at(listed.name, facts.member)
    if pool is None or (clustered and facts.member not in pool.locations):
        finding.violated(f"not on {facts.member}")
    else:
        finding.require(pool.status == "Created", pool.status)


def _open_warnings(facts: HostFacts) -> list[Warning]:
    """Return the warnings about a pool that this member could not open."""
    own = (facts.member, "") if facts.incus.server.clustered else (facts.member, "", "none")
    return [
        warning
        for warning in facts.incus.warnings
        if warning.type == POOL_UNAVAILABLE and warning.status != "resolved" and warning.location in own
    ]


def _shows_unavailable(facts: HostFacts) -> bool:
    """Return whether the status of a pool on this member explains a warning that names no pool.

    Incus 6.0.4 names no pool if it could not open one at its start.
    """
    for pool in facts.incus.pools:
        with suppress(EvidenceError):
            at = facts.incus.pool_at(pool.name, facts.member)
            if at is None or at.status != "Created":
                return True
    return False


@policy("POOL-002")
def test_pool_has_the_driver_and_configuration_of_the_site_file(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the driver and the configuration of each pool as this member has them.

    Each member has its own source, size, zpool and LVM names.
    """
    for wanted, _ in each_pool(facts, site, require):
        with require.about(wanted.name):
            pool = pool_with_status(facts, require, wanted.name, "Created", "Unavailable")
            if pool is None:
                continue
            expected, faults = _compared(wanted, pool)
            observed = "; ".join(faults) or "as expected"
            require(wanted.name, not faults, expected="; ".join(expected), observed=observed)


def _compared(wanted: SitePool, pool: Pool) -> tuple[list[str], list[str]]:
    """Return what the site file wants of a pool, and what is different. Raises EvidenceError if Incus does not report the source."""
    expected, faults = [f"driver {wanted.driver}"], []
    if pool.driver != wanted.driver:
        faults.append(f"driver {pool.driver}")
    if wanted.zpool:
        expected.append(f"zpool {wanted.zpool}")
        name = pool.config.get("zfs.pool_name", "")
        if wanted.zpool not in (name, name.partition("/")[0]):
            faults.append(f"zpool {name or 'none'}")
    for key, value in sorted(wanted.config.items()):
        expected.append(f"{key}={value}")
        if not _equal(pool.config.get(key, ""), value):
            faults.append(f"{key}={pool.config.get(key, 'unset')}")
    if pool.driver in _ON_DEVICES and not wanted.loop_ok:
        expected.append("on a device")
        if "source" not in pool.config:
            raise EvidenceError(f"pool {pool.name}: Incus does not report the source")
        sources = (pool.config["source"], pool.config.get("volatile.initial_source", ""))
        faults += [f"in the file {source}" for source in dict.fromkeys(sources) if source.endswith(".img")]
    return expected, faults


def _equal(found: str, wanted: str) -> bool:
    """Return whether two values are equal for Incus: 1GiB is 1024MiB, and yes is true."""
    if found == wanted:
        return True
    if {found.lower(), wanted.lower()} <= TRUE or {found.lower(), wanted.lower()} <= FALSE:
        return True
    try:
        return size_bytes(found) == size_bytes(wanted)
    except ValueError:
        return False


@policy("POOL-003")
def test_pool_has_free_space_and_inodes(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the free space and the free inodes of each pool on this member, and at the zpool of a ZFS pool.

    Both the share and the amount of free space must be large enough. For a ZFS pool, the policy also checks how full and how fragmented
    its zpool is.
    """
    limits = site.thresholds
    for wanted, _ in each_pool(facts, site, require):
        expected = f"{limits.pool_free_percent} % and {_gib(limits.pool_free_min)} free"
        with require.finding(wanted.name, expected) as finding:
            pool = pool_with_status(facts, require, wanted.name, "Created")
            if pool is None:
                continue
            finding.otherwise = "enough is free"
            if pool.driver == "zfs":
                with finding.clause():
                    name = zpool_name(facts, pool.name)
                    if facts.storage.zpool(name) is None:
                        because = finding_id("POOL-004", facts.name, pool.name)
                        finding.nothing(f"zpool {name} is not imported", because)
                        continue
                    _require_usage(finding, facts, limits, name)
            _require_space(finding, facts, limits, pool.name)


def _require_space(finding: Clauses, facts: HostFacts, limits: Thresholds, pool: str) -> None:
    resources = facts.incus.pool_resources(pool, facts.member)
    space, inodes = resources.space, resources.inodes
    _require_share(finding, space, limits.pool_free_percent, "space")
    if space.free < limits.pool_free_min:
        finding.violated(f"{_gib(space.free)} of space free")
    if inodes.total:
        finding.expected += f"; {limits.inode_free_percent} % of inodes free"
        _require_share(finding, inodes, limits.inode_free_percent, "inodes")


def _require_usage(finding: Clauses, facts: HostFacts, limits: Thresholds, zpool: str) -> None:
    full, fragmented = limits.zfs_capacity_percent, limits.zfs_fragmentation_percent
    finding.expected += f"; zpool {zpool} at most {full} % full and {fragmented} % fragmented"
    usage = facts.storage.usage(zpool)
    if usage.capacity is not None and usage.capacity > full:
        finding.violated(f"zpool {zpool} is {usage.capacity} % full")
    if usage.fragmentation is not None and usage.fragmentation > fragmented:
        finding.violated(f"zpool {zpool} is {usage.fragmentation} % fragmented")


def _require_share(finding: Clauses, space: Space, percent: int, what: str) -> None:
    if space.free * 100 < space.total * percent:
        finding.violated(f"{space.free * 100 // space.total} % of {what} free")


def _gib(size: int) -> str:
    return f"{size * 100 // 1024**3 / 100:.2f} GiB"  # rounded down: never more than is free
