"""Checks of ACL: what becomes of them on the hosts."""

from contextlib import contextmanager
from ipaddress import ip_interface

from sigsrv import finding_id, policy
from sigsrv.facts.frames import exchanged
from sigsrv.facts.ranges import (
    ANY,
    Addresses,
    Packets,
    addresses,
    common,
    is_every_port,
    joined,
    no_set,
    packets,
    ports,
)
from sigsrv.facts.resources import AclRule
from sigsrv.judge.site_resources import each_network, nics_on
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import split_list

_LINK_LOCAL = "fe80::/10"  # every instance has such an address, whatever the network gives out
_NAMED = 6  # of what passed
_FAMILIES = frozenset({"IPv4", "IPv6"})


@policy("ACL-006")
def test_instances_on_a_shared_bridge_are_isolated_from_each_other(facts, site, require):
    """Frames between two ports of one bridge meet the network's ACLs only with br_netfilter; else each NIC needs its own."""
    acls = {acl.name: acl for acl in facts.incus.network_acls if acl.project == "default"}
    for bridge, network in each_network(facts, site, require):
        if not bridge.isolate:
            require.not_applicable(bridge.name, "the site does not ask for isolation on it")
            continue
        with require.about(bridge.name):
            instances = facts.instances.known(decisive=lambda _: True)
            nics = [(each, host, *nic) for each, host in instances for nic in nics_on(each, bridge.name)]
            projects = sorted({instance.project for instance, *_ in nics})
            if len(projects) < 2:
                facts.instances.require_all()
                whose = f"all instances on it are of project {projects[0]}" if projects else "no instance is on it"
                require.not_applicable(bridge.name, whose)
                continue
            attached = split_list(network.config.get("security.acls"))
            own = _own(network.config, bridge)
            if not attached and bridge.acls and not any(_acls(nic) for *_, nic in nics):
                because = finding_id("ACL-001", facts.name, bridge.name)
                require.not_applicable(bridge.name, "no ACL is attached: nothing isolates", because=because)
                continue
            faults, by_nics = [], []
            for host in facts.hosts.values():
                if not attached or host.firewall.filters_bridged != _FAMILIES:
                    by_nics.append(host.name)
                    faults += _unfiltered(host, bool(attached), [nic for nic in nics if nic[1] == host.name])
            if by_nics and not faults:
                facts.instances.require_all()
            network_rules = _rules(acls, attached)
            network_open = network.config.get("security.acls.default.egress.action") == "allow"
            with _told_at_least(faults):
                if len(by_nics) < len(facts.hosts):
                    faults += _passing(network_rules, "egress" if network_open else None, own)
                for _, host, _, nic in nics:
                    if host in by_nics and _acls(nic):
                        faults += _passing(*_coming_in(acls, nic), own)
            shown = None
            if any(host.frames.were_sent for host in facts.hosts.values()):
                guards = _Guards(network_rules, network_open, set(facts.hosts) - set(by_nics), acls, nics)
                with _told_at_least(faults):
                    shown = _Shown(exchanged([host.frames.sent for host in facts.hosts.values()], bridge.name), guards)
            require(
                bridge.name,
                not faults and not (shown and shown.breaches),
                expected="what goes from one instance to another meets ACLs, and none lets it pass by all ports",
                observed="; ".join([*dict.fromkeys(faults), *_seen(facts, faults, shown)]),
                reason=f"there are instances of {', '.join(projects)} on it",
            )


@contextmanager
def _told_at_least(faults):
    """What was configured wrong is a failure, whether frames could be sent or not; else what was not shown is unknown."""
    try:
        yield
    except EvidenceError as cause:
        if not faults:
            raise
        faults.append(f"what really passes was not shown: {cause.reason}")


def _seen(facts, faults, shown):
    """What the configuration comes to, and what frames showed of it, in words."""
    if shown and shown.breaches and not faults:
        return [f"configured, and not effective: {_some(shown.breaches)}; no rule admits it"]
    found = [] if faults else [f"filtered on {', '.join(facts.hosts)}"]
    if shown is None:
        return found
    tried = shown.tried if faults else shown.telling
    if not tried:
        found.append("no frame could show it")
    elif faults and shown.passed:
        found.append(f"shown: {_some(shown.passed)}")
    elif shown.admitted:
        found.append(f"shown: {shown.admitted} of {tried} pings passed, which a rule admits")
    else:
        found.append(f"shown: none of {tried} pings passed")
    return found


def _some(lines):
    more = len(lines) - _NAMED
    return "; ".join(lines[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


class _Guards:
    """What stands between two ends on a bridge, by the configuration.

    rules, is_open: the network's, and whether their default admits; filtering: the hosts that hold what their bridge passes on
    against them; on the others a NIC has ACLs of its own, and a throw-away namespace has none.
    """

    def __init__(self, rules, is_open, filtering, acls, nics):
        self._network, self._filtering, self._acls = (rules, is_open), filtering, acls
        self._nics = {f"{instance.resource}/{name}": nic for instance, _, name, nic in nics}

    def holding(self, sent):
        """The rules that a packet meets, and whether their default admits; None where it meets none."""
        if {sent.here, sent.path.host} & self._filtering:
            return self._network
        nic = self._nics.get(sent.path.instance, {})
        if not _acls(nic):
            return None
        rules, default = _coming_in(self._acls, nic)
        return rules, default is not None


class _Shown:
    """What frames showed. passed: the pings that were answered, in words; breaches: those of them that meet rules of which none admits it.

    tried: how many pings there was a way for; telling: how many of these meet rules; admitted: how many of those passed by a rule.
    """

    def __init__(self, told, guards):
        self.tried, self.telling, self.admitted, passed, breaches = 0, 0, 0, [], []
        for each in told:
            path, holding = each.path, guards.holding(each)
            for family, replies in ((4, path.small), (6, path.six)):
                if replies is None or (family == 4 and path.seen != path.mac):
                    continue  # what has no way there tells nothing of rules
                self.tried += 1
                self.telling += holding is not None
                if replies.passed:
                    whose = path.instance or f"a namespace of {path.host}"
                    words = f"{whose} answers a ping by IPv{family} from a namespace of {each.here}"
                    passed.append(words)
                    if holding is not None and _admits(*holding, *_ends(each, family)):
                        self.admitted += 1
                    elif holding is not None:
                        breaches.append(words)
        self.passed, self.breaches = list(dict.fromkeys(passed)), list(dict.fromkeys(breaches))


def _ends(sent, family):
    """Where a ping came from and where it went."""
    if family == 6:
        return addresses(_LINK_LOCAL), addresses(_LINK_LOCAL)
    return addresses(sent.source), addresses(sent.path.address)


def _admits(rules, is_open, source, destination):
    """Whether a ping may pass some rules: those that deny come first. A word that is no address may mean anybody."""
    protocol, kind = ("icmp4", "8") if source.v4 else ("icmp6", "128")
    ping = Packets(source, destination, protocol, ports(""), ports(""), (kind, "0"))
    active = [(rule, packets(rule)) for rule in rules if rule.takes_effect]
    if any(not rule.allows and speaks.covers(ping) for rule, speaks in active):
        return False
    unknown = any(rule.allows and (speaks.source.unknown or speaks.destination.unknown) for rule, speaks in active)
    return is_open or unknown or any(rule.allows and speaks.meets(ping) for rule, speaks in active)


def _acls(nic):
    return split_list(nic.get("security.acls"))


def _rules(acls, names):
    return [rule for name in names if name in acls for rule in acls[name].rules]


def _coming_in(acls, nic):
    """What the filter of a NIC holds against what is sent to it: the rules for ingress, and "ingress" where their default admits.

    Its rules for egress meet what it sends, and nothing else (Incus, doc/howto/network_acls.md).
    """
    is_open = nic.get("security.acls.default.ingress.action") == "allow"
    return [rule for rule in _rules(acls, _acls(nic)) if rule.direction == "ingress"], "ingress" if is_open else None


def _own(config, bridge):
    """The addresses that instances of a network have, by family; the bridge's own and the gateway are none of them.

    A router elsewhere on the VLAN may give out those of the site's subnet where the bridge has none. Where neither tells of IPv4 they
    may have any of it.
    """
    known = [each for each in (config.get("ipv4.address", ""), config.get("ipv6.address", "")) if "/" in each]
    found = addresses(",".join([*known, *([bridge.subnet] if bridge.subnet else []), _LINK_LOCAL]))
    spans = {4: found.v4 or ANY.v4, 6: found.v6}
    for address in map(ip_interface, [*known, *([bridge.gateway] if bridge.gateway else [])]):
        gone = int(address.ip)
        spans[address.version] = common(spans[address.version], ((0, gone - 1), (gone + 1, 2**128)))
    return {4: Addresses(v4=spans[4]), 6: Addresses(v6=spans[6])}


def _passing(rules, default, own):
    """What lets one instance reach another by all ports: allow rules that the drop and reject rules do not take that from, and the default.

    Between two ports of one bridge the rules of both directions are met, and those that deny come first. default: the direction whose
    default action is allow. own: by family. Raises EvidenceError for a peer that can't be told, where nothing else passes.
    """
    live = [(rule, packets(rule)) for rule in rules if rule.takes_effect]
    allowed = [(rule, str(rule), speaks) for rule, speaks in live if rule.allows]
    if default:
        rule = AclRule(default, "allow", "enabled")
        allowed.append((rule, f"the default for {default} is allow", packets(rule)))
    found = []
    for family, both in own.items():
        denied = joined([speaks.within(both) for rule, speaks in live if not rule.allows])
        inside = [(rule, what, speaks.within(both)) for rule, what, speaks in allowed]
        for rule, what, speaks in inside:
            beside = [each for other, _, each in inside if other.direction == rule.direction]
            every = is_every_port(speaks.ports_with(beside)) and not speaks.protocol.startswith("icmp")
            meant = both.v4 != ANY.v4 or (speaks.source.is_any and speaks.destination.is_any)
            if every and meant and speaks.families and not any(no.covers(speaks) for no in denied):
                found.append(f"{what}: it admits one instance to another by IPv{family}")
    if not found:
        for rule, _ in live:
            no_set(rule)
    return found


def _unfiltered(host, attached, nics):
    """What is missing on a host where the ACLs of the network don't meet what its bridge passes on: filters of the NICs."""
    server = host.incus.server
    filtered = host.firewall.filters_bridged
    gap = ", ".join(sorted(_FAMILIES - filtered))
    why = f"on {host.name} frames between its ports meet no rule of {gap}" if attached else "no ACL is attached"
    if server.firewall != "nftables":
        return [f"{why}, and {server.firewall or 'an unknown firewall'} filters no NIC"] if nics else [why]
    bare = [f"{instance.resource}/{name}" for instance, _, name, nic in nics if not _acls(nic)]
    if bare or not nics:
        return [f"{why}, and no ACL of their own have {', '.join(bare) or 'any NICs to come'}"]
    missing = [
        chain
        for instance, _, name, _ in nics
        if instance.status != "Stopped"  # Frozen and Ready ones have their NICs as well
        and host.firewall.rules.chain("bridge", "incus", chain := _chain_of(instance, name)) is None
    ]
    return [f"{why}, and the firewall of {host.name} lacks {', '.join(missing)}"] if missing else []


def _chain_of(instance, nic):
    prefix = "" if instance.project == "default" else f"{instance.project}_"
    return f"fwd.{prefix}{instance.name}.{nic}"


@policy("ACL-007")
def test_acl_rules_are_loaded_in_the_firewall_of_the_host(facts, site, require):
    """What a network's configuration names is in the kernel of each host: somebody may have emptied it, and Incus notices nothing."""
    clustered = facts.incus.server.clustered
    cluster = "cluster" if clustered else facts.name
    listed = {
        network.name: network
        for network in facts.incus.networks
        if network.managed and (facts.member in network.locations or not clustered)
    }
    declared = {bridge.name: bridge for bridge in site.bridges}
    for name in dict.fromkeys([*declared, *listed]):
        network = listed.get(name)
        link = facts.network.links.get(name)
        if network is None or (name in declared and link is None):
            because = finding_id("NET-004", facts.name, name)
            require.not_applicable(name, f"there is no network {name} on {facts.name}", because=because)
        elif link is None and facts.is_evacuated:  # Incus takes its bridges down, with their rules
            because = finding_id("CLUS-004", "cluster", facts.member)
            require.not_applicable(name, f"{facts.member} is evacuated", because=because)
        elif network.type == "bridge" and split_list(network.config.get("security.acls")):
            with require.about(name):
                _loaded(facts, name, require)
        elif name in declared and network.type != "bridge":
            because = finding_id("NET-004", facts.name, name)
            require.not_applicable(name, f"{name} is a network of type {network.type}", because=because)
        elif name in declared:
            because = finding_id("ACL-001", cluster, name) if declared[name].acls else None
            require.not_applicable(name, "no ACL is attached: there is nothing to load", because=because)


def _loaded(facts, name, require):
    if facts.incus.server.firewall != "nftables":
        said = facts.incus.server.firewall or "an unknown firewall"
        raise EvidenceError(f"Incus filters with {said} on {facts.name}; only nftables is read", host=facts.name)
    missing = facts.firewall.rules.missing_of_acls(name)
    require(
        name,
        not missing,
        expected=f"the chains of {name}'s ACLs in table inet incus, with their rules",
        observed="; ".join(missing) or "loaded",
    )
