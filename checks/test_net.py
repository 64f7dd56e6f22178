"""Checks of NET: bridges and their VLANs."""

from sigsrv import HostFacts, Require, Site, finding_id, policy
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.restarting import restart_fix
from sigsrv.model.errors import EvidenceError


@policy("NET-004")
def test_bridge_exists_on_the_host_as_a_managed_incus_network(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the kernel's links and at this member's own network list: the bridge must exist and have the status Created.

    A managed network on this host that the site file does not list fails too.
    """
    created = f"a managed network of type bridge with status Created on {facts.member}"
    for bridge in site.bridges:
        if not bridge.is_on(facts.name):
            require.not_applicable(bridge.name, bridge.only_on)
            continue
        with require.finding(bridge.name, f"a bridge, and {created}", otherwise=f"a bridge, and {created}") as finding:
            with finding.clause(on=facts.name):
                link = facts.network.links.get(bridge.name)
                if (
                    link is None and facts.is_evacuated
                ):  # Incus removes the bridges of an evacuated member until its return
                    because = finding_id("CLUS-004", "cluster", facts.member)
                    finding.nothing(f"{facts.member} is evacuated", because)
                    continue
                if link is None:
                    finding.violated(f"there is no link {bridge.name}")
                elif link.kind != "bridge":
                    finding.violated(f"{bridge.name} is of kind {link.kind or 'hardware'}")
            with finding.clause(on=facts.name):
                _ = facts.incus.networks  # one error for all bridges if Incus does not list the networks
                with finding.clause():
                    _judge_network(facts, bridge.name, finding)
                if finding.is_violated:
                    finding.fix.update(restart_fix(facts, _reason_not_to_restart(facts, bridge.name)))
    known = set(site.networks)
    for network in facts.incus.networks:
        if not network.managed or network.name in known:
            continue
        if not network.locations or facts.member in network.locations or not facts.incus.server.clustered:
            require(
                network.name,
                False,
                expected="a network in bridges or networks_extra of the site file",
                observed=f"the site file does not list {network.name} ({network.type}, {network.status})",
                fix=restart_fix(facts, f"add {network.name} to networks_extra of the site file, or delete the network"),
            )


def _reason_not_to_restart(facts: HostFacts, name: str) -> str:
    """Return why a restart of the daemon does not bring a bridge back; "" if Incus has the network and only could not set it up."""
    try:
        network = facts.incus.network_at(name, facts.member)
        link = facts.network.links.get(name)
    except EvidenceError as cause:
        return f"it is unknown what is missing: {cause.reason}"
    if network is None or not network.managed or network.type != "bridge":
        return f"create the network {name} with its keys, member by member: only you know them"
    if link is not None and link.kind != "bridge":
        return f"{name} is another link of the host: rename or remove it"
    if facts.incus.server.clustered and facts.member not in network.locations:
        return f"add the network to {facts.member}: incus network create {name} --target {facts.member}"
    if network.status not in ("Created", "Unavailable"):
        return f"the network is {network.status}: finish or delete it"
    return ""


def _judge_network(facts: HostFacts, name: str, finding: Clauses) -> None:
    network = facts.incus.network_at(name, facts.member)
    if network is None:
        finding.violated(f"Incus has no network {name}")
    elif not network.managed:
        finding.violated(f"Incus does not manage {name}")
    else:
        if network.type != "bridge":
            finding.violated(f"the network is of type {network.type}")
        if network.status != "Created":
            finding.violated(f"the network has the status {network.status}")
        if facts.incus.server.clustered and facts.member not in network.locations:
            members = ", ".join(network.locations) or "no member"
            finding.violated(f"the network is not on {facts.member}, only on {members}")
