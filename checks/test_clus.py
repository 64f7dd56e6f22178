"""Checks of CLUS: the cluster."""

from sigsrv.errors import EvidenceError
from sigsrv.evaluate import policy
from sigsrv.finding import finding_id

_AWAY_ON_PURPOSE = ("Evacuated", "Evacuating", "Restoring")


@policy("CLUS-001")
def test_cluster_members_are_online(facts, site, require):
    """In the eyes of every host that could be asked: a member may be Online for one and away for another."""
    if facts.name != "cluster":
        if len(site.hosts) == 1:
            require.not_applicable(reason="the site has one host, which is in no cluster")
        else:
            expected = f"a member of the cluster of {len(site.hosts)} hosts"
            require(facts.name, False, expected=expected, observed=f"{facts.name} is in no cluster")
        return
    answers, refused = {}, []
    for host in facts.hosts.values():
        try:
            answers[host.name] = {member.name: member for member in host.incus.members}
        except EvidenceError as cause:
            refused.append(cause)
    if not answers:
        raise refused[0]
    expected_members = {host.member for host in site.hosts}
    for name in sorted(expected_members | {name for members in answers.values() for name in members}):
        host = facts.host_of(name)
        if host is not None and host.daemon_down:
            because = finding_id("HOST-002", host.name, host.name)
            require.not_applicable(name, f"the Incus daemon of {host.name} does not answer", because=because)
            continue
        seen = {asked: members[name] for asked, members in answers.items() if name in members}
        if not seen:
            because = finding_id("CLUS-006", facts.name, name)
            require.not_applicable(name, f"the cluster has no member {name}", because=because)
            continue
        statuses = {member.status for member in seen.values()}
        if statuses <= set(_AWAY_ON_PURPOSE):
            because = finding_id("CLUS-004", facts.name, name)
            require.not_applicable(name, f"it is {', '.join(sorted(statuses))}", because=because)
            continue
        require(
            name,
            statuses == {"Online"} and len(seen) == len(answers),
            expected="Online in the eyes of every host",
            observed="; ".join(
                f"{asked}: {member.status} ({member.message})" for asked, member in sorted(seen.items())
            ),
        )
