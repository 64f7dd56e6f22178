"""Checks of CLUS: who is a member of the cluster, and in which state."""

from sigsrv import ClusterFacts, HostFacts, Require, Site, finding_id, policy
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
        host = facts.host_of(name)
        reports = lists.of(name)
        statuses = {member.status for member in reports.values()}
        if host is not None and host.daemon_down:
            because = finding_id("HOST-002", host.name, host.name)
            require.not_applicable(name, f"the Incus daemon of {host.name} does not answer", because=because)
        elif name in standalone:
            because = finding_id("CLUS-001", standalone[name], standalone[name])
            require.not_applicable(name, f"{standalone[name]} is in no cluster", because=because)
        elif without := lists.hosts_without(name):
            require.left_to("CLUS-006", name, f"the list of members on {', '.join(without)} has no {name}")
        elif all(member.is_evacuated for member in reports.values()):
            require.left_to("CLUS-004", name, f"{name} is {', '.join(sorted(statuses))}")
        elif statuses == {"Online"} and host and host.name in lists.unread and not host.unreachable:
            # The other hosts show a member that lost its connection as Online for some seconds.
            with require.about(name):
                raise lists.unread[host.name]
        else:
            require(
                name,
                statuses == {"Online"},
                expected="Online on every host",
                observed="; ".join(
                    f"{reporter}: {member.status} ({member.message})" for reporter, member in sorted(reports.items())
                ),
            )


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
        scheduling = sorted({member.config.get("scheduler.instance") or "all" for member in reports})
        require(
            name,
            not evacuated and scheduling == ["all"],
            expected="not evacuated, scheduler.instance is all or unset",
            observed=", ".join([*evacuated, f"scheduler.instance is {', '.join(scheduling)}"]),
            fix={"member": name, "status": ", ".join(evacuated)},
        )


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
        if len(site.hosts) > 1:
            is_standalone(facts, site, require)
        else:
            for host in facts.hosts.values():
                own = _own_name(host)
                require(host.name, own == host.member, expected=f"named {host.member}", observed=f"named {own}")
        return
    lists = member_lists(facts)
    standalone = {host.member: host.name for host in facts.standalone.values()}
    for name in sorted({*hosts, *lists.names}):
        if name in standalone:
            because = finding_id("CLUS-001", standalone[name], standalone[name])
            require.not_applicable(name, f"{standalone[name]} is in no cluster", because=because)
            continue
        faults = [f"the list of members on {host} has no {name}" for host in lists.hosts_without(name)]
        if name not in hosts:
            faults.append("not a host of the site file")
        with require.about(name):
            seen = "a member"
            selected = facts.hosts.get(hosts.get(name, ""))
            if selected is None:
                seen += f"; {hosts[name]} was not asked for its own name" if name in hosts else ""
            elif not faults:
                own = _own_name(selected)
                seen += f"; {selected.name} reports that it is {own}"
                if own != name:
                    faults.append(f"{selected.name} leads to the member {own}")
            require(
                name,
                not faults,
                expected="a member that is a host of the site file",
                observed="; ".join(faults) or seen,
            )


def _own_name(host: HostFacts) -> str:
    """Return the name that a host's daemon reports for itself. Raises EvidenceError if it reports none."""
    name = host.incus.server.name
    if not name:
        raise EvidenceError(f"{host.name}: the Incus daemon does not report its name", host=host.name)
    return name
