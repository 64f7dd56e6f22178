"""Checks of NET: the configuration of a bridge's network, and its effect on each host."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.config import NETWORK_BOOLEANS
from sigsrv.facts.network import Address, Link
from sigsrv.facts.resources import Config, Network
from sigsrv.judge.site_resources import each_network
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import SiteBridge
from sigsrv.model.values import boolean

# The values of unset keys of a bridge, besides its booleans.
_DEFAULTS = {"bridge.driver": "native", "bridge.mtu": "1500", "ipv4.address": "none", "ipv6.address": "none"}
_FIREWALLS = ("ipv4.firewall", "ipv6.firewall")

Links = Mapping[str, Link]
Addresses = Mapping[str, Sequence[Address]]


@dataclass
class _Faults:
    """What is wrong, and how to fix it.

    keys: ``KEY=VALUE`` to set on the network; links: name and MTU of each link to change; manual: what a person must decide or do.
    """

    observed: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    links: list[dict[str, object]] = field(default_factory=list)
    manual: list[str] = field(default_factory=list)

    def __add__(self, other: "_Faults") -> "_Faults":
        return _Faults(
            self.observed + other.observed,
            self.keys + other.keys,
            self.links + other.links,
            self.manual + other.manual,
        )


@policy("NET-007")
def test_bridge_network_has_the_subnet_mtu_and_options_of_the_site_file(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Compares the network's configuration with the site file, once for the cluster, and the live links with it, on each host.

    A standalone host gets one finding for both.
    """
    live: dict[str, tuple[Links, Addresses]] = {}
    for host in facts.hosts.values():
        with require.about(host.name, host=host.name):
            live[host.name] = (host.network.links, host.network.addresses)
    networks = {bridge.name: network for bridge, network in each_network(facts, site, require)}
    is_standalone = facts.name in facts.hosts
    for bridge in site.bridges:
        network = networks.get(bridge.name)
        if network is None:
            for name in live if not is_standalone else ():
                require.left_to("NET-004", bridge.name, f"there is no managed network {bridge.name}", host=name)
            continue
        configured = _config_faults(bridge, network, site.exempt_keys("NET-007", bridge.name))
        if not is_standalone:
            _record(require, bridge, facts.name, configured)
        for name, (links, addresses) in live.items():
            with require.about(bridge.name, host=name):
                faults = _live_faults(bridge, network, links, addresses, name)
                if is_standalone:
                    faults = configured + faults
                missing = _missing_link(bridge, links)
                if missing and not faults.observed:
                    root, link = missing
                    require.left_to(root, bridge.name, f"there is no link {link} on {name}", host=name)
                else:
                    _record(require, bridge, name, faults)


def _record(require: Require, bridge: SiteBridge, host: str, faults: _Faults) -> None:
    subnet = f"{bridge.subnet}, " if bridge.subnet else ""
    keys = ", ".join(f"{key}={value}" for key, value in sorted(bridge.config.items()))
    require(
        bridge.name,
        not faults.observed,
        expected=f"{subnet}MTU {bridge.mtu}, {keys or 'no other key'}",
        observed="; ".join(faults.observed) or "as in the site file",
        host=host,
        fix={
            "network": bridge.name,
            "network_keys": faults.keys,
            "links": faults.links,
            "refuse": "; ".join(faults.manual),
        },
    )


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


def _config_faults(bridge: SiteBridge, network: Network, exempt: Collection[str]) -> _Faults:
    """Compare a network's configuration with the site file. exempt: keys that the site file exempts."""
    config, faults = network.config, _Faults()
    wanted = {"bridge.mtu": str(bridge.mtu), **bridge.config}
    ignored = {*wanted, *exempt}
    if bridge.subnet and "ipv4.address" not in ignored:
        address = _effective(config, "ipv4.address")
        if not _is_of_subnet(address, bridge.subnet, bridge.gateway):
            faults.observed.append(f"ipv4.address is {address}")
            if bridge.gateway:
                faults.keys.append(f"ipv4.address={bridge.gateway}/{ip_network(bridge.subnet).prefixlen}")
            else:
                faults.manual.append(f"the site names no gateway of {bridge.subnet}")
    for key, value in sorted(wanted.items()):
        if key not in exempt and not _is_same(key, config.get(key), value, network.name):
            faults.observed.append(f"{key} is {_effective(config, key) or 'unset'}")
            faults.keys.append(f"{key}={value}")
    for key in _FIREWALLS:
        if key not in ignored and config.get(key) == "false":
            faults.observed.append(f"{key} is false")
            faults.keys.append(f"{key}=true")
    undeclared = sorted(key for key in config if key.startswith("tunnel.") or key == "raw.dnsmasq")
    if _effective(config, "bridge.driver") != "native":
        undeclared.append("bridge.driver")
    for key in undeclared:
        if key not in ignored:
            faults.observed.append(f"{key} is {'set' if key == 'raw.dnsmasq' else config[key]}")
            faults.manual.append(f"whatever needs {key} must be known first: incus network unset {network.name} {key}")
    return faults


def _is_of_subnet(address: str, subnet: str, gateway: str | None) -> bool:
    """Return whether a network's address is in a subnet, with its prefix, and is the gateway if there is one."""
    try:
        found = ip_interface(address)
    except ValueError:
        return False
    return found.network == ip_network(subnet) and gateway in (None, str(found.ip))


def _live_faults(bridge: SiteBridge, network: Network, links: Links, addresses: Addresses, host: str) -> _Faults:
    """Compare the live links of a host with the configuration.

    The bridge is compared with the network's own configuration: if that is wrong, the cluster has the finding. The VLAN interface comes
    first, because a bridge without a configured MTU takes the smallest MTU of its ports.
    """
    faults = _Faults()
    if bridge.name in links and bridge.name not in addresses:
        raise EvidenceError(f"{host} does not report the addresses of {bridge.name}", host=host)
    link, port = links.get(bridge.name), links.get(bridge.vlan.interface)
    if port is not None:
        if port.mtu != bridge.mtu:
            faults.observed.append(f"MTU of {port.name} is {port.mtu}")
            faults.links.append({"name": port.name, "mtu": bridge.mtu})
        if port.parent is not None:
            if port.parent not in links:
                reason = f"{port.name} is on {port.parent}, which is not among the links of {host}"
                raise EvidenceError(reason, host=host)
            if links[port.parent].mtu < bridge.mtu:
                faults.observed.append(f"MTU of {port.parent} is {links[port.parent].mtu}")
                faults.manual.append(
                    f"{port.parent} carries other VLANs too: set its MTU in the host's own configuration"
                )
    if link is not None:
        mtu = _effective(network.config, "bridge.mtu")
        if str(link.mtu) != mtu:
            faults.observed.append(f"MTU of {link.name} is {link.mtu}, but {mtu} is configured")
            faults.links.append({"name": link.name, "mtu": mtu})
        for key in ("ipv4.address", "ipv6.address"):
            wanted = _effective(network.config, key)
            if wanted != "none" and _canonical(wanted) not in {str(each) for each in addresses[link.name]}:
                faults.observed.append(f"{link.name} lacks its address {wanted}")
                faults.manual.append("systemctl restart incus gives the bridge its address back")
    return faults


def _missing_link(bridge: SiteBridge, links: Links) -> tuple[str, str] | None:
    """Return the policy that reports a missing link, and the link; None if the host has bridge and VLAN interface."""
    for root, name in (("NET-004", bridge.name), ("NET-001", bridge.vlan.interface)):
        if name not in links:
            return root, name
    return None
