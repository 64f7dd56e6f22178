"""Finds and validates the site file, and converts it to a Site."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sigsrv.model import data, site_checks, trusted, yamlfile
from sigsrv.model.errors import UsageError
from sigsrv.model.maintenance import DISRUPTIONS, Maintenance, Window
from sigsrv.model.managed import Manager
from sigsrv.model.site import (
    DEFAULT_FEATURES,
    DEFAULT_LIMITS,
    ApiAddress,
    Backups,
    ClusterSettings,
    Exemption,
    IncusSettings,
    RedundantGroup,
    Site,
    SiteAcl,
    SiteHost,
    SitePool,
    SiteProfile,
    SiteProject,
    SiteZone,
    Thresholds,
)
from sigsrv.model.site_access import Auth, ListenOn, Oidc
from sigsrv.model.site_bridges import SiteBridge, Vlan
from sigsrv.model.site_checks import API_FILES, BY_HOST, VLAN_BY_HOST, absolute, on_host
from sigsrv.model.site_devices import HostPath, SiteProxy
from sigsrv.model.values import Size, size_bytes

SITE_FILE = Path("/etc/sigsrv/site.yaml")


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
    site_checks.check(document, policies)
    return parse(document.data, document.path)


def parse(content: Mapping[str, Any], path: Path | None = None) -> Site:
    """Return a site from content that fits the schema. File paths are relative to the folder of ``path``."""
    base = path.parent if path else Path()
    hosts = [host["name"] for host in content["hosts"]]
    found = {
        "name": content["name"],
        "hosts": tuple(_host(host, base) for host in content["hosts"]),
        "bridges": tuple(_bridge(bridge, hosts) for bridge in content.get("bridges", ())),
        "acls": tuple(SiteAcl(**acl) for acl in content.get("acls", ())),
        "pools": tuple(SitePool(**_tuples(pool)) for pool in content.get("pools", ())),
        "projects": tuple(_project(entry, content) for entry in content.get("projects", ())),
        "thresholds": _thresholds(content.get("thresholds", {})),
        "proxies": tuple(SiteProxy(**entry) for entry in content.get("proxies", ())),
        "host_paths": tuple(HostPath(**entry) for entry in content.get("host_paths", ())),
        "zones": tuple(SiteZone(**entry) for entry in content["zones"]) if "zones" in content else None,
        "redundant": tuple(RedundantGroup(**_tuples(entry)) for entry in content.get("redundant", ())),
        "backups": _backups(content["backups"]) if "backups" in content else None,
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
        "managed_by": tuple(Manager(**_tuples(entry)) for entry in content.get("managed_by", ())),
        "verify_with": tuple(absolute(base, file) for file in content.get("verify_with", ())),
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


def _host(content: Mapping[str, Any], base: Path) -> SiteHost:
    api = content.get("api")
    files = {key: absolute(base, api[key]) for key in API_FILES} if api else {}
    return SiteHost(
        **{
            **content,
            "member": content.get("member", content["name"]),
            "ssh_config": absolute(base, content["ssh_config"]) if "ssh_config" in content else None,
            "api": ApiAddress(**{**api, **files}) if api else None,
        }
    )


def _bridge(content: Mapping[str, Any], hosts: Iterable[str]) -> SiteBridge:
    members = content.get("members")
    by_host = {host: _bridge_on(host, content) for host in (hosts if members is None else members)}
    differ = any(isinstance(content.get(key), Mapping) for key in BY_HOST) or any(
        isinstance(content["vlan"].get(key), Mapping) for key in VLAN_BY_HOST
    )
    if not differ:
        return _bridge_on("", content)
    return replace(next(iter(by_host.values())), by_host=by_host).among(by_host)


def _bridge_on(host: str, content: Mapping[str, Any]) -> SiteBridge:
    """Return a bridge with the values of one host."""

    def own(values: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
        return {key: on_host(value, host) if key in keys else value for key, value in _tuples(values).items()}

    return SiteBridge(**{**own(content, BY_HOST), "vlan": Vlan(**own(content["vlan"], VLAN_BY_HOST))})


def _backups(content: Mapping[str, Any]) -> Backups:
    if "external" in content:
        return Backups(**content.get("proof", {}), external=content["external"])
    return Backups(**content)


def _project(content: Mapping[str, Any], site: Mapping[str, Any]) -> SiteProject:
    """Read the entry of projects. By default they may use all networks and pools of the site."""
    pools = tuple(pool["name"] for pool in site.get("pools", ()))
    networks = (*(bridge["name"] for bridge in site.get("bridges", ())), *site.get("networks_extra", ()))
    limits = DEFAULT_LIMITS if content["kind"] == "user" else ()
    found = {"features": DEFAULT_FEATURES, "limits": limits, "networks": networks, "pools": pools, **_tuples(content)}
    if isinstance(found["limits"], Mapping):
        values = found["limits"]
        found |= {"limits": tuple(values), "limits_max": {key: str(value) for key, value in values.items()}}
    return SiteProject(**found)


def _auth(content: Mapping[str, Any]) -> Auth:
    listen = {
        host: tuple(ListenOn(**each) if isinstance(each, Mapping) else each for each in addresses)
        for host, addresses in content.get("listen", {}).items()
    }
    oidc = Oidc(**content["oidc"]) if "oidc" in content else None
    return Auth(**{**_tuples(content), "listen": listen, "oidc": oidc})


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


def _thresholds(content: Mapping[str, Any]) -> Thresholds:
    sizes = {key: Size(size_bytes(content[key])) for key in ("pool_free_min",) if key in content}
    return Thresholds(**{**content, **sizes})
