"""Finds what Incus takes away from a host when a key of a network changes, or when the daemon restarts. Pure: reads pictures of the hosts.

Incus then sets the network up again, on each member; a daemon that starts sets up all that it has. It deletes ports of some kinds that it
does not know, all global addresses of the bridge, and with them its routes. It puts back only what its configuration names, and IPv4
routes of protocol boot in table main. No undo brings the rest back. Source: Incus 6.0.4 and 7.3.0,
internal/server/network/driver_bridge.go, Start, setup and deleteChildren.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from sigsrv.model.fix import Fix
from sigsrv.model.values import FALSE, split_list
from sigsrv.remediate.picture import Picture

_DELETED_KINDS = ("vxlan", "gretap", "dummy")
_READ = ("link", "addr", "routes-4", "routes-6")  # what a picture must show to say what would be lost
_MTU, _TUNNEL_MTU = "1500", "1400"  # of a bridge without bridge.mtu


def losses(fix: Fix, pictures: Mapping[str, Picture], is_undo: bool = False) -> list[str]:
    """Return what Incus would delete on the hosts that a fix reaches, with names; also what can't be determined.

    is_undo: whether the fix is the undo of one. Then the values that it declares are those of now.
    """
    return [
        f"{host}: {reason}"
        for name in (fix.resets if _restarts_the_daemon(fix) and not is_undo else _changed(fix))
        for host, picture in _reached(fix, pictures)
        for reason in (_unread(name, picture) or _losses(name, fix, picture, is_undo))
    ]


def side_effects(fix: Fix, pictures: Mapping[str, Picture]) -> list[str]:
    """Return what Incus would change beside a fix on the hosts that it reaches, without a loss: earlier steps of a plan may fix it.

    Nothing for a restart of the daemon, which is there to bring what is missing.
    """
    return [
        f"{host}: {reason}"
        for name in _changed(fix)
        for host, picture in _reached(fix, pictures)
        for reason in _side_effects(name, fix, picture)
        if not _unread(name, picture)
    ]


def _restarts_the_daemon(fix: Fix) -> bool:
    return fix.disruption == "service"


def _changed(fix: Fix) -> list[str]:
    """Return the networks of which the fix changes a key."""
    return [name for name in fix.resets if any((each.kind, each.name) == ("network", name) for each in fix.touches)]


def _reached(fix: Fix, pictures: Mapping[str, Picture]) -> Iterator[tuple[str, Picture]]:
    """Yield the hosts on which Incus sets up the networks again."""
    for host, picture in pictures.items():
        if host == fix.runs_on or (fix.reaches == "members" and picture.member):
            yield host, picture


def _unread(network: str, picture: Picture) -> list[str]:
    return [
        f"can't determine what Incus would delete when it sets up {network} again: {what}: {why}"
        for what, why in picture.unread.items()
        if what in ("host", *_READ, f"network {network}")
    ]


@dataclass(frozen=True)
class _Network:
    """The configuration of a network on one member, before and after a fix. moves: whether an unknown address may follow."""

    name: str
    before: Mapping[str, str]
    after: Mapping[str, str]
    moves: bool = False

    def address(self, family: int) -> IPv4Interface | IPv6Interface | None:
        """Return the address of the bridge that Incus sets afterwards."""
        return _interface(self.after.get(f"ipv{family}.address", ""))

    def is_own(self, address: str, family: int) -> bool:
        """Return whether the configuration names an address of the bridge."""
        own = (_interface(each.get(f"ipv{family}.address", "")) for each in (self.before, self.after))
        return _interface(address) in own

    @property
    def named_ports(self) -> set[str]:
        """Return the ports that Incus leaves alone or makes again: those that the network names, its tunnels, and what keeps its MTU."""
        external = {_link(entry) for entry in split_list(self.after.get("bridge.external_interfaces"))}
        tunnels = {key.split(".")[1] for each in (self.before, self.after) for key in each if key.startswith("tunnel.")}
        keeps_mtu = {f"{self.name}-mtu"} if {_mtu(self.before), _mtu(self.after)} != {_MTU} else set()
        return external | {f"{self.name}-{tunnel}" for tunnel in tunnels} | keeps_mtu


def _network(name: str, fix: Fix, picture: Picture, is_undo: bool = False) -> _Network | None:
    """Return a network as a member has it; None if it has none."""
    before = picture.things.get(("network", name))
    if before is None:
        return None
    changes = {each.key: each.after for each in fix.touches if (each.kind, each.name) == ("network", name)}
    exact = {each.key for each in fix.touches if each.is_exact}
    after = before if is_undo else {**before, **{key: value for key, value in changes.items() if key in exact}}
    return _Network(name, before, after, is_undo and any(key.endswith(".address") for key in changes))


def _losses(name: str, fix: Fix, picture: Picture, is_undo: bool) -> Iterator[str]:
    network = _network(name, fix, picture, is_undo)
    if network is None or network.before.get("bridge.driver") == "openvswitch":
        return
    for kind, link in sorted(picture.things):
        values = picture.things[kind, link]
        if (
            kind == "link"
            and values["master"] == name
            and values["kind"] in _DELETED_KINDS
            and link not in network.named_ports
        ):
            yield (
                f"Incus would delete {link} ({values['kind']}), a port of {name} that bridge.external_interfaces does not name: "
                "name it there, or take it out of the bridge first"
            )
    for address in sorted(_addresses(network, picture)):
        yield f"Incus would delete the address {address} of {name}, which is not the network's own"
    for route in sorted(_routes(network, picture)):
        yield f"Incus would delete the route {route}"


def _addresses(network: _Network, picture: Picture) -> Iterator[str]:
    """Yield the addresses of the bridge that Incus deletes and does not set again."""
    for (kind, name), values in picture.things.items():
        link, _, address = name.partition(" ")
        if kind != "address" or link != network.name:
            continue
        family = 6 if ":" in address else 4
        is_global = values["flags"].startswith("scope global")
        turns_off = family == 6 and not network.address(6)  # without an address of its own, Incus turns IPv6 off
        had_own = _interface(network.before.get("ipv6.address", "")) is not None
        if (is_global or (turns_off and not had_own)) and not network.is_own(address, family):
            yield address


@dataclass(frozen=True)
class _Route:
    """A route as a picture names it. hops: how many it has over any link."""

    text: str
    family: int
    table: str
    words: tuple[str, ...]

    @property
    def hops(self) -> int:
        return self.words.count("dev")

    def value(self, key: str, default: str = "") -> str:
        return next((after for word, after in zip(self.words, self.words[1:], strict=False) if word == key), default)

    def is_over(self, link: str) -> bool:
        return any(pair == ("dev", link) for pair in zip(self.words, self.words[1:], strict=False))


def _routes(network: _Network, picture: Picture) -> Iterator[str]:
    """Yield the routes over the bridge that Incus deletes and does not add again."""
    for kind, name in picture.things:
        if kind != "route":
            continue
        family, table, *words = name.split()
        route = _Route(name, int(family[-1]), table, tuple(words))
        if route.is_over(network.name) and _is_lost(route, network, picture):
            yield f"{' '.join(words)}{f' table {table}' if table != 'main' else ''}"


def _is_lost(route: _Route, network: _Network, picture: Picture) -> bool:
    protocol = route.value("protocol", "boot")  # ip leaves out the protocol boot
    if protocol == "kernel":
        return False
    own = {
        entry for each in (network.before, network.after) for entry in split_list(each.get(f"ipv{route.family}.routes"))
    }
    if protocol == "static" and route.table == "main" and own & set(route.words):
        return False
    address = network.address(route.family)
    if route.family == 6 and address is not None:
        return protocol == "static" and route.table == "main"  # the link-local address stays, and other routes with it
    if route.family == 4 and not _has_global(network.name, picture):
        return protocol == "static" and route.table == "main"  # Incus flushes nothing else
    return not (
        route.family == 4
        and protocol == "boot"
        and route.table == "main"
        and route.hops == 1
        and _comes_back(route, network)
    )


def _has_global(link: str, picture: Picture) -> bool:
    return any(
        kind == "address"
        and name.startswith(f"{link} ")
        and ":" not in name
        and values["flags"].startswith("scope global")
        for (kind, name), values in picture.things.items()
    )


def _comes_back(route: _Route, network: _Network) -> bool:
    """Return whether the kernel accepts an IPv4 route of protocol boot again after the network has its new address."""
    address = network.address(4)
    if address is None or (network.moves and ("via" in route.words or "prefsrc" in route.words)):
        return False
    source, gateway = route.value("prefsrc"), route.value("via")
    if source and source != str(address.ip):
        return False
    return not gateway or "onlink" in route.words or ip_address(gateway) in address.network


def _side_effects(name: str, fix: Fix, picture: Picture) -> Iterator[str]:
    network = _network(name, fix, picture)
    if network is None:
        return
    things = picture.things
    bridge = things.get(("link", name))
    if bridge is None:
        yield f"Incus would make the bridge {name}, which is not there"
        return
    mtu = _mtu(network.after)
    if bridge["mtu"] != mtu and _mtu(network.before) == mtu:
        yield f"Incus would set the MTU of {name} to {mtu}; it is {bridge['mtu']}"
    if bridge["up"] != "yes":
        yield f"Incus would bring up {name}, which is down"
    has_filter = any(kind == "port-vlan" for kind, _ in things)  # some kernels have none
    if bridge.get("vlan_filtering") == "0" and has_filter:
        yield f"Incus would turn on the VLAN filter of {name} (vlan_filtering)"
    forwards = things.get(("sysctl", "net.ipv4.ip_forward"), {}).get("value", "1")
    if network.address(4) and network.after.get("ipv4.routing", "").lower() not in FALSE and forwards == "0":
        yield "Incus would let the host forward packets (net.ipv4.ip_forward)"
    yield from _attachments(network, things, {each.name for each in fix.touches if each.kind == "link"})


def _attachments(
    network: _Network, things: Mapping[tuple[str, str], Mapping[str, str]], declared: Collection[str]
) -> Iterator[str]:
    """Yield the interfaces that the network names and that are not attached to it: Incus attaches them.

    declared: the links that the fix changes itself.
    """
    for entry in split_list(network.after.get("bridge.external_interfaces")):
        link = things.get(("link", _link(entry)))
        if _link(entry) in declared:
            continue
        if link is None:
            if entry.count("/") == 2:
                yield f"Incus would make {_link(entry)}, which {network.name} names and which is not there"
            continue
        if _has_address(_link(entry), things):
            yield f"Incus would stop half way: {_link(entry)} is to be a port of {network.name} and has an address"
        elif link["master"] != network.name:
            at = f"it is in {link['master']}" if link["master"] else "it is in no bridge"
            yield f"Incus would attach {_link(entry)} to {network.name}; {at}"
        elif link["up"] != "yes":
            yield f"Incus would bring up {_link(entry)}, which is down"


def _has_address(link: str, things: Iterable[tuple[str, str]]) -> bool:
    """Return whether a link has an address with which Incus attaches it to no bridge (Go, net.IP.IsGlobalUnicast)."""
    found = (
        _interface(name.partition(" ")[2]) for kind, name in things if kind == "address" and name.startswith(f"{link} ")
    )
    ips = [each.ip for each in found if each]
    return any(not (ip.is_link_local or ip.is_loopback or ip.is_multicast or ip.is_unspecified) for ip in ips)


def _link(entry: str) -> str:
    """Return the link of an entry of bridge.external_interfaces: ``user0``, or ``user0/trunk/24``."""
    return entry.partition("/")[0].strip()


def _mtu(config: Mapping[str, str]) -> str:
    has_tunnel = any(key.startswith("tunnel.") for key in config)
    return config.get("bridge.mtu") or (_TUNNEL_MTU if has_tunnel else _MTU)


def _interface(text: str) -> IPv4Interface | IPv6Interface | None:
    try:
        return ip_interface(text)
    except ValueError:
        return None
