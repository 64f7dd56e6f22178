"""The desired topology as typed views. The defaults apply to everything that the site file leaves out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase, translate
from functools import cached_property
from pathlib import Path
from typing import Literal

from sigsrv.model import addresses
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.maintenance import Maintenance
from sigsrv.model.managed import Manager
from sigsrv.model.site_access import Auth
from sigsrv.model.site_bridges import SiteBridge
from sigsrv.model.site_devices import HostPath, SiteProxy
from sigsrv.model.values import Size

Config = Mapping[str, str]
_SHORTEST_FINGERPRINT = 12  # the site file must give at least this many characters of a fingerprint
_POOL_FREE_MIN = Size(5 * 1024**3)

DEFAULT_FEATURES: Mapping[str, bool] = {
    "features.profiles": True,
    "features.storage.volumes": True,
    "features.storage.buckets": True,
}
DEFAULT_LIMITS = ("limits.instances", "limits.cpu", "limits.memory", "limits.disk")


@dataclass(frozen=True)
class ApiAddress:
    """The HTTPS API of a host's Incus daemon. All files are PEM. server_cert: the certificate that the server must present."""

    url: str
    client_cert: str
    client_key: str
    server_cert: str
    only: bool = False  # use the API only: no login, no probes


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
class SiteProfile:
    """A named selection of policies. policies: globs on ids. severity: the minimum severity. projects: globs on names."""

    name: str
    policies: tuple[str, ...] = ("*",)
    severity: str | None = None
    projects: tuple[str, ...] = ()


@dataclass(frozen=True)
class SitePool:
    """A pool. members: names of hosts, None for all. loop_ok: the pool may be a file. config: required keys and values."""

    name: str
    driver: str
    zpool: str | None = None
    members: tuple[str, ...] | None = None
    loop_ok: bool = False
    config: Config = field(default_factory=dict)

    def is_on(self, host: str) -> bool:
        return self.members is None or host in self.members


@dataclass(frozen=True)
class SiteAcl:
    """An ACL that must exist. min_rules: the minimum number of rules in effect, both directions together."""

    name: str
    project: str = "default"
    min_rules: int = 1


@dataclass(frozen=True)
class SiteZone:
    """A DNS zone that must exist. peers: the servers that may transfer it, name -> address."""

    name: str
    project: str = "default"
    peers: Mapping[str, str] = field(default_factory=dict)

    @property
    def resource(self) -> str:
        """Return ``PROJECT/ZONE``."""
        return f"{self.project}/{self.name}"


@dataclass(frozen=True)
class Thresholds:
    """The limits beyond which a policy fails.

    Minimums: ``*_free_*``, memory_available_percent and certificate_days. journal_hours: how far back to read the journal.
    All others are maximums.
    """

    pool_free_percent: int = 15
    pool_free_min: Size = _POOL_FREE_MIN
    inode_free_percent: int = 10
    zfs_capacity_percent: int = 80
    zfs_fragmentation_percent: int = 50
    zfs_scrub_days: int = 35
    fs_free_percent: int = 10
    memory_available_percent: int = 10
    load_per_cpu: float = 2.0
    clock_skew_seconds: float = 2.0
    journal_hours: int = 24
    journal_errors_max: int = 0
    certificate_days: int = 30
    image_days: int = 60
    snapshot_hours: int = 26
    backup_days: int = 8
    update_days: int = 35


@dataclass(frozen=True)
class SiteProject:
    """Requirements for the projects that ``match`` matches.

    networks, pools: what they may use; None for all of the site. limits: the limits that they must set. limits_max: the highest value of
    some of them.
    """

    match: str
    kind: Literal["system", "user"]
    features: Mapping[str, bool] = field(default_factory=lambda: DEFAULT_FEATURES)
    networks: tuple[str, ...] | None = None
    pools: tuple[str, ...] | None = None
    limits: tuple[str, ...] = ()
    limits_max: Mapping[str, str] = field(default_factory=dict)
    limits_if_unset: Mapping[str, str] = field(default_factory=dict)
    volume_size_if_unset: str = ""

    @property
    def is_declared(self) -> bool:
        """Return whether it is an entry of the site file, and not the strictest requirements for a project without one."""
        return bool(self.match)

    @property
    def limits_without_disk(self) -> tuple[str, ...]:
        """Return the limits without limits.disk, for which a limit for each pool is enough."""
        return tuple(key for key in self.limits if key != "limits.disk")

    @property
    def name(self) -> str:
        """Return the name of the project; for an entry of any number of projects, its pattern."""
        return self.match

    @property
    def is_glob(self) -> bool:
        """Return whether the entry is for any number of projects, including none. Otherwise it is for one project."""
        return any(sign in self.match for sign in "*?[")


UNDECLARED_PROJECT = SiteProject("", "user", networks=(), pools=(), limits=DEFAULT_LIMITS)
"""The strictest requirements: for a project that no entry of the site file matches."""


@dataclass(frozen=True)
class Backups:
    """Where backups are stored.

    pattern: a glob on file names. ``{name}`` stands for the instance or volume, ``{project}`` for its project. external: where the backups
    are if they are on no host of the site; the files then only prove their dates, and without a host nothing does.
    """

    host: str = ""
    dir: str = ""
    pattern: str = ""
    external: str = ""


@dataclass(frozen=True)
class RedundantGroup:
    """Instances that do the same work, each ``PROJECT/NAME``: each must run on a host of its own."""

    name: str
    instances: tuple[str, ...]


@dataclass(frozen=True)
class ClusterSettings:
    """Settings of the cluster. voters_min: members with a vote in the database. Thresholds: seconds; healing 0 means never."""

    voters_min: int = 1
    offline_threshold: int = 20
    healing_threshold: int = 0


@dataclass(frozen=True)
class IncusSettings:
    """The allowed Incus versions. minimum: the oldest version allowed. track: ``lts`` or ``feature``."""

    minimum: str = "6.0.4"
    track: Literal["lts", "feature"] = "lts"


@dataclass(frozen=True)
class Exemption:
    """A resource that a policy does not apply to. match: a glob on the resource of the finding.

    keys: exempts only these configuration keys of the resource; if empty, the whole resource.
    """

    match: str
    reason: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    name: str
    hosts: tuple[SiteHost, ...]
    bridges: tuple[SiteBridge, ...] = ()
    networks_extra: tuple[str, ...] = ()
    acls: tuple[SiteAcl, ...] = ()
    acl_wide_ports_ok: tuple[str, ...] = ()
    zones: tuple[SiteZone, ...] | None = None
    pools: tuple[SitePool, ...] = ()
    projects: tuple[SiteProject, ...] = ()
    thresholds: Thresholds = Thresholds()
    instance_limits: tuple[str, ...] = ("memory", "cpu", "processes")
    user_hardening: tuple[str, ...] = ("user",)
    antispoof: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    proxies: tuple[SiteProxy, ...] = ()
    host_paths: tuple[HostPath, ...] = ()
    critical: tuple[str, ...] = ()
    protected_volumes: tuple[str, ...] = ()
    redundant: tuple[RedundantGroup, ...] = ()
    backups: Backups | None = None
    cluster: ClusterSettings = ClusterSettings()
    incus: IncusSettings = IncusSettings()
    auth: Auth = field(default_factory=Auth)
    image_servers: tuple[str, ...] = ("https://images.linuxcontainers.org",)
    warnings_ignored: tuple[str, ...] = ()
    # passive: XHOST-004 reads the addresses that the bridges have learned
    connectivity: Literal["passive", "off"] = "passive"
    profiles: tuple[SiteProfile, ...] = ()
    waivers_max_days: int = 365
    managed_by: tuple[Manager, ...] = ()
    verify_with: tuple[str, ...] = ()  # absolute paths of the site's own tests
    maintenance: Maintenance = field(default_factory=Maintenance)
    exempt: Mapping[str, tuple[Exemption, ...]] = field(default_factory=dict)
    path: Path | None = None

    def at(self, host: str) -> Site:
        """Return the site as one host has it: its bridges with the values of this host."""
        return self.among((host,))

    def among(self, hosts: tuple[str, ...]) -> Site:
        """Return the site as some hosts have it: bridges with the values that all of them have in common."""
        if not any(bridge.by_host for bridge in self.bridges):
            return self
        if hosts not in self._among:
            self._among[hosts] = replace(self, bridges=tuple(bridge.among(hosts) for bridge in self.bridges))
        return self._among[hosts]

    @cached_property
    def _among(self) -> dict[tuple[str, ...], Site]:
        """Map the hosts that ``among`` was asked for to their sites: each policy asks again."""
        return {}

    @property
    def has_zfs(self) -> bool:
        return any(pool.driver == "zfs" for pool in self.pools)

    @property
    def image_origins(self) -> frozenset[str]:
        """Return the image servers, each in one spelling, see ``Image.origin``."""
        return frozenset(origin for server in self.image_servers if (origin := addresses.url_origin(server)))

    @property
    def networks(self) -> tuple[str, ...]:
        """Return the managed networks of the site: its bridges and ``networks_extra``."""
        return (*(bridge.name for bridge in self.bridges), *self.networks_extra)

    def exemption(self, policy: str, resource: str) -> Exemption | None:
        """Return the exemption of a whole finding; None if there is none. Its glob is matched against the resource."""
        return next((e for e in self._exemptions(policy, resource) if not e.keys), None)

    def exempt_keys(self, policy: str, resource: str) -> Mapping[str, str]:
        """Return the exempt configuration keys of a resource, each with its reason."""
        return {key: e.reason for e in self._exemptions(policy, resource) for key in e.keys}

    def _exemptions(self, policy: str, resource: str) -> list[Exemption]:
        if policy not in self._exempt_names or not self._exempt_names[policy].match(resource):
            return []
        return [e for e in self.exempt[policy] if fnmatchcase(resource, e.match)]

    @cached_property
    def _exempt_names(self) -> Mapping[str, re.Pattern[str]]:
        """Map a policy to the names that one of its exemptions matches, because most resources match none."""
        globs = {policy: [e.match for e in entries] for policy, entries in self.exempt.items() if entries}
        return {policy: re.compile("|".join(map(translate, each))) for policy, each in globs.items()}

    def project(self, name: str) -> SiteProject | None:
        """Return the entry for a project: the first one that matches. None if there is none."""
        if name not in self._entry_of:
            self._entry_of[name] = next((entry for entry in self.projects if fnmatchcase(name, entry.match)), None)
        return self._entry_of[name]

    @cached_property
    def _entry_of(self) -> dict[str, SiteProject | None]:
        """Map the projects that ``project`` was asked for to their entries: a check asks for each instance."""
        return {}

    def project_or_strict(self, name: str) -> SiteProject:
        """Return the entry for a project; the strictest requirements if there is none."""
        return self.project(name) or UNDECLARED_PROJECT

    def networks_of(self, project: str) -> tuple[str, ...]:
        """Return the networks that the instances of a project may use; none if no entry matches the project."""
        entry = self.project_or_strict(project)
        return self.networks if entry.networks is None else entry.networks

    def pools_of(self, project: str) -> tuple[str, ...]:
        """Return the pools that a project may use; none if no entry matches the project."""
        entry = self.project_or_strict(project)
        return tuple(pool.name for pool in self.pools) if entry.pools is None else entry.pools

    def full_certificate(self, name: str, is_name_unique: bool, fingerprint: str) -> str | None:
        """Return the entry of ``auth.full_certificates`` for a certificate: its name if no other one has it, or the beginning of its
        fingerprint; None if there is none.
        """
        for each in self.auth.full_certificates:
            if (is_name_unique and each == name) or (
                len(each) >= _SHORTEST_FINGERPRINT and fingerprint.startswith(each.lower())
            ):
                return each
        return None

    def is_critical(self, instance: str) -> bool:
        """Return whether an instance, ``PROJECT/NAME``, must run."""
        return any(fnmatchcase(instance, glob) for glob in self.critical)

    def is_protected(self, volume: str) -> bool:
        """Return whether a custom volume, ``POOL/PROJECT/NAME``, must have snapshots and backups."""
        return any(fnmatchcase(volume, glob) for glob in self.protected_volumes)

    def select(self, names: str | None) -> tuple[SiteHost, ...]:
        """Return the hosts in a comma-separated list; all hosts if it is None. Raises UsageError for an unknown host."""
        if names is None:
            return self.hosts
        known = {host.name: host for host in self.hosts}
        wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
        if not wanted:
            raise UsageError("--hosts names no host", f"hosts of site {self.name}: {', '.join(known)}")
        for name in wanted:
            if name not in known:
                hint = nearest(name, known)
                raise UsageError(f'--hosts: "{name}" is not a host of site {self.name} ({self.path})', hint)
        return tuple(host for host in self.hosts if host.name in wanted)
