"""Checks of XHOST: whether frames pass between the hosts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sigsrv import ClusterFacts, HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.frames import Path, Replies, Sent, exchanged
from sigsrv.judge.site_resources import Reported, left_to_reported, nic_links, nics_on, reported_by_net, unattached
from sigsrv.model.site import SiteBridge

InstanceMacs = Mapping[str, Mapping[str, str]]  # by host: the NICs of its running instances, by MAC


@policy("XHOST-004")
def test_instances_reach_each_other_across_hosts_on_every_bridge(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the addresses that each bridge has learned: those of the other hosts' instances must be at the VLAN interface.

    With --probe, it looks at the frames that sigsrv sent between temporary namespaces of the hosts.
    """
    hosts = tuple(facts.hosts.values())
    sent = any(host.frames.were_sent for host in hosts)
    for bridge in site.bridges:
        name = bridge.name
        if site.connectivity == "off" and not sent:
            require.not_applicable(name, "the site file turns connectivity off")
            continue
        with require.about(name):
            if left_to_reported(require, name, [each for host in hosts for each in unattached(host, bridge)]):
                continue
            macs = {host.name: _instance_macs(host, name) for host in hosts}
            unseen, strays = _unseen(facts, bridge, macs), _strays(facts, bridge, macs)
            of_nics = {name: nic_links(facts.hosts[name], partial=True) for name in {stray.host for stray in strays}}
            foreign = [stray for stray in strays if stray.port not in of_nics[stray.host]]
            if foreign:
                because = finding_id("NET-006", foreign[0].host, name)
                reason = f"the frames come in through the port {foreign[0].port} of {foreign[0].host}"
                require.not_applicable(name, reason, because=because)
            elif strays:
                expected = f"the bridge learns the other hosts' instances at {bridge.vlan.interface}"
                for host_name in sorted({stray.host for stray in strays}):
                    observed = [f"{stray.nic} at {stray.port}" for stray in strays if stray.host == host_name]
                    require(name, False, expected=expected, observed=observed, host=host_name)
            elif sent:
                _check_frames(hosts, bridge, require)
            elif unseen:
                require.not_applicable(name, f"not shown: {'; '.join(unseen)}; --probe sends frames to show it")
            else:
                require(
                    name,
                    True,
                    expected="frames of instances arrive from every other host",
                    observed=f"{', '.join(facts.hosts)}: {bridge.vlan.interface} has learned an instance of each other host",
                )


def _check_frames(hosts: Sequence[HostFacts], bridge: SiteBridge, require: Require) -> None:
    """Judge by the frames between temporary namespaces.

    ACLs can reject full packets but not ARP. A full packet inside an 802.1ad tag passes too, because no ACL looks into the tag.
    """
    exchange = exchanged([host.frames.sent for host in hosts], bridge.name)
    across = [each for each in exchange if each.path.peer and each.here != each.path.host]
    lost = [each for each in across if each.path.seen != each.path.mac]
    cut = [each for each in across if _loses_full_packets(each.path)]
    unshown = [each for each in across if not (_passed(each.path.full) or _passed(each.path.tagged_full))]
    reported: list[Reported] = []
    if lost:
        reported = [each for host in hosts for each in (*reported_by_net(host, bridge), *_reported_down(host, bridge))]
        ways = dict.fromkeys(f"from {each.path.host} to {each.here}{_other_station(each.path)}" for each in lost)
        observed = f"no ARP answer comes {' or '.join(ways)}"
    elif cut:
        reported = [each for host in hosts for each in _reported_mtu(host, bridge)]
        size = max(each.path.size for each in cut)
        observed = f"packets of {size} bytes are lost from {_ways(cut)}, but small ones pass"
    elif unshown:
        require.not_applicable(bridge.name, _why_not_shown(unshown))
        return
    else:
        size, names = min(each.path.size for each in across), ", ".join(host.name for host in hosts)
        tagged = "" if all(_passed(each.path.full) for each in across) else " (in a tag, because ACLs reject pings)"
        observed = f"ARP and packets of {size} bytes{tagged} pass between {names}, both ways"
    if not left_to_reported(require, bridge.name, reported, observed):
        expected = "ARP and full packets pass between temporary namespaces of every two hosts"
        require(bridge.name, not (lost or cut), expected=expected, observed=observed)


def _why_not_shown(unshown: Sequence[Sent]) -> str:
    if unshown[0].path.tagged:
        tagged = "a ping in a tag does not pass either"
    else:
        tagged = "a host does not support 802.1Q, which is needed to send a ping past the ACLs"
    pings = f"no ping passes from {_ways(unshown)}, which is the same as if an ACL rejects it"
    return f"not shown: ARP passes both ways, but nothing is known of full packets: {pings}; {tagged}"


def _passed(replies: Replies | None) -> bool:
    return replies is not None and replies.passed


def _loses_full_packets(path: Path) -> bool:
    """Return whether small packets pass and full ones do not."""
    pairs = ((path.small, path.full), (path.tagged, path.tagged_full))
    return any(_passed(small) and full is not None and not full.passed for small, full in pairs)


def _ways(sent: Iterable[Sent]) -> str:
    return " and ".join(dict.fromkeys(f"{each.here} to {each.path.host}" for each in sent))


def _other_station(path: Path) -> str:
    return f" ({path.seen} answers instead)" if path.seen else ""


def _reported_down(host: HostFacts, bridge: SiteBridge) -> Iterator[Reported]:
    """Yield what NET-005 reports: a link is down or has no carrier, or the port does not forward."""
    links = host.network.links
    port = links[bridge.vlan.interface]
    parent = links.get(port.parent) if port.parent else None
    because = finding_id("NET-005", host.name, bridge.name)
    for link in (links[bridge.name], port, parent):
        if link is not None and not ("UP" in link.flags and (link.kind == "bridge" or "LOWER_UP" in link.flags)):
            yield Reported(because, f"{link.name} of {host.name} is down, or has no carrier")
    if port.port_state not in (None, "forwarding"):
        yield Reported(because, f"{port.name} of {host.name} is a port in state {port.port_state}")


def _reported_mtu(host: HostFacts, bridge: SiteBridge) -> Iterator[Reported]:
    """Yield what NET-007 reports: the MTU of a link is smaller than in the site file."""
    links = host.network.links
    port = links[bridge.vlan.interface]
    parent = links.get(port.parent) if port.parent else None
    for link in (port, parent):
        if link is not None and link.mtu < bridge.mtu:
            because = finding_id("NET-007", host.name, bridge.name)
            yield Reported(because, f"the MTU of {link.name} of {host.name} is {link.mtu}")


def _instance_macs(host: HostFacts, network: str) -> dict[str, str]:
    """Return ``PROJECT/INSTANCE NIC`` of each NIC of a running instance on a network, by MAC."""
    found = {}
    for instance, _ in host.instances:
        for name, nic in nics_on(instance, network) if instance.status == "Running" else ():
            mac = nic.get("hwaddr") or instance.config.get(f"volatile.{name}.hwaddr")
            if mac:
                found[mac.lower()] = f"{instance.resource} {name}"
    return found


@dataclass(frozen=True)
class _Stray:
    """A NIC of another host that a bridge has learned at a wrong port."""

    host: str
    port: str
    nic: str


def _unseen(facts: ClusterFacts, bridge: SiteBridge, macs: InstanceMacs) -> list[str]:
    """Describe the ways between two hosts on which the VLAN interface has learned no instance."""
    found = []
    for here in facts.hosts.values():
        entries = [each for each in here.network.fdb_entries if each.bridge == bridge.name]
        for there in facts.hosts:
            if there == here.name:
                continue
            if not macs[there]:
                found.append(f"no instance on the bridge runs on {there}")
            elif not any(each.port == bridge.vlan.interface and each.mac in macs[there] for each in entries):
                found.append(f"{here.name} has not seen an instance of {there} recently")
    return list(dict.fromkeys(found))


def _strays(facts: ClusterFacts, bridge: SiteBridge, macs: InstanceMacs) -> list[_Stray]:
    """Return the NICs that a bridge has learned at a port other than the VLAN interface and extra_ports of the site file."""
    expected = (bridge.name, bridge.vlan.interface, *bridge.extra_ports)
    return [
        _Stray(here.name, each.port, macs[there][each.mac])
        for here in facts.hosts.values()
        for there in facts.hosts
        if there != here.name
        for each in here.network.fdb_entries
        if each.bridge == bridge.name and each.mac in macs[there] and each.port not in expected
    ]
