"""The pending updates of one host, its kernels, and whether it needs a reboot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from itertools import dropwhile, islice, takewhile
from string import ascii_lowercase

from sigsrv.collect.evidence import Evidence
from sigsrv.facts import nixos
from sigsrv.facts.nixos import BootPart, IncusPackage, NixSystem
from sigsrv.facts.parsing import instant, number, output, parsing, text
from sigsrv.facts.reading import fact

_LISTS = "/var/lib/apt/lists/"
_BOOT = "/boot/vmlinuz-"
_REBOOT_REQUIRED = "/run/reboot-required"
_LETTERS = frozenset(ascii_lowercase)
_RELEASE_LINE = re.compile(rf"{_LISTS}([^:]*Release):(Label|Suite|Codename|Date): +(\S.*)")
_SUMMARY = re.compile(
    r"([0-9]+) upgraded, ([0-9]+) newly installed, "
)  # how the last line begins; it ends with _NOT_UPGRADED
_NOT_UPGRADED = " not upgraded."
_KEPT = "The following packages have been kept back:"  # above their names, on indented lines
_DEBIAN_BUILD = re.compile(r"\bDebian (\S+) \(")  # in uname -v: the version of the kernel's package


@dataclass(frozen=True)
class Release:
    """A package archive of apt, as the host last fetched it."""

    file: str
    """The name of apt's release file in /var/lib/apt/lists."""
    label: str
    """The archive's Label, for example ``Debian`` or ``Debian-Security``; empty if it has none."""
    suite: str
    """The archive's Suite, for example ``stable`` or ``noble-security``; empty if it has none."""
    codename: str
    """The archive's Codename, for example ``bookworm``; empty if it has none."""
    made: float
    """When the archive was built according to its Date, in seconds since the epoch."""

    @property
    def is_security(self) -> bool:
        """Return whether the archive contains security updates."""
        return self.label == "Debian-Security" or any(n.endswith("-security") for n in (self.suite, self.codename))

    def secures(self, release: str) -> bool:
        """Return whether this is the security archive of a release. Debian marks it in the codename, Ubuntu in the suite."""
        return f"{release}-security" in (self.suite, self.codename)


@dataclass(frozen=True)
class Update:
    """A package that apt would install or upgrade."""

    package: str
    """The package's name."""
    version: str
    """The version that apt would install."""
    archives: tuple[str, ...]
    """The archives with that version, as apt writes them: ``LABEL:VERSION/SUITE``."""

    @property
    def is_security(self) -> bool:
        """Return whether a security archive has this version."""
        return any(a.startswith("Debian-Security:") or a.endswith("-security") for a in self.archives)


@dataclass(frozen=True)
class Updates:
    """What ``apt-get dist-upgrade`` would do."""

    pending: tuple[Update, ...]
    """The packages that apt would install or upgrade."""
    kept: tuple[str, ...]
    """The packages that apt keeps back. apt does not say whether their updates are security updates."""


@dataclass(frozen=True)
class Kernel:
    """A kernel."""

    release: str
    """The kernel's release, as in ``uname -r``: ``6.1.0-18-cloud-amd64``."""

    @property
    def kind(self) -> str:
        """Return the kernel's flavour, for example ``-cloud-amd64``. A kernel never replaces one of another flavour."""
        return self._parts[1]

    @property
    def order(self) -> tuple[int, ...]:
        """Return the numbers of the release, which sort the kernels of one flavour."""
        return tuple(number(digits, self.release) for digits in re.findall(r"[0-9]+", self._parts[0]))

    @property
    def _parts(self) -> tuple[str, str]:
        """Return the release without its last words that begin with a letter, and these words."""
        words = self.release.split("-")
        count = sum(1 for _ in takewhile(lambda word: word[:1] in _LETTERS, reversed(words[1:])))
        kind = "".join(f"-{word}" for word in words[len(words) - count :])
        return self.release.removesuffix(kind), kind


@dataclass(frozen=True)
class Boot:
    """The running kernel and the installed kernels."""

    running: Kernel
    """The running kernel."""
    installed: tuple[Kernel, ...]
    """The kernels in /boot."""
    wanted: bool
    """Whether a package asks for a reboot (/run/reboot-required exists)."""
    built_from: str
    """The version of the package that the running kernel was built from; empty if unknown."""
    package: str
    """The version of the running kernel's package that is installed now; empty if unknown."""

    @property
    def newest(self) -> Kernel | None:
        """Return the newest installed kernel with the flavour of the running kernel; None if there is none."""
        return max((k for k in self.installed if k.kind == self.running.kind), key=lambda k: k.order, default=None)


def releases(document: str, host: str = "") -> tuple[Release, ...]:
    """Return the package archives.

    document: lines ``FILE:KEY: VALUE`` of apt's release files; empty if apt never fetched anything. Raises EvidenceError if a line
    is malformed.
    """
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
    if made.tzinfo is None:  # "-0000" names no time zone; apt itself allows only UTC
        made = made.replace(tzinfo=UTC)
    names = (rows.get("Label", ""), rows.get("Suite", ""), rows.get("Codename", ""))
    return Release(file, *names, instant(made.timestamp(), f"{file}: Date"))


def updates(document: str, host: str = "") -> Updates:
    """Return what apt would do.

    document: the output of ``apt-get -s dist-upgrade``. Raises EvidenceError if it is malformed or cut off. Source: apt-get(8).
    """
    with parsing("apt-get -s dist-upgrade", host):
        lines = document.splitlines()
        summary = next(
            (match for line in lines if line.endswith(_NOT_UPGRADED) and (match := _SUMMARY.match(line))), None
        )
        if summary is None:
            raise ValueError("no summary in the answer")
        found = [_update(line) for line in lines if line.startswith("Inst")]
        if len(found) < number(summary[1], "upgraded") + number(summary[2], "newly installed"):
            raise ValueError(f"{len(found)} packages instead of {summary[1]} and {summary[2]}")
        after = islice(dropwhile(lambda line: line != _KEPT, lines), 1, None)
        kept = [word for line in takewhile(lambda line: line.startswith(" "), after) for word in line.split()]
        return Updates(tuple(found), tuple(kept))


def _update(line: str) -> Update:
    """Read a line ``Inst PACKAGE [OLD] (VERSION ARCHIVES [ARCHITECTURE]) [...]``; the first and the last bracket may be missing."""
    package, _, rest = line.removeprefix("Inst ").partition(" ")
    if rest.startswith("["):
        rest = rest.partition("] ")[2]
    given, end, after = rest.partition("])")
    head, _, architecture = given.rpartition(" [")
    version, _, archives = head.partition(" ")
    is_whole = all((line.startswith("Inst "), package, rest.startswith("("), version[1:], end, architecture))
    if not is_whole or (after and not (after.startswith(" [") and after.endswith("]"))):
        raise ValueError(f"{line[:80]!r}")
    return Update(package, version[1:], tuple(archives.split(", ")))


def boot(document: str, host: str = "") -> Boot:
    """Return the running kernel and the installed kernels.

    document: ``uname -r``, ``uname -v``, then the paths of /run/reboot-required and of kernels, then the version of the kernel's
    package, if any. Raises EvidenceError if it is malformed.
    """
    with parsing("the kernels", host):
        running, build, *rest = document.splitlines()
        paths = [line for line in rest if line.startswith("/")]
        versions = [line for line in rest if not line.startswith("/")]
        if len(versions) > 1 or not re.match(r"[0-9]", text(running, "uname -r")) or not Kernel(running).order:
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


@dataclass(frozen=True)
class UpdateFacts:
    """The updates and kernels of one host. Each fact raises EvidenceError if it can't be read."""

    evidence: Evidence
    """The evidence of the host."""

    @fact
    def releases(self) -> tuple[Release, ...]:
        """Return the package archives of apt, as the host last fetched them; empty if it never fetched any."""
        return releases(output(self.evidence, "apt-releases"), self.evidence.host)

    @fact
    def updates(self) -> Updates:
        """Return the updates that apt would install, by the archives that the host last fetched."""
        return updates(output(self.evidence, "apt-upgrade"), self.evidence.host)

    @fact
    def boot(self) -> Boot:
        """Return the running kernel, the installed kernels, and whether a package asks for a reboot."""
        return boot(output(self.evidence, "reboot"), self.evidence.host)

    @fact
    def nixos(self) -> NixSystem:
        """Return the versions of a NixOS host."""
        return nixos.nixos(output(self.evidence, "nixos"), self.evidence.host)

    @fact
    def nixos_parts(self) -> tuple[BootPart, ...]:
        """Return the parts of a NixOS system that only a boot changes, besides the kernel."""
        return nixos.boot_parts(output(self.evidence, "nixos"), self.evidence.host)

    @fact
    def incus_package(self) -> IncusPackage:
        """Return the package of Incus on a NixOS host."""
        return nixos.incus_package(output(self.evidence, "nixos"), self.evidence.host)
