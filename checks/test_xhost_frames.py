"""Checks of XHOST: whether frames pass between the hosts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sigsrv import ClusterFacts, HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.frames import Path, Replies, Sent, exchanged, sent_on
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.site_resources import Reported, nic_links, nics_on, reported_by_net, unattached
from sigsrv.model.site_bridges import SiteBridge

Hosts = Mapping[str, HostFacts]
InstanceMacs = Mapping[str, Mapping[str, str]]  # by host: the NICs of its running instances, by MAC


@policy("XHOST-004")
def test_instances_reach_each_other_across_hosts_on_every_bridge(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the addresses that each bridge has learned: those of the other hosts' instances must be at the VLAN interface.

    With --probe, it looks at the frames that sigsrv sent between temporary namespaces of the hosts.
    """
    sent = any(host.frames.were_sent for host in facts.hosts.values())
    expected = "frames of instances arrive from every other host"
    if sent:
        expected = "ARP and full packets pass between temporary namespaces of every two hosts"
    for bridge in site.bridges:
        if site.connectivity == "off" and not sent:
            require.not_applicable(bridge.name, "the site file turns connectivity off")
            continue
        with require.finding(bridge.name, expected) as finding:
            detached: list[Reported] = []
            hosts = {name: host for name, host in facts.hosts.items() if bridge.is_on(name)}
            if bridge.members is not None and len(hosts) < 2:
                finding.nothing(bridge.only_on)
                continue
            for host in hosts.values():
                with finding.clause():
                    detached += unattached(host, bridge)
            for each in detached:
                finding.reported_by(each.finding, each.reason)
            macs = _macs(hosts, bridge, finding)
            strays = _judge_strays(hosts, bridge, macs, finding)
            if strays and not detached:
                _record_strays(bridge, strays, require)
                finding.nothing("each host that has learned an address at a wrong port has the finding")
            for stray in strays if detached else ():
                finding.violated(f"{stray.host} has learned {stray.nic} at {stray.port}")
            if sent:
                _judge_frames(hosts, bridge, bool(detached), finding)
            elif not strays:
                _judge_unseen(hosts, bridge, macs, finding)


def _judge_frames(on: Hosts, bridge: SiteBridge, is_detached: bool, finding: Clauses) -> None:
    """Judge by the frames between temporary namespaces.

    ACLs can reject full packets but not ARP. A full packet inside an 802.1ad tag passes too, because no ACL looks into the tag.
    """
    hosts, frames = tuple(on.values()), []
    for host in hosts:
        with finding.clause():
            host.frames.sent.on(bridge.name)
            frames.append(host.frames.sent)
    to_others = (each for each in sent_on(frames, bridge.name) if each.path.peer and each.path.host in on)
    across = [each for each in to_others if each.here != each.path.host]
    lost = [each for each in across if each.path.seen != each.path.mac]
    cut = [each for each in across if each not in lost and _loses_full_packets(each.path)]
    unshown = [each for each in across if not (_passed(each.path.full) or _passed(each.path.tagged_full))]
    if lost:
        ways = dict.fromkeys(f"from {each.path.host} to {each.here}{_other_station(each.path)}" for each in lost)
        causes = [] if is_detached else _causes(hosts, bridge, (reported_by_net, _reported_down), finding)
        _record_loss(f"no ARP answer comes {' or '.join(ways)}", causes, finding)
    if cut:
        size = max(each.path.size for each in cut)
        causes = [] if is_detached else _causes(hosts, bridge, (_reported_mtu,), finding)
        _record_loss(f"packets of {size} bytes are lost from {_ways(cut)}, but small ones pass", causes, finding)
    with finding.clause():
        exchanged(frames, bridge.name)
    if unshown:
        finding.nothing(_why_not_shown(unshown))
    elif across:
        size, names = min(each.path.size for each in across), ", ".join(host.name for host in hosts)
        tagged = "" if all(_passed(each.path.full) for each in across) else " (in a tag, because ACLs reject pings)"
        finding.holds(f"ARP and packets of {size} bytes{tagged} pass between {names}, both ways")


def _causes(
    hosts: Iterable[HostFacts],
    bridge: SiteBridge,
    look: Iterable[Callable[[HostFacts, SiteBridge], Iterator[Reported]]],
    finding: Clauses,
) -> list[Reported]:
    """Return why packets get lost, as far as other findings report it."""
    found: list[Reported] = []
    for host in hosts:
        for reported in look:
            with finding.clause():
                found += reported(host, bridge)
    return found


def _record_loss(observed: str, causes: Sequence[Reported], finding: Clauses) -> None:
    for each in causes:
        finding.violated(each.reason, root=each.finding)
    finding.violated(observed, root=causes[0].finding if causes else None)


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
    port = links[bridge.on(host.name).vlan.interface]
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
    port = links[bridge.on(host.name).vlan.interface]
    parent = links.get(port.parent) if port.parent else None
    for link in (port, parent):
        if link is not None and link.mtu < bridge.mtu:
            because = finding_id("NET-007", host.name, bridge.name)
            yield Reported(because, f"the MTU of {link.name} of {host.name} is {link.mtu}")


def _macs(hosts: Hosts, bridge: SiteBridge, finding: Clauses) -> InstanceMacs:
    """Return ``PROJECT/INSTANCE NIC`` of each NIC of a running instance on a bridge, by host and MAC."""
    found: dict[str, dict[str, str]] = {}
    for host in hosts.values():
        found[host.name] = {}
        with finding.clause():
            for instance, _ in host.instances:
                for name, nic in nics_on(instance, bridge.name) if instance.status == "Running" else ():
                    mac = nic.get("hwaddr") or instance.config.get(f"volatile.{name}.hwaddr")
                    if mac:
                        found[host.name][mac.lower()] = f"{instance.resource} {name}"
    return found


@dataclass(frozen=True)
class _Stray:
    """A NIC of another host that a bridge has learned at a wrong port."""

    host: str
    port: str
    nic: str


def _judge_strays(hosts: Hosts, bridge: SiteBridge, macs: InstanceMacs, finding: Clauses) -> tuple[_Stray, ...]:
    """Return the NICs that a bridge has learned at a NIC of its own host. Record those at a port that NET-006 reports."""
    found = []
    for here in hosts.values():
        with finding.clause():
            for stray in _strays(here, bridge, macs):
                if stray.port in nic_links(here, partial=True):
                    found.append(stray)
                else:
                    text = f"the frames of {stray.nic} come in through the port {stray.port} of {stray.host}"
                    finding.violated(text, root=finding_id("NET-006", stray.host, bridge.name))
    return tuple(found)


def _strays(here: HostFacts, bridge: SiteBridge, macs: InstanceMacs) -> Iterator[_Stray]:
    """Yield the NICs that a bridge has learned at a port other than the VLAN interface and extra_ports of the site file."""
    expected = (bridge.name, bridge.on(here.name).vlan.interface, *bridge.extra_ports)
    for there, nics in macs.items():
        for each in here.network.fdb_entries if there != here.name else ():
            if each.bridge == bridge.name and each.mac in nics and each.port not in expected:
                yield _Stray(here.name, each.port, nics[each.mac])


def _record_strays(bridge: SiteBridge, strays: Iterable[_Stray], require: Require) -> None:
    """Record a finding on each host that has learned an address at a NIC."""
    expected = f"the bridge learns the other hosts' instances at {bridge.vlan.interface}"
    for host in sorted({stray.host for stray in strays}):
        observed = [f"{stray.nic} at {stray.port}" for stray in strays if stray.host == host]
        require(bridge.name, False, expected=expected, observed=observed, host=host)


def _judge_unseen(hosts: Hosts, bridge: SiteBridge, macs: InstanceMacs, finding: Clauses) -> None:
    """Judge whether the VLAN interface of each host has learned an instance of each other host."""
    unseen = []
    for here in hosts.values():
        with finding.clause():
            learned = [each for each in here.network.fdb_entries if each.bridge == bridge.name]
            seen = {each.mac for each in learned if each.port == bridge.on(here.name).vlan.interface}
            for there in hosts:
                if there != here.name and not macs[there]:
                    unseen.append(f"no instance on the bridge runs on {there}")
                elif there != here.name and not seen & macs[there].keys():
                    unseen.append(f"{here.name} has not seen an instance of {there} recently")
    if unseen:
        finding.nothing(f"not shown: {'; '.join(dict.fromkeys(unseen))}; --probe sends frames to show it")
    else:
        finding.holds(f"{', '.join(hosts)}: {bridge.vlan.interface} has learned an instance of each other host")
