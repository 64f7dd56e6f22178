"""Reads what a host's kernel and init system have, as a picture compares it. Pure functions of the output of programs.

Each function returns things: kind and name -> key -> value. What changes by itself is left out; ``LEFT_OUT`` says what, and why.
Raises ValueError for output that is none of the program.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from sigsrv.collect.documents import parsed

Things = dict[tuple[str, str], dict[str, str]]

# By kind; docs/touches.md shows it.
LEFT_OUT = {
    "link": "state of operation, carrier, queues and counters: they change with the traffic and with the other end of a cable",
    "address": "lifetimes, which run down; the states of a check that ends by itself (tentative, dadfailed)",
    "route": "those of table `local`, which follow from the addresses; cached ones; lifetimes",
    "port": "what STP computes: state, timers, designated port",
    "nft": "handles, which are new after each change; counters and quotas; elements of sets with a timeout",
    "socket": "process IDs and queues; UDP ports from 32768 on, which the kernel gives to clients",
    "unit": "oneshots, and units that D-Bus, a login or a timer starts and stops",
    "lease": "when a lease ends; leases of addresses that no running guest has",
    "object of Incus": "`volatile.*`, Incus's own notes",
}
_PORT_OPTIONS = (
    "priority",
    "cost",
    "hairpin",
    "guard",
    "root_block",
    "fastleave",
    "learning",
    "flood",
    "proxy_arp",
    "proxy_arp_wifi",
    "mcast_flood",
    "bcast_flood",
    "mcast_to_unicast",
    "neigh_suppress",
    "group_fwd_mask",
    "vlan_tunnel",
    "isolated",
    "locked",
    "mab",
)
_BRIDGE_OPTIONS = (
    "stp_state",
    "vlan_filtering",
    "vlan_protocol",
    "vlan_default_pvid",
    "group_fwd_mask",
    "mcast_snooping",
)
_FLAGS = (
    "deprecated",
    "noprefixroute",
    "home",
    "mngtmpaddr",
    "nodad",
    "temporary",
    "managed",
    "optimistic",
    "autojoin",
)
_CLIENT_PORTS = 32768  # the first port that the kernel gives to a client (ip_local_port_range)
_ON_DEMAND = re.compile(
    r"(user|session|run-|systemd-(timedated|hostnamed|localed|tmpfiles|ask-password|update|machined|coredump|fsck)|apt-|dpkg-|man-db"
    r"|logrotate|e2scrub|fstrim|packagekit|fwupd|polkit|sigsrv-undo|getty@|serial-getty@|phpsessionclean|motd|certbot|nix-(gc|optimise))"
)


def links(text: str) -> Things:
    """Read ``ip -j -d link show``: links with their masters, and the options of bridges and of their ports."""
    found: Things = {}
    for row in _rows(text):
        name, info = str(row["ifname"]), row.get("linkinfo") or {}
        details, port = info.get("info_data") or {}, info.get("info_slave_data") or {}
        values = {
            "kind": info.get("info_kind", ""),
            "up": "yes" if "UP" in row.get("flags", ()) else "no",
            "master": row.get("master", ""),
            "mtu": row.get("mtu", ""),
            "mac": row.get("address", ""),
            "parent": row.get("link", ""),
            "vlan": details.get("id", "") if info.get("info_kind") in ("vlan", "vxlan") else "",
        }
        if info.get("info_kind") == "bridge":
            values |= {option: details[option] for option in _BRIDGE_OPTIONS if option in details}
        found["link", name] = _texts(values)
        if info.get("info_slave_kind") == "bridge":
            found["port", name] = _texts({option: port[option] for option in _PORT_OPTIONS if option in port})
    return found


def addresses(text: str) -> Things:
    """Read ``ip -j -d addr show``: each address with its flags."""
    found: Things = {}
    for row in _rows(text):
        for each in row.get("addr_info") or ():
            if "local" not in each:
                continue  # ip prints an empty object for an address that it left out
            words = [f"scope {each.get('scope', '')}", *(flag for flag in _FLAGS if each.get(flag))]
            words += [
                f"{key} {each[key]}" for key in ("address", "broadcast", "label", "metric", "proto") if key in each
            ]
            name = f"{row['ifname']} {each['local']}/{each.get('prefixlen', '')}"
            found["address", name] = {"flags": " ".join(words)}
    return found


def routes(text: str, family: str) -> Things:
    """Read ``ip -j -4|-6 route show table all``: each route of each table but ``local``. family: ``ipv4`` or ``ipv6``."""
    found: Things = {}
    for row in _rows(text):
        if row.get("table") == "local" or "cache" in row.get("flags", ()):
            continue
        hops = [_hop(each) for each in row.get("nexthops") or ()]
        words = [row.get("type", ""), str(row.get("dst", "")), _hop(row), *hops]
        words += [f"{key} {row[key]}" for key in ("metric", "protocol", "scope", "prefsrc", "mtu") if key in row]
        table = row.get("table", "main")
        name = f"{family} {table} {' '.join(word for word in words if word)}"
        found["route", name] = {"dev": str(row.get("dev", ""))}
    return found


def _hop(row: Mapping[str, Any]) -> str:
    via = row.get("gateway") or (row.get("via") or {}).get("host", "")
    return " ".join(f"{word} {value}" for word, value in (("via", via), ("dev", row.get("dev", ""))) if value)


def rules(text: str, family: str) -> Things:
    """Read ``ip -j -4|-6 rule``. family: ``ipv4`` or ``ipv6``."""
    found: Things = {}
    for row in _rows(text):
        words = [f"{key} {value}" for key, value in sorted(row.items()) if value not in (None, [])]
        found["rule", f"{family} {', '.join(words)}"] = {"is": "there"}
    return found


def port_vlans(text: str) -> Things:
    """Read ``bridge -j vlan show``: the VLANs of each port, ranges as the kernel has them."""
    found: Things = {}
    for row in _rows(text):
        for each in row.get("vlans") or ():
            last = f"-{each['vlanEnd']}" if "vlanEnd" in each else ""
            found["port-vlan", f"{row['ifname']} {each['vlan']}{last}"] = {"flags": " ".join(each.get("flags") or ())}
    return found


def ruleset(text: str) -> Things:
    """Read ``nft -j list ruleset``: the rules of each chain, and sets and maps that are part of the configuration."""
    found: Things = {}
    for row in _rows(text, "nftables"):
        (what, each), *_ = row.items()
        if what in ("metainfo", "table") or not isinstance(each, dict):
            continue
        place = (
            f"{each.get('family', '')} {each.get('table', '')} {each.get('chain' if what == 'rule' else 'name', '')}"
        )
        if what == "rule":
            chain = found.setdefault(("nft", place), {"rules": ""})
            chain["rules"] += f"{_plain(each.get('expr'))}\n"
        elif what == "chain":
            head = " ".join(str(each[key]) for key in ("type", "hook", "dev", "prio", "policy") if key in each)
            found.setdefault(("nft", place), {"rules": ""})["hook"] = head
        elif what in ("set", "map") and "timeout" not in str(each.get("flags", "")) and "timeout" not in each:
            found["nft", place] = {"elements": _plain(each.get("elem", each.get("elements")))}
    return found


def _plain(value: Any) -> str:
    """Return an expression as text, without what counts."""
    if isinstance(value, dict):
        items = (
            f"{key} {_plain(item)}" for key, item in value.items() if key not in ("counter", "quota", "handle", "used")
        )
        return f"({' '.join(items)})"
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    return str(value)


def sockets(text: str) -> Things:
    """Read ``ss -Hltunp``: listening sockets, each with the names of its programs."""
    found: Things = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 6:
            raise ValueError(f"not a socket: {line[:80]!r}")
        protocol, local = words[0], words[4]
        port = local.rpartition(":")[2]
        if protocol == "udp" and port.isdigit() and int(port) >= _CLIENT_PORTS:
            continue
        programs = sorted(set(re.findall(r'\("([^"]*)"', " ".join(words[6:]))))
        found["socket", f"{protocol} {local}"] = {"by": ", ".join(programs)}
    return found


def units(text: str) -> Things:
    """Read ``systemctl list-units`` and ``list-unit-files`` (plain, no legend): what runs, and what is enabled.

    A line of the first has five or more words, of the second two or three.
    """
    found: Things = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or _ON_DEMAND.match(words[0]):
            continue
        unit = found.setdefault(("unit", words[0]), {})
        if len(words) >= 4:
            if words[3] in ("running", "listening", "waiting"):
                unit["active"] = "active" if words[3] != "waiting" else "waiting"
        else:
            unit["enabled"] = words[1]
    return {place: unit for place, unit in found.items() if unit}


def sysctls(text: str) -> Things:
    """Read ``grep -H . FILE...`` of files below /proc/sys."""
    found: Things = {}
    for line in text.splitlines():
        path, _, value = line.partition(":")
        found["sysctl", path.removeprefix("/proc/sys/").replace("/", ".")] = {"value": value}
    return found


def leases(text: str) -> Things:
    """Read ``grep -H . .../NETWORK/dnsmasq.leases...``: network, MAC and address of each lease."""
    found: Things = {}
    for line in text.splitlines():
        path, _, row = line.partition(":")
        words = row.split()
        if len(words) >= 3 and words[0].isdigit():
            found["lease", f"{path.split('/')[-2]} {words[1]}"] = {"address": words[2]}
    return found


def _rows(text: str, key: str = "") -> Iterable[Mapping[str, Any]]:
    content = parsed(text) if text.strip() else []
    rows = content[key] if key and isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("not a list of objects")
    return [row for row in rows if row]


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: _text(value) for key, value in values.items()}


def _text(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


READERS: Mapping[str, Callable[[str], Things]] = {
    "link": links,
    "addr": addresses,
    "routes-4": partial(routes, family="ipv4"),
    "routes-6": partial(routes, family="ipv6"),
    "rules-4": partial(rules, family="ipv4"),
    "rules-6": partial(rules, family="ipv6"),
    "vlans": port_vlans,
    "nft": ruleset,
    "sockets": sockets,
    "units": units,
    "sysctl": sysctls,
    "leases": leases,
}
