"""Checks of NET: bridges and their VLANs."""

from sigsrv import finding_id, policy
from sigsrv.model.errors import EvidenceError


@policy("NET-001")
def test_bridge_has_its_vlan_attached(facts, site, require):
    """The VLAN interface is a port of its bridge, as the kernel has it: Incus notices nothing when it is not."""
    links = facts.network.links
    for wanted in site.bridges:
        interface = wanted.vlan.interface
        bridge, link = links.get(wanted.name), links.get(interface)
        if bridge is None:
            require.not_applicable(
                wanted.name,
                f"there is no link {wanted.name} on {facts.name}",
                because=finding_id("NET-004", facts.name, wanted.name),
            )
        elif bridge.kind != "bridge":  # openvswitch, or another kind of the same name: its ports have no such master
            require.unknown(
                wanted.name,
                f"{wanted.name} is of kind {bridge.kind or 'unknown'}, not bridge",
                because=finding_id("NET-004", facts.name, wanted.name),
            )
        else:
            if link is None:
                seen = f"there is no link {interface}"
            elif link.master is None:
                seen = f"{interface} is attached to nothing"
            else:
                seen = f"{interface} is attached to {link.master}"
            require(
                wanted.name,
                link is not None and link.master == wanted.name,
                expected=f"{interface} is attached to {wanted.name}",
                observed=seen,
                fix={"bridge": wanted.name, "interface": interface},
            )


@policy("NET-002")
def test_vlan_interface_carries_the_vlan_id_of_the_site(facts, site, require):
    """The 802.1Q id is in the link's own data: neither its name nor ``bridge vlan`` proves it."""
    links = facts.network.links
    for bridge in site.bridges:
        wanted = bridge.vlan
        link = links.get(wanted.interface)
        if link is None:
            require.not_applicable(
                bridge.name,
                f"there is no link {wanted.interface} on {facts.name}",
                because=finding_id("NET-001", facts.name, bridge.name),
            )
            continue
        if link.kind in wanted.kinds and link.vlan_id is None:
            require.not_applicable(
                bridge.name,
                f"{wanted.interface} is of kind {link.kind}, which the site accepts and which has no VLAN id",
            )
            continue
        on_parent = wanted.parent is None or link.parent == wanted.parent
        where = f" on {wanted.parent}" if wanted.parent else ""
        require(
            bridge.name,
            link.kind in wanted.kinds and link.carries(wanted.id) and on_parent,
            expected=f"{wanted.interface} is {_wanted(wanted, link)} {wanted.id}{where}",
            observed=_described(link),
        )


def _wanted(vlan, link):
    return "VXLAN" if link.kind == "vxlan" and "vxlan" in vlan.kinds else "802.1Q VLAN"


def _described(link):
    if link.vlan_id is None:
        return f"{link.name} is of kind {link.kind or 'hardware'}, without a VLAN id"
    return f"{link.name} is {link.tag} on {link.parent or 'no link'}"


@policy("NET-003")
def test_vlan_interface_holds_no_ip_address(facts, site, require):
    """Incus itself refuses such a port at the next start of the network; link-local addresses it accepts."""
    addresses = facts.network.addresses
    for bridge in site.bridges:
        interface = bridge.vlan.interface
        if interface not in addresses:
            require.not_applicable(
                bridge.name,
                f"there is no link {interface} on {facts.name}",
                because=finding_id("NET-001", facts.name, bridge.name),
            )
            continue
        held = [str(address) for address in addresses[interface] if address.is_global_unicast]
        require(
            bridge.name,
            not held,
            expected=f"{interface} holds no address but link-local ones",
            observed=f"{interface} holds {', '.join(sorted(held)) or 'none'}",
            fix={"interface": interface},
        )


@policy("NET-004")
def test_bridge_is_the_managed_network_of_incus(facts, site, require):
    """The kernel has the bridge, and this member's own daemon calls it its network and Created."""
    links = facts.network.links
    listed = {network.name: network for network in facts.incus.networks}
    for bridge in site.bridges:
        with require.about(bridge.name):
            link = links.get(bridge.name)
            if (
                link is None and facts.is_evacuated
            ):  # Incus takes its bridges down, and brings them back with the member
                because = finding_id("CLUS-004", "cluster", facts.member)
                require.not_applicable(bridge.name, f"{facts.member} is evacuated", because=because)
                continue
            faults = _not_a_bridge(bridge.name, link) + _not_created(facts, bridge.name)
            require(
                bridge.name,
                not faults,
                expected=f"a bridge, and a managed network of type bridge, Created on {facts.member}",
                observed="; ".join(faults) or f"a bridge; Created on {facts.member}",
            )
    known = {bridge.name for bridge in site.bridges} | set(site.networks_extra)
    for name in sorted(name for name, network in listed.items() if network.managed and name not in known):
        network = listed[name]
        if not network.locations or facts.member in network.locations or not facts.incus.server.clustered:
            require(
                name,
                False,
                expected="a network of the site",
                observed=f"{name} ({network.type}, {network.status}) is neither in bridges nor in networks_extra of the site",
            )


def _not_a_bridge(name, link):
    if link is None:
        return [f"there is no link {name}"]
    return [] if link.kind == "bridge" else [f"{name} is of kind {link.kind or 'hardware'}"]


def _not_created(facts, name):
    network = facts.incus.network_at(name, facts.member)
    if network is None:
        return [f"Incus has no network {name}"]
    if not network.managed:
        return [f"Incus does not manage {name}"]
    faults = [] if network.type == "bridge" else [f"the network is of type {network.type}"]
    if network.status != "Created":
        faults.append(f"the network is {network.status}")
    if facts.incus.server.clustered and facts.member not in network.locations:
        faults.append(f"not on {facts.member}: only on {', '.join(network.locations) or 'no member'}")
    return faults


@policy("NET-005")
def test_bridge_and_vlan_interface_are_up(facts, site, require):
    """By their flags and the state of the port: a veth or a vxlan that works may have the operstate UNKNOWN."""
    links = facts.network.links
    for wanted in site.bridges:
        bridge, link = links.get(wanted.name), links.get(wanted.vlan.interface)
        if bridge is None or link is None:
            root = "NET-004" if bridge is None else "NET-001"
            missing = wanted.name if bridge is None else wanted.vlan.interface
            because = finding_id(root, facts.name, wanted.name)
            require.not_applicable(wanted.name, f"there is no link {missing} on {facts.name}", because=because)
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
                expected=f"{bridge.name} and {link.name}{on} are up, with a carrier",
                observed="; ".join(faults) or "up",
                reason="a link that is up and has no carrier lacks a cable, a switch's port or its other end"
                if any("no carrier" in fault for fault in faults)
                else "",
                fix={"bridge": bridge.name, "interface": link.name, "parent": link.parent or ""},
            )


def _parents(links, link, host):
    """The link that this one is on, where it has one. It may be out of sight, in another namespace; then it can't be judged."""
    if link.parent is None:
        return []
    if link.parent not in links:
        raise EvidenceError(f"{link.name} is on {link.parent}, which is not among the links of {host}", host=host)
    return [links[link.parent]]


def _port_state(link, bridge, host):
    """None where it is attached to nothing: that is the fault of NET-001."""
    if link.master == bridge.name and bridge.kind == "bridge" and link.port_state is None:
        raise EvidenceError(f"{link.name}: no state of the port", host=host)
    return link.port_state
