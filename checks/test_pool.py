"""Checks of POOL: whether the storage pools of the site exist."""

from contextlib import suppress

from sigsrv import HostFacts, Require, Site, policy
from sigsrv.facts.host_pools import PoolFacts
from sigsrv.facts.members import Warning
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.incus_warnings import POOL_UNAVAILABLE
from sigsrv.model.errors import EvidenceError


@policy("POOL-001")
def test_pool_exists_and_is_created_on_every_cluster_member(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at each pool as this member's own daemon reports it, and at the warnings of this member about pools.

    Without ``?target=MEMBER``, Incus reports a pool as Created while one member has lost it. A pool that is not in the site file fails.
    """
    warnings = _open_warnings(facts)
    pools = facts.pools
    for wanted in site.pools:
        if not wanted.is_on(facts.name):
            hosts = ", ".join(wanted.members or ())
            require.not_applicable(wanted.name, f"the site file has this pool only on {hosts or 'no host'}")
            continue
        with require.finding(wanted.name, f"Created on {facts.member}") as finding:
            pool = pools.get(wanted.name)
            if pool is None:
                finding.violated("there is no such pool")
                continue
            with finding.clause():
                _require_created(finding, facts, pool)
            for warning in warnings:
                if warning.pool == wanted.name:
                    finding.violated(f"warning: {warning.message}")
            with finding.clause():
                if any(warning.pool is None for warning in warnings) and not _shows_unavailable(facts):
                    reason = f"{facts.name}: a pool is unavailable, and Incus does not report which one"
                    raise EvidenceError(reason, host=facts.name)
    declared = {pool.name for pool in site.pools}
    for name, pool in pools.items():
        if name not in declared and (not pool.locations or facts.member in pool.locations):
            observed = f"{name} ({pool.driver}) is not in the site file"
            require(name, False, expected="a pool of the site file", observed=observed)


def _require_created(finding: Clauses, facts: HostFacts, pool: PoolFacts) -> None:
    if not pool.is_on_member:
        finding.violated(f"not on {facts.member}: only on {', '.join(pool.locations) or 'no member'}")
    elif facts.incus.server.clustered and facts.member not in pool.reported.locations:
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
    for pool in facts.pools.values():
        with suppress(EvidenceError):
            if pool.status != "Created":
                return True
    return False
