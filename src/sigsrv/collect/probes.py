"""The table of probes, the script that runs them, and the parser of its output.

The script is POSIX ``sh``. On the host it needs coreutils, and iproute2 for ``link``. It writes no file. Each output comes
back in base64, below a header that starts with a random word. So no output can imitate the answer of another probe.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sigsrv.collect.evidence import Answer, Failure
from sigsrv.model.errors import FailureKind

SOCKET = "/var/lib/incus/unix.socket"
SSHD_FILE = "/etc/ssh/sshd_config"
SSHD_FOLDER = f"{SSHD_FILE}.d"
UNITS = ("incus.service", "incus.socket", "incus-startup.service")
PACKAGES = ("incus", "incus-base", "incus-client")
PACKAGE_FORMAT = "${Package}\\t${Version}\\t${db:Status-Abbrev}\\n"
DF_COLUMNS = ("source", "fstype", "size", "used", "avail", "itotal", "iused", "target")
BRIDGE_NF = ("/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables")
# --all: without it, journalctl leaves out fields longer than 4096 bytes.
_JOURNAL = ("-u", "incus.service", "-o", "json", "--output-fields=PRIORITY,MESSAGE", "--all", "--no-pager")
# Without any journal file, journalctl prints nothing and exits with 0. Only an entry proves that a journal exists.
_NEWEST = ("-n", "1", "-o", "json", "--output-fields=PRIORITY", "--no-pager")
_FOUND = ("-type", "f", "-printf", "%T@ %s %p\\0")
_PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,WantedBy,RequiredBy,NRestarts,Result"
_STDERR_BYTES = 4096
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin:/run/wrappers/bin"


@dataclass(frozen=True)
class Probe:
    """One command on the host. It only reads.

    root: only root sees everything, so other accounts run it under ``sudo -n``. slow: runs after all other probes and the
    Incus API. needs: the site property without which it does not run (``zfs``, ``backups``); "" for every site.
    """

    id: str
    command: tuple[str, ...]
    parsed_by: str
    timeout_s: int = 5
    limit_bytes: int = 16 * 1024 * 1024
    root: bool = False
    slow: bool = False
    needs: str = ""

    @property
    def shell(self) -> str:
        return shlex.join(self.command)


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
# Only for NixOS: on other systems the answer is empty and not a failure. The profile is the system that boots next.
_NIXOS = (
    "command -v nixos-version >/dev/null || exit 0; nixos-version --json && stat -c %Y /nix/var/nix/profiles/system && "
    "readlink /run/booted-system/kernel /run/current-system/kernel && "
    "readlink -f /nix/var/nix/profiles/system /run/current-system && "
    "{ readlink -f /nix/var/nix/profiles/system/specialisation/* 2>/dev/null; true; }"
)

_PACKAGES = f"command -v dpkg-query >/dev/null || exit 0; dpkg-query -W -f '{PACKAGE_FORMAT}' {' '.join(PACKAGES)}"
# The upgrades from the security archives. Includes new packages (such as a kernel), packages on hold, and packages for which another
# archive has an even newer version. apt fails if no security archive is configured.
_UPGRADE = (
    "command -v apt-get >/dev/null || exit 0; exec apt-get -s -o Debug::NoLocking=true -o APT::Get::Always-Include-Phased-Updates=true "
    "-t '*-security' --ignore-hold dist-upgrade"
)

_SSHD_ROOT = "user=root,host=elsewhere.invalid,addr=192.0.2.1,laddr=192.0.2.2,lport=1"

# The host's clock is read first and last: the collector's clock is known at both ends. The units come early, because a request to
# the API starts a daemon that systemd has not started yet (socket activation).
TABLE = (
    Probe("clock-begin", ("date", "+%s.%N"), "facts.host"),
    Probe("units", ("systemctl", "show", "--no-pager", "--property", _PROPERTIES, *UNITS), "facts.system"),
    Probe(
        "failed-units",
        ("systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"),
        "facts.journal",
    ),
    Probe("socket", ("test", "-S", SOCKET), "collect.api"),
    Probe("socket-access", ("test", "-w", SOCKET), "collect.api"),
    Probe("link", ("ip", "-j", "-d", "link", "show"), "facts.network"),
    Probe("addr", ("ip", "-j", "-d", "addr", "show"), "facts.network"),
    Probe("zpool-json", ("zpool", "status", "-j", "--json-int", "-p"), "facts.storage", timeout_s=8, needs="zfs"),
    Probe("zpool-text", ("zpool", "status", "-p"), "facts.storage", timeout_s=8, needs="zfs"),
    Probe("zpool-list", ("zpool", "list", "-Hp"), "facts.storage", timeout_s=8, needs="zfs"),
    Probe(
        "zfs-created",
        ("zfs", "list", "-Hp", "-d", "0", "-o", "name,creation"),
        "facts.storage",
        timeout_s=8,
        needs="zfs",
    ),
    Probe("arcstats", ("cat", "/proc/spl/kstat/zfs/arcstats"), "facts.host", needs="zfs"),
    Probe("nft", ("nft", "-j", "list", "ruleset"), "facts.firewall", root=True),
    Probe("bridge-nf", ("cat", *BRIDGE_NF), "facts.firewall"),
    Probe("fdb", ("bridge", "-j", "fdb", "show"), "facts.network"),
    Probe("listen", ("ss", "-Hltn"), "facts.listening"),
    Probe("os-release", ("cat", "/etc/os-release"), "facts.host"),
    Probe("packages", ("sh", "-c", _PACKAGES), "facts.host"),
    Probe("groups", ("getent", "group"), "facts.accounts"),
    # A directory (LDAP) may leave its groups out of the list of all groups, but return one that is requested by name.
    Probe("admin-group", ("getent", "group", "incus-admin"), "facts.accounts"),
    Probe("passwd", ("getent", "passwd"), "facts.accounts"),
    Probe("socket-mode", ("stat", "-c", "%a %U %G", SOCKET), "facts.accounts"),
    # ls marks an ACL with a "+"; stat does not show ACLs.
    Probe("socket-acl", ("ls", "-ld", SOCKET), "facts.accounts"),
    Probe("journal", ("journalctl", *_JOURNAL, "--since=-24h"), "facts.journal", timeout_s=8, root=True),
    Probe("journal-newest", ("journalctl", *_NEWEST), "facts.journal", timeout_s=8, root=True),
    Probe("meminfo", ("cat", "/proc/meminfo"), "facts.host"),
    Probe("loadavg", ("cat", "/proc/loadavg"), "facts.host"),
    # The online CPUs. nproc --all also counts offline ones; nproc counts only those that the process may use.
    Probe("cpus", ("getconf", "_NPROCESSORS_ONLN"), "facts.host"),
    Probe("filesystems", ("df", "-l", "-B1", f"--output={','.join(DF_COLUMNS)}"), "facts.host", root=True),
    # timedatectl starts a service that answers the request.
    Probe("time-sync", ("timedatectl", "show", "-p", "NTPSynchronized", "-p", "NTP"), "facts.host", timeout_s=8),
    Probe("apparmor", ("cat", "/sys/module/apparmor/parameters/enabled"), "facts.host"),
    Probe("dmesg-restrict", ("cat", "/proc/sys/kernel/dmesg_restrict"), "facts.host"),
    # If a Match block has LocalPort, sshd 9.2 answers only if it is given a port. No block names this one.
    Probe("sshd", ("sshd", "-T", "-C", "lport=1"), "facts.sshd", root=True),
    Probe("sshd-root", ("sshd", "-T", "-C", _SSHD_ROOT), "facts.sshd", root=True),
    Probe("sshd-config", ("grep", "-Ranv", "^#", SSHD_FILE, SSHD_FOLDER), "facts.sshd", root=True),
    Probe("reboot", ("sh", "-c", _REBOOT), "facts.updates"),
    Probe("nixos", ("sh", "-c", _NIXOS), "facts.updates"),
    Probe("apt-releases", ("find", "/var/lib/apt/lists", *_RELEASES), "facts.updates"),
    Probe("clock-end", ("date", "+%s.%N"), "facts.host"),
    Probe("apt-upgrade", ("sh", "-c", _UPGRADE), "facts.updates", timeout_s=10, slow=True),
    Probe(
        "backups", ("find", "-H", "DIR", *_FOUND), "facts.backups", timeout_s=10, root=True, slow=True, needs="backups"
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


# fd 3 is the script's standard output. $tail holds a probe's standard error and, as its last line, its exit status. Both streams end
# with a line that starts with the random word. So an answer is whole if it has that line: neither head, tail nor base64 was killed, not
# even between two lines of base64.
_PRELUDE = """\
PATH={path}; LC_ALL=C; export PATH LC_ALL; unset LANGUAGE; exec 3>&1 </dev/null
root=; [ "$(id -u)" = 0 ] || root="sudo -n"
probe() {{
  id=$1 seconds=$2 limit=$3; shift 3
  echo "{word} begin $id" >&3
  tail=$( {{ \
    {{ timeout -k 1 "$seconds" "$@" 2>&5 3>&- 4>&- 5>&-; printf '\\n{word} %s\\n' "$?" >&5; }} 5>&4 | \
    {{ head -c "$limit" && echo {word}; }} | base64 >&3
  }} 4>&1 | tail -c {stderr} | base64 )
  echo "{word} end $id" >&3
  echo "$tail" >&3
  echo "{word} done $id" >&3
}}
"""


def script(probes: Iterable[Probe], word: str) -> str:
    """Return the ``sh`` script that runs the probes one after another. word: random, letters and digits.

    The script is a single command in braces, so the shell reads all of it before it runs anything. It arrives on the standard
    input, which the script itself closes. Without the braces, a shell (bash reads line by line) would lose the rest.
    """
    lines = [_PRELUDE.format(path=_PATH, word=word, stderr=_STDERR_BYTES)]
    lines += [f"probe {p.id} {p.timeout_s} {p.limit_bytes + 1} {'$root ' if p.root else ''}{p.shell}" for p in probes]
    return "\n".join(["{", *lines, "}"]) + "\n"


def shell_command(text: str) -> str:
    """Return a command line that runs a script from any login shell. Its characters mean the same in sh, fish and csh."""
    return f"echo {base64.b64encode(text.encode()).decode()} | base64 -d | /bin/sh"


def parse(probes: Iterable[Probe], word: str, output: bytes, broke: Failure | None = None) -> dict[str, Answer]:
    """Return the answer of each probe. output: everything that came back, including banners of a login shell.

    A missing, truncated or damaged answer is a failure of its probe, never an empty answer.
    broke: why the output may have ended early.
    """
    answers = {}
    marker = re.escape(word.encode())
    for probe in probes:
        name = re.escape(probe.id.encode())
        frame = re.search(
            rb"^%s begin %s\n([A-Za-z0-9+/=\n]*)^%s end %s\n([A-Za-z0-9+/=\n]*)^%s done %s$" % ((marker, name) * 3),
            output,
            re.MULTILINE,
        )
        if frame is None:
            failure = broke or Failure(FailureKind.GARBLED, f"probe {probe.id}: the answer is incomplete")
            answers[probe.id] = Answer(probe.shell, failure=failure)
        else:
            answers[probe.id] = _answer(probe, word.encode(), frame[1], frame[2])
    return answers


def _until(end: bytes, stream: bytes) -> bytes:
    """Return a stream without its last line. Raises ValueError if it does not end with it: a part is lost."""
    if not stream.endswith(end):
        raise ValueError("the end is missing")
    return stream.removesuffix(end)


def _answer(probe: Probe, word: bytes, coded_out: bytes, coded_tail: bytes) -> Answer:
    try:
        raw = _until(b"%s\n" % word, base64.b64decode(coded_out.replace(b"\n", b""), validate=True))
        tail = _until(b"\n", base64.b64decode(coded_tail.replace(b"\n", b""), validate=True))
        stderr_bytes, _, last = tail.rpartition(b"\n")
        mark, _, status = last.partition(b" ")
        if mark != word:
            raise ValueError("no exit status")
        rc = int(status)
    except (binascii.Error, ValueError):
        return Answer(probe.shell, failure=Failure(FailureKind.GARBLED, f"probe {probe.id}: the answer is damaged"))
    stderr = stderr_bytes.decode("utf-8", "replace").strip()
    out = raw
    failure = None
    if len(out) > probe.limit_bytes:
        out = b""
        failure = Failure(
            FailureKind.TOO_LARGE, f"probe {probe.id}: the output is larger than {probe.limit_bytes} bytes"
        )
    elif rc in (124, 137):  # timeout(1): 124 after its TERM, 137 after its KILL; 137 also if something else killed it
        reason = f"not finished in {probe.timeout_s} s" + (", or it was killed" if rc == 137 else "")
        failure = Failure(FailureKind.TIMEOUT, f"probe {probe.id} (`{probe.shell}`): {reason}")
    elif rc == 127 and probe.root and "sudo" in stderr:
        failure = Failure(FailureKind.DENIED, f"probe {probe.id} needs root, but sudo is not installed on the host")
    elif rc == 127 or (probe.root and "command not found" in stderr):
        failure = Failure(FailureKind.MISSING, f"probe {probe.id}: command not found on the host: {probe.command[0]}")
    try:
        stdout = out.decode("utf-8")
    except UnicodeDecodeError as cause:
        stdout = ""
        failure = Failure(FailureKind.GARBLED, f"probe {probe.id}: the output is not UTF-8 (byte {cause.start})")
    return Answer(probe.shell, rc, stdout, stderr, failure)
