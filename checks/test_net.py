"""Checks of NET: bridges and their VLANs."""

from sigsrv.evaluate import policy
from sigsrv.finding import finding_id


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
            require.unknown(wanted.name, f"{wanted.name} is of kind {bridge.kind or 'unknown'}, not bridge")
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
            link.kind in wanted.kinds and link.vlan_id == wanted.id and link.vlan_protocol == "802.1Q" and on_parent,
            expected=f"{wanted.interface} is 802.1Q VLAN {wanted.id}{where}",
            observed=_described(link),
        )


def _described(link):
    if link.vlan_id is None:
        return f"{link.name} is of kind {link.kind or 'hardware'}, without a VLAN id"
    return f"{link.name} is {link.vlan_protocol} VLAN {link.vlan_id} on {link.parent or 'no link'}"
