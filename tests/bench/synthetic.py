"""Builds the evidence of a synthetic site: two hosts in a cluster, with any number of instances.

The site is the one of ``policies/examples.yaml`` with more projects, profiles, instances, volumes and links. Equal numbers give equal
evidence. Of a hundred instances 13 violate a policy, so a measurement includes what a failure costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.authoring import document
from sigsrv.collect.evidence import Evidence

HOSTS = ("sigsrv", "minisrv")
PROJECTS = ("default", *(f"team-{number:02}" for number in range(1, 20)))
_ID_MAP = '[{"Isuid":true,"Isgid":true,"Hostid":1000000,"Nsid":0,"Maprange":1000000000}]'
_VIOLATIONS: Mapping[
    int, Mapping[str, str]
] = {  # by the last two digits of an instance's number: keys that a policy refuses
    13: {"security.privileged": "true"},
    14: {"security.nesting": "true"},
    15: {"raw.lxc": "lxc.apparmor.profile=unconfined", "raw.qemu": "-s"},
    16: {"security.syscalls.intercept.mount": "true"},
    17: {"security.secureboot": "false"},
    21: {"limits.memory": "0"},
    19: {"security.guestapi.images": "true"},
}
_DEVICES: Mapping[int, Mapping[str, Mapping[str, str]]] = {  # the same for devices
    33: {"etc": {"type": "disk", "source": "/etc", "path": "/mnt"}},
    34: {"gpu": {"type": "gpu", "gputype": "physical"}},
    35: {"web": {"type": "proxy", "listen": "tcp:0.0.0.0:80", "connect": "tcp:127.0.0.1:80"}},
    36: {"eth1": {"type": "nic", "nictype": "macvlan", "parent": "trunk"}},
}
_VLANS: Mapping[str, str] = {"sigsrvbr0": "sigsrv0", "userbr0": "user0"}  # the VLAN interface of each bridge
_NO_BACKUP, _NO_SNAPSHOT = 40, 60  # a protected resource with this remainder has no backup, or no snapshot
_AT = "2026-11-18T00:00:00.123456789Z"


@dataclass(frozen=True)
class _Guest:
    """One instance of the site. number: from 0; all else follows from it."""

    number: int

    @property
    def name(self) -> str:
        return f"guest-{self.number:05}"

    @property
    def project(self) -> str:
        return PROJECTS[self.number % len(PROJECTS)]

    @property
    def location(self) -> str:
        return HOSTS[self.number // len(PROJECTS) % len(HOSTS)]

    @property
    def is_container(self) -> bool:
        return self.number % 10 < 7

    @property
    def status(self) -> str:
        return "Stopped" if self.number % 8 == 5 else "Running"

    @property
    def is_critical(self) -> bool:
        return self.project == "default"

    @property
    def volume(self) -> str:
        """Return the name of the instance's own volume; "" for four of five instances."""
        return f"{self.name}-data" if self.number % 5 == 0 else ""

    @property
    def mac(self) -> str:
        return f"10:66:6a:{self.number >> 16 & 255:02x}:{self.number >> 8 & 255:02x}:{self.number & 255:02x}"

    @property
    def link(self) -> str:
        return f"veth{self.number:08x}"

    @property
    def bridge(self) -> str:
        return "sigsrvbr0" if self.project == "default" else "userbr0"


def content(count: int) -> dict[str, Any]:
    """Return the document of a site with ``count`` instances, in the format of ``policies/examples.yaml``."""
    guests = [_Guest(number) for number in range(count)]
    found = document.document()
    site, cluster = found["site"], found["cluster"]
    site["critical"] = ["default/guest-*"]
    site["protected_volumes"] = ["nvme/default/*-data"]
    site["backups"]["pattern"] = "{project}-{name}-*.tar.gz"
    site["antispoof"] = {"userbr0": ["mac", "ipv4"]}
    site["exempt"]["INST-001"] = [{"match": f"{project}/guest-*013", "reason": "an old image"} for project in PROJECTS]
    site["exempt"]["INST-008"] = [
        {"match": "team-0*/*", "keys": ["security.syscalls.intercept.mount"], "reason": "mounts its own images"}
    ]
    teams = cluster["projects"].pop("user-john")["config"]
    cluster["projects"] |= {
        name: {"config": {**teams, "limits.instances": str(count)}} for name in PROJECTS if name != "default"
    }
    cluster["profiles"] = {f"{project}/{row['name']}": row for project in PROJECTS for row in _profiles(project)}
    cluster["instances"] = {guest.name: _instance(guest) for guest in guests}
    cluster["volumes"] = {"nvme": [row for guest in guests for row in _volumes(guest)]}
    for host in HOSTS:
        here = {guest for guest in guests if guest.location == host and guest.status == "Running"}
        found[host]["links"] |= {
            guest.link: {"master": guest.bridge, "linkinfo": _PORT} for guest in guests if guest in here
        }
        found[host]["fdb"] = {
            guest.mac: {"ifname": guest.link if guest in here else _VLANS[guest.bridge], "master": guest.bridge}
            for guest in guests
            if guest.status == "Running"
        }
        found[host]["probes"]["backups"] = "\0".join(line for guest in guests for line in _backups(guest)) + "\0"
    return found


def evidence(site_content: Mapping[str, Any]) -> dict[str, Evidence]:
    """Return the evidence of both hosts of a document, by host."""
    return {host: document.evidence_of(site_content, host) for host in HOSTS}


_PORT = {"info_kind": "veth", "info_slave_kind": "bridge", "info_slave_data": {"state": "forwarding", "isolated": True}}


def _profiles(project: str) -> Iterator[dict[str, Any]]:
    bridge = "sigsrvbr0" if project == "default" else "userbr0"
    nic = {"type": "nic", "network": bridge, "security.mac_filtering": "true", "security.ipv4_filtering": "true"}
    nic |= {"security.port_isolation": "true"} if bridge == "userbr0" else {}
    yield {
        "name": "default",
        "project": project,
        "config": {},
        "devices": {"root": {"type": "disk", "path": "/", "pool": "nvme"}, "eth0": nic},
    }
    yield {
        "name": "hardened",
        "project": project,
        "config": {"security.idmap.isolated": "true", "security.guestapi": "false", "boot.autostart": "true"},
        "devices": {},
    }
    for size in (1, 2, 4, 8):
        limits = {"limits.cpu": str(size), "limits.memory": f"{size}GiB", "limits.processes": str(500 * size)}
        yield {"name": f"size-{size}", "project": project, "config": limits, "devices": {}}


def _instance(guest: _Guest) -> dict[str, Any]:
    profiles = ("default", "hardened", f"size-{2 ** (guest.number % 4)}")
    given = {row["name"]: row for row in _profiles(guest.project) if row["name"] in profiles}
    config = {
        "image.architecture": "amd64",
        "image.description": "Debian trixie amd64",
        "image.os": "Debian",
        "image.release": "trixie",
        "snapshots.schedule": "@daily",
        "snapshots.expiry": "2w",
        "volatile.base_image": "1f00a1f00b1f" * 5,
        "volatile.eth0.host_name": guest.link,
        "volatile.eth0.hwaddr": guest.mac,
        "volatile.last_state.power": guest.status.upper(),
        "volatile.uuid": f"00000000-0000-0000-0000-{guest.number:012}",
        **({"volatile.idmap.base": "1000000"} if guest.is_container else {}),
        **({"volatile.idmap.current": _ID_MAP, "volatile.idmap.next": _ID_MAP} if guest.is_container else {}),
        **({"security.protection.delete": "true"} if guest.is_critical else {}),
        **_VIOLATIONS.get(guest.number % 100, {}),
    }
    devices = {name: dict(keys) for name, keys in _DEVICES.get(guest.number % 100, {}).items()}
    if guest.volume:
        devices["data"] = {"type": "disk", "pool": "nvme", "source": guest.volume, "path": "/srv"}
    taken = () if guest.number % 100 == _NO_SNAPSHOT else ("snap0", "snap1")
    return {
        "architecture": "x86_64",
        "project": guest.project,
        "location": guest.location,
        "type": "container" if guest.is_container else "virtual-machine",
        "status": guest.status,
        "created_at": "2026-01-01T00:00:00Z",
        "config": config,
        "expanded_config": {key: value for row in given.values() for key, value in row["config"].items()} | config,
        "devices": devices,
        "expanded_devices": {k: v for row in given.values() for k, v in row["devices"].items()} | devices,
        "profiles": list(profiles),
        "snapshots": [{"name": name, "created_at": _AT, "config": {}, "stateful": False} for name in taken],
        "state": _state(guest) if guest.status == "Running" else None,
    }


def _state(guest: _Guest) -> dict[str, Any]:
    """Build the state of a running instance, as an answer to ``recursion=2`` has it."""
    counters = {"bytes_received": 738, "bytes_sent": 1172, "packets_received": 3, "packets_sent": 8}
    address = f"172.2{4 if guest.bridge == 'userbr0' else 0}.{guest.number >> 8 & 255}.{guest.number & 255}"
    inside = [{"address": address, "family": "inet", "netmask": "16", "scope": "global"}]
    loopback = [{"address": "127.0.0.1", "family": "inet", "netmask": "8", "scope": "local"}]
    return {
        "cpu": {"usage": 661343000},
        "memory": {"usage": 1413120, "usage_peak": 2413120, "total": 134217728},
        "processes": 12,
        "network": {
            "eth0": {"addresses": inside, "counters": counters, "hwaddr": guest.mac, "mtu": 1500, "state": "up"},
            "lo": {"addresses": loopback, "counters": counters, "hwaddr": "", "mtu": 65536, "state": "up"},
        },
    }


def _volumes(guest: _Guest) -> Iterator[dict[str, Any]]:
    """Yield the rows of the instance's volume and of its two snapshots."""
    if not guest.volume:
        return
    common = {"project": guest.project, "type": "custom", "content_type": "filesystem", "location": guest.location}
    config = {"size": "10GiB", "snapshots.schedule": "@daily", "snapshots.expiry": "2w"}
    used_by = [f"/1.0/instances/{guest.name}?project={guest.project}"]
    yield {**common, "name": guest.volume, "created_at": "2026-01-01T00:00:00Z", "config": config, "used_by": used_by}
    for name in ("snap0", "snap1"):
        yield {**common, "name": f"{guest.volume}/{name}", "created_at": _AT, "config": {}, "used_by": []}


def _backups(guest: _Guest) -> Iterator[str]:
    """Yield the lines of the backup files of what the site protects: two of the instance, two of its volume."""
    if not guest.is_critical or guest.number % 100 == _NO_BACKUP:
        return
    for name in filter(None, (guest.name, guest.volume)):
        for age in (1, 2):
            yield f"{1795000000 - age * 86400}.5 2000 /srv/backups/{guest.project}-{name}-{age}.tar.gz"
