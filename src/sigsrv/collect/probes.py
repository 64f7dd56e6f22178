"""The table of probes. ``collect.script`` runs them on a host, ``collect.answers`` reads what comes back."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

SOCKET = "/var/lib/incus/unix.socket"
USER_SOCKET = "/var/lib/incus/unix.socket.user"  # of incus-user, for accounts that get a project of their own
SSHD_FILE = "/etc/ssh/sshd_config"
SSHD_FOLDER = f"{SSHD_FILE}.d"
UNITS = ("incus.service", "incus.socket", "incus-startup.service")
PACKAGES = ("incus", "incus-base", "incus-client")
PACKAGE_FORMAT = "${Package}\\t${Version}\\t${db:Status-Abbrev}\\n"
INCUS_NIXPKGS = "/etc/sigsrv/incus-nixpkgs"  # the configuration writes it, see HOST-010
DF_COLUMNS = ("source", "fstype", "size", "used", "avail", "itotal", "iused", "target")
BRIDGE_NF = ("/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables")
# --all: without it, journalctl leaves out fields longer than 4096 bytes.
_JOURNAL = ("-u", "incus.service", "-o", "json", "--output-fields=PRIORITY,MESSAGE", "--all", "--no-pager")
# Without any journal file, journalctl prints nothing and exits with 0. Only an entry proves that a journal exists.
_NEWEST = ("-n", "1", "-o", "json", "--output-fields=PRIORITY", "--no-pager")
_FOUND = ("-type", "f", "-printf", "%T@ %s %p\\0")
_PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,WantedBy,RequiredBy,NRestarts,Result"

# The limits of bytes: for a few lines; for a line per disk, listener, unit or package; for what grows with instances and users.
_SMALL, _MEDIUM, _LARGE = 64 * 1024, 4 * 1024 * 1024, 16 * 1024 * 1024


def readable(size_bytes: int) -> str:
    """Return a number of bytes in the largest unit that divides it."""
    for unit, factor in (("MiB", 1024 * 1024), ("KiB", 1024)):
        if size_bytes % factor == 0:
            return f"{size_bytes // factor} {unit}"
    return f"{size_bytes} bytes"


@dataclass(frozen=True)
class Probe:
    """One command on the host. It only reads.

    limit_bytes: of its standard output, far above what a large host prints. root: only root sees everything, so other accounts run
    it under ``sudo -n``. slow: runs after all other probes and the Incus API. needs: the site property without which it does not run
    (``zfs``, ``backups``); "" for every site.
    """

    id: str
    command: tuple[str, ...]
    parsed_by: str
    timeout_s: int = 5
    limit_bytes: int = _SMALL
    root: bool = False
    slow: bool = False
    needs: str = ""

    @property
    def shell(self) -> str:
        return shlex.join(self.command)

    @property
    def limit(self) -> str:
        """Return ``limit_bytes`` with its unit."""
        return readable(self.limit_bytes)


@dataclass(frozen=True)
class ProbeOptions:
    """The properties of a site that select the probes of a host and their arguments.

    units: systemd units besides Incus's own. journal_hours: how far back to read the journal. backups: the folder with backups
    on this host; None if they are on another host.
    """

    zfs: bool = False
    units: tuple[str, ...] = ()
    journal_hours: int = 24
    backups: str | None = None


# apt's release files contain the archive's name and the date of its creation. The mtime is no evidence: a failed update changes it,
# and a successful update without news does not. So the probe reads the date in the file.
_RELEASES = ("-maxdepth", "1", "-name", "*Release", "-exec", "grep", "-HE", "^(Label|Suite|Codename|Date): ", "{}", "+")
# The running kernel with its version; the file that Debian packages create to request a reboot; the installed kernels. A kernel
# that was upgraded in place keeps its name, so the version of its package is needed too.
_REBOOT = (
    "uname -r && uname -v || exit; ls -d /run/reboot-required /boot/vmlinuz-* 2>/dev/null; "
    "dpkg-query -W -f '${Version}\\n' \"linux-image-$(uname -r)\" 2>/dev/null; true"
)
# Only for NixOS: on other systems the answer is empty and not a failure. The profile is the system that boots next. The version of a system
# from a channel has no day, so the probe reads when root fetched the channel: a generation of a profile is a link that Nix writes once.
# Files in the store have no time, but the birth of a store path is when the host got it.
_NIXOS = (
    "command -v nixos-version >/dev/null || exit 0; nixos-version --json && stat -c %Y /nix/var/nix/profiles/system && "
    "readlink /run/booted-system/kernel /run/current-system/kernel && "
    "readlink -f /nix/var/nix/profiles/system /run/current-system && "
    "{ readlink -f /nix/var/nix/profiles/system/specialisation/* 2>/dev/null; true; } || exit; "
    "for part in initrd kernel-modules; do "
    'echo "$part $(readlink /run/booted-system/$part || echo -) $(readlink /run/current-system/$part || echo -)"; done; '
    "for link in /nix/var/nix/profiles/per-user/root/channels-*-link; do "
    '[ ! -e "$link/nixos/.version-suffix" ] || echo "channel $(stat -c %Y "$link") $(head -c 80 "$link/nixos/.version-suffix")"; done; '
    'incus=$(readlink -f "$(command -v incus)") && echo "incus $(stat -c %W "${incus%/bin/*}") $incus" || echo "incus 0 -"; '
    f'[ ! -e {INCUS_NIXPKGS} ] || echo "incus-nixpkgs $(head -c 80 {INCUS_NIXPKGS})"'
)

_PACKAGES = f"command -v dpkg-query >/dev/null || exit 0; dpkg-query -W -f '{PACKAGE_FORMAT}' {' '.join(PACKAGES)}"
# The upgrades from the security archives. Includes new packages (such as a kernel), packages on hold, and packages for which another
# archive has an even newer version. apt fails if no security archive is configured.
_UPGRADE = (
    "command -v apt-get >/dev/null || exit 0; exec apt-get -s -o Debug::NoLocking=true -o APT::Get::Always-Include-Phased-Updates=true "
    "-t '*-security' --ignore-hold dist-upgrade"
)

# A request to the API starts a daemon that systemd has not started yet (socket activation), so these are awaited before the first one.
BEFORE_API = frozenset({"units", "failed-units", "socket", "socket-access"})

_SSHD_ROOT = "user=root,host=elsewhere.invalid,addr=192.0.2.1,laddr=192.0.2.2,lport=1"

# The host's clock is read first and last: the collector's clock is known at both ends.
TABLE = (
    Probe("clock-begin", ("date", "+%s.%N"), "facts.host"),
    Probe("units", ("systemctl", "show", "--no-pager", "--property", _PROPERTIES, *UNITS), "facts.system"),
    Probe(
        "failed-units",
        ("systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"),
        "facts.journal",
        limit_bytes=_MEDIUM,
    ),
    Probe("socket", ("test", "-S", SOCKET), "collect.api"),
    Probe("socket-access", ("test", "-w", SOCKET), "collect.api"),
    Probe("link", ("ip", "-j", "-d", "link", "show"), "facts.network", limit_bytes=_LARGE),
    Probe("addr", ("ip", "-j", "-d", "addr", "show"), "facts.network", limit_bytes=_LARGE),
    Probe(
        "zpool-json",
        ("zpool", "status", "-j", "--json-int", "-p"),
        "facts.storage",
        limit_bytes=_MEDIUM,
        timeout_s=8,
        needs="zfs",
    ),
    Probe("zpool-text", ("zpool", "status", "-p"), "facts.storage", limit_bytes=_MEDIUM, timeout_s=8, needs="zfs"),
    Probe("zpool-list", ("zpool", "list", "-Hp"), "facts.storage", timeout_s=8, needs="zfs"),
    Probe(
        "zfs-created",
        ("zfs", "list", "-Hp", "-d", "0", "-o", "name,creation"),
        "facts.storage",
        timeout_s=8,
        needs="zfs",
    ),
    Probe("arcstats", ("cat", "/proc/spl/kstat/zfs/arcstats"), "facts.host", needs="zfs"),
    Probe("nft", ("nft", "-j", "list", "ruleset"), "facts.firewall", limit_bytes=_LARGE, root=True),
    Probe("bridge-nf", ("cat", *BRIDGE_NF), "facts.firewall"),
    Probe("fdb", ("bridge", "-j", "fdb", "show"), "facts.network", limit_bytes=_LARGE),
    Probe("listen", ("ss", "-Hltn"), "facts.listening", limit_bytes=_MEDIUM),
    Probe("os-release", ("cat", "/etc/os-release"), "facts.host"),
    Probe("packages", ("sh", "-c", _PACKAGES), "facts.host"),
    Probe("groups", ("getent", "group"), "facts.accounts", limit_bytes=_LARGE),
    # A directory (LDAP) may leave its groups out of the list of all groups, but return one that is requested by name.
    Probe("admin-group", ("getent", "group", "incus-admin"), "facts.accounts", limit_bytes=_MEDIUM),
    Probe("user-group", ("getent", "group", "incus"), "facts.accounts", limit_bytes=_MEDIUM),
    Probe("passwd", ("getent", "passwd"), "facts.accounts", limit_bytes=_LARGE),
    Probe("socket-mode", ("stat", "-c", "%a %U %G", SOCKET), "facts.accounts"),
    # ls marks an ACL with a "+"; stat does not show ACLs.
    Probe("socket-acl", ("ls", "-ld", SOCKET), "facts.accounts"),
    Probe("user-socket", ("ls", "-ld", USER_SOCKET), "facts.accounts"),
    Probe(
        "journal",
        ("journalctl", *_JOURNAL, "--since=-24h"),
        "facts.journal",
        limit_bytes=_LARGE,
        timeout_s=8,
        root=True,
    ),
    Probe("journal-newest", ("journalctl", *_NEWEST), "facts.journal", timeout_s=8, root=True),
    Probe("meminfo", ("cat", "/proc/meminfo"), "facts.host"),
    Probe("loadavg", ("cat", "/proc/loadavg"), "facts.host"),
    # The online CPUs. nproc --all also counts offline ones; nproc counts only those that the process may use.
    Probe("cpus", ("getconf", "_NPROCESSORS_ONLN"), "facts.host"),
    Probe(
        "filesystems",
        ("df", "-l", "-B1", f"--output={','.join(DF_COLUMNS)}"),
        "facts.host",
        limit_bytes=_MEDIUM,
        root=True,
    ),
    # timedatectl starts a service that answers the request.
    Probe("time-sync", ("timedatectl", "show", "-p", "NTPSynchronized", "-p", "NTP"), "facts.host", timeout_s=8),
    Probe("apparmor", ("cat", "/sys/module/apparmor/parameters/enabled"), "facts.host"),
    Probe("dmesg-restrict", ("cat", "/proc/sys/kernel/dmesg_restrict"), "facts.host"),
    # If a Match block has LocalPort, sshd 9.2 answers only if it is given a port. No block names this one.
    Probe("sshd", ("sshd", "-T", "-C", "lport=1"), "facts.sshd", limit_bytes=_MEDIUM, root=True),
    Probe("sshd-root", ("sshd", "-T", "-C", _SSHD_ROOT), "facts.sshd", limit_bytes=_MEDIUM, root=True),
    Probe(
        "sshd-config",
        ("grep", "-Ranv", "^#", SSHD_FILE, SSHD_FOLDER),
        "facts.sshd",
        limit_bytes=_MEDIUM,
        root=True,
    ),
    Probe("reboot", ("sh", "-c", _REBOOT), "facts.updates"),
    Probe("nixos", ("sh", "-c", _NIXOS), "facts.updates"),
    Probe("apt-releases", ("find", "/var/lib/apt/lists", *_RELEASES), "facts.updates", limit_bytes=_MEDIUM),
    Probe("clock-end", ("date", "+%s.%N"), "facts.host"),
    Probe("apt-upgrade", ("sh", "-c", _UPGRADE), "facts.updates", limit_bytes=_MEDIUM, timeout_s=10, slow=True),
    Probe(
        "backups",
        ("find", "-H", "DIR", *_FOUND),
        "facts.backups",
        limit_bytes=_LARGE,
        timeout_s=10,
        root=True,
        slow=True,
        needs="backups",
    ),
    Probe("backups-on", ("findmnt", "-J", "-o", "SOURCE,FSTYPE,TARGET", "-T", "DIR"), "facts.backups", needs="backups"),
)


def select(wants: ProbeOptions) -> tuple[Probe, ...]:
    """Return the probes that a host needs, with the arguments from the site."""
    available = {"": True, "zfs": wants.zfs, "backups": wants.backups is not None}
    return tuple(_with_arguments(probe, wants) for probe in TABLE if available[probe.needs])


def _with_arguments(probe: Probe, wants: ProbeOptions) -> Probe:
    command = probe.command
    if probe.id == "units":
        command = (*command, *(unit for unit in wants.units if unit not in UNITS))
    elif probe.id == "journal":
        command = (*command[:-1], f"--since=-{wants.journal_hours}h")
    elif probe.needs == "backups":
        command = tuple(str(wants.backups) if word == "DIR" else word for word in command)
    return replace(probe, command=command)
