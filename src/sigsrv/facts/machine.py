"""One host as a machine: memory, load, file systems, clock, AppArmor, sshd, operating system."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from sigsrv.collect.evidence import Evidence
from sigsrv.collect.probes import SSHD_FOLDER
from sigsrv.facts import sshd
from sigsrv.facts.filesystems import Filesystem, filesystems, judged, refused
from sigsrv.facts.parsing import command_failed, number, output, parsing, probe, refusal, text
from sigsrv.facts.reading import fact
from sigsrv.facts.sshd import MatchBlock
from sigsrv.model.errors import EvidenceError, FailureKind

NO_SYSTEMD = "not been booted with systemd"
_OS_RELEASE_LENGTH = 16 * 1024  # characters; real ones have some hundreds
# A derivative (Linux Mint) has its own codename, and also names the release that its packages come from.
_CODENAMES = ("UBUNTU_CODENAME", "DEBIAN_CODENAME", "VERSION_CODENAME")


@dataclass(frozen=True)
class Memory:
    """The memory of the whole host."""

    total: int
    """The host's memory in bytes."""
    available: int
    """The bytes that a new program could use without swapping, as the kernel estimates."""


@dataclass(frozen=True)
class Skew:
    """How far the host's clock is ahead of the collector's clock."""

    least: float
    """The lower bound in seconds; negative if the host's clock may be behind."""
    most: float
    """The upper bound in seconds; negative if the host's clock is behind."""

    @property
    def nearest(self) -> float:
        """Return the smallest possible deviation in seconds, without a sign."""
        return 0.0 if self.least <= 0 <= self.most else min(abs(self.least), abs(self.most))

    @property
    def width(self) -> float:
        """Return the seconds between the two bounds."""
        return self.most - self.least


@dataclass(frozen=True)
class OsRelease:
    """The operating system of a host."""

    id: str
    """The system's id, for example ``debian``, ``ubuntu`` or ``nixos``."""
    like: tuple[str, ...]
    """The ids of the systems that it is derived from; empty if there are none."""
    name: str
    """The name for people, for example ``Debian GNU/Linux 12 (bookworm)``."""
    codename: str
    """The codename of the release that the packages come from; empty if there is none."""
    support_end: str
    """The day on which the support of the release ends, as year-month-day; empty if the host does not say it."""

    def is_any(self, *names: str) -> bool:
        """Return whether the system has one of these ids or is derived from one of them."""
        return bool({self.id, *self.like} & set(names))


def memory(document: str, host: str = "") -> Memory:
    """Return the memory in a ``/proc/meminfo``. Raises EvidenceError if it is malformed. Source: proc_meminfo(5)."""
    with parsing("/proc/meminfo", host):
        rows = dict(line.split(":", 1) for line in document.splitlines() if line)
        found = Memory(_kib(rows["MemTotal"]), _kib(rows["MemAvailable"]))
        if not 0 < found.total >= found.available:
            raise ValueError(f"{found.available} of {found.total} bytes")
        return found


def _kib(value: str) -> int:
    match = re.fullmatch(r" *([0-9]+) kB", value)
    if match is None:
        raise ValueError(f"{value[:40]!r} is not a size in kB")
    return number(match[1], "a size in kB") * 1024


def arc_reclaimable(document: str, host: str = "") -> int:
    """Return the bytes of ZFS's cache (ARC) that ZFS frees on demand.

    document: the kstat ``arcstats``. Raises EvidenceError if it is malformed.
    """
    with parsing("arcstats", host):
        rows = {columns[0]: columns[2] for line in document.splitlines() if len(columns := line.split()) == 3}
        return max(0, number(rows["size"], "size") - number(rows["c_min"], "c_min"))


def load15(document: str, host: str = "") -> float:
    """Return the load average of 15 minutes in a ``/proc/loadavg``. Raises EvidenceError if it is malformed."""
    with parsing("/proc/loadavg", host):
        match = re.fullmatch(r"(?:[0-9]+\.[0-9]+ ){2}([0-9]+\.[0-9]+) [0-9]+/[0-9]+ [0-9]+\n?", document)
        if match is None:
            raise ValueError(f"not five columns: {document[:60]!r}")
        return float(match[1])


def skew(begin: str, end: str, probed: tuple[float, float], host: str = "") -> Skew:
    """Return how far the host's clock is ahead of the collector's clock.

    begin, end: ``date +%s.%N`` on the host, before and after all other probes. probed: the collector's clock before and after both.
    Raises EvidenceError if they are not times, or if one of the clocks was set in between.
    """
    with parsing("date", host):
        first, last = _seconds(begin), _seconds(end)
        found = Skew(last - probed[1], first - probed[0])
        if last < first or found.width < 0:
            raise ValueError("a clock was set while the host was read")
        return found


def _seconds(value: str) -> float:
    if not re.fullmatch(r"[0-9]{9,11}\.[0-9]{9}\n?", value):
        raise ValueError(f"{value[:40]!r} is not a time")
    return float(value)


def os_release(document: str, host: str = "") -> OsRelease:
    """Return the system in an ``/etc/os-release``. Raises EvidenceError if ID is missing or a line is cut off. Source: os-release(5)."""
    with parsing("/etc/os-release", host):
        if len(document) > _OS_RELEASE_LENGTH:  # splitting its words as a shell does is slow
            raise ValueError(f"more than {_OS_RELEASE_LENGTH} characters")
        rows = {}
        for line in document.splitlines():
            key, mark, value = line.partition("=")
            if not mark and line.strip() and not line.startswith("#"):
                raise ValueError(f"{line[:40]!r} is not an assignment")
            if re.fullmatch(r"[A-Z0-9_]+", key):
                rows[key] = " ".join(shlex.split(value))
        name = text(rows["ID"], "ID")
        codename = next((rows[key] for key in _CODENAMES if rows.get(key)), "")
        like = tuple(rows.get("ID_LIKE", "").split())
        return OsRelease(name, like, rows.get("PRETTY_NAME", name), codename, rows.get("SUPPORT_END", ""))


def properties(document: str, what: str, host: str = "") -> Mapping[str, str]:
    """Return the values in lines ``Key=value``, as systemd's programs print them. Raises EvidenceError if there is no such line."""
    with parsing(what, host):
        rows = dict(line.split("=", 1) for line in document.splitlines() if line)
        if not rows:
            raise ValueError("no line Key=value")
        return rows


@dataclass(frozen=True)
class MachineFacts:
    """One host as a machine. Each fact raises EvidenceError if it can't be read."""

    evidence: Evidence
    """The evidence of the host."""

    @property
    def _host(self) -> str:
        return self.evidence.host

    @fact
    def memory(self) -> Memory:
        """Return the memory of the host."""
        return memory(output(self.evidence, "meminfo"), self._host)

    @fact
    def arc_reclaimable(self) -> int:
        """Return the bytes of ZFS's cache (ARC) that ZFS frees on demand; 0 if the kernel has no ZFS."""
        answer = probe(self.evidence, "arcstats")
        if answer.rc == 1 and "No such file" in answer.stderr:
            return 0
        return arc_reclaimable(output(self.evidence, "arcstats"), self._host)

    @fact
    def load15(self) -> float:
        """Return the load average of 15 minutes: how many processes ran or waited."""
        return load15(output(self.evidence, "loadavg"), self._host)

    @property
    def load_per_cpu(self) -> float:
        """Return the load average of 15 minutes for each online CPU."""
        return self.load15 / self.cpus

    @property
    def memory_without_cache_percent(self) -> float:
        """Return the share of the memory in percent that a new program could use, without the memory of ZFS's cache."""
        return 100 * self.memory.available / self.memory.total

    @property
    def memory_available_percent(self) -> float:
        """Return the share of the memory in percent that a new program could use, with the memory that ZFS's cache gives back on demand."""
        return 100 * (self.memory.available + self.arc_reclaimable) / self.memory.total

    @fact
    def cpus(self) -> int:
        """Return the number of CPUs that are online."""
        with parsing("getconf", self._host):
            found = number(output(self.evidence, "cpus").strip(), "CPUs")
            if found < 1:
                raise ValueError(f"{found} CPUs")
            return found

    @fact
    def filesystems(self) -> tuple[Filesystem, ...]:
        """Return the file systems of the host itself, each storage once, without those that df could not read."""
        answer = probe(self.evidence, "filesystems")
        if not answer.stdout or answer.rc not in (0, 1) or (answer.rc == 1) is not bool(answer.stderr):
            raise command_failed(self._host, "filesystems", answer)
        return judged(filesystems(answer.stdout, self._host))

    @fact
    def unread_filesystems(self) -> Mapping[str, str]:
        """Return the mount points that df could not read, each with the reason."""
        answer = probe(self.evidence, "filesystems")
        if refusal(answer):
            raise command_failed(self._host, "filesystems", answer)
        return refused(answer.stderr, self._host)

    @fact
    def skew(self) -> Skew:
        """Return how far the host's clock is ahead. Raises EvidenceError also if the evidence has no time of its probes."""
        begin, end = output(self.evidence, "clock-begin"), output(self.evidence, "clock-end")
        if self.evidence.probed is None:
            reason = f"{self._host}: this evidence does not say when its probes began and ended"
            raise EvidenceError(reason, FailureKind.ABSENT, self._host)
        return skew(begin, end, self.evidence.probed, self._host)

    @fact
    def synchronized(self) -> bool | None:
        """Return whether the kernel's clock is synchronized; None on a host without systemd."""
        answer = probe(self.evidence, "time-sync")
        if answer.rc != 0 and NO_SYSTEMD in answer.stderr:
            return None
        reported = properties(output(self.evidence, "time-sync"), "timedatectl", self._host)
        return self._flag(reported.get("NTPSynchronized", ""), "yes", "no", "timedatectl: NTPSynchronized")

    @fact
    def apparmor(self) -> bool:
        """Return whether AppArmor is enabled in the kernel; false also for a kernel without AppArmor."""
        answer = probe(self.evidence, "apparmor")
        if answer.rc == 1 and "No such file" in answer.stderr:
            return False
        return self._flag(output(self.evidence, "apparmor").strip(), "Y", "N", "apparmor")

    @fact
    def dmesg_restricted(self) -> bool:
        """Return whether only root may read the kernel's messages, which contain kernel addresses."""
        return self._flag(output(self.evidence, "dmesg-restrict").strip(), "1", "0", "kernel.dmesg_restrict")

    @fact
    def sshd_of_users(self) -> Mapping[str, str]:
        """Return sshd's settings by keyword, for connections that no Match block names."""
        return sshd.settings(output(self.evidence, "sshd"), self._host)

    @fact
    def sshd_of_root(self) -> Mapping[str, str] | None:
        """Return sshd's settings by keyword, for root.

        None if sshd does not report them without a criterion of one of its Match blocks: then ``sshd_blocks`` shows what may apply to root.
        """
        answer = probe(self.evidence, "sshd-root")
        if answer.rc and sshd.lacks_criterion(answer.stderr, lambda: self.sshd_blocks):
            return None
        return sshd.settings(output(self.evidence, "sshd-root"), self._host)

    @fact
    def sshd_blocks(self) -> tuple[MatchBlock, ...]:
        """Return the Match blocks of sshd's configuration. Raises EvidenceError also if it includes files that sigsrv does not read."""
        answer = probe(self.evidence, "sshd-config")
        no_folder = answer.stderr == f"grep: {SSHD_FOLDER}: No such file or directory"
        if answer.rc != (2 if no_folder else 0) or bool(answer.stderr) is not no_folder:
            raise command_failed(self._host, "sshd-config", answer)
        return sshd.match_blocks(answer.stdout, self._host)

    @fact
    def os(self) -> OsRelease:
        """Return the operating system of the host."""
        return os_release(output(self.evidence, "os-release"), self._host)

    def _flag(self, value: str, yes: str, no: str, what: str) -> bool:
        if value not in (yes, no):
            raise EvidenceError(f"{self._host}: {what}: {value[:40]!r} is neither {yes} nor {no}", host=self._host)
        return value == yes
