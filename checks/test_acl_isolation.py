"""Checks of ACL: whether instances of different projects are isolated on a shared bridge."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from sigsrv import ClusterFacts, HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.frames import Sent, exchanged, sent_on
from sigsrv.facts.ranges import Addresses, addresses
from sigsrv.facts.resources import Instance, Network, NetworkAcl
from sigsrv.judge.acl_isolation import (
    LINK_LOCAL,
    RuleSet,
    instance_addresses,
    judge_openings,
    lets_ping_pass,
    of_network,
    to_nic,
)
from sigsrv.judge.bridge_filters import filter_fix
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.site_resources import Nic, acls_of, each_network, hosts_with, nics_of
from sigsrv.model.site_bridges import SiteBridge

_SHOWN = 6  # pings that a finding names
_FAMILIES = frozenset({"IPv4", "IPv6"})

Acls = Mapping[str, NetworkAcl]


@policy("ACL-006")
def test_instances_on_a_shared_bridge_are_isolated_from_each_other(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at each bridge with isolate in the site file: at br_netfilter on each host, the ACLs of the network and those of the NICs.

    Frames between two ports of a bridge meet the network's ACLs only with br_netfilter; without it, each NIC needs its own ACLs. With
    --probe, the check also compares the pings that passed with the rules.
    """
    acls = {acl.name: acl for acl in facts.incus.network_acls if acl.project == "default"}
    for bridge, network in each_network(facts, site, require):
        if not bridge.isolate:
            require.not_applicable(bridge.name, "the site file does not ask for isolation on the bridge")
            continue
        expected = "frames between instances meet ACLs, and no ACL lets them pass on all ports"
        with require.finding(bridge.name, expected) as finding:
            _judge_isolation(facts, bridge, network, acls, finding)


def _judge_isolation(facts: ClusterFacts, bridge: SiteBridge, network: Network, acls: Acls, finding: Clauses) -> None:
    finding.fix["refuse"] = "find out why the frames pass: the configuration of the hosts does not show it"
    nics = nics_of(facts, bridge.name, partial=True)
    projects = sorted({nic.instance.project for nic in nics})
    if len(projects) < 2:
        finding.nothing(f"all instances on it are in project {projects[0]}" if projects else "no instance is on it")
        facts.instances.require_all()
        return
    finding.note = f"instances of the projects {', '.join(projects)} are on it"
    attached = acls_of(network.config)
    if not attached and bridge.acls and not any(nic.acls for nic in nics):
        because = finding_id("ACL-001", facts.name, bridge.name)
        finding.violated("no ACL is attached, so nothing isolates the instances", root=because)
        return
    by_network: set[str] = set()  # the hosts whose bridge filters between ports by the rules of the network
    by_nics: set[str] = set()  # the hosts on which only filters of the NICs can isolate
    hosts = hosts_with(facts, bridge)
    for host in hosts.values():
        with finding.clause():
            is_filtered = bool(attached) and host.firewall.filters_bridged == _FAMILIES
            (by_network if is_filtered else by_nics).add(host.name)
            if not is_filtered:
                _judge_nic_filters(host, bool(attached), nics, finding)
    if by_nics:
        with finding.clause():
            facts.instances.require_all()
    own, network_rules = instance_addresses(network.config, bridge), of_network(network.config, acls)
    if by_network:
        with finding.clause():
            judge_openings(network_rules, own, finding)
    for nic in nics:
        if nic.host in by_nics and nic.acls:
            with finding.clause():
                judge_openings(to_nic(nic.config, acls), own, finding)
    finding.fix.update(filter_fix(facts, network, by_network, by_nics, finding))
    pings = None
    if any(host.frames.were_sent for host in hosts.values()):
        filters = _Filters(network_rules, by_network, acls, {nic.resource: nic for nic in nics})
        pings = _pings(hosts.values(), bridge.name, filters, finding)
    if pings and pings.breaches and not finding.is_violated:
        finding.violated(f"configured, but not effective: {_listed(pings.breaches)}; no rule allows it")
        return
    if not finding.is_violated:
        finding.holds(f"filtered on {', '.join(name for name in facts.hosts if name in by_network | by_nics)}")
    if pings:
        finding.holds(_shown(pings, is_open=finding.is_violated))


def _judge_nic_filters(host: HostFacts, attached: bool, nics: Iterable[Nic], finding: Clauses) -> None:
    """Judge which filters of NICs are missing on a host where the network's ACLs don't filter between ports."""
    nics = [nic for nic in nics if nic.host == host.name]
    firewall = host.incus.server.firewall
    why = "no ACL is attached"
    if attached:
        unfiltered = " and ".join(sorted(_FAMILIES - host.firewall.filters_bridged))
        why = f"the rules of {host.name} do not see {unfiltered} frames between ports"
    bare = [nic.resource for nic in nics if not nic.acls]
    if firewall != "nftables":
        finding.violated(f"{why}, and {firewall or 'an unknown firewall'} filters no NIC" if nics else why)
    elif not nics:
        finding.violated(f"{why}, and a new NIC would have no ACLs of its own")
    elif bare:
        finding.violated(f"{why}, and these NICs have no ACLs of their own: {', '.join(bare)}")
    else:
        running = [nic for nic in nics if nic.instance.status != "Stopped"]  # Frozen and Ready ones have their NICs too
        chains = [_chain_of(nic.instance, nic.name) for nic in running]
        missing = [chain for chain in chains if host.firewall.rules.chain("bridge", "incus", chain) is None]
        if missing:
            finding.violated(f"{why}, and the firewall of {host.name} lacks {', '.join(missing)}")


def _chain_of(instance: Instance, nic: str) -> str:
    prefix = "" if instance.project == "default" else f"{instance.project}_"
    return f"fwd.{prefix}{instance.name}.{nic}"


@dataclass(frozen=True)
class _Filters:
    """Which rules a ping meets, by the configuration.

    hosts: the hosts whose bridge filters between ports by the network's rules. On the others, a NIC has its own ACLs, and a temporary
    namespace has none.
    """

    network: RuleSet
    hosts: Collection[str]
    acls: Acls
    nics: Mapping[str, Nic]

    def met_by(self, sent: Sent) -> RuleSet | None:
        """Return the rules that a ping meets; None if it meets none."""
        if sent.here in self.hosts or sent.path.host in self.hosts:
            return self.network
        nic = self.nics.get(sent.path.instance)
        return to_nic(nic.config, self.acls) if nic and nic.acls else None


@dataclass
class _Pings:
    """What the pings of ``--probe`` show.

    tried: pings whose destination answers ARP; filtered: those of them that meet rules; allowed: those that passed because a rule
    allows them; passed: descriptions of all that passed; breaches: those of them that meet rules, although no rule allows them.
    """

    tried: int = 0
    filtered: int = 0
    allowed: int = 0
    passed: list[str] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)


def _pings(hosts: Iterable[HostFacts], bridge: str, filters: _Filters, finding: Clauses) -> _Pings:
    """Return what the pings show. A host whose pings are unknown is an unknown clause."""
    found, frames = _Pings(), []
    for host in hosts:
        with finding.clause():
            host.frames.sent.on(bridge)
            frames.append(host.frames.sent)
    with finding.clause():
        exchanged(frames, bridge)
    for sent in sent_on(frames, bridge):
        path, rules = sent.path, filters.met_by(sent)
        for family, replies in ((4, path.small), (6, path.six)):
            if replies is None or (family == 4 and path.seen != path.mac):
                continue  # a ping that can't reach its destination proves nothing about rules
            found.tried += 1
            found.filtered += rules is not None
            if not replies.passed:
                continue
            destination = path.instance or f"a namespace of {path.host}"
            text = f"{destination} answers an IPv{family} ping from a namespace of {sent.here}"
            found.passed.append(text)
            with finding.clause():
                if rules is not None and lets_ping_pass(rules, *_ends(sent, family)):
                    found.allowed += 1
                elif rules is not None:
                    found.breaches.append(text)
    return found


def _ends(sent: Sent, family: int) -> tuple[Addresses, Addresses]:
    """Return source and destination of a ping."""
    if family == 6:
        return addresses(LINK_LOCAL), addresses(LINK_LOCAL)
    return addresses(sent.source), addresses(sent.path.address)


def _shown(pings: _Pings, is_open: bool) -> str:
    """Describe what the pings show. is_open: whether the configuration is known to isolate nothing."""
    tried = pings.tried if is_open else pings.filtered
    if not tried:
        return "pings: none could show it"
    if is_open and pings.passed:
        return f"pings passed: {_listed(pings.passed)}"
    if pings.allowed:
        return f"pings: {pings.allowed} of {tried} passed, because a rule allows them"
    return f"pings: none of {tried} passed"


def _listed(lines: Iterable[str]) -> str:
    unique = list(dict.fromkeys(lines))
    more = len(unique) - _SHOWN
    return "; ".join(unique[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
