"""Checks of a site file that its schema can't make: names that are unknown or twice there, addresses outside their network."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from sigsrv.model import incus_keys, maintenance, yamlfile
from sigsrv.model.errors import nearest

Place = tuple[str | int, ...]

API_FILES = ("client_cert", "client_key", "server_cert")

# The keys of a bridge and of its VLAN that may be a mapping by host.
BY_HOST = ("subnet", "gateway")
VLAN_BY_HOST = ("interface", "parent", "persisted_by")

# Each member has its own value for these keys of a network. The cluster's answer about the network does not contain them.
_MEMBER_SPECIFIC = ("bridge.external_interfaces", "bgp.ipv4.nexthop", "bgp.ipv6.nexthop", "parent")


def on_host(value: Any, host: str) -> Any:
    """Return the value of one host: from a mapping by host, in which ``*`` stands for all others, or the value of all hosts."""
    return value.get(host, value.get("*")) if isinstance(value, Mapping) else value


def absolute(base: Path, name: str) -> str:
    """Return an absolute path. Raises OSError or RuntimeError: a loop of links, a name that is too long, no such user."""
    return str((base / Path(name).expanduser()).resolve())


def check(document: yamlfile.YamlDocument, policies: Collection[str]) -> None:
    """Check what a schema can't: duplicate names, unknown names, addresses outside their network."""
    content = document.data
    for section, key in (
        ("hosts", "name"),
        ("bridges", "name"),
        ("pools", "name"),
        ("profiles", "name"),
        ("redundant", "name"),
        ("projects", "match"),
    ):
        _check_unique(document, section, [entry[key] for entry in content.get(section, ())], key)
    acls = [f'{acl["name"]}" of project "{acl.get("project", "default")}' for acl in content.get("acls", ())]
    _check_unique(document, "acls", acls, "name")
    zones = [f'{zone["name"]}" of project "{zone.get("project", "default")}' for zone in content.get("zones", ())]
    _check_unique(document, "zones", zones, "name")
    members: set[str] = set()
    for index, host in enumerate(content["hosts"]):
        member = host.get("member", host["name"])
        if member in members:
            raise document.error(("hosts", index), f'two hosts have the member name "{member}"')
        members.add(member)
        _check_paths(document, index, host)
    hosts = {host["name"] for host in content["hosts"]}
    _check_maintenance(document, content.get("maintenance", {}), hosts)
    pools = {pool["name"] for pool in content.get("pools", ())}
    networks = {*(bridge["name"] for bridge in content.get("bridges", ())), *content.get("networks_extra", ())}
    for index, pool in enumerate(content.get("pools", ())):
        _check_known(document, ("pools", index, "members"), pool.get("members", ()), hosts, "host")
    for index, entry in enumerate(content.get("managed_by", ())):
        _check_known(document, ("managed_by", index, "hosts"), entry.get("hosts", ()), hosts, "host")
    for index, entry in enumerate(content.get("projects", ())):
        _check_known(document, ("projects", index, "networks"), entry.get("networks", ()), networks, "network")
        _check_known(document, ("projects", index, "pools"), entry.get("pools", ()), pools, "pool")
    _check_known(document, ("antispoof",), content.get("antispoof", {}), networks, "network")
    listen = content.get("auth", {}).get("listen", {})
    _check_known(document, ("auth", "listen"), {host: host for host in listen if host != "*"}, hosts, "host")
    if "backups" in content:
        _check_backups(document, content["backups"], hosts)
    _check_known(document, ("exempt",), content.get("exempt", {}), policies, "policy")
    _check_exempt_keys(document, content.get("exempt", {}))
    for index, profile in enumerate(content.get("profiles", ())):
        for place, glob in enumerate(profile.get("policies", ())):
            if not any(fnmatchcase(policy, glob) for policy in policies):
                raise document.error(
                    ("profiles", index, "policies", place), f'no policy matches "{glob}"', nearest(glob, policies)
                )
    for index, bridge in enumerate(content.get("bridges", ())):
        _check_bridge(document, index, bridge, [host["name"] for host in content["hosts"]])


def _check_bridge(document: yamlfile.YamlDocument, index: int, bridge: Mapping[str, Any], hosts: list[str]) -> None:
    at: Place = ("bridges", index)
    _check_known(document, (*at, "members"), bridge.get("members", ()), hosts, "host")
    members: list[str] = bridge.get("members", hosts)
    for key in VLAN_BY_HOST:
        _check_by_host(document, (*at, "vlan", key), bridge["vlan"].get(key), members)
    for key in BY_HOST:
        _check_by_host(document, (*at, key), bridge.get(key), members)
    for host in members:
        _check_subnet(document, at, bridge, host)
    for key in bridge.get("config", {}):
        if key in _MEMBER_SPECIFIC:
            wrong = f'"{key}" is a member-specific key'
            raise document.error((*at, "config", key), wrong, "set the port of the bridge in vlan.interface")


def _check_backups(document: yamlfile.YamlDocument, backups: Mapping[str, Any], hosts: Collection[str]) -> None:
    given = [key for key in ("host", "dir", "pattern") if key in backups]
    if "external" in backups and given:
        raise document.error(
            ("backups", given[0]), "the backups are external", "move host, dir and pattern of the proofs below proof"
        )
    if "proof" in backups and "external" not in backups:
        raise document.error(("backups", "proof"), "only external backups need a proof", "say where they are: external")
    for place, holder in ((("backups",), backups), (("backups", "proof"), backups.get("proof", {}))):
        if "host" in holder:
            _check_known(document, place, {"host": holder["host"]}, hosts, "host")


def _check_maintenance(document: yamlfile.YamlDocument, content: Mapping[str, Any], hosts: Collection[str]) -> None:
    """Raise UsageError for a time zone that this machine does not know, and for a host that the site does not have."""
    for index, entry in enumerate(content.get("windows", ())):
        _check_known(document, ("maintenance", "windows", index, "hosts"), entry.get("hosts", ()), hosts, "host")
    try:
        maintenance.zone(content.get("time_zone", "UTC"))
    except (OSError, ValueError, KeyError) as cause:  # ZoneInfoNotFoundError is a KeyError
        raise document.error(
            ("maintenance", "time_zone"),
            f'"{content["time_zone"]}" is not a time zone that this machine knows',
            "write a name such as Europe/Berlin; timedatectl list-timezones lists them (package tzdata)",
        ) from cause


def _check_exempt_keys(document: yamlfile.YamlDocument, exempt: Mapping[str, Any]) -> None:
    """Raise UsageError for an exempt key that Incus does not have: it would excuse nothing."""
    for policy, entries in exempt.items():
        for index, entry in enumerate(entries):
            for place, key in enumerate(entry.get("keys", ())):
                if not incus_keys.known_anywhere(key):
                    at = ("exempt", policy, index, "keys", place)
                    hint = incus_keys.hint(key, *incus_keys.ENTITIES)
                    raise document.error(at, f'Incus has no configuration key "{key}"', hint)


def _check_paths(document: yamlfile.YamlDocument, index: int, host: Mapping[str, Any]) -> None:
    """Raise UsageError for a path that can't be one. It need not exist: another machine may have written the file."""
    files = [(("api", key), path) for key, path in host.get("api", {}).items() if key in API_FILES]
    for place, path in [*files, (("ssh_config",), host.get("ssh_config", "."))]:
        try:
            absolute(document.path.parent, path)
        except (OSError, RuntimeError) as cause:
            reason = cause.strerror if isinstance(cause, OSError) else str(cause)
            raise document.error(("hosts", index, *place), f"not a path: {reason}") from cause


def _check_unique(document: yamlfile.YamlDocument, section: str, names: Iterable[str], key: str) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise document.error((section, index, key), f'"{name}" is listed twice')
        seen.add(name)


def _check_known(
    document: yamlfile.YamlDocument,
    place: Place,
    names: Mapping[str, Any] | Iterable[str],
    known: Collection[str],
    kind: str,
) -> None:
    """Raise UsageError for an unknown name. names: a list of names, a mapping with names as keys, or key -> name."""
    if isinstance(names, Mapping):
        items: list[tuple[str | int, str]] = [
            (key, value if isinstance(value, str) else key) for key, value in names.items()
        ]
    else:
        items = list(enumerate(names))
    for key, name in items:
        if name not in known:
            raise document.error((*place, key), f'"{name}" is not a known {kind}', nearest(name, known))


def _check_by_host(document: yamlfile.YamlDocument, place: Place, value: Any, members: Collection[str]) -> None:
    """Raise UsageError if a mapping by host has no value for a host of the bridge, or one for another host."""
    if not isinstance(value, Mapping):
        return
    _check_known(document, place, {host: host for host in value if host != "*"}, members, "host of the bridge")
    if "*" not in value and (missing := [host for host in members if host not in value]):
        raise document.error(place, f"no value for {', '.join(missing)}", 'add it, or a value for all others: "*"')


def _check_subnet(document: yamlfile.YamlDocument, at: Place, bridge: Mapping[str, Any], host: str) -> None:
    places = {}
    for key in BY_HOST:
        value = bridge.get(key)
        places[key] = (*at, key, host if host in value else "*") if isinstance(value, Mapping) else (*at, key)
    subnet_text, gateway_text = (on_host(bridge.get(key), host) for key in BY_HOST)
    place = places["subnet"]
    try:
        subnet = ip_network(subnet_text) if subnet_text else None
        place = places["gateway"]
        gateway = ip_address(gateway_text) if gateway_text else None
    except ValueError as cause:
        raise document.error(
            place, str(cause), "example of a subnet: 172.20.0.0/16, of a gateway: 172.20.0.1"
        ) from cause
    if gateway and (subnet is None or gateway not in subnet):
        raise document.error(
            place, f"{gateway} is not in the subnet {subnet}" if subnet else "a gateway needs a subnet"
        )
