"""Checks of POOL: whether the storage pools of the site exist, how they are configured, and how full they are."""

from sigsrv import HostFacts, Require, Site, policy
from sigsrv.facts.resources import Pool, Space
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
    listed = {pool.name: pool for pool in facts.incus.pools}
    unavailable = _unavailable(facts)
    for wanted, _ in each_pool(facts, site, require):
        with require.about(wanted.name):
            pool = facts.incus.pool_at(wanted.name, facts.member)
            created = False
            if pool is None:
                observed = "there is no such pool"
            else:
                here = not facts.incus.server.clustered or facts.member in pool.locations
                created = here and pool.status == "Created" and wanted.name not in unavailable
                others = ", ".join(pool.locations) or "no member"
                observed = pool.status if here else f"not on {facts.member}: only on {others}"
                observed += f"; warning: {unavailable[wanted.name]}" if wanted.name in unavailable else ""
            require(wanted.name, created, expected=f"Created on {facts.member}", observed=observed)
    for name in sorted(set(listed) - {pool.name for pool in site.pools}):
        pool = listed[name]
        if not pool.locations or facts.member in pool.locations:
            observed = f"{name} ({pool.driver}) is not in the site file"
            require(name, False, expected="a pool of the site file", observed=observed)


def _unavailable(facts: HostFacts) -> dict[str, str]:
    """Return the message of Incus for each pool that this member could not open, by name.

    Incus 6.0.4 names no pool if it could not open one at its start. Then the status of the pools on this member shows which one it is.
    Raises EvidenceError if their status does not show it either.
    """
    own = (facts.member, "") if facts.incus.server.clustered else (facts.member, "", "none")
    found = {}
    for warning in facts.incus.warnings:
        if warning.type != POOL_UNAVAILABLE or warning.status == "resolved" or warning.location not in own:
            continue
        if warning.pool is not None:
            found[warning.pool] = warning.message
        elif all(_is_created(facts, pool.name) for pool in facts.incus.pools):
            reason = f"{facts.name}: a pool is unavailable, and Incus does not report which one"
            raise EvidenceError(reason, host=facts.name)
    return found


def _is_created(facts: HostFacts, name: str) -> bool:
    pool = facts.incus.pool_at(name, facts.member)
    return pool is not None and pool.status == "Created"


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
    for wanted, _ in each_pool(facts, site, require):
        with require.about(wanted.name):
            pool = pool_with_status(facts, require, wanted.name, "Created")
            if pool is None:
                continue
            zpool = zpool_name(facts, wanted.name) if pool.driver == "zfs" else None
            if zpool is not None and facts.storage.zpool(zpool) is None:
                require.left_to("POOL-004", wanted.name, f"zpool {zpool} is not imported")
                continue
            _require_space(facts, site.thresholds, require, wanted.name, zpool)


def _require_space(facts: HostFacts, limits: Thresholds, require: Require, name: str, zpool: str | None) -> None:
    resources = facts.incus.pool_resources(name, facts.member)
    space, inodes = resources.space, resources.inodes
    expected = [f"{limits.pool_free_percent} % and {_gib(limits.pool_free_min)} free"]
    faults = _too_little(space, limits.pool_free_percent, "space")
    if space.free < limits.pool_free_min:
        faults.append(f"{_gib(space.free)} of space free")
    if inodes.total:
        expected.append(f"{limits.inode_free_percent} % of inodes free")
        faults += _too_little(inodes, limits.inode_free_percent, "inodes")
    if zpool is not None:
        usage = facts.storage.usage(zpool)
        full, fragmented = limits.zfs_capacity_percent, limits.zfs_fragmentation_percent
        expected.append(f"zpool {zpool} at most {full} % full and {fragmented} % fragmented")
        if usage.capacity is not None and usage.capacity > full:
            faults.append(f"zpool {zpool} is {usage.capacity} % full")
        if usage.fragmentation is not None and usage.fragmentation > fragmented:
            faults.append(f"zpool {zpool} is {usage.fragmentation} % fragmented")
    require(name, not faults, expected="; ".join(expected), observed="; ".join(faults) or "enough is free")


def _too_little(space: Space, percent: int, what: str) -> list[str]:
    enough = space.free * 100 >= space.total * percent
    return [] if enough else [f"{space.free * 100 // space.total} % of {what} free"]


def _gib(size: int) -> str:
    return f"{size * 100 // 1024**3 / 100:.2f} GiB"  # rounded down: never more than is free
