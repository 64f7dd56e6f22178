"""What one host knows of updates, and whether it waits for a reboot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import mapping, output, parsed, parsing, text

_LISTS = "/var/lib/apt/lists/"
_BOOT = "/boot/vmlinuz-"
_REBOOT_REQUIRED = "/run/reboot-required"
_RELEASE_LINE = re.compile(rf"{_LISTS}([^:]*Release):(Label|Suite|Codename|Date): +(\S.*)")
_INST = re.compile(r"Inst (\S+)(?: \[(\S+)\])? \((\S+)(?: (.+))? \[\S+\]\)(?: \[.*\])?")
_SUMMARY = re.compile(r"(?m)^(\d+) upgraded, (\d+) newly installed, .*\d+ not upgraded\.$")
_KEPT = re.compile(r"(?m)^The following packages have been kept back:\n((?: +.*\n)+)")
_DEBIAN_BUILD = re.compile(r"\bDebian (\S+) \(")  # in uname -v: the version of the kernel's package


@dataclass(frozen=True)
class Release:
    """An archive of packages as it was last fetched. made: when the archive says that it was made, in seconds since the epoch."""

    file: str
    label: str
    suite: str
    codename: str
    made: float

    @property
    def is_security(self) -> bool:
        return self.label == "Debian-Security" or any(n.endswith("-security") for n in (self.suite, self.codename))

    def secures(self, release: str) -> bool:
        """Whether it is the archive for security of a release: Debian says so by its codename, Ubuntu by its suite."""
        return f"{release}-security" in (self.suite, self.codename)


@dataclass(frozen=True)
class Update:
    """A package that would be installed. archives: where that version is, as apt writes it (``LABEL:VERSION/SUITE``)."""

    package: str
    version: str
    archives: tuple[str, ...]

    @property
    def is_security(self) -> bool:
        return any(a.startswith("Debian-Security:") or a.endswith("-security") for a in self.archives)


@dataclass(frozen=True)
class Updates:
    """What apt would do. kept: packages that it would not touch; whether their updates are for security it does not say."""

    pending: tuple[Update, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True)
class Kernel:
    """A kernel by its release. kind: its flavour (``cloud-amd64``), for one kind never replaces another."""

    release: str

    @property
    def kind(self) -> str:
        return self._parts[1]

    @property
    def order(self) -> tuple[int, ...]:
        """What sorts the kernels of one kind."""
        return tuple(int(digits) for digits in re.findall(r"\d+", self._parts[0]))

    @property
    def _parts(self) -> tuple[str, str]:
        match = re.fullmatch(r"(\d.*?)((?:-[a-z][^-]*)*)", self.release)
        return (match[1], match[2]) if match else (self.release, "")


@dataclass(frozen=True)
class Boot:
    """The running kernel, and those that could be booted. wanted: a package asked for a reboot.

    built_from, package: versions of the running kernel's package, as it was built and as it is installed; "" where they are not told.
    """

    running: Kernel
    installed: tuple[Kernel, ...]
    wanted: bool
    built_from: str
    package: str

    @property
    def newest(self) -> Kernel | None:
        """The newest installed one of the running one's kind; None where no such one is installed."""
        return max((k for k in self.installed if k.kind == self.running.kind), key=lambda k: k.order, default=None)


@dataclass(frozen=True)
class NixSystem:
    """A NixOS host. switched: when its profile was last changed; nixpkgs: the day of its package set, None where its version has none.

    Both in seconds since the epoch. booted, current: the kernel that runs, and the one of the running system. running: the
    running system; next: the system that is booted next, and its specialisations, of which a person may choose one.
    """

    version: str
    switched: float
    nixpkgs: float | None
    booted: str
    current: str
    running: str
    next: tuple[str, ...]


def releases(document: str, host: str = "") -> tuple[Release, ...]:
    """document: lines ``FILE:KEY: VALUE`` of apt's release files; none where nothing was ever fetched. Raises EvidenceError."""
    with parsing("apt's release files", host):
        found: dict[str, dict[str, str]] = {}
        for line in document.splitlines():
            match = _RELEASE_LINE.fullmatch(line)
            if match is None:
                raise ValueError(f"{line[:80]!r}")
            found.setdefault(match[1], {}).setdefault(match[2], match[3])
        return tuple(_release(file, rows) for file, rows in sorted(found.items()))


def _release(file: str, rows: Mapping[str, str]) -> Release:
    made = parsedate_to_datetime(rows["Date"])
    if made.tzinfo is None:  # "-0000", which says nothing of the zone; apt itself allows no other than UTC
        made = made.replace(tzinfo=UTC)
    names = (rows.get("Label", ""), rows.get("Suite", ""), rows.get("Codename", ""))
    return Release(file, *names, made.timestamp())


def updates(document: str, host: str = "") -> Updates:
    """document: what ``apt-get -s dist-upgrade`` prints. Raises EvidenceError where it did not come to its end. Source: apt-get(8)."""
    with parsing("apt-get -s dist-upgrade", host):
        summary = _SUMMARY.search(document)
        if summary is None:
            raise ValueError("no summary in it")
        found = []
        for line in document.splitlines():
            if line.startswith("Inst"):
                match = _INST.fullmatch(line)
                if match is None:
                    raise ValueError(f"{line[:80]!r}")
                found.append(Update(match[1], match[3], tuple((match[4] or "").split(", "))))
        if len(found) < int(summary[1]) + int(summary[2]):
            raise ValueError(f"{len(found)} packages instead of {summary[1]} and {summary[2]}")
        kept = _KEPT.search(document)
        return Updates(tuple(found), tuple(kept[1].split()) if kept else ())


def boot(document: str, host: str = "") -> Boot:
    """document: ``uname -r``, ``uname -v``, then paths of what asks for a reboot and of kernels, then the package's version, if any.

    Raises EvidenceError where it is anything else.
    """
    with parsing("the kernels", host):
        running, build, *rest = document.splitlines()
        paths = [line for line in rest if line.startswith("/")]
        versions = [line for line in rest if not line.startswith("/")]
        if len(versions) > 1 or not re.match(r"\d", text(running, "uname -r")):
            raise ValueError(f"{document[:80]!r}")
        kernels = tuple(Kernel(path.removeprefix(_BOOT)) for path in paths if path.startswith(_BOOT))
        if any(path != _REBOOT_REQUIRED and not path.startswith(_BOOT) for path in paths):
            raise ValueError(f"{paths[0][:80]!r}")
        built = _DEBIAN_BUILD.search(build)
        return Boot(
            running=Kernel(running),
            installed=tuple(kernel for kernel in kernels if kernel.order),
            wanted=_REBOOT_REQUIRED in paths,
            built_from=built[1] if built else "",
            package=versions[0] if versions else "",
        )


def nixos(document: str, host: str = "") -> NixSystem:
    """document: ``nixos-version --json``, the profile's time of change, the kernels booted and current, the systems of the profile
    and running, and the profile's specialisations. Raises EvidenceError."""
    with parsing("nixos-version", host):
        lines = document.splitlines()
        end = next(number for number, line in enumerate([*lines, "0"]) if line.isdecimal())
        version = text(mapping(parsed("\n".join(lines[:end])), "answer")["nixosVersion"], "nixosVersion")
        switched, booted, current, profile, running, *others = lines[end:]
        if not all(path.startswith("/nix/store/") for path in (booted, current, profile, running, *others)):
            raise ValueError(f"{', '.join(path[:60] for path in lines[end + 1 :])}: not all in the store")
        return NixSystem(version, float(int(switched)), _day(version), booted, current, running, (profile, *others))


def _day(version: str) -> float | None:
    """The day in a version like ``25.05.20260102.abcdef0``."""
    match = re.search(r"\.(20\d{6})(?:\.|$)", version)
    return datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC).timestamp() if match else None


@dataclass(frozen=True)
class UpdateFacts:
    """What one host tells of its updates. Each view raises EvidenceError where it could not be read."""

    evidence: Evidence

    @cached_property
    def releases(self) -> tuple[Release, ...]:
        return releases(output(self.evidence, "apt-releases"), self.evidence.host)

    @cached_property
    def updates(self) -> Updates:
        return updates(output(self.evidence, "apt-upgrade"), self.evidence.host)

    @cached_property
    def boot(self) -> Boot:
        return boot(output(self.evidence, "reboot"), self.evidence.host)

    @cached_property
    def nixos(self) -> NixSystem:
        return nixos(output(self.evidence, "nixos"), self.evidence.host)
