"""Finds and validates the site file, and converts it to a Site."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sigsrv.model import data, incus_keys, trusted, yamlfile
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.maintenance import DISRUPTIONS, Maintenance, Window
from sigsrv.model.site import (
    DEFAULT_FEATURES,
    DEFAULT_LIMITS,
    ApiAddress,
    Auth,
    Backups,
    ClusterSettings,
    Exemption,
    HostPath,
    IncusSettings,
    Site,
    SiteAcl,
    SiteBridge,
    SiteHost,
    SitePool,
    SiteProfile,
    SiteProject,
    SiteProxy,
    Thresholds,
    Vlan,
)
from sigsrv.model.values import Size, size_bytes

SITE_FILE = Path("/etc/sigsrv/site.yaml")
_API_FILES = ("client_cert", "client_key", "server_cert")

# Each member has its own value for these keys of a network. The cluster's answer about the network does not contain them.
_MEMBER_SPECIFIC = ("bridge.external_interfaces", "bgp.ipv4.nexthop", "bgp.ipv6.nexthop", "parent")


def find(option: str | None) -> Path:
    """Return the path of the site file: --site, $SIGSRV_SITE, the checkout's, or /etc/sigsrv/site.yaml, in this order.

    Raises UsageError if there is none.
    """
    for given, origin in ((option, "--site"), (os.environ.get("SIGSRV_SITE"), "$SIGSRV_SITE")):
        if given:
            path = Path(given)
            if not path.is_file():
                raise UsageError(f"{given}: no such site file ({origin})")
            return path
    for candidate in (data.checkout_site(), SITE_FILE):
        if candidate and candidate.is_file():
            return candidate
    example = data.folder("policies") / "site.yaml"
    raise UsageError("no site file found", f"use --site FILE, $SIGSRV_SITE or {SITE_FILE}; example: {example}")


def load(path: Path, policies: Collection[str]) -> Site:
    """Read a site file. policies: the ids that exemptions may name.

    Raises UsageError with file, line, the error and what is allowed; also if root reads a file that others may write.
    """
    trusted.check_for_root(path)
    return _read(yamlfile.load(path), policies)


def loads(text: str, path: Path, policies: Collection[str]) -> Site:
    """Return a site from the text of its file. path: where the file is or will be. Raises as ``load``."""
    return _read(yamlfile.parse(text, path), policies)


def shipped_profiles() -> tuple[SiteProfile, ...]:
    """Return the profiles of ``policies/profiles.yaml``, which apply if the site file defines none."""
    document = yamlfile.load(data.folder("policies") / "profiles.yaml")
    yamlfile.validate(document, yamlfile.schema("profiles"))
    return tuple(SiteProfile(**_tuples(entry)) for entry in document.data["profiles"])


def _read(document: yamlfile.YamlDocument, policies: Collection[str]) -> Site:
    yamlfile.validate(document, yamlfile.schema("site"))
    yamlfile.check_characters(document)
    _check(document, policies)
    return parse(document.data, document.path)


def parse(content: Mapping[str, Any], path: Path | None = None) -> Site:
    """Return a site from content that fits the schema. File paths are relative to the folder of ``path``."""
    base = path.parent if path else Path()
    found = {
        "name": content["name"],
        "hosts": tuple(_host(host, base) for host in content["hosts"]),
        "bridges": tuple(_bridge(bridge) for bridge in content.get("bridges", ())),
        "acls": tuple(SiteAcl(**acl) for acl in content.get("acls", ())),
        "pools": tuple(SitePool(**_tuples(pool)) for pool in content.get("pools", ())),
        "projects": tuple(_project(entry, content) for entry in content.get("projects", ())),
        "thresholds": _thresholds(content.get("thresholds", {})),
        "proxies": tuple(SiteProxy(**entry) for entry in content.get("proxies", ())),
        "host_paths": tuple(HostPath(**entry) for entry in content.get("host_paths", ())),
        "backups": Backups(**content["backups"]) if "backups" in content else None,
        "cluster": ClusterSettings(**content.get("cluster", {})),
        "incus": IncusSettings(**content.get("incus", {})),
        "auth": _auth(content.get("auth", {})),
        "antispoof": {bridge: tuple(kinds) for bridge, kinds in content.get("antispoof", {}).items()},
        "profiles": tuple(SiteProfile(**_tuples(entry)) for entry in content.get("profiles", ())),
        "exempt": {
            policy: tuple(Exemption(**_tuples(entry)) for entry in entries)
            for policy, entries in content.get("exempt", {}).items()
        },
        "maintenance": _maintenance(content.get("maintenance", {})),
        "verify_with": tuple(_absolute(base, file) for file in content.get("verify_with", ())),
        "path": path,
    }
    plain = (
        "networks_extra",
        "acl_wide_ports_ok",
        "user_hardening",
        "critical",
        "protected_volumes",
        "warnings_ignored",
    )
    found |= {key: tuple(content[key]) for key in plain if key in content}
    inner = (
        ("instance_limits", "instance_limits", "required"),
        ("image_servers", "images", "servers"),
        ("connectivity", "probes", "connectivity"),
        ("waivers_max_days", "waivers", "max_days"),
    )
    for name, section, key in inner:
        if key in content.get(section, {}):
            value = content[section][key]
            found[name] = tuple(value) if isinstance(value, list) else value
    return Site(**found)


def _tuples(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with each list as a tuple, because the dataclasses are frozen."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}


def _absolute(base: Path, name: str) -> str:
    """Return an absolute path. Raises OSError or RuntimeError: a loop of links, a name that is too long, no such user."""
    return str((base / Path(name).expanduser()).resolve())


def _host(content: Mapping[str, Any], base: Path) -> SiteHost:
    api = content.get("api")
    files = {key: _absolute(base, api[key]) for key in _API_FILES} if api else {}
    return SiteHost(
        **{
            **content,
            "member": content.get("member", content["name"]),
            "ssh_config": _absolute(base, content["ssh_config"]) if "ssh_config" in content else None,
            "api": ApiAddress(**{**api, **files}) if api else None,
        }
    )


def _bridge(content: Mapping[str, Any]) -> SiteBridge:
    return SiteBridge(**{**_tuples(content), "vlan": Vlan(**_tuples(content["vlan"]))})


def _project(content: Mapping[str, Any], site: Mapping[str, Any]) -> SiteProject:
    """Read the entry of projects. By default they may use all networks and pools of the site."""
    pools = tuple(pool["name"] for pool in site.get("pools", ()))
    networks = (*(bridge["name"] for bridge in site.get("bridges", ())), *site.get("networks_extra", ()))
    limits = DEFAULT_LIMITS if content["kind"] == "user" else ()
    return SiteProject(
        **{"features": DEFAULT_FEATURES, "limits": limits, "networks": networks, "pools": pools, **_tuples(content)}
    )


def _auth(content: Mapping[str, Any]) -> Auth:
    listen = {host: tuple(addresses) for host, addresses in content.get("listen", {}).items()}
    return Auth(**{**_tuples(content), "listen": listen})


def _thresholds(content: Mapping[str, Any]) -> Thresholds:
    sizes = {key: Size(size_bytes(content[key])) for key in ("pool_free_min",) if key in content}
    return Thresholds(**{**content, **sizes})


def _check(document: yamlfile.YamlDocument, policies: Collection[str]) -> None:
    """Check what a schema can't: duplicate names, unknown names, addresses outside their network."""
    content = document.data
    for section, key in (
        ("hosts", "name"),
        ("bridges", "name"),
        ("pools", "name"),
        ("profiles", "name"),
        ("projects", "match"),
    ):
        _check_unique(document, section, [entry[key] for entry in content.get(section, ())], key)
    acls = [f'{acl["name"]}" of project "{acl.get("project", "default")}' for acl in content.get("acls", ())]
    _check_unique(document, "acls", acls, "name")
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
    for index, entry in enumerate(content.get("projects", ())):
        _check_known(document, ("projects", index, "networks"), entry.get("networks", ()), networks, "network")
        _check_known(document, ("projects", index, "pools"), entry.get("pools", ()), pools, "pool")
    _check_known(document, ("antispoof",), content.get("antispoof", {}), networks, "network")
    _check_known(document, ("auth", "listen"), content.get("auth", {}).get("listen", {}), hosts, "host")
    if "backups" in content:
        _check_known(document, ("backups",), {"host": content["backups"]["host"]}, hosts, "host")
    _check_known(document, ("exempt",), content.get("exempt", {}), policies, "policy")
    _check_exempt_keys(document, content.get("exempt", {}))
    for index, profile in enumerate(content.get("profiles", ())):
        for place, glob in enumerate(profile.get("policies", ())):
            if not any(fnmatchcase(policy, glob) for policy in policies):
                raise document.error(
                    ("profiles", index, "policies", place), f'no policy matches "{glob}"', nearest(glob, policies)
                )
    for index, bridge in enumerate(content.get("bridges", ())):
        _check_subnet(document, index, bridge)
        for key in bridge.get("config", {}):
            if key in _MEMBER_SPECIFIC:
                wrong = f'"{key}" is a member-specific key'
                raise document.error(
                    ("bridges", index, "config", key), wrong, "set the port of the bridge in vlan.interface"
                )


def _maintenance(content: Mapping[str, Any]) -> Maintenance:
    found = {key: content[key] for key in ("time_zone", "approval_hours") if key in content}
    approval = content.get("approval", ())
    windows = (
        Window(entry["from"], entry["to"], **_tuples({key: entry[key] for key in ("days", "hosts") if key in entry}))
        for entry in content.get("windows", ())
    )
    return Maintenance(
        **found, windows=tuple(windows), approval=DISRUPTIONS if approval == "required" else tuple(approval)
    )


def _check_maintenance(document: yamlfile.YamlDocument, content: Mapping[str, Any], hosts: Collection[str]) -> None:
    """Raise UsageError for a time zone that this machine does not know, and for a host that the site does not have."""
    for index, entry in enumerate(content.get("windows", ())):
        _check_known(document, ("maintenance", "windows", index, "hosts"), entry.get("hosts", ()), hosts, "host")
    try:
        ZoneInfo(content.get("time_zone", "UTC"))
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
    files = [(("api", key), path) for key, path in host.get("api", {}).items() if key in _API_FILES]
    for place, path in [*files, (("ssh_config",), host.get("ssh_config", "."))]:
        try:
            _absolute(document.path.parent, path)
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
    place: tuple[str | int, ...],
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


def _check_subnet(document: yamlfile.YamlDocument, index: int, bridge: Mapping[str, Any]) -> None:
    place: tuple[str | int, ...] = ("bridges", index, "subnet")
    try:
        subnet = ip_network(bridge["subnet"]) if "subnet" in bridge else None
        place = ("bridges", index, "gateway")
        gateway = ip_address(bridge["gateway"]) if "gateway" in bridge else None
    except ValueError as cause:
        raise document.error(
            place, str(cause), "example of a subnet: 172.20.0.0/16, of a gateway: 172.20.0.1"
        ) from cause
    if gateway and (subnet is None or gateway not in subnet):
        raise document.error(
            place, f"{gateway} is not in the subnet {subnet}" if subnet else "a gateway needs a subnet"
        )
