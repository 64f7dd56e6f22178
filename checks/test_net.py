"""Checks of NET: bridges and their VLANs."""

from collections.abc import Mapping

from sigsrv import HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.network import Link
from sigsrv.judge.site_resources import each_bridge, each_vlan_interface
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import Vlan


@policy("NET-001")
def test_bridge_has_its_vlan_interface_attached(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the kernel's links: the VLAN interface must be a port of its bridge. Incus does not notice if it is detached."""
    links = facts.network.links
    for wanted, bridge in each_bridge(facts, site, require):
        interface = wanted.vlan.interface
        link = links.get(interface)
        if bridge.kind != "bridge":  # Open vSwitch, for example: its ports do not have it as their master
            reason = f"{wanted.name} is of kind {bridge.kind or 'unknown'}, not bridge"
            require.unknown(wanted.name, reason, because=finding_id("NET-004", facts.name, wanted.name))
            continue
        if link is None:
            observed = f"there is no link {interface}"
        elif link.master is None:
            observed = f"{interface} is not attached to any bridge"
        else:
            observed = f"{interface} is attached to {link.master}"
        require(
            wanted.name,
            link is not None and link.master == wanted.name,
            expected=f"{interface} is attached to {wanted.name}",
            observed=observed,
            fix={"bridge": wanted.name, "interface": interface},
        )


@policy("NET-002")
def test_vlan_interface_has_the_vlan_id_of_the_site_file(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the 802.1Q ID in the kernel's data of the link. The name of the link and ``bridge vlan`` do not prove the ID."""
    for bridge, link in each_vlan_interface(facts, site, require):
        wanted = bridge.vlan
        if link.kind in wanted.kinds and link.vlan_id is None:
            reason = f"{wanted.interface} is of kind {link.kind}, which the site file accepts and which has no VLAN ID"
            require.not_applicable(bridge.name, reason)
            continue
        on_parent = wanted.parent is None or link.parent == wanted.parent
        where = f" on {wanted.parent}" if wanted.parent else ""
        require(
            bridge.name,
            link.kind in wanted.kinds and link.carries(wanted.id) and on_parent,
            expected=f"{wanted.interface} is {_expected_tag(wanted, link)} {wanted.id}{where}",
            observed=_described(link),
        )


def _expected_tag(vlan: Vlan, link: Link) -> str:
    return "VXLAN" if link.kind == "vxlan" and "vxlan" in vlan.kinds else "802.1Q VLAN"


def _described(link: Link) -> str:
    if link.vlan_id is None:
        return f"{link.name} is of kind {link.kind or 'hardware'} and has no VLAN ID"
    return f"{link.name} is {link.tag} on {link.parent or 'no link'}"


@policy("NET-003")
def test_vlan_interface_has_no_ip_address_except_link_local(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the kernel's addresses of the VLAN interface. Incus accepts only link-local ones at the next start of the network."""
    addresses = facts.network.addresses
    for bridge in site.bridges:
        interface = bridge.vlan.interface
        if interface not in addresses:
            require.left_to("NET-001", bridge.name, f"there is no link {interface} on {facts.name}")
            continue
        refused = sorted(str(address) for address in addresses[interface] if address.is_global_unicast)
        require(
            bridge.name,
            not refused,
            expected=f"{interface} has no address except link-local ones",
            observed=f"{interface} has {', '.join(refused)}" if refused else f"{interface} has no other address",
            fix={"interface": interface},
        )


@policy("NET-004")
def test_bridge_exists_on_the_host_as_a_managed_incus_network(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the kernel's links and at this member's own network list: the bridge must exist and have the status Created.

    A managed network on this host that the site file does not list fails too.
    """
    links = facts.network.links
    listed = {network.name: network for network in facts.incus.networks}
    for bridge in site.bridges:
        with require.about(bridge.name):
            link = links.get(bridge.name)
            if link is None and facts.is_evacuated:  # Incus removes the bridges of an evacuated member until its return
                because = finding_id("CLUS-004", "cluster", facts.member)
                require.not_applicable(bridge.name, f"{facts.member} is evacuated", because=because)
                continue
            faults = _link_faults(bridge.name, link) + _network_faults(facts, bridge.name)
            require(
                bridge.name,
                not faults,
                expected=f"a bridge, and a managed network of type bridge with status Created on {facts.member}",
                observed="; ".join(faults) or f"a bridge, and a managed network with status Created on {facts.member}",
            )
    known = set(site.networks)
    for name in sorted(name for name, network in listed.items() if network.managed and name not in known):
        network = listed[name]
        if not network.locations or facts.member in network.locations or not facts.incus.server.clustered:
            require(
                name,
                False,
                expected="a network in bridges or networks_extra of the site file",
                observed=f"the site file does not list {name} ({network.type}, {network.status})",
            )


def _link_faults(name: str, link: Link | None) -> list[str]:
    if link is None:
        return [f"there is no link {name}"]
    return [] if link.kind == "bridge" else [f"{name} is of kind {link.kind or 'hardware'}"]


def _network_faults(facts: HostFacts, name: str) -> list[str]:
    network = facts.incus.network_at(name, facts.member)
    if network is None:
        return [f"Incus has no network {name}"]
    if not network.managed:
        return [f"Incus does not manage {name}"]
    faults = [] if network.type == "bridge" else [f"the network is of type {network.type}"]
    if network.status != "Created":
        faults.append(f"the network has the status {network.status}")
    if facts.incus.server.clustered and facts.member not in network.locations:
        faults.append(f"the network is not on {facts.member}, only on {', '.join(network.locations) or 'no member'}")
    return faults


@policy("NET-005")
def test_bridge_and_vlan_interface_are_up(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the flags of the bridge, its VLAN interface and the interface's parent, and at the state of the bridge port.

    The operstate is not used: a veth or VXLAN link that works can show UNKNOWN.
    """
    links = facts.network.links
    for wanted, bridge in each_bridge(facts, site, require):
        link = links.get(wanted.vlan.interface)
        if link is None:
            require.left_to("NET-001", wanted.name, f"there is no link {wanted.vlan.interface} on {facts.name}")
            continue
        with require.about(wanted.name):
            faults = [] if "UP" in bridge.flags else [f"{bridge.name} is down"]
            for each in [link, *_parents(links, link, facts.name)]:
                if "UP" not in each.flags:
                    faults.append(f"{each.name} is down")
                elif "LOWER_UP" not in each.flags:
                    faults.append(f"{each.name} is up and has no carrier")
            if _port_state(link, bridge, facts.name) not in (None, "forwarding"):
                faults.append(f"{link.name} is a port in state {link.port_state}")
            on = f" on {link.parent}" if link.parent else ""
            require(
                wanted.name,
                not faults,
                expected=f"{bridge.name} and {link.name}{on} are up and have a carrier",
                observed="; ".join(faults) or "up",
                reason="a link that is up without a carrier lacks a cable, a switch port or its other end"
                if any("no carrier" in fault for fault in faults)
                else "",
                fix={"bridge": bridge.name, "interface": link.name, "parent": link.parent or ""},
            )


def _parents(links: Mapping[str, Link], link: Link, host: str) -> list[Link]:
    """Return the parent of a link; an empty list if it has none. Raises EvidenceError if the parent is in another namespace."""
    if link.parent is None:
        return []
    if link.parent not in links:
        raise EvidenceError(f"{link.name} is on {link.parent}, which is not among the links of {host}", host=host)
    return [links[link.parent]]


def _port_state(link: Link, bridge: Link, host: str) -> str | None:
    """Return the state of the bridge port; None if the link is not attached, which NET-001 reports."""
    if link.master == bridge.name and bridge.kind == "bridge" and link.port_state is None:
        raise EvidenceError(f"{host} does not report the port state of {link.name}", host=host)
    return link.port_state
