"""The members of a cluster, as the daemon of each host reports them, for checks of more than one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.members import Member
from sigsrv.judge.require import Require
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import Site


@dataclass(frozen=True)
class MemberLists:
    """The lists of members of all hosts that could be asked. The lists may differ: a member can be Online for one host only."""

    by_host: Mapping[str, Mapping[str, Member]]
    """What the daemon of a host reports: host -> name of the member -> member."""

    unread: Mapping[str, EvidenceError]
    """Why a host gave no list, by host."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all members that at least one host lists, sorted."""
        return tuple(sorted({name for members in self.by_host.values() for name in members}))

    def of(self, name: str) -> Mapping[str, Member]:
        """Return what each host that lists a member reports of it, by host."""
        return {host: members[name] for host, members in self.by_host.items() if name in members}

    def hosts_without(self, name: str) -> tuple[str, ...]:
        """Return the hosts whose list lacks a member."""
        return tuple(host for host, members in self.by_host.items() if name not in members)


def member_lists(facts: ClusterFacts) -> MemberLists:
    """Return the lists of members of all hosts. Raises the EvidenceError of the first host if no host gave its list."""
    by_host: dict[str, Mapping[str, Member]] = {}
    unread: dict[str, EvidenceError] = {}
    for host in facts.hosts.values():
        try:
            by_host[host.name] = {member.name: member for member in host.incus.members}
        except EvidenceError as cause:
            unread[host.name] = cause
    if not by_host and unread:
        raise next(iter(unread.values()))
    return MemberLists(by_host, unread)


def is_standalone(facts: ClusterFacts, site: Site, require: Require) -> bool:
    """Return whether the facts are those of a standalone host. If they are, record ``not-applicable``.

    CLUS-001 reports a standalone host, unless it is the only host of the site.
    """
    if facts.name == "cluster":
        return False
    reason = f"{facts.name} is in no cluster"
    if len(site.hosts) > 1:
        require.left_to("CLUS-001", facts.name, reason)
    else:
        require.not_applicable(facts.name, reason)
    return True
