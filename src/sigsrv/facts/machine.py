"""One host as a machine: memory, load, file systems, clock, confinement, sshd, the name of its system."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import command_failed, output, parsing, probe, text
from sigsrv.model.errors import EvidenceError, FailureKind

NO_SYSTEMD = "not been booted with systemd"
# File systems that are memory, another one seen again, or a read-only image, which is full by nature.
_LEFT_OUT = frozenset(
    {"tmpfs", "devtmpfs", "ramfs", "overlay", "squashfs", "erofs", "iso9660", "efivarfs", "fuse.lxcfs"}
)
# Instances' own file systems: the pools are judged as pools.
_INSTANCES = "/var/lib/incus/"
# A ZFS dataset that has nearly as much left as the one with the most has no limit of its own: both have the pool's.
_SHARED = 0.99
_DF_HEADER = re.compile(r"Filesystem +Type +1B-blocks +Used +Avail +Inodes +IUsed +Mounted on")
_DF_ROW = re.compile(r"(\S.*?) +(\S+) +(\d+|-) +(\d+|-) +(-?\d+|-) +(\d+|-) +(\d+|-) (/.*)")
_DF_REFUSED = re.compile(r"df: (.+): ([^:]+)")
# A derivative (Linux Mint) has a name of its own for its release, and names beside it the one whose packages it takes.
_CODENAMES = ("UBUNTU_CODENAME", "DEBIAN_CODENAME", "VERSION_CODENAME")
_SSHD_WANTED = ("permitrootlogin", "passwordauthentication", "kbdinteractiveauthentication", "permitemptypasswords")


@dataclass(frozen=True)
class Memory:
    """Of the whole host, in bytes. available: what a new program could have without swapping, as the kernel reckons."""

    total: int
    available: int


@dataclass(frozen=True)
class Filesystem:
    """One mounted file system; sizes in bytes. inodes: how many there are, 0 where they are made as needed."""

    source: str
    kind: str
    used: int
    available: int
    inodes: int
    inodes_used: int
    target: str

    @property
    def zpool(self) -> str | None:
        return self.source.partition("/")[0] if self.kind == "zfs" else None


@dataclass(frozen=True)
class Skew:
    """How far the host's clock is ahead of the collector's, in seconds: somewhere between least and most."""

    least: float
    most: float

    @property
    def nearest(self) -> float:
        """The smallest deviation that fits, without its sign."""
        return 0.0 if self.least <= 0 <= self.most else min(abs(self.least), abs(self.most))

    @property
    def width(self) -> float:
        return self.most - self.least


@dataclass(frozen=True)
class OsRelease:
    """Which system it is. like: the systems that it descends from; codename: of the release that it takes packages from, "" of none."""

    id: str
    like: tuple[str, ...]
    name: str
    codename: str

    def is_any(self, *names: str) -> bool:
        return bool({self.id, *self.like} & set(names))


def memory(document: str, host: str = "") -> Memory:
    """document: ``/proc/meminfo``. Raises EvidenceError where it is anything else. Source: proc_meminfo(5)."""
    with parsing("/proc/meminfo", host):
        rows = dict(line.split(":", 1) for line in document.splitlines() if line)
        found = Memory(_kib(rows["MemTotal"]), _kib(rows["MemAvailable"]))
        if not 0 < found.total >= found.available:
            raise ValueError(f"{found.available} of {found.total} bytes")
        return found


def _kib(value: str) -> int:
    match = re.fullmatch(r" *(\d+) kB", value)
    if match is None:
        raise ValueError(f"{value[:40]!r} is no size in kB")
    return int(match[1]) * 1024


def arc_reclaimable(document: str, host: str = "") -> int:
    """Bytes of ZFS's cache that it gives back when memory is asked for. document: the kstat ``arcstats``. Raises EvidenceError."""
    with parsing("arcstats", host):
        rows = {columns[0]: columns[2] for line in document.splitlines() if len(columns := line.split()) == 3}
        return max(0, int(rows["size"]) - int(rows["c_min"]))


def load15(document: str, host: str = "") -> float:
    """Processes that ran or waited, in the mean of 15 minutes. document: ``/proc/loadavg``. Raises EvidenceError."""
    with parsing("/proc/loadavg", host):
        match = re.fullmatch(r"\d+\.\d+ \d+\.\d+ (\d+\.\d+) \d+/\d+ \d+\n?", document)
        if match is None:
            raise ValueError(f"not five columns: {document[:60]!r}")
        return float(match[1])


def filesystems(document: str, host: str = "") -> tuple[Filesystem, ...]:
    """Every row of ``df -l -B1 --output=...``. A target may hold blanks; df writes ? for what would break a line.

    Raises EvidenceError where it is anything else: no host is without a root file system. Source: df(1).
    """
    with parsing("df", host):
        header, *lines = document.splitlines() or [""]
        if not _DF_HEADER.fullmatch(header):
            raise ValueError(f"not df's header: {header[:60]!r}")
        found = tuple(_row(line) for line in lines)
        if not any(row.target == "/" for row in found):
            raise ValueError("no file system at /")
        return found


def _row(line: str) -> Filesystem:
    match = _DF_ROW.fullmatch(line)
    if match is None:
        raise ValueError(f"not df's columns: {line[:80]!r}")
    source, kind, size, used, available, inodes, inodes_used, target = match.groups()
    if kind in _LEFT_OUT:
        return Filesystem(source, kind, 0, 0, 0, 0, target)
    if "-" in (size, used, available) or int(size) == 0:
        raise ValueError(f"a file system without a size: {line[:80]!r}")
    counted = (0, 0) if "-" in (inodes, inodes_used) else (int(inodes), int(inodes_used))
    return Filesystem(source, kind, int(used), max(0, int(available)), *counted, target)


def judged(rows: Sequence[Filesystem]) -> tuple[Filesystem, ...]:
    """Those of ``rows`` that are the host's own, each storage once: a device that is mounted twice, a ZFS pool with its datasets.

    A pool's used bytes are those of all its datasets; a dataset that has less left than the pool is one by itself.
    """
    own = [row for row in rows if row.kind not in _LEFT_OUT and not row.target.startswith(_INSTANCES)]
    own.sort(key=lambda row: (len(row.target), row.target))
    found: dict[str, Filesystem] = {}
    for row in own:
        if row.zpool is None:
            found.setdefault(row.source if row.source.startswith("/") else row.target, row)
            continue
        datasets = {each.source: each for each in rows if each.zpool == row.zpool}
        most = max(each.available for each in datasets.values())
        if row.available >= _SHARED * most:
            used = sum(each.used for each in datasets.values() if each.available >= _SHARED * most)
            found.setdefault(f"pool {row.zpool}", _with_used(row, used))
        else:
            found.setdefault(row.source, row)
    return tuple(found.values())


def _with_used(row: Filesystem, used: int) -> Filesystem:
    return Filesystem(row.source, row.kind, used, row.available, row.inodes, row.inodes_used, row.target)


def refused(stderr: str, host: str = "") -> Mapping[str, str]:
    """The mount points that df could not look at, each with the reason; those of instances and of users' sessions left out.

    Raises EvidenceError where it complains of anything else.
    """
    with parsing("df", host):
        found = {}
        for line in stderr.splitlines():
            match = _DF_REFUSED.fullmatch(line.strip())
            if match is None or not (target := match[1].strip("'")).startswith("/"):
                raise ValueError(line[:120])
            if not target.startswith((_INSTANCES, "/run/user/")):
                found[target] = match[2]
        return found


def skew(begin: str, end: str, probed: tuple[float, float], host: str = "") -> Skew:
    """How far the host's clock is from the collector's.

    begin, end: ``date +%s.%N`` on the host, before and after all other probes; probed: the collector's clock around both. Raises
    EvidenceError where they are no times, or one of the clocks was set meanwhile.
    """
    with parsing("date", host):
        first, last = _seconds(begin), _seconds(end)
        found = Skew(last - probed[1], first - probed[0])
        if last < first or found.width < 0:
            raise ValueError("a clock was set while the host was read")
        return found


def _seconds(value: str) -> float:
    if not re.fullmatch(r"\d{9,11}\.\d{9}\n?", value):
        raise ValueError(f"{value[:40]!r} is no time")
    return float(value)


def os_release(document: str, host: str = "") -> OsRelease:
    """document: ``/etc/os-release``. Raises EvidenceError where it names no ID, or a line is cut off. Source: os-release(5)."""
    with parsing("/etc/os-release", host):
        rows = {}
        for line in document.splitlines():
            key, mark, value = line.partition("=")
            if not mark and line.strip() and not line.startswith("#"):
                raise ValueError(f"{line[:40]!r} sets nothing")
            if re.fullmatch(r"[A-Z0-9_]+", key):
                rows[key] = " ".join(shlex.split(value))
        name = text(rows["ID"], "ID")
        codename = next((rows[key] for key in _CODENAMES if rows.get(key)), "")
        return OsRelease(name, tuple(rows.get("ID_LIKE", "").split()), rows.get("PRETTY_NAME", name), codename)


def sshd_settings(document: str, host: str = "") -> Mapping[str, str]:
    """What sshd would do about passwords, by its own keywords. document: ``sshd -T``. Raises EvidenceError where one is missing."""
    with parsing("sshd -T", host):
        rows: dict[str, str] = {}
        for line in document.splitlines():
            key, _, value = line.partition(" ")
            rows.setdefault(key, value)
        return {key: text(rows[key], key) for key in _SSHD_WANTED}


def properties(document: str, what: str, host: str = "") -> Mapping[str, str]:
    """Lines ``Key=value``, as systemd's programs print them. Raises EvidenceError where there is none."""
    with parsing(what, host):
        rows = dict(line.split("=", 1) for line in document.splitlines() if line)
        if not rows:
            raise ValueError("no line Key=value")
        return rows


@dataclass(frozen=True)
class MachineFacts:
    """What one host tells of itself as a machine. Each view raises EvidenceError where it could not be read."""

    evidence: Evidence

    @property
    def _host(self) -> str:
        return self.evidence.host

    @cached_property
    def memory(self) -> Memory:
        return memory(output(self.evidence, "meminfo"), self._host)

    @cached_property
    def arc_reclaimable(self) -> int:
        """Bytes of ZFS's cache that it would give back; 0 where the kernel has no ZFS."""
        answer = probe(self.evidence, "arcstats")
        if answer.rc == 1 and "No such file" in answer.stderr:
            return 0
        return arc_reclaimable(output(self.evidence, "arcstats"), self._host)

    @cached_property
    def load15(self) -> float:
        return load15(output(self.evidence, "loadavg"), self._host)

    @cached_property
    def cpus(self) -> int:
        with parsing("getconf", self._host):
            found = int(output(self.evidence, "cpus"))
            if found < 1:
                raise ValueError(f"{found} CPUs")
            return found

    @cached_property
    def filesystems(self) -> tuple[Filesystem, ...]:
        """The host's own file systems, each once; those that df could look at."""
        answer = probe(self.evidence, "filesystems")
        if not answer.stdout or answer.rc not in (0, 1) or (answer.rc == 1) is not bool(answer.stderr):
            raise command_failed(self._host, "filesystems", answer)
        return judged(filesystems(answer.stdout, self._host))

    @cached_property
    def unread_filesystems(self) -> Mapping[str, str]:
        """Mount points that df could not look at, each with the reason."""
        return refused(probe(self.evidence, "filesystems").stderr, self._host)

    @cached_property
    def skew(self) -> Skew:
        """Raises EvidenceError also where the evidence does not say when it was collected."""
        begin, end = output(self.evidence, "clock-begin"), output(self.evidence, "clock-end")
        if self.evidence.probed is None:
            reason = f"{self._host}: this evidence does not say when its probes began and ended"
            raise EvidenceError(reason, FailureKind.ABSENT, self._host)
        return skew(begin, end, self.evidence.probed, self._host)

    @cached_property
    def synchronized(self) -> bool | None:
        """Whether the kernel knows its clock to be kept right; None on a host that systemd does not run."""
        answer = probe(self.evidence, "time-sync")
        if answer.rc != 0 and NO_SYSTEMD in answer.stderr:
            return None
        said = properties(output(self.evidence, "time-sync"), "timedatectl", self._host)
        return self._flag(said.get("NTPSynchronized", ""), "yes", "no", "timedatectl: NTPSynchronized")

    @cached_property
    def apparmor(self) -> bool:
        """Whether the kernel's AppArmor is on. A kernel without the parameter has none."""
        answer = probe(self.evidence, "apparmor")
        if answer.rc == 1 and "No such file" in answer.stderr:
            return False
        return self._flag(output(self.evidence, "apparmor").strip(), "Y", "N", "apparmor")

    @cached_property
    def dmesg_restricted(self) -> bool:
        """Whether the kernel's messages, with its addresses, are kept from those who are not root."""
        return self._flag(output(self.evidence, "dmesg-restrict").strip(), "1", "0", "kernel.dmesg_restrict")

    @cached_property
    def sshd(self) -> Mapping[str, Mapping[str, str]]:
        """sshd's settings: as they stand for anybody, and as root would meet them."""
        asked = {"": "sshd", "for root: ": "sshd-root"}
        return {who: sshd_settings(output(self.evidence, name), self._host) for who, name in asked.items()}

    @cached_property
    def os(self) -> OsRelease:
        return os_release(output(self.evidence, "os-release"), self._host)

    def _flag(self, value: str, yes: str, no: str, what: str) -> bool:
        if value not in (yes, no):
            raise EvidenceError(f"{self._host}: {what}: {value[:40]!r} is neither {yes} nor {no}", host=self._host)
        return value == yes
