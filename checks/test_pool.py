"""Checks of POOL: storage pools."""

from sigsrv.evaluate import policy
from sigsrv.finding import finding_id

_OPEN = ("new", "acknowledged")
_SPARE = ("AVAIL", "INUSE")


@policy("POOL-001")
def test_pool_exists_and_is_created_on_the_member(facts, site, require):
    """As this member's own daemon says: without ``?target=`` a pool is Created while one member lost it."""
    listed = {pool.name: pool for pool in facts.incus.pools}
    lost = {
        warning.entity_url.rsplit("/", 1)[-1].partition("?")[0]: warning.message
        for warning in facts.incus.warnings
        if warning.type == "Storage pool unavailable" and warning.location == facts.member and warning.status in _OPEN
    }
    for wanted in site.pools:
        if not wanted.is_on(facts.name):
            require.not_applicable(wanted.name, f"the site has it on {', '.join(wanted.members)} only")
            continue
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


@policy("POOL-004")
def test_zfs_pool_is_online_without_errors(facts, site, require):
    """The pool, every device in it, and its data. A pool with permanent errors is ONLINE too."""
    configured = {pool.name: pool for pool in facts.incus.pools}
    for wanted in site.pools:
        if not wanted.is_on(facts.name):
            require.not_applicable(wanted.name, f"the site has it on {', '.join(wanted.members)} only")
            continue
        listed = configured.get(wanted.name)
        driver = listed.driver if listed else wanted.driver
        if driver != "zfs":
            because = finding_id("POOL-002", facts.name, wanted.name) if wanted.driver == "zfs" else None
            require.not_applicable(wanted.name, f"its driver is {driver}", because=because)
            continue
        if listed is None:
            because = finding_id("POOL-001", facts.name, wanted.name)
            require.not_applicable(wanted.name, f"there is no pool {wanted.name}", because=because)
            continue
        with require.about(wanted.name):
            _judge(facts, wanted, require)


def _judge(facts, wanted, require):
    here = facts.incus.pool_at(wanted.name, facts.member)
    name = wanted.zpool or here.config.get("zfs.pool_name", "").partition("/")[0]
    expected = f"zpool {name} and every device of it ONLINE, without any error"
    zpool = facts.storage.zpool(name)
    if zpool is None:
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
