"""Checks of XHOST: whether ACLs have the same effect on all hosts."""

import json
from collections.abc import Iterator, Mapping

from sigsrv import ClusterFacts, HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.firewall import Ruleset
from sigsrv.judge.comparing import compare
from sigsrv.judge.site_resources import acls_of, nics_of
from sigsrv.model.errors import EvidenceError

_SHOWN = 200  # characters of a host's rules that a finding shows


@policy("XHOST-003")
def test_acls_have_the_same_effect_on_every_host(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Compares the loaded nftables rules of each network with ACLs, and whether br_netfilter filters between the ports of a bridge."""
    hosts = tuple(facts.hosts.values())
    names = {
        network.name
        for host in hosts
        for network in host.incus.networks
        if network.managed and network.type == "bridge" and acls_of(network.config)
    }
    if not names:
        require.not_applicable(reason="no network has an ACL")
        return
    for host in hosts:
        if host.incus.server.firewall != "nftables":
            firewall = host.incus.server.firewall or "an unknown firewall"
            reason = f"Incus filters with {firewall} on {host.name}, and sigsrv reads only nftables"
            raise EvidenceError(reason, host=host.name)
    rulesets = {host.name: host.firewall.rules for host in hosts}
    bridged = {host.name: ", ".join(sorted(host.firewall.filters_bridged)) or "none" for host in hosts}
    isolation = _isolation_finding(facts, site, bridged)
    if isolation:
        require.not_applicable(facts.name, "the hosts filter differently between ports", because=isolation)
    else:
        compare(require, facts, facts.name, bridged, "the same filtering between two ports of a bridge")
    for name in sorted(names):
        excuse = next((each for host in hosts for each in _not_comparable(host, site, name)), None)
        if excuse:
            because, reason = excuse
            require.not_applicable(name, reason, because=because)
            continue
        loaded = {host: _loaded(ruleset, name) for host, ruleset in rulesets.items()}
        common = set.intersection(*map(set, loaded.values()))
        own = {host: ", ".join(rule for rule in rules if rule not in common) for host, rules in loaded.items()}
        shown = {
            host: f"{len(rules)} rules; only here: {own[host][:_SHOWN] or 'none'}" for host, rules in loaded.items()
        }
        compare(require, facts, name, loaded, "the same rules in the same order", shown)


def _not_comparable(host: HostFacts, site: Site, name: str) -> Iterator[tuple[str | None, str]]:
    """Yield why a host's rules of a network can't be compared: (id of the finding that reports it, reason).

    The id is None if no finding reports it: standalone hosts may have different networks.
    """
    declared = next((bridge for bridge in site.bridges if bridge.name == name), None)
    network = next((each for each in host.incus.networks if each.name == name and each.managed), None)
    if network is None:
        because = finding_id("NET-004", host.name, name) if declared else None
        yield because, f"there is no network {name} on {host.name}"
    elif acls_of(network.config):
        if host.firewall.rules.missing_of_acls(name):
            yield finding_id("ACL-007", host.name, name), f"the rules of {name} are not loaded on {host.name}"
    elif declared and declared.acls:
        where = "cluster" if host.incus.server.clustered else host.name
        yield finding_id("ACL-001", where, name), f"{name} of {host.name} has no ACL"


def _loaded(ruleset: Ruleset, network: str) -> tuple[str, ...]:
    """Return the loaded rules of a network's ACLs, each as JSON; () if there are none."""
    chain = ruleset.chain("inet", "incus", f"acl.{network}")
    return tuple(json.dumps(rule.expr, sort_keys=True) for rule in chain.rules) if chain else ()


def _isolation_finding(facts: ClusterFacts, site: Site, bridged: Mapping[str, str]) -> str | None:
    """Return the id of the ACL-006 finding that reports a host without filtering between ports; None if there is none.

    ACL-006 is certain to fail if instances of several projects share a bridge with ACLs and no NIC has its own ACLs.
    """
    if len(set(bridged.values())) == 1:
        return None
    for bridge in site.bridges:
        nics = nics_of(facts, bridge.name, partial=True)
        projects = {nic.instance.project for nic in nics}
        network = next((each for each in facts.incus.networks if each.name == bridge.name), None)
        attached = network is not None and acls_of(network.config)
        if bridge.isolate and attached and len(projects) > 1 and not any(nic.acls for nic in nics):
            return finding_id("ACL-006", facts.name, bridge.name)
    return None
