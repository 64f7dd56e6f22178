"""Checks of POOL: storage pools."""

from datetime import UTC, datetime

from sigsrv import finding_id, policy
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import FALSE, TRUE, size_bytes

_SPARE = ("AVAIL", "INUSE")
_DAY_S = 24 * 3600
_ON_DEVICES = ("zfs", "btrfs", "lvm")


def _to_be_here(facts, site, require):
    """Each pool that the site has on this host, and what Incus lists of it, None for nothing; of the others it is said."""
    listed = {pool.name: pool for pool in facts.incus.pools}
    for wanted in site.pools:
        if wanted.is_on(facts.name):
            yield wanted, listed.get(wanted.name)
        else:
            require.not_applicable(wanted.name, f"the site has it on {', '.join(wanted.members)} only")


def _in_state(facts, wanted, require, *states):
    """A pool as this member has it, in one of some states; None where it is not so, which is left to POOL-001."""
    pool = facts.incus.pool_at(wanted.name, facts.member)
    if pool is not None and pool.status in states:
        return pool
    because = finding_id("POOL-001", facts.name, wanted.name)
    seen = pool.status if pool else "not there"
    require.not_applicable(wanted.name, f"the pool is {seen} on {facts.member}", because=because)
    return None


@policy("POOL-001")
def test_pool_exists_and_is_created_on_the_member(facts, site, require):
    """As this member's own daemon says: without ``?target=`` a pool is Created while one member lost it."""
    listed = {pool.name: pool for pool in facts.incus.pools}
    lost = _lost(facts)
    for wanted, _ in _to_be_here(facts, site, require):
        with require.about(wanted.name):
            pool = facts.incus.pool_at(wanted.name, facts.member)
            if pool is None:
                seen, holds = "there is no such pool", False
            else:
                here = not facts.incus.server.clustered or facts.member in pool.locations
                holds = here and pool.status == "Created" and wanted.name not in lost
                seen = (
                    pool.status
                    if here
                    else f"not on {facts.member}: only on {', '.join(pool.locations) or 'no member'}"
                )
                seen += f"; warning: {lost[wanted.name]}" if wanted.name in lost else ""
            require(wanted.name, holds, expected=f"Created on {facts.member}", observed=seen)
    for name in sorted(set(listed) - {pool.name for pool in site.pools}):
        pool = listed[name]
        if not pool.locations or facts.member in pool.locations:
            require(
                name, False, expected="a pool of the site", observed=f"{name} ({pool.driver}) is not in the site file"
            )


def _lost(facts):
    """What Incus says of the pools that this member could not open, by name.

    Incus 6.0.4 names none where it could not open one at its start: then the pools' own status tells. Raises EvidenceError where that
    does not tell either.
    """
    own = (facts.member, "") if facts.incus.server.clustered else (facts.member, "", "none")
    found = {}
    for warning in facts.incus.warnings:
        if warning.type == "Storage pool unavailable" and warning.status != "resolved" and warning.location in own:
            if warning.pool is None:
                if any(facts.incus.pool_at(pool.name, facts.member).status != "Created" for pool in facts.incus.pools):
                    continue
                raise EvidenceError(
                    f"{facts.name}: a pool is unavailable, and Incus does not say which", host=facts.name
                )
            found[warning.pool] = warning.message
    return found


@policy("POOL-002")
def test_pool_has_the_driver_and_configuration_of_the_site(facts, site, require):
    """As this member has it: source, size and the names of what lies below are each member's own."""
    for wanted, _ in _to_be_here(facts, site, require):
        with require.about(wanted.name):
            pool = _in_state(facts, wanted, require, "Created", "Unavailable")
            if pool is None:
                continue
            expected, faults = _held(wanted, pool)
            require(
                wanted.name,
                not faults,
                expected="; ".join(expected),
                observed="; ".join(faults) or "as expected",
            )


def _held(wanted, pool):
    """What the site wants of a pool, and what is otherwise. Raises EvidenceError where Incus does not say what it is made of."""
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
            raise EvidenceError(f"pool {pool.name}: Incus does not tell its source")
        made_of = (pool.config["source"], pool.config.get("volatile.initial_source", ""))
        faults += [f"it is the file {source}" for source in dict.fromkeys(made_of) if source.endswith(".img")]
    return expected, faults


def _equal(found, wanted):
    """Whether two values are the same to Incus: 1GiB is 1024MiB, and yes is true."""
    if found == wanted:
        return True
    if {found.lower(), wanted.lower()} <= TRUE or {found.lower(), wanted.lower()} <= FALSE:
        return True
    try:
        return size_bytes(found) == size_bytes(wanted)
    except ValueError:
        return False


def _zfs(facts, site, require):
    """Each pool of the site that is to be ZFS and that Incus has, here; what stands in the way of the others is recorded."""
    for wanted, listed in _to_be_here(facts, site, require):
        driver = listed.driver if listed else wanted.driver
        if driver != "zfs":
            because = finding_id("POOL-002", facts.name, wanted.name) if wanted.driver == "zfs" else None
            require.not_applicable(wanted.name, f"its driver is {driver}", because=because)
            continue
        elsewhere = listed is not None and facts.incus.server.clustered and facts.member not in listed.locations
        if listed is None or elsewhere:
            because = finding_id("POOL-001", facts.name, wanted.name)
            where = f" on {facts.member}" if elsewhere else ""
            require.not_applicable(wanted.name, f"there is no pool {wanted.name}{where}", because=because)
            continue
        yield wanted


def _zpool_name(facts, wanted):
    """The pool that Incus uses. That it is the site's is for POOL-002 to say."""
    here = facts.incus.pool_at(wanted.name, facts.member)
    return here.config.get("zfs.pool_name", "").partition("/")[0]


@policy("POOL-004")
def test_zfs_pool_is_online_without_errors(facts, site, require):
    """The pool, every device in it, and its data. A pool with permanent errors is ONLINE too."""
    for wanted in _zfs(facts, site, require):
        with require.about(wanted.name):
            _judge_health(facts, wanted, require)


def _judge_health(facts, wanted, require):
    name = _zpool_name(facts, wanted)
    expected = f"zpool {name} and every device of it ONLINE, without any error"
    zpool = facts.storage.zpool(name)
    if zpool is None:
        status = facts.incus.pool_at(wanted.name, facts.member).status
        if status != "Created":
            because = finding_id("POOL-001", facts.name, wanted.name)
            require.not_applicable(wanted.name, f"zpool {name} is not imported: the pool is {status}", because=because)
        else:
            require(wanted.name, False, expected=expected, observed=f"zpool {name} is not imported")
        return
    faults = [] if zpool.state == "ONLINE" else [f"zpool {name} is {zpool.state}"]
    for vdev in zpool.vdevs:
        if vdev.state != "ONLINE" and not (vdev.read_errors is None and vdev.state in _SPARE):
            faults.append(f"{vdev.name} is {vdev.state}")
        if vdev.errors:
            faults.append(
                f"{vdev.name} has {vdev.read_errors} read, {vdev.write_errors} write, {vdev.checksum_errors} checksum errors"
            )
    if zpool.data_errors:
        faults.append(f"{zpool.data_errors} data errors that could not be repaired")
    require(
        wanted.name,
        not faults,
        expected=expected,
        observed="; ".join(dict.fromkeys(faults)) or f"zpool {name} is ONLINE",
    )


@policy("POOL-003")
def test_pool_has_free_space_and_inodes(facts, site, require):
    """Both a share and an amount must be free; of a ZFS pool also how full and how fragmented the zpool below it is."""
    for wanted, _ in _to_be_here(facts, site, require):
        with require.about(wanted.name):
            pool = _in_state(facts, wanted, require, "Created")
            if pool is None:
                continue
            zpool = _zpool_name(facts, wanted) if pool.driver == "zfs" else None
            if zpool is not None and facts.storage.zpool(zpool) is None:
                because = finding_id("POOL-004", facts.name, wanted.name)
                require.not_applicable(wanted.name, f"zpool {zpool} is not imported", because=because)
                continue
            _judge_space(facts, site.thresholds, wanted.name, zpool, require)


def _judge_space(facts, limits, name, zpool, require):
    found = facts.incus.pool_resources(name, facts.member)
    space, inodes = found.space, found.inodes
    faults = _short(space, limits.pool_free_percent, "space")
    if space.free < limits.pool_free_min:
        faults.append(f"{_gib(space.free)} of space free")
    expected = [f"{limits.pool_free_percent} % and {_gib(limits.pool_free_min)} free"]
    if inodes.total:
        faults += _short(inodes, limits.inode_free_percent, "inodes")
        expected.append(f"{limits.inode_free_percent} % of inodes free")
    if zpool is not None:
        usage = facts.storage.usage(zpool)
        if usage.capacity is not None and usage.capacity > limits.zfs_capacity_percent:
            faults.append(f"zpool {zpool} is {usage.capacity} % full")
        if usage.fragmentation is not None and usage.fragmentation > limits.zfs_fragmentation_percent:
            faults.append(f"zpool {zpool} is {usage.fragmentation} % fragmented")
        expected.append(
            f"zpool {zpool} at most {limits.zfs_capacity_percent} % full, {limits.zfs_fragmentation_percent} % fragmented"
        )
    require(name, not faults, expected="; ".join(expected), observed="; ".join(faults) or "enough is free")


def _short(of, percent, what):
    enough = of.free * 100 >= of.total * percent
    return [] if enough else [f"{of.free * 100 // of.total} % of {what} free"]


def _gib(size):
    return f"{size * 100 // 1024**3 / 100:.2f} GiB"  # never more than there is


@policy("POOL-005")
def test_zfs_pool_was_scrubbed_lately(facts, site, require):
    """ZFS keeps its last scan only: after a resilver nobody can tell when the last scrub was. One that runs now is as good."""
    for wanted in _zfs(facts, site, require):
        with require.about(wanted.name):
            name = _zpool_name(facts, wanted)
            zpool = facts.storage.zpool(name)
            if zpool is None:
                because = finding_id("POOL-004", facts.name, wanted.name)
                require.not_applicable(wanted.name, f"zpool {name} is not imported", because=because)
                continue
            if zpool.data_errors and zpool.scan is not None and zpool.scan.errors:
                because = finding_id("POOL-004", facts.name, wanted.name)
                reason = f"the last scrub of zpool {name} found the data errors that are there still"
                require.not_applicable(wanted.name, reason, because=because)
                continue
            if zpool.scan is None:
                made = facts.storage.created(name)
                holds, seen = _young(made, facts.collected, site.thresholds.zfs_scrub_days, facts.name)
            else:
                holds, seen = _scrubbed(zpool.scan, facts.collected, site.thresholds.zfs_scrub_days, facts.name)
            require(
                wanted.name,
                holds,
                expected=f"a scrub of zpool {name} without errors in the last {site.thresholds.zfs_scrub_days} days",
                observed=seen,
                fix={"zpool": name},
            )


def _young(created, now, days, host):
    """Whether a pool that was never scrubbed is too young to have been. Raises EvidenceError where it is of the future."""
    if created > now + _DAY_S:
        raise EvidenceError(f"{host}: the pool was made after the evidence was collected", host=host)
    made = datetime.fromtimestamp(created, UTC).date()
    return now - created <= days * _DAY_S, f"never scrubbed; the pool was made on {made}"


def _scrubbed(scan, now, days, host):
    """Whether the last scan is such a scrub, and what it is. Raises EvidenceError where its age can't be told well enough."""
    if scan.function != "SCRUB":
        return False, f"the last scan is a {scan.function.lower()}; of a scrub before it nothing is kept"
    if scan.state == "SCANNING":
        return True, "a scrub is running"
    if scan.state != "FINISHED":
        return False, f"the last scrub is {scan.state.lower()}"
    if scan.errors:
        return False, f"the last scrub found {scan.errors} errors that it could not repair"
    age = now - scan.ended
    if age < -_DAY_S:
        raise EvidenceError(f"{host}: the last scrub ended {-age / _DAY_S:.0f} days after the evidence was collected")
    if abs(age - days * _DAY_S) < scan.doubt_s:
        raise EvidenceError(f"{host}: the last scrub is about {days} days old; zpool does not tell the time zone")
    return age <= days * _DAY_S, f"the last scrub ended on {datetime.fromtimestamp(scan.ended, UTC).date()}"
