"""Checks of XHOST: whether frames pass between the hosts. By what their bridges have learned, or, with ``--probe``, by sending some."""

from sigsrv import finding_id, policy
from sigsrv.facts.frames import exchanged
from sigsrv.judge.site_resources import nics_on, reported_by_net


@policy("XHOST-004")
def test_instances_reach_each_other_across_hosts(facts, site, require):
    """The address of an instance on the other host, learned at the VLAN interface; or frames that were sent to see whether they pass."""
    hosts = tuple(facts.hosts.values())
    sent = any(host.frames.were_sent for host in hosts)
    for bridge in site.bridges:
        name = bridge.name
        if site.connectivity == "off" and not sent:
            require.not_applicable(name, "the site has connectivity: off")
            continue
        with require.about(name):
            excuses = [each for host in hosts for each in _not_attached(host, bridge)]
            if excuses:
                require.not_applicable(name, excuses[0][1], because=excuses[0][0])
                continue
            instance_ports = {host.name: _instance_ports(host, name) for host in hosts}
            missing, astray = _paths(facts, bridge, instance_ports)
            foreign = [(host, port) for host, port, _ in astray if not _is_nic(facts.hosts[host], port)]
            if foreign:
                host, port = foreign[0]
                because = finding_id("NET-006", host, name)
                require.not_applicable(name, f"{port} of {host} brings them in", because=because)
            elif astray:
                for host in sorted({host for host, _, _ in astray}):
                    seen = [f"{what} at {port}" for at, port, what in astray if at == host]
                    expected = f"the other hosts' instances are learned at {bridge.vlan.interface}"
                    require(name, False, expected=expected, observed=seen, host=host)
            elif sent:
                _by_frames(hosts, bridge, require)
            elif missing:
                require.not_applicable(name, f"not shown: {'; '.join(missing)}; --probe sends frames to see")
            else:
                seen = (
                    f"an instance of each other host is learned at {bridge.vlan.interface} of {', '.join(facts.hosts)}"
                )
                require(name, True, expected="frames of instances arrive from every other host", observed=seen)


def _by_frames(hosts, bridge, require):
    """What was sent between throw-away namespaces. ARP meets no ACL; a full packet may, unless it is in a tag that no ACL looks into."""
    told = exchanged([host.frames.sent for host in hosts], bridge.name)
    across = [each for each in told if each.path.peer and each.here != each.path.host]
    lost = [each for each in across if each.path.seen != each.path.mac]
    cut = [each for each in across if _is_cut(each.path)]
    expected = "ARP and full packets pass between throw-away namespaces of every two hosts"
    if lost:
        excuses = [each for host in hosts for each in (*reported_by_net(host, bridge), *_down(host, bridge))]
        ways = dict.fromkeys(f"to {each.here} from {each.path.host}{_instead(each.path)}" for each in lost)
        observed = f"no answer to ARP came {', nor '.join(ways)}"
    elif cut:
        excuses = [each for host in hosts for each in _too_small(host, bridge)]
        size = max(each.path.size for each in cut)
        observed = f"packets of {size} bytes are lost from {_ways(cut)}, and small ones pass"
    else:
        excuses = []
        unshown = [each for each in across if not (_passed(each.path.full) or _passed(each.path.tagged_full))]
        if unshown:
            tagged = (
                "nor does one within a tag"
                if unshown[0].path.tagged
                else "and a host has no 802.1Q to send one past the ACLs"
            )
            seen = f"from {_ways(unshown)} no ping passes, as where an ACL rejects it, {tagged}"
            require.not_applicable(
                bridge.name, f"not shown: ARP passes both ways; of full packets nothing is seen: {seen}"
            )
            return
        size, names = min(each.path.size for each in across), ", ".join(host.name for host in hosts)
        tagged = "" if all(_passed(each.path.full) for each in across) else " (in a tag, where ACLs reject pings)"
        observed = f"ARP and packets of {size} bytes{tagged} pass between {names}, both ways"
    if excuses:
        require.not_applicable(bridge.name, f"{excuses[0][1]}; {observed}", because=excuses[0][0])
    else:
        require(bridge.name, not (lost or cut), expected=expected, observed=observed)


def _passed(replies):
    return replies is not None and replies.passed


def _is_cut(path):
    """Whether small packets pass and full ones do not."""
    pairs = ((path.small, path.full), (path.tagged, path.tagged_full))
    return any(_passed(small) and not full.passed for small, full in pairs)


def _ways(sent):
    return " and ".join(dict.fromkeys(f"{each.here} to {each.path.host}" for each in sent))


def _instead(path):
    return f" ({path.seen} answers in its place)" if path.seen else ""


def _down(host, bridge):
    """Whether NET-005 says already that nothing can pass: (id, reason)."""
    links = host.network.links
    port = links[bridge.vlan.interface]
    for link in (links[bridge.name], port, links.get(port.parent)):
        if link is not None and not ("UP" in link.flags and (link.kind == "bridge" or "LOWER_UP" in link.flags)):
            yield (
                finding_id("NET-005", host.name, bridge.name),
                f"{link.name} of {host.name} is down, or has no carrier",
            )
    if port.port_state not in (None, "forwarding"):
        reason = f"{port.name} of {host.name} is a port in state {port.port_state}"
        yield finding_id("NET-005", host.name, bridge.name), reason


def _too_small(host, bridge):
    """Whether NET-007 says already that a link does not take the site's packets: (id, reason)."""
    links = host.network.links
    port = links[bridge.vlan.interface]
    for link in (port, links.get(port.parent)):
        if link is not None and link.mtu < bridge.mtu:
            because = finding_id("NET-007", host.name, bridge.name)
            yield because, f"the MTU of {link.name} of {host.name} is {link.mtu}"


def _not_attached(host, bridge):
    """Whether a finding of NET says already that the bridge, or its VLAN interface in it, is not there: (id, reason)."""
    link, port = (host.network.links.get(name) for name in (bridge.name, bridge.vlan.interface))
    if link is None or link.kind != "bridge":
        yield finding_id("NET-004", host.name, bridge.name), f"there is no bridge {bridge.name} on {host.name}"
    elif port is None or port.master != bridge.name:
        yield finding_id("NET-001", host.name, bridge.name), f"{bridge.vlan.interface} is not attached on {host.name}"


def _instance_ports(host, network):
    """The running instances on a host that have a NIC on a network: (instance, NIC) by MAC."""
    found = {}
    for instance, _ in host.instances:
        for name, nic in nics_on(instance, network) if instance.status == "Running" else ():
            mac = nic.get("hwaddr") or instance.config.get(f"volatile.{name}.hwaddr")
            if mac:
                found[mac.lower()] = f"{instance.resource} {name}"
    return found


def _paths(facts, bridge, instance_ports):
    """Between which hosts nothing was seen, in words; and what was learned at another port: (host, port, whose address)."""
    missing, astray = [], []
    for here in facts.hosts.values():
        fdb_entries = [
            each for each in here.network.fdb_entries if each.bridge == bridge.name and each.port != bridge.name
        ]
        for there in facts.hosts:
            if there == here.name:
                continue
            at = {each.port for each in fdb_entries if each.mac in instance_ports[there]}
            if not instance_ports[there]:
                missing.append(f"no instance runs on it on {there}")
            elif bridge.vlan.interface not in at:
                missing.append(f"{here.name} has seen none of {there} lately")
            astray += [
                (here.name, each.port, instance_ports[there][each.mac])
                for each in fdb_entries
                if each.mac in instance_ports[there] and each.port not in (bridge.vlan.interface, *bridge.extra_ports)
            ]
    return list(dict.fromkeys(missing)), astray


def _is_nic(host, port):
    """Whether a port is the host's end of the NIC of an instance on it, as Incus has it."""
    return any(
        port in (instance.config.get(f"volatile.{name}.host_name"), device.get("host_name"))
        for instance, _ in host.instances.known(decisive=lambda _: True)
        for name, device in instance.expanded_devices.items()
    )
