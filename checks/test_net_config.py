"""Checks of NET: the configuration of a bridge's network, and its effect on each host."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from ipaddress import ip_interface, ip_network

from sigsrv import ClusterFacts, HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.config import NETWORK_BOOLEANS
from sigsrv.facts.resources import Config, Network
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.network_moves import left_behind, moves
from sigsrv.model.site_bridges import SiteBridge
from sigsrv.model.values import boolean

# The values of unset keys of a bridge, besides its booleans.
_DEFAULTS = {"bridge.driver": "native", "bridge.mtu": "1500", "ipv4.address": "none", "ipv6.address": "none"}
_FIREWALLS = ("ipv4.firewall", "ipv6.firewall")


@policy("NET-007")
def test_bridge_network_has_the_subnet_mtu_and_options_of_the_site_file(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Compares the network's configuration with the site file, once for the cluster, and the live links with it, on each host.

    A standalone host gets one finding for both.
    """
    is_standalone = facts.name in facts.hosts
    for bridge in site.bridges:
        exempt = site.exempt_keys("NET-007", bridge.name)
        if not is_standalone:
            with _finding(require, bridge) as finding, finding.clause(on=facts.name):
                _refuse_several_subnets(bridge, facts, finding)
                network, host_name = _network(facts, bridge)
                if network:
                    _judge_config(bridge, network, exempt, finding)
                    _refuse_to_leave_behind(facts, network, finding)
                else:
                    _leave_to_net_004(host_name, bridge, finding)
        for host in facts.hosts.values():
            if not bridge.is_on(host.name):
                require.not_applicable(bridge.name, bridge.only_on, host=host.name)
                continue
            with _finding(require, bridge, host.name) as finding:
                network = None
                with finding.clause(on=facts.name):
                    network, _ = _network(facts, bridge)
                    if network is None:
                        _leave_to_net_004(host.name, bridge, finding)
                        continue
                    if is_standalone:
                        _judge_config(bridge, network, exempt, finding)
                        _refuse_to_leave_behind(facts, network, finding)
                with finding.clause(on=host.name):
                    _judge_port(bridge.on(host.name), host, finding)
                    if network:
                        _judge_bridge(bridge, network, host, finding)


@contextmanager
def _finding(require: Require, bridge: SiteBridge, host: str | None = None) -> Iterator[Clauses]:
    """Yield the clauses of a finding, with the values of its fix.

    network_keys: ``KEY=VALUE`` to set on the network; links: name and MTU of each link to change; refuse: what a person must decide or do;
    moves: the families of addresses of which the network leaves its subnet.
    """
    keys = ", ".join(f"{key}={value}" for key, value in sorted(bridge.config.items()))
    expected = f"{f'{bridge.subnet}, ' if bridge.subnet else ''}MTU {bridge.mtu}, {keys or 'no other key'}"
    with require.finding(bridge.name, expected, host=host, otherwise="as in the site file") as finding:
        finding.fix.update(network=bridge.name, network_keys=[], links=[], refuse="", moves="")
        yield finding


def _refuse_several_subnets(bridge: SiteBridge, facts: ClusterFacts, finding: Clauses) -> None:
    """Record that the site file can't be met if it has several subnets or gateways for the members of a cluster."""
    own = [bridge.on(host) for host in facts.hosts if bridge.is_on(host)]
    wanted = sorted({f"{each.subnet or 'any subnet'} with gateway {each.gateway or 'any'}" for each in own})
    if len(wanted) > 1:
        finding.unknown(
            f"a network has one address in its whole cluster, and the site file wants {' and '.join(wanted)}"
        )


def _by_hand(finding: Clauses, what: str) -> None:
    """Make the fix refuse to act, because a person must decide or do something."""
    finding.fix["refuse"] = "; ".join(filter(None, [finding.fix["refuse"], what]))


def _refuse_to_leave_behind(facts: ClusterFacts, network: Network, finding: Clauses) -> None:
    """Make the fix refuse a new address of the network while something uses an address that the network then no longer has."""
    after = {**network.config, **dict(pair.split("=", 1) for pair in finding.fix["network_keys"])}
    found = moves(network.config, after)
    finding.fix["moves"] = ", ".join(f"IPv{move.family}" for move in found if move.leaves_subnet)
    refuse = finding.fix["refuse"]
    for move in found:
        _by_hand(finding, f"can't determine what uses the IPv{move.family} addresses of {network.name}")
        with finding.clause():
            users = left_behind(facts, network.name, after, move)
            finding.fix["refuse"] = refuse
            for user in users:
                _by_hand(finding, user)
            refuse = finding.fix["refuse"]


def _network(facts: ClusterFacts, bridge: SiteBridge) -> tuple[Network | None, str]:
    """Return the managed network of a bridge, if there is one, and the host whose daemon says so."""
    listed, host = facts.incus.first(lambda incus: (incus.networks, incus.evidence.host))
    return next((each for each in listed if each.name == bridge.name and each.managed), None), host


def _leave_to_net_004(host: str, bridge: SiteBridge, finding: Clauses) -> None:
    finding.nothing(f"there is no managed network {bridge.name}", finding_id("NET-004", host, bridge.name))


def _effective(config: Config, key: str) -> str:
    """Return the value of a key; its default if it is unset."""
    return config.get(key) or _DEFAULTS.get(key, "")


def _is_same(key: str, value: str | None, wanted: str, network: str) -> bool:
    if key in NETWORK_BOOLEANS:
        default = NETWORK_BOOLEANS[key]
        return boolean(value, default, network) == boolean(wanted, default, "the site file")
    found, meant = value or _DEFAULTS.get(key, ""), wanted or _DEFAULTS.get(key, "")
    return found == meant or (key.endswith(".address") and _canonical(found) == _canonical(meant))


def _canonical(address: str) -> str:
    """Return an address with its prefix in one spelling: Incus keeps the spelling of the person who set it."""
    try:
        return str(ip_interface(address))
    except ValueError:
        return address


def _judge_config(bridge: SiteBridge, network: Network, exempt: Collection[str], finding: Clauses) -> None:
    """Compare a network's configuration with the site file. exempt: keys that the site file exempts."""
    config, keys = network.config, finding.fix["network_keys"]
    wanted = {"bridge.mtu": str(bridge.mtu), **bridge.config}
    ignored = {*wanted, *exempt}
    if bridge.subnet and "ipv4.address" not in ignored:
        address = _effective(config, "ipv4.address")
        if not _is_of_subnet(address, bridge.subnet, bridge.gateway):
            finding.violated(f"ipv4.address is {address}")
            if bridge.gateway:
                keys.append(f"ipv4.address={bridge.gateway}/{ip_network(bridge.subnet).prefixlen}")
            else:
                _by_hand(finding, f"the site names no gateway of {bridge.subnet}")
    for key, value in sorted(wanted.items()):
        with finding.clause():
            if key not in exempt and not _is_same(key, config.get(key), value, network.name):
                finding.violated(f"{key} is {_effective(config, key) or 'unset'}")
                keys.append(f"{key}={value}")
    for key in _FIREWALLS:
        if key not in ignored and config.get(key) == "false":
            finding.violated(f"{key} is false")
            keys.append(f"{key}=true")
    undeclared = sorted(key for key in config if key.startswith("tunnel.") or key == "raw.dnsmasq")
    if _effective(config, "bridge.driver") != "native":
        undeclared.append("bridge.driver")
    for key in undeclared:
        if key not in ignored:
            finding.violated(f"{key} is {'set' if key == 'raw.dnsmasq' else config[key]}")
            _by_hand(finding, f"whatever needs {key} must be known first: incus network unset {network.name} {key}")


def _is_of_subnet(address: str, subnet: str, gateway: str | None) -> bool:
    """Return whether a network's address is in a subnet, with its prefix, and is the gateway if there is one."""
    try:
        found = ip_interface(address)
    except ValueError:
        return False
    return found.network == ip_network(subnet) and gateway in (None, str(found.ip))


def _judge_port(bridge: SiteBridge, host: HostFacts, finding: Clauses) -> None:
    """Compare the MTUs of the VLAN interface and its parent with the site file.

    The fix changes the VLAN interface first, because a bridge without a configured MTU takes the smallest MTU of its ports.
    """
    links = host.network.links
    port = links.get(bridge.vlan.interface)
    if port is None:
        because = finding_id("NET-001", host.name, bridge.name)
        finding.nothing(f"there is no link {bridge.vlan.interface} on {host.name}", because)
        return
    if port.mtu != bridge.mtu:
        finding.violated(f"MTU of {port.name} is {port.mtu}")
        finding.fix["links"].append({"name": port.name, "mtu": bridge.mtu})
    if port.parent is None:
        return
    if port.parent not in links:
        reason = f"{port.name} is on {port.parent}, which is not among the links of {host.name}"
        finding.unknown(reason)
        _by_hand(finding, reason)  # the MTU of a VLAN interface can't exceed that of its parent
    elif links[port.parent].mtu < bridge.mtu:
        finding.violated(f"MTU of {port.parent} is {links[port.parent].mtu}")
        _by_hand(finding, f"{port.parent} carries other VLANs too: set its MTU in the host's own configuration")


def _judge_bridge(bridge: SiteBridge, network: Network, host: HostFacts, finding: Clauses) -> None:
    """Compare the live bridge with the network's own configuration: if that is wrong, the cluster has the finding."""
    link = host.network.links.get(bridge.name)
    if link is None:
        because = finding_id("NET-004", host.name, bridge.name)
        finding.nothing(f"there is no link {bridge.name} on {host.name}", because)
        return
    mtu = _effective(network.config, "bridge.mtu")
    if str(link.mtu) != mtu:
        finding.violated(f"MTU of {link.name} is {link.mtu}, but {mtu} is configured")
        finding.fix["links"].append({"name": link.name, "mtu": mtu})
    addresses = host.network.addresses
    if bridge.name not in addresses:
        finding.unknown(f"{host.name} does not report the addresses of {bridge.name}")
        return
    for key in ("ipv4.address", "ipv6.address"):
        wanted = _effective(network.config, key)
        if wanted != "none" and _canonical(wanted) not in {str(each) for each in addresses[link.name]}:
            finding.violated(f"{link.name} lacks its address {wanted}")
            _by_hand(finding, "systemctl restart incus gives the bridge its address back")
