"""The desired topology as typed views; defaults are those of a site that says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from sigsrv.model.errors import UsageError, nearest

Config = Mapping[str, str]

DEFAULT_FEATURES: Mapping[str, bool] = {
    "features.profiles": True,
    "features.storage.volumes": True,
    "features.storage.buckets": True,
}
DEFAULT_LIMITS = ("limits.instances", "limits.cpu", "limits.memory", "limits.disk")


@dataclass(frozen=True)
class ApiAddress:
    """The HTTPS API of a host's daemon. Paths of PEM files; server_cert is the certificate that the server must show."""

    url: str
    client_cert: str
    client_key: str
    server_cert: str
    only: bool = False  # ask nothing but the API: no login


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
    """A selection of the catalogue. policies: globs on ids; severity: that one and worse; projects: globs on names."""

    name: str
    policies: tuple[str, ...] = ("*",)
    severity: str | None = None
    projects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vlan:
    """persisted_by: the systemd unit that attaches the interface at boot, where Incus does not."""

    interface: str
    id: int
    kinds: tuple[str, ...] = ("vlan",)
    parent: str | None = None
    persisted_by: str | None = None


@dataclass(frozen=True)
class SiteBridge:
    """subnet: CIDR, None where the site does not say; gateway: the bridge's own address in it; mtu: bytes."""

    name: str
    vlan: Vlan
    acls: tuple[str, ...] = ()
    acls_exact: bool = False
    acl_default: Mapping[str, str] = field(default_factory=dict)
    subnet: str | None = None
    gateway: str | None = None
    mtu: int = 1500
    extra_ports: tuple[str, ...] = ()
    config: Config = field(default_factory=lambda: {"ipv6.address": "none"})
    isolate: bool = False


@dataclass(frozen=True)
class SitePool:
    """members: names of hosts, None for all; loop_ok: it may be a file; config: keys that must have these values."""

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
    """An ACL that must exist. min_rules: how many rules, of both directions, must take effect."""

    name: str
    project: str = "default"
    min_rules: int = 1


@dataclass(frozen=True)
class Thresholds:
    """From where on it is a finding. free, available: at least; all others: at most."""

    pool_free_percent: int = 15
    pool_free_min: int = 5 * 1024**3  # bytes
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
    """What projects of a name must be. networks, pools: those that they may use, None for all of the site's."""

    match: str
    kind: str  # system or user
    features: Mapping[str, bool] = field(default_factory=lambda: DEFAULT_FEATURES)
    networks: tuple[str, ...] | None = None
    pools: tuple[str, ...] | None = None
    limits: tuple[str, ...] = ()

    @property
    def is_glob(self) -> bool:
        """Whether it stands for any number of projects, none among them; else for the one of that name."""
        return any(sign in self.match for sign in "*?[")


@dataclass(frozen=True)
class HostPath:
    instance: str
    source: str
    readonly: bool = False


@dataclass(frozen=True)
class SiteProxy:
    """A proxy device that may be. All three are globs; a wildcard address only where ``listen`` spells it out."""

    instance: str
    listen: str
    connect: str


@dataclass(frozen=True)
class Backups:
    """Where backups are kept.

    pattern: a glob on a file's name, in which ``{name}`` is the instance's or volume's, ``{project}`` its project.
    """

    host: str
    dir: str
    pattern: str


@dataclass(frozen=True)
class ClusterSettings:
    """voters_min: members with a vote in the database; thresholds: seconds, 0 for healing means never."""

    voters_min: int = 1
    offline_threshold: int = 20
    healing_threshold: int = 0


@dataclass(frozen=True)
class IncusSettings:
    """minimum: the oldest version allowed; track: ``lts`` or ``feature``."""

    minimum: str = "6.0.4"
    track: str = "lts"


@dataclass(frozen=True)
class Auth:
    """listen: by host, the addresses that the API may listen on; full_certificates: names or fingerprints."""

    listen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    full_certificates: tuple[str, ...] = ()
    admins: tuple[str, ...] = ()
    log_targets_min: int = 1


@dataclass(frozen=True)
class Exemption:
    """match: a glob on the finding's resource. keys: only these configuration keys of it; empty: all of it."""

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
    backups: Backups | None = None
    cluster: ClusterSettings = ClusterSettings()
    incus: IncusSettings = IncusSettings()
    auth: Auth = Auth()
    image_servers: tuple[str, ...] = ("https://images.linuxcontainers.org",)
    warnings_ignored: tuple[str, ...] = ()
    connectivity: str = "passive"  # or off: whether XHOST-004 looks at what the bridges have learned
    profiles: tuple[SiteProfile, ...] = ()
    waivers_max_days: int = 365
    exempt: Mapping[str, tuple[Exemption, ...]] = field(default_factory=dict)
    path: Path | None = None

    @property
    def has_zfs(self) -> bool:
        return any(pool.driver == "zfs" for pool in self.pools)

    @property
    def networks(self) -> tuple[str, ...]:
        """The managed networks of the site: its bridges and the extra ones."""
        return (*(bridge.name for bridge in self.bridges), *self.networks_extra)

    def exemption(self, policy: str, resource: str) -> Exemption | None:
        """The exemption of a whole finding; its glob is held against the resource."""
        return next((e for e in self._exemptions(policy, resource) if not e.keys), None)

    def exempt_keys(self, policy: str, resource: str) -> Mapping[str, str]:
        """The configuration keys of a resource that are exempt, with the reason of each."""
        return {key: e.reason for e in self._exemptions(policy, resource) for key in e.keys}

    def _exemptions(self, policy: str, resource: str) -> list[Exemption]:
        return [e for e in self.exempt.get(policy, ()) if fnmatchcase(resource, e.match)]

    def project(self, name: str) -> SiteProject | None:
        """The entry that a project falls under: the first that matches."""
        return next((entry for entry in self.projects if fnmatchcase(name, entry.match)), None)

    def networks_of(self, project: str) -> tuple[str, ...]:
        """The networks that a project's instances may use; none, where no entry of the site matches it."""
        entry = self.project(project)
        if entry is None:
            return ()
        return self.networks if entry.networks is None else entry.networks

    def pools_of(self, project: str) -> tuple[str, ...]:
        """The pools that a project may use; none, where no entry of the site matches it."""
        entry = self.project(project)
        if entry is None:
            return ()
        return tuple(pool.name for pool in self.pools) if entry.pools is None else entry.pools

    def is_critical(self, instance: str) -> bool:
        """Whether an instance, ``PROJECT/NAME``, is one of those that must run."""
        return any(fnmatchcase(instance, glob) for glob in self.critical)

    def is_protected(self, volume: str) -> bool:
        """Whether a custom volume, ``POOL/PROJECT/NAME``, is one that must have snapshots and backups."""
        return any(fnmatchcase(volume, glob) for glob in self.protected_volumes)

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
