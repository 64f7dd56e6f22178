"""Values for the remediation ``filter-bridge-ports``: whether br_netfilter may be loaded on a host."""

from __future__ import annotations

from collections.abc import Collection

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.resources import Network
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.site_resources import acls_of
from sigsrv.model.errors import EvidenceError


def filter_fix(
    facts: ClusterFacts, network: Network, filtering: Collection[str], others: Collection[str], finding: Clauses
) -> dict[str, str]:
    """Return the host on which the script must run, and why it must not.

    filtering: the hosts whose firewall sees the frames between ports already. others: those whose firewall does not.
    """
    if not finding.is_violated:
        return {}
    decide = list(finding.unknown_reasons)
    if not acls_of(network.config):
        decide.append(f"attach an ACL to {network.name} first")
    if len(others) != 1:
        hosts = ", ".join(sorted(others)) or "no host"
        decide.append(
            f"a step changes one host, and {hosts} must change: decide which rules the ACL needs, then load br_netfilter"
        )
    elif len(finding.violations) > 1:
        decide.append("a rule of the ACL, or a NIC, is wrong too")
    for name in sorted(others):
        try:
            decide += _would_cut(facts.hosts[name], network, bool(filtering))
        except EvidenceError as cause:
            decide.append(f"it is unknown what else the firewall would filter: {cause.reason}")
    return {"runs_on": min(others, default=""), "refuse": "; ".join(decide)}


def _would_cut(host: HostFacts, network: Network, is_usual: bool) -> list[str]:
    """Return what else the firewall of a host would filter. is_usual: whether the ACLs are in force between ports on another host."""
    found = []
    forward = [each for each in host.firewall.rules.filters("forward") if each.table != "incus"]
    if forward:
        chains = ", ".join(f"{each.family} {each.table} {each.name}" for each in forward)
        found.append(f"{host.name} filters forwarded packets with {chains}, which would see the frames of all bridges")
    if not is_usual:
        also = sorted(
            each.name
            for each in host.incus.networks
            if each.managed and each.type == "bridge" and each.name != network.name and acls_of(each.config)
        )
        if also:
            found.append(f"the ACLs of {', '.join(also)} would be in force between ports for the first time")
    return found
