"""Checks of XHOST: whether ACLs have the same effect on all hosts."""

import json
from collections.abc import Iterator

from sigsrv import ClusterFacts, HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.firewall import Ruleset
from sigsrv.facts.resources import Network
from sigsrv.judge.comparing import Comparison
from sigsrv.judge.site_resources import Reported, acls_of, nics_of
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site_bridges import SiteBridge

_SHOWN = 200  # characters of a host's rules that a finding shows


@policy("XHOST-003")
def test_acls_have_the_same_effect_on_every_host(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Compares the loaded nftables rules of each network with ACLs, and whether br_netfilter filters between the ports of a bridge."""
    filtering = Comparison(facts, facts.name, "the same filtering between two ports of a bridge")
    names: set[str] = set()
    for host in facts.hosts.values():
        with filtering.reading():
            names |= {each.name for each in host.incus.networks if each.type == "bridge" and _has_acls(each)}
    for host in facts.hosts.values() if names else ():
        with filtering.reading():
            filtering.add(host.name, "filtering", ", ".join(sorted(host.firewall.filters_bridged)) or "none")
    if filtering.differs:
        with filtering.reading():
            filtering.report(_reported_isolation(facts, site))
    decide = "decide whether the ACLs count between ports, then load br_netfilter on every host or on none (ACL-006)"
    filtering.record(require, alone="no network has an ACL", fix={"acl": "", "networks": [], "refuse": decide})
    for name in sorted(names):
        _compare_rules(facts, site, name, require)


def _reported_isolation(facts: ClusterFacts, site: Site) -> Iterator[Reported]:
    """Yield what ACL-006 reports: instances of several projects share a bridge with ACLs, and no NIC has its own ACLs."""
    for bridge in site.bridges:
        nics = nics_of(facts, bridge.name, partial=True)
        projects = {nic.instance.project for nic in nics}
        network = next((each for each in facts.incus.networks if each.name == bridge.name), None)
        attached = network is not None and acls_of(network.config)
        if bridge.isolate and attached and len(projects) > 1 and not any(nic.acls for nic in nics):
            because = finding_id("ACL-006", facts.name, bridge.name)
            yield Reported(because, "the hosts filter differently between ports")
            return


def _compare_rules(facts: ClusterFacts, site: Site, name: str, require: Require) -> None:
    compared = Comparison(facts, name, "the same rules in the same order")
    bridge = next((bridge for bridge in site.bridges if bridge.name == name), None)
    loaded: dict[str, tuple[str, ...]] = {}
    attached: set[str] = set()
    using: dict[str, set[str]] = {}  # the networks by their ACL
    for host in facts.hosts.values():
        declared = bridge if bridge and bridge.is_on(host.name) else None
        with compared.reading(on=facts.name):
            network = host.incus.network(name)
            if bridge and not declared and (network is None or not network.managed):
                continue
            if network is None or not network.managed:  # standalone hosts may have different networks
                because = finding_id("NET-004", host.name, name) if declared else None
                require.not_applicable(name, f"there is no network {name} on {host.name}", because=because)
                return
            if host.incus.server.clustered and host.member not in network.locations:
                continue
            attached |= {*acls_of(network.config)}
            for each in host.incus.networks:
                for acl in acls_of(each.config):
                    using.setdefault(acl, set()).add(each.name)
            ruleset = _ruleset(host)
            loaded[host.name] = _loaded(ruleset, name)
            compared.report(_reported_rules(host, ruleset, network, declared))
    everywhere = [set(rules) for rules in loaded.values()]
    for host_name, rules in loaded.items() if any(loaded.values()) else ():
        own = ", ".join(rule for rule in rules if not all(rule in each for each in everywhere))
        shown = f"{len(rules)} rules" + (f", only here: {own[:_SHOWN]}" if own else "")
        compared.add(host_name, "rules", rules, shown)
    acl = min(attached, default="")
    refuse = "" if facts.name == "cluster" else "the hosts are in no cluster: compare the text of their ACLs first"
    compared.record(require, fix={"acl": acl, "networks": sorted(using.get(acl, ())), "refuse": refuse})


def _has_acls(network: Network) -> bool:
    return network.managed and bool(acls_of(network.config))


def _ruleset(host: HostFacts) -> Ruleset:
    if host.incus.server.firewall != "nftables":
        firewall = host.incus.server.firewall or "an unknown firewall"
        reason = f"Incus filters with {firewall} on {host.name}, and sigsrv reads only nftables"
        raise EvidenceError(reason, host=host.name)
    return host.firewall.rules


def _reported_rules(
    host: HostFacts, ruleset: Ruleset, network: Network, declared: SiteBridge | None
) -> Iterator[Reported]:
    """Yield what ACL-007 or ACL-001 reports: the rules of a network are not loaded, or it has no ACL."""
    name = network.name
    if _has_acls(network):
        if ruleset.missing_of_acls(name):
            yield Reported(finding_id("ACL-007", host.name, name), f"the rules of {name} are not loaded on {host.name}")
    elif declared and declared.acls:
        where = "cluster" if host.incus.server.clustered else host.name
        yield Reported(finding_id("ACL-001", where, name), f"{name} of {host.name} has no ACL")


def _loaded(ruleset: Ruleset, network: str) -> tuple[str, ...]:
    """Return the loaded rules of a network's ACLs, each as JSON; () if there are none."""
    chain = ruleset.chain("inet", "incus", f"acl.{network}")
    return tuple(json.dumps(rule.expr, sort_keys=True) for rule in chain.rules) if chain else ()
