"""site: the desired topology, from the site file.

Room: the model. Frozen dataclasses; no I/O but loading.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sigsrv import data, yamlfile
from sigsrv.collect import ApiAddress
from sigsrv.errors import UsageError, nearest
from sigsrv.facts.config import size_bytes

DEFAULT_FEATURES: Mapping[str, bool] = {
    "features.profiles": True,
    "features.storage.volumes": True,
    "features.storage.buckets": True,
}


@dataclass(frozen=True)
class SiteHost:
    name: str
    member: str
    address: str = ""
    ssh_config: str | None = None
    sudo: bool = False
    timeout_s: float = 15.0
    api: ApiAddress | None = None


@dataclass(frozen=True)
class Vlan:
    interface: str
    id: int
    kinds: tuple[str, ...] = ("vlan",)
    parent: str | None = None


@dataclass(frozen=True)
class SiteBridge:
    name: str
    vlan: Vlan
    acls: tuple[str, ...] = ()
    acls_exact: bool = False
    acl_default: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SitePool:
    name: str
    driver: str
    zpool: str | None = None
    members: tuple[str, ...] | None = None  # names of hosts; None: all

    def is_on(self, host: str) -> bool:
        return self.members is None or host in self.members


@dataclass(frozen=True)
class SiteAcl:
    """An ACL that must exist. min_rules: how many rules, of both directions, must take effect."""

    name: str
    project: str = "default"
    min_rules: int = 1


@dataclass(frozen=True)
class Thresholds:
    """From where on it is a finding. free: at least; capacity, fragmentation, days: at most."""

    pool_free_percent: int = 15
    pool_free_min: int = 5 * 1024**3  # bytes
    inode_free_percent: int = 10
    zfs_capacity_percent: int = 80
    zfs_fragmentation_percent: int = 50
    zfs_scrub_days: int = 35


@dataclass(frozen=True)
class SiteProject:
    match: str
    kind: str
    features: Mapping[str, bool]


@dataclass(frozen=True)
class HostPath:
    instance: str
    source: str
    readonly: bool = False


@dataclass(frozen=True)
class Exemption:
    match: str
    reason: str


@dataclass(frozen=True)
class Site:
    name: str
    hosts: tuple[SiteHost, ...]
    bridges: tuple[SiteBridge, ...] = ()
    networks_extra: tuple[str, ...] = ()
    acls: tuple[SiteAcl, ...] = ()
    pools: tuple[SitePool, ...] = ()
    projects: tuple[SiteProject, ...] = ()
    thresholds: Thresholds = Thresholds()
    host_paths: tuple[HostPath, ...] = ()
    exempt: Mapping[str, tuple[Exemption, ...]] = field(default_factory=dict)
    path: Path | None = None

    @property
    def has_zfs(self) -> bool:
        return any(pool.driver == "zfs" for pool in self.pools)

    def exemption(self, policy: str, resource: str) -> Exemption | None:
        """The exemption of a finding; its glob is held against the resource."""
        return next((e for e in self.exempt.get(policy, ()) if fnmatchcase(resource, e.match)), None)

    def project(self, name: str) -> SiteProject | None:
        """The entry that a project falls under: the first that matches."""
        return next((entry for entry in self.projects if fnmatchcase(name, entry.match)), None)

    def select(self, names: str | None) -> tuple[SiteHost, ...]:
        """The hosts named in a comma-separated list; all, where there is none. Raises UsageError for an unknown one."""
        if names is None:
            return self.hosts
        known = {host.name: host for host in self.hosts}
        wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
        if not wanted:
            raise UsageError("--hosts names no host", f"hosts of site {self.name}: {', '.join(known)}")
        for name in wanted:
            if name not in known:
                hint = nearest(name, known)
                raise UsageError(f'--hosts: "{name}" is no host of site {self.name} ({self.path})', hint)
        return tuple(host for host in self.hosts if host.name in wanted)


def find(option: str | None) -> Path:
    """The site file: the option, $SIGSRV_SITE, the checkout's, /etc/sigsrv/site.yaml. Raises UsageError where there is none."""
    for given, origin in ((option, "--site"), (os.environ.get("SIGSRV_SITE"), "$SIGSRV_SITE")):
        if given:
            path = Path(given)
            if not path.is_file():
                raise UsageError(f"{given}: no such site file ({origin})")
            return path
    for candidate in (data.checkout_site(), Path("/etc/sigsrv/site.yaml")):
        if candidate and candidate.is_file():
            return candidate
    example = data.folder("policies") / "site.yaml"
    raise UsageError(
        "there is no site file", f"--site FILE, $SIGSRV_SITE or /etc/sigsrv/site.yaml; an example: {example}"
    )


def load(path: Path, policies: Collection[str]) -> Site:
    """Read a site file. policies: the ids that exemptions may name.

    Raises UsageError: file, line, what is wrong, what is allowed.
    """
    document = yamlfile.load(path)
    schema = json.loads((data.folder("policies") / "schema" / "site.schema.json").read_text(encoding="utf-8"))
    yamlfile.validate(document, schema)
    _check(document, policies)
    return parse(document.data, path)


def parse(content: Mapping[str, Any], path: Path | None = None) -> Site:
    """A site from content that fits the schema. ``ssh_config`` is taken relative to the folder of ``path``."""
    base = path.parent if path else Path()
    return Site(
        name=content["name"],
        hosts=tuple(_host(host, base) for host in content["hosts"]),
        bridges=tuple(_bridge(bridge) for bridge in content.get("bridges", ())),
        networks_extra=tuple(content.get("networks_extra", ())),
        acls=tuple(SiteAcl(**acl) for acl in content.get("acls", ())),
        pools=tuple(
            SitePool(**{**pool, "members": tuple(pool["members"]) if "members" in pool else None})
            for pool in content.get("pools", ())
        ),
        projects=tuple(
            SiteProject(entry["match"], entry["kind"], entry.get("features", DEFAULT_FEATURES))
            for entry in content.get("projects", ())
        ),
        thresholds=_thresholds(content.get("thresholds", {})),
        host_paths=tuple(HostPath(**entry) for entry in content.get("host_paths", ())),
        exempt={
            policy: tuple(Exemption(**entry) for entry in entries)
            for policy, entries in content.get("exempt", {}).items()
        },
        path=path,
    )


def _host(content: Mapping[str, Any], base: Path) -> SiteHost:
    def near(name: str) -> str:
        return str((base / Path(name).expanduser()).resolve())

    api = content.get("api")
    files = {key: near(api[key]) for key in ("client_cert", "client_key", "server_cert")} if api else {}
    return SiteHost(
        **{
            **content,
            "member": content.get("member", content["name"]),
            "ssh_config": near(content["ssh_config"]) if "ssh_config" in content else None,
            "api": ApiAddress(**{**api, **files}) if api else None,
        }
    )


def _bridge(content: Mapping[str, Any]) -> SiteBridge:
    vlan = content["vlan"]
    return SiteBridge(
        name=content["name"],
        vlan=Vlan(vlan["interface"], vlan["id"], tuple(vlan.get("kinds", ("vlan",))), vlan.get("parent")),
        acls=tuple(content.get("acls", ())),
        acls_exact=content.get("acls_exact", False),
        acl_default=content.get("acl_default", {}),
    )


def _thresholds(content: Mapping[str, Any]) -> Thresholds:
    sizes = {key: size_bytes(content[key]) for key in ("pool_free_min",) if key in content}
    return Thresholds(**{**content, **sizes})


def _check(document: yamlfile.Located, policies: Collection[str]) -> None:
    """What a schema can't say: names that stand twice, names of nothing."""
    content = document.data
    for section in ("hosts", "bridges", "pools"):
        seen: set[str] = set()
        for index, entry in enumerate(content.get(section, ())):
            if entry["name"] in seen:
                raise document.error((section, index, "name"), f'"{entry["name"]}" stands here twice')
            seen.add(entry["name"])
    acls: set[tuple[str, str]] = set()
    for index, acl in enumerate(content.get("acls", ())):
        key = (acl.get("project", "default"), acl["name"])
        if key in acls:
            raise document.error(("acls", index, "name"), f'"{acl["name"]}" of project {key[0]} stands here twice')
        acls.add(key)
    hosts = [host["name"] for host in content["hosts"]]
    members: set[str] = set()
    for index, host in enumerate(content["hosts"]):
        member = host.get("member", host["name"])
        if member in members:
            raise document.error(("hosts", index), f'two hosts are the member "{member}"')
        members.add(member)
    for index, pool in enumerate(content.get("pools", ())):
        for place, name in enumerate(pool.get("members", ())):
            if name not in hosts:
                raise document.error(("pools", index, "members", place), f'"{name}" is no host', nearest(name, hosts))
    for policy in content.get("exempt", {}):
        if policy not in policies:
            raise document.error(("exempt", policy), f'there is no policy "{policy}"', nearest(policy, policies))
