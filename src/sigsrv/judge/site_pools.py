"""The pools of the site file, matched with the pools of one host, for checks of more than one file."""

from __future__ import annotations

from collections.abc import Iterator

from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.pools import Pool
from sigsrv.judge.require import Require
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import Site, SitePool


def each_pool(facts: HostFacts, site: Site, require: Require) -> Iterator[tuple[SitePool, Pool | None]]:
    """Yield each pool that the site file has on this host, with the pool that Incus lists, None if it lists no such pool.

    Record ``not-applicable`` for the pools of other hosts.
    """
    listed = {pool.name: pool for pool in facts.incus.pools}
    for wanted in site.pools:
        if wanted.is_on(facts.name):
            yield wanted, listed.get(wanted.name)
        else:
            hosts = ", ".join(wanted.members or ())
            require.not_applicable(wanted.name, f"the site file has this pool only on {hosts or 'no host'}")


def pool_with_status(facts: HostFacts, require: Require, name: str, *statuses: str) -> Pool | None:
    """Return a pool as this member has it, if it has one of some statuses. Else record ``not-applicable`` and return None.

    POOL-001 reports a missing pool and a pool that is not Created.
    """
    pool = facts.incus.pool_at(name, facts.member)
    if pool is not None and pool.status in statuses:
        return pool
    status = pool.status if pool else "missing"
    require.left_to("POOL-001", name, f"the pool is {status} on {facts.member}")
    return None


def zpool_name(facts: HostFacts, pool: str) -> str:
    """Return the name of the zpool that Incus uses for a pool on this member. POOL-002 reports a zpool that the site file does not want.

    Raises EvidenceError if there is no such pool.
    """
    found = facts.incus.pool_at(pool, facts.member)
    if found is None:
        raise EvidenceError(f"{facts.name}: there is no pool {pool}", host=facts.name)
    return found.config.get("zfs.pool_name", "").partition("/")[0]
