"""Checks of NET: what else hangs on a bridge, how its network is configured, and what of it a reboot brings back."""

from ipaddress import ip_interface, ip_network

from sigsrv import finding_id, policy
from sigsrv.facts.config import NETWORK_BOOLEANS
from sigsrv.judge.site_resources import each_network
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import boolean, split_list

# What Incus takes an unset key of a bridge for, beside its booleans.
_DEFAULTS = {"bridge.driver": "native", "bridge.mtu": "1500", "ipv4.address": "none", "ipv6.address": "none"}
_FIREWALLS = ("ipv4.firewall", "ipv6.firewall")
_CLOCK_S, _LIFE_S = 60, 3600  # how far a host's clock may be off; how long a port lives at most that another scan made


@policy("NET-006")
def test_bridge_has_no_ports_but_its_vlan_interface_and_nics(facts, site, require):
    """Each other port is a way into the bridge, past every rule of Incus, that nobody declared."""
    links = facts.network.links
    vlans = {bridge.vlan.interface for bridge in site.bridges}  # one on the wrong bridge is the fault of NET-001
    for wanted in site.bridges:
        name = wanted.name
        link = links.get(name)
        if link is None or link.kind != "bridge":
            because = finding_id("NET-004", facts.name, name)
            require.not_applicable(name, f"there is no bridge {name} on {facts.name}", because=because)
            continue
        with require.about(name):
            others = facts.network.bridge(name).ports - vlans - set(wanted.extra_ports) - _throw_away(facts, links)
            foreign = sorted(others - _made_by_incus(facts, name, links) - _nics(facts)) if others else []
            if foreign:
                facts.instances.require_all()  # the port may be a NIC of an unread instance
            passing = any(links[port].kind in ("veth", "tun") for port in foreign)
            require(
                name,
                not foreign,
                expected=f"no port but {', '.join([wanted.vlan.interface, *wanted.extra_ports])} and NICs of instances",
                observed=", ".join(f"{port} ({links[port].kind or 'hardware'})" for port in foreign) or "none",
                reason="an instance that was stopped during the scan looks so: scan again" if passing else "",
                fix={"bridge": name, "ports": foreign},
            )


def _throw_away(facts, links):
    """The ports of another scan that sends frames just now. What has outlived the time that it says itself is foreign."""
    soon = range(int(facts.collected) - _CLOCK_S, int(facts.collected) + _LIFE_S)
    return {name for name, link in links.items() if link.gone_at in soon}


def _made_by_incus(facts, bridge, links):
    """The ports that Incus makes by itself: a dummy that holds the MTU, and one for each tunnel."""
    network = facts.incus.network_at(bridge, facts.member)
    config = network.config if network and network.managed else {}
    tunnels = {key.split(".")[1] for key in config if key.startswith("tunnel.") and key.count(".") == 2}
    held = links.get(f"{bridge}-mtu")
    return {f"{bridge}-{tunnel}" for tunnel in tunnels} | ({held.name} if held and held.kind == "dummy" else set())


def _nics(facts):
    """The host's ends of the NICs of the instances on this host, of all projects."""
    found = set()
    for instance, _ in facts.instances.known(decisive=lambda _: True):
        for name, device in instance.expanded_devices.items():
            found |= {instance.config.get(f"volatile.{name}.host_name"), device.get("host_name")}
    return found - {None, ""}


@policy("NET-007")
def test_network_has_the_addressing_mtu_and_services_of_the_site(facts, site, require):
    """The configuration once for the cluster; what it has become, on each host. A server in no cluster has both in one."""
    seen = {}
    for host in facts.hosts.values():
        with require.about(host.name, host=host.name):
            seen[host.name] = (host.network.links, host.network.addresses)
    networks = {bridge.name: network for bridge, network in each_network(facts, site, require)}
    for bridge in site.bridges:
        network = networks.get(bridge.name)
        exempt = site.exempt_keys("NET-007", bridge.name)
        configured, settings, why = _misconfigured(bridge, network, exempt) if network else ([], [], [])
        alone = facts.name in facts.hosts
        if network and not alone:
            _record(require, bridge, facts.name, configured, {"network_keys": settings, "refuse": "; ".join(why)})
        for host, (links, addresses) in seen.items():
            if network is None:
                if not alone:
                    because = finding_id("NET-004", host, bridge.name)
                    reason = f"there is no managed network {bridge.name}"
                    require.not_applicable(bridge.name, reason, because=because, host=host)
                continue
            with require.about(bridge.name, host=host):
                live, raised, more = _differs(bridge, network, links, addresses, host)
                missing = _missing(bridge, links, host)
                if alone:
                    live, more = [*configured, *live], [*why, *more]
                if missing and not live:
                    require.not_applicable(bridge.name, missing[0], because=missing[1], host=host)
                    continue
                fix = {"network_keys": settings if alone else [], "links": raised, "refuse": "; ".join(more)}
                _record(require, bridge, host, live, fix)


def _record(require, bridge, host, faults, fix):
    subnet = f"{bridge.subnet}, " if bridge.subnet else ""
    keys = ", ".join(f"{key}={value}" for key, value in sorted(bridge.config.items()))
    require(
        bridge.name,
        not faults,
        expected=f"{subnet}MTU {bridge.mtu}, {keys or 'no key more'}",
        observed="; ".join(faults) or "as the site wants it",
        host=host,
        fix={"network": bridge.name, "network_keys": [], "links": [], **fix},
    )


def _effective(config, key):
    """A key's value as Incus takes it; of what it leaves out, its default."""
    return config.get(key) or _DEFAULTS.get(key, "")


def _same(key, value, wanted, where):
    if key in NETWORK_BOOLEANS:
        return boolean(value, NETWORK_BOOLEANS[key], where) == boolean(wanted, NETWORK_BOOLEANS[key], "the site")
    found, meant = value or _DEFAULTS.get(key, ""), wanted or _DEFAULTS.get(key, "")
    return found == meant or (key.endswith(".address") and _written(found) == _written(meant))


def _written(address):
    """An address with its prefix in one form: Incus keeps it as somebody wrote it."""
    try:
        return str(ip_interface(address))
    except ValueError:
        return address


def _misconfigured(bridge, network, exempt):
    """What the network's configuration has otherwise than the site: the faults, the keys to set, and what a person must do."""
    config, faults, settings, why = network.config, [], [], []
    wanted = {"bridge.mtu": str(bridge.mtu), **bridge.config}
    if bridge.subnet and "ipv4.address" not in {*wanted, *exempt}:
        address = _effective(config, "ipv4.address")
        if not _is_of(address, bridge):
            faults.append(f"ipv4.address is {address}")
            if bridge.gateway:
                settings.append(f"ipv4.address={bridge.gateway}/{ip_network(bridge.subnet).prefixlen}")
            else:
                why.append(f"the site names no gateway of {bridge.subnet}")
    for key, value in sorted(wanted.items()):
        if key not in exempt and not _same(key, config.get(key), value, network.name):
            faults.append(f"{key} is {_effective(config, key) or 'unset'}")
            settings.append(f"{key}={value}")
    for key in _FIREWALLS:
        if key not in {*wanted, *exempt} and config.get(key) == "false":
            faults.append(f"{key} is false")
            settings.append(f"{key}=true")
    odd = sorted(key for key in config if key.startswith("tunnel.") or key == "raw.dnsmasq")
    if _effective(config, "bridge.driver") != "native":
        odd.append("bridge.driver")
    for key in odd:
        if key not in {*wanted, *exempt}:
            shown = "set" if key == "raw.dnsmasq" else config[key]
            faults.append(f"{key} is {shown}")
            why.append(f"whatever needs {key} must be known first: incus network unset {network.name} {key}")
    return faults, settings, why


def _is_of(address, bridge):
    """Whether a network's address is in the site's subnet, with its prefix, and is the gateway where one is named."""
    try:
        found = ip_interface(address)
    except ValueError:
        return False
    return found.network == ip_network(bridge.subnet) and bridge.gateway in (None, str(found.ip))


def _differs(bridge, network, links, addresses, host):
    """What is live on a host otherwise than configured: the faults, the links whose MTU to set, and what a person must do.

    The bridge is held against its own configuration: where that is wrong, it is one finding, of the cluster. Its port comes first:
    a bridge whose MTU nobody set follows the smallest of its ports.
    """
    faults, raised, why = [], [], []
    if bridge.name in links and bridge.name not in addresses:
        raise EvidenceError(f"nothing was told of the addresses of {bridge.name}", host=host)
    link, port = links.get(bridge.name), links.get(bridge.vlan.interface)
    if port is not None:
        if port.mtu != bridge.mtu:
            faults.append(f"MTU of {port.name} is {port.mtu}")
            raised.append({"name": port.name, "mtu": bridge.mtu})
        if port.parent is not None:
            if port.parent not in links:
                raise EvidenceError(
                    f"{port.name} is on {port.parent}, which is not among the links of {host}", host=host
                )
            if links[port.parent].mtu < bridge.mtu:
                faults.append(f"MTU of {port.parent} is {links[port.parent].mtu}")
                why.append(f"{port.parent} carries other VLANs too: set its MTU in the host's own configuration")
    if link is not None:
        mtu = _effective(network.config, "bridge.mtu")
        if str(link.mtu) != mtu:
            faults.append(f"MTU of {link.name} is {link.mtu}, configured {mtu}")
            raised.append({"name": link.name, "mtu": mtu})
        for key in ("ipv4.address", "ipv6.address"):
            wanted = _effective(network.config, key)
            if wanted != "none" and _written(wanted) not in {str(each) for each in addresses[link.name]}:
                faults.append(f"{link.name} lacks its address {wanted}")
                why.append("systemctl restart incus gives the bridge its address back")
    return faults, raised, why


def _missing(bridge, links, host):
    """Why not all of it can be judged: (reason, id of the finding); None where bridge and VLAN interface are there."""
    for name, root in ((bridge.name, "NET-004"), (bridge.vlan.interface, "NET-001")):
        if name not in links:
            return f"there is no link {name} on {host}", finding_id(root, host, bridge.name)
    return None


@policy("NET-008")
def test_vlan_attachment_survives_a_reboot(facts, site, require):
    """Incus attaches what bridge.external_interfaces names at each start of the network; else a unit of the host must."""
    for bridge in site.bridges:
        wanted, unit = bridge.vlan.interface, bridge.vlan.persisted_by
        with require.about(bridge.name):
            network = facts.incus.network_at(bridge.name, facts.member)
            if network is None or not network.managed:
                because = finding_id("NET-004", facts.name, bridge.name)
                require.not_applicable(bridge.name, f"there is no managed network {bridge.name}", because=because)
                continue
            listed = split_list(network.config.get("bridge.external_interfaces"))
            by_incus = any(entry.partition("/")[0] == wanted for entry in listed)
            faults = [] if by_incus else [f"bridge.external_interfaces is {', '.join(listed) or 'unset'}"]
            if unit and not by_incus:
                faults += _not_at_boot(facts.system.unit(unit))
            holds = by_incus or (unit is not None and len(faults) == 1)
            require(
                bridge.name,
                holds,
                expected=f"bridge.external_interfaces names {wanted}" + (f", or a boot starts {unit}" if unit else ""),
                observed="; ".join(faults if not holds else [f"attached by {'Incus' if by_incus else unit}"]),
                fix={
                    "bridge": bridge.name,
                    "interface": wanted,
                    "interfaces": ",".join([*listed, wanted]),
                    "member": facts.member if facts.incus.server.clustered else "",
                },
            )


def _not_at_boot(unit):
    if unit.load != "loaded":
        return [f"{unit.name} is {unit.load}"]
    return [] if unit.starts_at_boot else [f"no target starts {unit.name}"]
