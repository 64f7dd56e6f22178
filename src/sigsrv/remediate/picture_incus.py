"""Reads what Incus says of a host's guests and of the objects that a step changes, as a picture compares it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode

from sigsrv.collect.documents import parsed
from sigsrv.model.touches import Touch
from sigsrv.remediate.picture_kernel import Things

SERVER = "/1.0"
GUESTS = "/1.0/instances?recursion=2&all-projects=true"
_MEMBER_KINDS = frozenset({"network", "pool", "volume"})  # each member has its own part of the configuration

_ANY_ADDRESS = frozenset({"", "*", "0.0.0.0", "[::]"})  # noqa: S104  the names that ss(8) and Incus have for it
_LAST_PORT = 65535


class NotThere(Exception):
    """Incus has no such object."""


def url_of(touch: Touch, member: str) -> str:
    """Return the API path of the object that a touch names. member: whose part is read; "" in no cluster."""
    kind = touch.kind
    pool, project, name = touch.place
    query = {"target": member} if member and kind in _MEMBER_KINDS else {}
    if kind in ("instance", "profile", "image", "acl"):
        query["project"] = project
        path = {"instance": "instances", "profile": "profiles", "image": "images", "acl": "network-acls"}[kind]
    elif kind == "volume":
        query["project"] = project
        path = f"storage-pools/{quote(pool, safe='')}/volumes/custom"
    elif kind == "server":
        return f"{SERVER}?{urlencode({'target': name})}" if name else SERVER
    else:
        path = {"network": "networks", "project": "projects", "pool": "storage-pools", "member": "cluster/members"}[
            kind
        ]
    return f"/1.0/{path}/{quote(name, safe='')}" + (f"?{urlencode(query)}" if query else "")


def metadata(text: str) -> Any:
    """Return the content of an answer of ``incus query --raw``. Raises ValueError: no answer, or an error; NotThere: no such object."""
    answer = parsed(text)
    if not isinstance(answer, dict) or "metadata" not in answer:
        raise ValueError("not an answer of Incus")
    if answer.get("error_code") == 404:
        raise NotThere
    if answer.get("type") == "error":
        raise ValueError(str(answer.get("error"))[:200])
    return answer["metadata"]


def server_name(content: Any) -> str:
    """Return the name of the member that answered; "" in no cluster."""
    environment = content["environment"]
    return str(environment["server_name"]) if environment.get("server_clustered") else ""


def flat(content: Any) -> dict[str, str]:
    """Return an object's configuration as key -> value: its own keys, its devices (``devices.eth0.parent``), and its plain fields."""
    found: dict[str, str] = {}
    for key, value in content.items():
        if key == "config":
            found |= {str(name): str(item) for name, item in value.items() if not str(name).startswith("volatile.")}
        elif key == "devices":
            found |= {
                f"devices.{device}.{name}": str(item) for device, row in value.items() for name, item in row.items()
            }
        elif key in ("description", "ephemeral", "status", "architecture", "public", "auto_update", "expires_at"):
            found[key] = str(value)
        elif key in ("profiles", "ingress", "egress", "roles", "groups"):
            found[key] = ", ".join(str(each) for each in value or ())
    return found


def guests(content: Any, member: str, things: Things) -> Things:
    """Return the guests of a host, and take what belongs to them out of ``things``.

    content: the answer to ``GUESTS``. The links, ports and chains of a guest get other names when it restarts, so they are keys of the
    guest, under the names of its own devices.
    """
    found: Things = {}
    for row in content:
        if member and row.get("location") not in (member, "none", ""):
            continue
        values = {"status": str(row.get("status", ""))}
        state = row.get("state") or {}
        networks = state.get("network") or {}
        values["addresses"] = " ".join(sorted(_addresses(networks.values())))
        config = row.get("config") or {}
        for device, details in sorted((row.get("expanded_devices") or {}).items()):
            if details.get("type") == "nic":
                link = config.get(f"volatile.{device}.host_name") or details.get("host_name", "")
                values |= _taken(things, device, link)
                _rename(things, link, f"{row.get('project')}/{row.get('name')}:{device}")
            elif details.get("type") == "proxy" and details.get("bind", "host") != "instance":
                values |= _proxy(things, device, str(details.get("listen", "")))
        project, name = str(row.get("project", "")), str(row.get("name", ""))
        values |= _chains(things, name if project == "default" else f"{project}_{name}")
        found["guest", f"{project}/{name}"] = values
    return found


def _addresses(networks: Iterable[Mapping[str, Any]]) -> set[str]:
    return {
        str(each["address"])
        for network in networks
        for each in network.get("addresses") or ()
        if each.get("scope") == "global"
    }


def _taken(things: Things, device: str, link: str) -> dict[str, str]:
    """Return what the host has of a guest's NIC, under the name of the device."""
    found = {}
    for kind in ("link", "port"):
        for key, value in things.pop((kind, link), {}).items():
            if key not in ("mac",):  # of the host's end: new at each start
                found[f"{device}.{key}"] = value
    for place in [place for place in things if place[0] == "port-vlan" and place[1].split(" ")[0] == link]:
        found[f"{device}.vlan {place[1].partition(' ')[2]}"] = things.pop(place)["flags"]
    for place in [place for place in things if place[0] == "address" and place[1].split(" ")[0] == link]:
        things.pop(place)  # the link-local one follows from the MAC
    for place in [place for place in things if place[0] == "route" and things[place].get("dev") == link]:
        name = place[1].replace(f"dev {link}", f"dev {device}")
        things.pop(place)
        if "fe80::" not in name and "ff00::" not in name:
            found[f"{device}.route {name}"] = "there"
    return found


def _rename(things: Things, link: str, name: str) -> None:
    """Name the guest's NIC in the rules of chains that all guests share: the link has another name after a restart."""
    for place, values in things.items():
        if link and place[0] == "nft":
            values |= {key: value.replace(f" {link})", f" {name})") for key, value in values.items() if link in value}


def _proxy(things: Things, device: str, listen: str) -> dict[str, str]:
    """Take the sockets of a proxy out of the host's. listen: ``tcp:10.0.0.1:80``, ``udp::53``, ``tcp:[::]:80-90,443``."""
    protocol, _, address = listen.partition(":")
    host, _, ports = address.rpartition(":")
    hosts = _ANY_ADDRESS if host in _ANY_ADDRESS else {host}
    taken = [
        things.pop(("socket", f"{protocol} {each}:{port}"), None)
        for each in hosts
        for port in islice(_ports(ports), _LAST_PORT)
    ]
    return {f"{device}.listens": address} if any(taken) else {}


def _ports(text: str) -> Iterable[int]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            yield from range(int(first), min(int(last or first), _LAST_PORT) + 1)


def _chains(things: Things, name: str) -> dict[str, str]:
    """Return the chains that Incus made for the NICs of an instance: their names contain its own."""
    marks = (f".{name}.", f"_{name}.", f".{name}_")
    found = {}
    for place in [each for each in things if each[0] == "nft" and any(mark in f"{each[1]}." for mark in marks)]:
        found[f"nft {place[1]}"] = " ".join(things.pop(place).values())
    return found
