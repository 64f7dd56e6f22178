"""Checks of XHOST: one host against the other. What differs stands on the hosts that are fewer; where none are, on the cluster."""

import json
import re
from collections import Counter
from ipaddress import ip_interface, ip_network

from sigsrv import finding_id, policy
from sigsrv.judge.site_resources import nics_on, reported_by_net
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import split_list

_OF_ONE_MEMBER = ("source", "size", "zfs.pool_name", "lvm.thinpool_name", "lvm.vg_name")


def _compare(require, facts, resource, values, what, shown=None):
    """Record whether all hosts have the same. values: by host; shown: what a finding shows of them, where they differ."""
    counted = Counter(values.values()).most_common()
    if len(counted) == 1:
        require(resource, True, expected=f"{what} on every host", observed="the same" if shown else counted[0][0])
        return
    seen = "; ".join(f"{host}: {value}" for host, value in (shown or values).items())
    most, times = counted[0]
    fewer = [host for host, value in values.items() if value != most] if times > counted[1][1] else [facts.name]
    for host in fewer:
        require(resource, False, expected=f"{what} on every host", observed=seen, host=host)


@policy("XHOST-001")
def test_bridges_agree_on_every_host(facts, site, require):
    """Bridges that carry a VLAN, those too that the site does not know: VLAN id, subnet and MTU."""
    declared = {bridge.name: bridge for bridge in site.bridges}
    hosts = tuple(facts.hosts.values())
    carrying = {name for host in hosts for name in _with_a_vlan(host.network.links)}
    for name in [*declared, *sorted(carrying - set(declared))]:
        with require.about(name):
            bridge = declared.get(name)
            if bridge:
                excuses = [each for host in hosts for each in reported_by_net(host, bridge)]
            else:
                excuses = [each for host in hosts for each in _unknown_to_the_site(facts, site, host, name)]
            values = {} if excuses else {host.name: _described(host, name, bridge) for host in hosts}
            if bridge and len(set(values.values())) > 1:
                excuses = [each for host in hosts for each in _not_as_configured(facts, host, bridge)]
            if excuses:
                require.not_applicable(name, excuses[0][1], because=excuses[0][0])
            else:
                _compare(require, facts, name, values, "the same VLAN, subnet and MTUs")


def _with_a_vlan(links):
    masters = {link.master for link in links.values() if link.vlan_id is not None and link.master}
    return {name for name in masters if name in links and links[name].kind == "bridge"}


def _unknown_to_the_site(facts, site, host, name):
    """Whether NET-004 says already that it is a network which the site does not know: (id, reason)."""
    network = None if name in site.networks_extra else _network(facts, host, name)
    if network is not None and (host.member in network.locations or not network.locations):
        yield finding_id("NET-004", host.name, name), f"{name} is a network that the site does not know"


def _network(facts, host, name):
    """A network as the host's own daemon has it; where that does not answer, as another one of the cluster has it."""
    try:
        listed = host.incus.networks
    except EvidenceError:
        listed = facts.incus.networks
    return next((network for network in listed if network.name == name and network.managed), None)


def _not_as_configured(facts, host, bridge):
    """Whether a finding of NET-007 says already that addresses or MTUs are otherwise than wanted: (id, reason)."""
    links, addresses = host.network.links, host.network.addresses
    link, port = links[bridge.name], links[bridge.vlan.interface]
    network = _network(facts, host, bridge.name)
    if network is None:
        yield finding_id("NET-004", host.name, bridge.name), f"there is no managed network {bridge.name}"
        return
    because = finding_id("NET-007", host.name, bridge.name)
    own = {network.config.get(key) for key in ("ipv4.address", "ipv6.address")} - {None, "", "none"}
    if own - {str(address) for address in addresses.get(bridge.name, ())}:
        yield because, f"{bridge.name} of {host.name} lacks its address"
    elif str(link.mtu) != (network.config.get("bridge.mtu") or "1500") or port.mtu != bridge.mtu:
        yield because, f"the MTU of {bridge.name} or {port.name} of {host.name} is not the one wanted"
    elif port.parent in links and links[port.parent].mtu < bridge.mtu:
        yield because, f"the MTU of {port.parent} of {host.name} is too small"
    elif (
        bridge.subnet
        and not _is_in(network.config.get("ipv4.address", ""), bridge.subnet)
        and not host.incus.server.clustered
    ):
        yield because, f"{bridge.name} of {host.name} has another subnet than the site"


def _is_in(address, subnet):
    try:
        return ip_interface(address).network == ip_network(subnet)
    except ValueError:
        return False


def _described(host, name, bridge):
    """What of a bridge must be the same on each host, in words."""
    links, addresses = host.network.links, host.network.addresses
    link = links.get(name)
    if link is None or link.kind != "bridge":
        return "no such bridge"
    if bridge:
        ports = [links[bridge.vlan.interface]]
    else:
        ports = sorted(
            (each for each in links.values() if each.master == name and each.vlan_id is not None), key=_by_id
        )
    gone = [port.parent for port in ports if port.parent and port.parent not in links]
    if gone or name not in addresses:
        missing = gone[0] if gone else f"addresses of {name}"
        raise EvidenceError(f"{missing}: not told by {host.name}", host=host.name)
    subnets = {str(ip_interface(str(each)).network) for each in addresses[name] if each.is_global_unicast}
    ids = ", ".join(port.tag or f"a port without VLAN id ({port.kind})" for port in ports)
    sizes = [f"MTU {link.mtu}", *(f"port {port.mtu}" for port in ports)]
    sizes += [f"parent {links[port.parent].mtu}" for port in ports if port.parent]
    return f"{ids or 'no VLAN'}; {', '.join(sorted(subnets)) or 'no subnet'}; {', '.join(sizes)}"


def _by_id(link):
    return (link.vlan_id, link.name)


@policy("XHOST-002")
def test_pools_and_versions_are_the_same_on_every_host(facts, site, require):
    """In one cluster the database holds the pools together; nothing does so with the systems below it."""
    wanted = {pool.name: pool for pool in site.pools}
    listed = {host.name: {pool.name: pool for pool in host.incus.pools} for host in facts.hosts.values()}
    with require.about(facts.name):
        versions = {host.name: _versions(host) for host in facts.hosts.values()}
        _compare(require, facts, facts.name, versions, "the same system, firewall, kernel and ZFS")
    for name in [*wanted, *sorted({name for pools in listed.values() for name in pools} - set(wanted))]:
        pool = wanted.get(name)
        on = [host for host in facts.hosts if pool is None or pool.is_on(host)]
        excuses = [x for host in on for x in _not_the_site_s(facts.hosts[host], listed[host].get(name), pool, name)]
        if excuses:
            require.not_applicable(name, excuses[0][1], because=excuses[0][0])
        elif len(on) < 2:
            require.not_applicable(name, f"the site has it on {', '.join(on) or 'no host that was selected'} alone")
        else:
            values = {host: _configured(listed[host][name]) for host in on}
            _compare(require, facts, name, values, "the same driver and configuration")


def _not_the_site_s(host, found, wanted, name):
    """Whether a finding of POOL says already that a pool is not what the site wants: (id, reason)."""
    if wanted is None:
        if found is not None and (host.member in found.locations or not found.locations):
            yield finding_id("POOL-001", host.name, name), f"{name} is a pool that the site does not know"
    elif found is None:
        yield finding_id("POOL-001", host.name, name), f"there is no pool {name} on {host.name}"
    elif found.driver != wanted.driver:
        yield finding_id("POOL-002", host.name, name), f"the driver of {name} on {host.name} is {found.driver}"


def _configured(pool):
    """A pool's driver and the keys that are the cluster's."""
    keys = sorted(key for key in pool.config if key not in _OF_ONE_MEMBER and not key.startswith("volatile."))
    return ", ".join([pool.driver, *(f"{key}={pool.config[key]}" for key in keys)])


def _versions(host):
    """What a host's daemon runs on, in words. Raises EvidenceError for what it does not say: that is equal to nothing."""
    server = host.incus.server
    told = {"system": server.os, "version of the system": server.os_version, "firewall": server.firewall}
    told |= {"kernel": _series(server.kernel), "ZFS": "none" if server.zfs is None else _series(server.zfs)}
    for what, value in told.items():
        if not value:
            raise EvidenceError(f"{host.name}: Incus does not say its {what}", host=host.name)
    return f"{server.os} {server.os_version}, {server.firewall}, kernel {told['kernel']}, ZFS {told['ZFS']}"


def _series(version):
    """Major and minor of a version; "" where it is none."""
    match = re.match(r"\d+\.\d+", version)
    return match[0] if match else ""


@policy("XHOST-003")
def test_acls_have_the_same_effect_on_every_host(facts, site, require):
    """Their text is the cluster's, what is loaded is each host's own; so is whether frames between two ports meet it."""
    named = {
        network.name
        for host in facts.hosts.values()
        for network in host.incus.networks
        if network.managed and network.type == "bridge" and split_list(network.config.get("security.acls"))
    }
    if not named:
        require.not_applicable(reason="no network has an ACL")
        return
    for host in facts.hosts.values():
        if host.incus.server.firewall != "nftables":
            said = host.incus.server.firewall or "an unknown firewall"
            raise EvidenceError(f"Incus filters with {said} on {host.name}; only nftables is read", host=host.name)
    rulesets = {host.name: host.firewall.rules for host in facts.hosts.values()}
    bridged = {host.name: ", ".join(sorted(host.firewall.filters_bridged)) or "none" for host in facts.hosts.values()}
    lacking = _isolation_lacks(facts, site, bridged)
    if lacking:
        require.not_applicable(facts.name, "the hosts differ in what they filter between ports", because=lacking)
    else:
        _compare(require, facts, facts.name, bridged, "what is filtered between two ports of a bridge is the same")
    for name in sorted(named):
        unlike = next((why for host in facts.hosts.values() for why in _not_to_be_held(host, site, name)), None)
        if unlike:
            require.not_applicable(name, unlike[1], because=unlike[0])
            continue
        loaded = {host: _loaded(ruleset, name) for host, ruleset in rulesets.items()}
        common = set.intersection(*map(set, loaded.values()))
        shown = {
            host: f"{len(rules)} rules; {', '.join(rule for rule in rules if rule not in common)[:200] or 'none of its own'}"
            for host, rules in loaded.items()
        }
        _compare(require, facts, name, loaded, "the same rules, in the same order", shown)


def _not_to_be_held(host, site, name):
    """Why a host's rules of a network are not held against the others', and the finding that says so: hosts in no cluster may differ."""
    declared = next((bridge for bridge in site.bridges if bridge.name == name), None)
    network = next((each for each in host.incus.networks if each.name == name and each.managed), None)
    if network is None:
        because = finding_id("NET-004", host.name, name) if declared else None
        yield because, f"there is no network {name} on {host.name}"
    elif split_list(network.config.get("security.acls")):
        if host.firewall.rules.missing_of_acls(name):
            yield finding_id("ACL-007", host.name, name), f"the rules of {name} are not loaded on {host.name}"
    elif declared and declared.acls:
        where = "cluster" if host.incus.server.clustered else host.name
        yield finding_id("ACL-001", where, name), f"{name} of {host.name} has no ACL"


def _loaded(ruleset, network):
    """The rules of a network's ACLs as they are loaded, each as JSON; none where it has no ACL."""
    chain = ruleset.chain("inet", "incus", f"acl.{network}")
    return tuple(json.dumps(rule.expr, sort_keys=True) for rule in chain.rules) if chain else ()


def _isolation_lacks(facts, site, bridged):
    """The finding of ACL-006 that says already that a host does not filter between ports; None where there is none.

    That is certain where instances of several projects share a bridge, and no NIC has an ACL of its own.
    """
    if len(set(bridged.values())) == 1:
        return None
    for bridge in site.bridges:
        nics = [
            (each, nic)
            for each, _ in facts.instances.known(decisive=lambda _: True)
            for _, nic in nics_on(each, bridge.name)
        ]
        projects = {instance.project for instance, _ in nics}
        network = next((n for n in facts.incus.networks if n.name == bridge.name), None)
        attached = network is not None and split_list(network.config.get("security.acls"))
        if bridge.isolate and attached and len(projects) > 1 and not any(nic.get("security.acls") for _, nic in nics):
            return finding_id("ACL-006", facts.name, bridge.name)
    return None
