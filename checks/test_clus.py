"""Checks of CLUS: who is a member of the cluster, and in which state."""

from sigsrv import ClusterFacts, HostFacts, Require, Site, finding_id, policy
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.cluster_members import is_standalone, member_lists
from sigsrv.model.errors import EvidenceError


@policy("CLUS-001")
def test_cluster_members_are_online(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at the status of each member on every host that could be asked.

    A member may be Online for one host and Offline for another.
    """
    if facts.name != "cluster":
        if len(site.hosts) == 1:
            require.not_applicable(reason="the site has only one host, which is in no cluster")
        else:
            expected = f"a member of the cluster of {len(site.hosts)} hosts"
            require(facts.name, False, expected=expected, observed=f"{facts.name} is in no cluster")
        return
    lists = member_lists(facts)
    standalone = {host.member: host.name for host in facts.standalone.values()}
    for name in sorted({host.member for host in site.hosts} | set(lists.names)):
        with require.finding(name, "Online on every host") as finding:
            if name in standalone:
                _left_to_standalone(finding, standalone[name])
                continue
            host, reports = facts.host_of(name), lists.of(name)
            down = finding_id("HOST-002", host.name, host.name) if host and host.daemon_down else None
            if host and down:
                finding.nothing(f"the Incus daemon of {host.name} does not answer", because=down)
            for without in lists.hosts_without(name):
                missing = f"the list of members on {without} has no {name}"
                finding.violated(missing, down or finding_id("CLUS-006", facts.name, name))
            is_evacuated = all(member.is_evacuated for member in reports.values())
            root = down or (finding_id("CLUS-004", facts.name, name) if is_evacuated else None)
            for reporter, member in sorted(reports.items()):
                finding.require(member.status == "Online", f"{reporter}: {member.status} ({member.message})", root)
            # The other hosts show a member that lost its connection as Online for some seconds.
            if host and host.name in lists.unread and not down and not host.unreachable:
                raise lists.unread[host.name]


def _left_to_standalone(finding: Clauses, host: str) -> None:
    """Leave a member to CLUS-001 of the standalone host that should be this member."""
    finding.violated(f"{host} is in no cluster", root=finding_id("CLUS-001", host, host))


@policy("CLUS-004")
def test_no_member_is_evacuated_or_blocked_from_scheduling(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at the status and at scheduler.instance of each member on every host that could be asked.

    One host that reports a member as evacuated is enough for a failure.
    """
    if is_standalone(facts, site, require):
        return
    lists = member_lists(facts)
    for name in lists.names:
        reports = lists.of(name).values()
        evacuated = sorted({member.status for member in reports if member.is_evacuated})
        with require.finding(name, "not evacuated, scheduler.instance is all or unset") as finding:
            for status in evacuated:
                finding.violated(status)
            for scheduling in sorted({member.config.get("scheduler.instance") or "all" for member in reports}):
                finding.require(scheduling == "all", f"scheduler.instance is {scheduling}")
            finding.fix.update(member=name, status=", ".join(evacuated))


@policy("CLUS-006")
def test_cluster_members_are_exactly_the_hosts_of_the_site_file(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the lists of members on all hosts, and at the name that each host's own daemon reports.

    No member may be missing from the site file, no host of the site file may be missing from the cluster, and no host may answer with
    the name of another one.
    """
    hosts = {host.member: host.name for host in site.hosts}
    if facts.name != "cluster":
        for host in facts.hosts.values():
            with require.finding(host.name, f"named {host.member}") as finding:
                if len(site.hosts) > 1:
                    _left_to_standalone(finding, host.name)
                else:
                    own = _own_name(host)
                    finding.require(own == host.member, f"named {own}")
        return
    lists = member_lists(facts)
    standalone = {host.member: host.name for host in facts.standalone.values()}
    for name in sorted({*hosts, *lists.names}):
        with require.finding(name, "a member that is a host of the site file") as finding:
            if name in standalone:
                _left_to_standalone(finding, standalone[name])
                continue
            for without in lists.hosts_without(name):
                finding.violated(f"the list of members on {without} has no {name}")
            if name not in hosts:
                finding.violated("not a host of the site file")
            elif (selected := facts.hosts.get(hosts[name])) is None:
                finding.holds(f"a member; {hosts[name]} was not asked for its own name")
            else:
                own = _own_name(selected)
                finding.require(own == name, f"{selected.name} reports that it is {own}")


def _own_name(host: HostFacts) -> str:
    """Return the name that a host's daemon reports for itself. Raises EvidenceError if it reports none."""
    name = host.incus.server.name
    if not name:
        raise EvidenceError(f"{host.name}: the Incus daemon does not report its name", host=host.name)
    return name
