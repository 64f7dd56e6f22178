"""Checks of NET: the ports of a bridge, and whether its VLAN interface stays one of them after a reboot."""

from collections.abc import Mapping
from contextlib import suppress

from sigsrv import HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.network import Link
from sigsrv.facts.reading import guard
from sigsrv.facts.system import Unit
from sigsrv.judge.site_resources import nic_links
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import split_list

_NIC_KINDS = ("veth", "tun")  # the kinds of link that the NIC of a container or of a virtual machine has on the host
_CLOCK_S = 60  # how far the clock of a host may be off
_PROBE_S = 3600  # the longest time that a port of another scan may still have to live


@policy("NET-006")
def test_bridge_has_no_ports_except_its_vlan_interface_and_instance_nics(
    facts: HostFacts, site: Site, require: Require
) -> None:
    """Looks at all ports of the bridge that the kernel lists, and at the NICs that Incus records for the instances on the host.

    Ports that Incus makes itself, extra_ports of the site file and ports of another scan with --probe are accepted. A bridge that the
    site file has on other hosts only may be here too, because Incus has it on all members: then without its VLAN interface.
    """
    links = facts.network.links
    here = [bridge for bridge in site.bridges if bridge.is_on(facts.name)]
    vlans = {bridge.vlan.interface for bridge in here}  # NET-001 reports one that is on the wrong bridge
    for wanted in site.bridges:
        name, link = wanted.name, links.get(wanted.name)
        if link is None and wanted in here:
            require.left_to("NET-004", name, f"there is no link {name} on {facts.name}")
            continue
        if link is None or (link.kind != "bridge" and wanted not in here):
            require.not_applicable(name, wanted.only_on)
            continue
        if link.kind != "bridge":
            require.left_to("NET-004", name, f"there is no bridge {name} on {facts.name}")
            continue
        own = [*([wanted.vlan.interface] if wanted in here else []), *wanted.extra_ports]
        expected = f"no port except {' and '.join(filter(None, [', '.join(own), 'instance NICs']))}"
        with require.finding(name, expected, otherwise="none") as finding:
            ports = {port.name for port in links.values() if port.master == name}
            others = sorted(ports - vlans - set(wanted.extra_ports) - _probe_ports(facts, links))
            nics, unread = _recorded_nics(facts) if others else (set(), None)
            finding.fix.update(bridge=name, ports=[], external=[], network="", member=facts.cluster_member)
            for port in others:
                kind = links[port].kind
                with finding.clause():
                    if port in nics or (port.startswith(f"{name}-") and port in _incus_ports(facts, name, links)):
                        continue
                    if unread and kind in _NIC_KINDS:  # the port may be a NIC of an unread instance
                        raise unread
                    finding.violated(f"{port} ({kind or 'hardware'})")
                    finding.fix["ports"].append(port)
                    if entry := _external_entry(facts, name, port):
                        finding.fix.update(external=[*finding.fix["external"], entry], network=name)
                    if kind in _NIC_KINDS:
                        finding.note = "the NIC of an instance that stopped during the scan looks the same: scan again"


def _recorded_nics(facts: HostFacts) -> tuple[set[str], EvidenceError | None]:
    """Return the links of all NICs that Incus records on a host, and why there may be more."""
    found: set[str] = set()
    try:
        found = nic_links(facts, partial=True)
        facts.instances.require_all()
    except EvidenceError as cause:
        return found, cause
    return found, None


def _probe_ports(facts: HostFacts, links: Mapping[str, Link]) -> set[str]:
    """Return the ports of another scan that sends frames now. Each one states when it ends; one that outlived that is foreign."""
    plausible = range(int(facts.collected) - _CLOCK_S, int(facts.collected) + _PROBE_S)
    return {name for name, link in links.items() if link.gone_at is not None and link.gone_at in plausible}


def _incus_ports(facts: HostFacts, bridge: str, links: Mapping[str, Link]) -> set[str]:
    """Return the ports that Incus makes itself: a dummy link that keeps the MTU, and one for each tunnel."""
    network = facts.incus.network_at(bridge, facts.member)
    config = network.config if network and network.managed else {}
    tunnels = {key.split(".")[1] for key in config if key.startswith("tunnel.") and key.count(".") == 2}
    dummy = links.get(f"{bridge}-mtu")
    return {f"{bridge}-{tunnel}" for tunnel in tunnels} | ({dummy.name} if dummy and dummy.kind == "dummy" else set())


def _external_entry(facts: HostFacts, bridge: str, port: str) -> str:
    """Return the entry of bridge.external_interfaces with which Incus attaches a port; "" if there is none, or none can be read.

    An entry may have the parent and the ID of a VLAN behind a slash.
    """
    with suppress(EvidenceError):
        network = guard(lambda: facts.incus.network_at(bridge, facts.member))
        listed = split_list(network.config.get("bridge.external_interfaces")) if network and network.managed else []
        return next((entry for entry in listed if entry.partition("/")[0] == port), "")
    return ""


@policy("NET-008")
def test_vlan_interface_stays_attached_after_a_reboot(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at bridge.external_interfaces of the network on this member: Incus attaches these interfaces when it starts the network.

    If the key does not name the VLAN interface, the unit in persisted_by of the site file must start at boot.
    """
    for bridge in site.bridges:
        if not bridge.is_on(facts.name):
            require.not_applicable(bridge.name, bridge.only_on)
            continue
        wanted, unit = bridge.vlan.interface, bridge.vlan.persisted_by
        expected = f"bridge.external_interfaces names {wanted}" + (f", or {unit} starts at boot" if unit else "")
        with require.finding(bridge.name, expected) as finding:
            network = facts.incus.network_at(bridge.name, facts.member)
            if network is None or not network.managed:
                finding.nothing(
                    f"there is no managed network {bridge.name}", finding_id("NET-004", facts.name, bridge.name)
                )
                continue
            listed = split_list(network.config.get("bridge.external_interfaces"))
            if any(entry.partition("/")[0] == wanted for entry in listed):
                finding.holds("attached by Incus")
            elif unit and _starts_at_boot(facts.system.unit(unit)):
                finding.holds(f"attached by {unit}")
            else:
                finding.violated(f"bridge.external_interfaces is {', '.join(listed) or 'unset'}")
                if unit:
                    finding.violated(_why_not_at_boot(facts.system.unit(unit)))
            finding.fix = {
                "bridge": bridge.name,
                "interface": wanted,
                "interfaces": ",".join([*listed, wanted]),
                "member": facts.cluster_member,
            }


def _starts_at_boot(unit: Unit) -> bool:
    return unit.load == "loaded" and unit.starts_at_boot


def _why_not_at_boot(unit: Unit) -> str:
    return f"{unit.name} is {unit.load}" if unit.load != "loaded" else f"no target starts {unit.name}"
