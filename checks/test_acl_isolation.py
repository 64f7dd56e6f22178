"""Checks of ACL: whether instances of different projects are isolated on a shared bridge."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sigsrv import ClusterFacts, HostFacts, Require, Site, policy
from sigsrv.facts.frames import Sent, exchanged
from sigsrv.facts.ranges import Addresses, addresses
from sigsrv.facts.resources import Instance, Network, NetworkAcl
from sigsrv.judge.acl_isolation import (
    LINK_LOCAL,
    RuleSet,
    instance_addresses,
    lets_ping_pass,
    of_network,
    openings,
    to_nic,
)
from sigsrv.judge.site_resources import Nic, acls_of, each_network, nics_of
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import SiteBridge

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
        with require.about(bridge.name):
            _check_isolation(facts, bridge, network, acls, require)


def _check_isolation(facts: ClusterFacts, bridge: SiteBridge, network: Network, acls: Acls, require: Require) -> None:
    nics = nics_of(facts, bridge.name, partial=True)
    projects = sorted({nic.instance.project for nic in nics})
    if len(projects) < 2:
        facts.instances.require_all()
        reason = f"all instances on it are in project {projects[0]}" if projects else "no instance is on it"
        require.not_applicable(bridge.name, reason)
        return
    attached = acls_of(network.config)
    own = instance_addresses(network.config, bridge)
    if not attached and bridge.acls and not any(nic.acls for nic in nics):
        require.left_to("ACL-001", bridge.name, "no ACL is attached, so nothing isolates the instances")
        return
    faults: list[str] = []
    by_nics: set[str] = set()  # the hosts on which only filters of the NICs can isolate
    for host in facts.hosts.values():
        if not attached or host.firewall.filters_bridged != _FAMILIES:
            by_nics.add(host.name)
            faults += _nic_filter_faults(host, bool(attached), nics)
    if by_nics and not faults:
        facts.instances.require_all()
    network_rules = of_network(network.config, acls)
    with _keep_failure(faults):
        if len(by_nics) < len(facts.hosts):
            faults += openings(network_rules, own)
        for nic in nics:
            if nic.host in by_nics and nic.acls:
                faults += openings(to_nic(nic.config, acls), own)
    pings = None
    if any(host.frames.were_sent for host in facts.hosts.values()):
        filters = _Filters(network_rules, set(facts.hosts) - by_nics, acls, {nic.resource: nic for nic in nics})
        with _keep_failure(faults):
            pings = _pings(exchanged([host.frames.sent for host in facts.hosts.values()], bridge.name), filters)
    require(
        bridge.name,
        not faults and not (pings and pings.breaches),
        expected="frames between instances meet ACLs, and no ACL lets them pass on all ports",
        observed="; ".join([*dict.fromkeys(faults), *_summary(facts.hosts, faults, pings)]),
        reason=f"instances of the projects {', '.join(projects)} are on it",
    )


@contextmanager
def _keep_failure(faults: list[str]) -> Iterator[None]:
    """Add an EvidenceError to the faults if there are some: the verdict is ``fail`` anyway. Raise it if there are none."""
    try:
        yield
    except EvidenceError as cause:
        if not faults:
            raise
        faults.append(f"what really passes is unknown: {cause.reason}")


def _nic_filter_faults(host: HostFacts, attached: bool, nics: Iterable[Nic]) -> list[str]:
    """Return which filters of NICs are missing on a host where the network's ACLs don't filter between ports."""
    nics = [nic for nic in nics if nic.host == host.name]
    firewall = host.incus.server.firewall
    unfiltered = " and ".join(sorted(_FAMILIES - host.firewall.filters_bridged))
    why = f"the rules of {host.name} do not see {unfiltered} frames between ports" if attached else "no ACL is attached"
    if firewall != "nftables":
        return [f"{why}, and {firewall or 'an unknown firewall'} filters no NIC"] if nics else [why]
    if not nics:
        return [f"{why}, and a new NIC would have no ACLs of its own"]
    bare = [nic.resource for nic in nics if not nic.acls]
    if bare:
        return [f"{why}, and these NICs have no ACLs of their own: {', '.join(bare)}"]
    missing = [
        chain
        for nic in nics
        if nic.instance.status != "Stopped"  # instances in state Frozen or Ready have their NICs too
        and host.firewall.rules.chain("bridge", "incus", chain := _chain_of(nic.instance, nic.name)) is None
    ]
    return [f"{why}, and the firewall of {host.name} lacks {', '.join(missing)}"] if missing else []


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


def _pings(exchange: Iterable[Sent], filters: _Filters) -> _Pings:
    found = _Pings()
    for sent in exchange:
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


def _summary(hosts: Iterable[str], faults: Sequence[str], pings: _Pings | None) -> list[str]:
    """Describe the effect of the configuration, and what the pings show of it."""
    if pings and pings.breaches and not faults:
        return [f"configured, but not effective: {_listed(pings.breaches)}; no rule allows it"]
    found = [] if faults else [f"filtered on {', '.join(hosts)}"]
    if pings is None:
        return found
    tried = pings.tried if faults else pings.filtered
    if not tried:
        found.append("pings: none could show it")
    elif faults and pings.passed:
        found.append(f"pings passed: {_listed(pings.passed)}")
    elif pings.allowed:
        found.append(f"pings: {pings.allowed} of {tried} passed, because a rule allows them")
    else:
        found.append(f"pings: none of {tried} passed")
    return found


def _listed(lines: Iterable[str]) -> str:
    unique = list(dict.fromkeys(lines))
    more = len(unique) - _SHOWN
    return "; ".join(unique[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
