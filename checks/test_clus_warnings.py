"""Checks of CLUS: the warnings of Incus."""

from collections.abc import Iterator

from sigsrv import ClusterFacts, HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.members import Warning
from sigsrv.judge.cluster_members import member_lists
from sigsrv.judge.incus_warnings import (
    APPARMOR_DISABLED,
    MEMBER_OFFLINE,
    NETWORK_UNAVAILABLE,
    POOL_UNAVAILABLE,
    TIME_SKEW,
)
from sigsrv.model.errors import EvidenceError

_WEEK_S = 7 * 24 * 3600


@policy("CLUS-005")
def test_incus_has_no_unresolved_warnings(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at the warnings of all members that are not resolved.

    Warnings of the same type on the same member are one finding. A warning whose cause another policy reports is left to that policy. An
    acknowledged warning counts until a week after Incus last saw it.
    """
    found: dict[tuple[str, str], list[Warning]] = {}
    ignored: set[str] = set()
    for warning in facts.incus.warnings:
        where = warning.place(facts.name)
        if not _is_open(warning, facts.collected):
            require.leave_out(f"{warning.type}/{where}", "resolved, or acknowledged and not seen for a week")
        elif warning.type in site.warnings_ignored:
            ignored.add(warning.type)
            require.leave_out(f"{warning.type}/{where}", "the site file ignores this type")
        else:
            found.setdefault((warning.type, where), []).append(warning)
    if not found:
        seen = f"only warnings of types that the site file ignores: {', '.join(sorted(ignored))}" if ignored else "none"
        require(facts.name, True, expected="no open warning", observed=seen)
    for (kind, location), warnings in sorted(found.items()):
        last = max(warnings, key=lambda warning: warning.last_seen or 0)
        statuses = ", ".join(sorted({warning.status for warning in warnings}))
        times = sum(warning.count for warning in warnings)
        observed = f"{statuses}, seen {times} time{'' if times == 1 else 's'}"
        observed += f": {last.message}" if last.message else ""
        with require.finding(f"{kind}/{location}", "no open warning") as finding:
            known, causes = True, set[str]()
            about = {(warning.location, warning.pool, warning.network): warning for warning in warnings}
            for warning in about.values():  # warnings about the same have the same cause
                roots: tuple[str, ...] = ()
                with finding.clause():
                    roots = tuple(_roots(facts, site, warning))
                known &= _is_examined(site, warning)
                causes |= {*roots}
                for root in roots or (None,):
                    finding.violated(observed, root)
            fresh = any(each.last_seen is None or each.last_seen >= facts.collected - _WEEK_S for each in warnings)
            decide = list(finding.unknown_reasons)
            if fresh:
                decide.append("Incus saw the problem within the last week: find its cause (incus warning show UUID)")
            if not known:
                decide.append(f"no policy examines what {kind} is about: find out whether its cause is gone")
            if causes:
                decide.append(f"its cause is still there: {', '.join(sorted(causes))}")
            finding.fix.update(warnings=[each.uuid for each in warnings], refuse="; ".join(decide))


def _is_open(warning: Warning, now: float) -> bool:
    if warning.status == "resolved":
        return False
    old = warning.last_seen is not None and warning.last_seen < now - _WEEK_S
    return not (warning.status == "acknowledged" and old)


def _is_examined(site: Site, warning: Warning) -> bool:
    """Return whether a policy would report the cause of a warning if it were still there."""
    return warning.type in (MEMBER_OFFLINE, TIME_SKEW, POOL_UNAVAILABLE) or (
        warning.type == NETWORK_UNAVAILABLE and warning.network in site.networks
    )


def _roots(facts: ClusterFacts, site: Site, warning: Warning) -> Iterator[str]:
    """Yield the ids of the findings that report what may be the cause of a warning."""
    host = facts.host_of(warning.location)
    if warning.type == MEMBER_OFFLINE:
        # The location is the member that missed another one. Only the message names the other one.
        yield from (root for name, root in _unavailable_members(facts) if name != warning.location)
    elif warning.type == TIME_SKEW:
        # The location is the member that noticed the difference. The wrong clock may be that of the leader.
        yield from (finding_id("HOST-007", each.name, each.name) for each in _with_wrong_clock(facts, site))
    elif host is not None and warning.type == APPARMOR_DISABLED:
        yield finding_id("HOST-008", host.name, host.name)
    elif host is not None and warning.type == POOL_UNAVAILABLE:
        names = [pool.name for pool in site.pools if pool.is_on(host.name)]
        yield from (finding_id("POOL-001", host.name, name) for name in names if _is_about_pool(host, warning, name))
    elif host is not None and warning.type == NETWORK_UNAVAILABLE and warning.network in site.networks:
        network = host.incus.network_at(warning.network, host.member)
        if network is None or network.status != "Created":  # NET-004 reads this status, and no warnings
            yield finding_id("NET-004", host.name, warning.network)


def _unavailable_members(facts: ClusterFacts) -> Iterator[tuple[str, str]]:
    """Yield each member that is not available now, with the id of the finding that reports it."""
    lists = member_lists(facts)
    for name in lists.names:
        host = facts.host_of(name)
        if host is not None and host.unreachable:
            yield name, finding_id("HOST-001", host.name, host.name)
        elif host is not None and host.daemon_down:
            yield name, finding_id("HOST-002", host.name, host.name)
        elif any(member.status != "Online" and not member.is_evacuated for member in lists.of(name).values()):
            yield name, finding_id("CLUS-001", facts.name, name)


def _with_wrong_clock(facts: ClusterFacts, site: Site) -> Iterator[HostFacts]:
    """Yield the hosts whose clock is wrong now, as HOST-007 decides."""
    for host in facts.hosts.values():
        try:
            if host.machine.skew.nearest > site.thresholds.clock_skew_seconds:
                yield host
        except EvidenceError:
            continue  # HOST-007 reports an unknown clock


def _is_about_pool(host: HostFacts, warning: Warning, name: str) -> bool:
    """Return whether a warning is about a pool. A warning that names no pool is about each pool that is not Created."""
    if warning.pool is not None:
        return warning.pool == name
    pool = host.incus.pool_at(name, host.member)
    return pool is not None and pool.status != "Created"
