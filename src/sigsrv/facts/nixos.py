"""The versions of a NixOS host: its release, its package set, and what runs of what is built. Source: nixos-version(8)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sigsrv.collect.probes import INCUS_NIXPKGS
from sigsrv.facts.parsing import instant, mapping, number, parsed, parsing, text

_STORE = "/nix/store/"
_NONE = "-"
_PARTS = ("initrd", "kernel-modules")
# What follows a release in a version: .20260102.abcdef0 of a flake, .716390.abcdef012345 of a channel, pre812345.abcdef012345 of unstable.
_VERSION = re.compile(r"([0-9]{2}\.[0-9]{2})(.*)")
_DAY = re.compile(r"\.(20[0-9]{6})(?:\.|$)")
_NAME = re.compile(rf"{_STORE}[0-9a-z]{{32}}-([^/]+)(?:/.*)?")


@dataclass(frozen=True)
class NixSystem:
    """The versions of a NixOS host."""

    version: str
    """The NixOS version, for example ``25.05.20260102.abcdef0`` (a flake) or ``25.05.716390.abcdef012345`` (a channel)."""
    switched: float
    """When the system profile last changed, in seconds since the epoch."""
    nixpkgs: float | None
    """The day of the package set in the version; for a channel, when root fetched it. In seconds since the epoch; None if unknown."""
    booted: str
    """The store path of the running kernel."""
    current: str
    """The store path of the current system's kernel."""
    running: str
    """The store path of the running system."""
    next: tuple[str, ...]
    """The store paths of the system that boots next, and of its specialisations, which a person may choose at boot."""

    @property
    def release(self) -> str:
        """Return the release, for example ``25.05``; empty if the version does not begin with one."""
        match = _VERSION.fullmatch(self.version)
        return match[1] if match else ""


@dataclass(frozen=True)
class BootPart:
    """A part of a system that only a boot changes, besides the kernel."""

    name: str
    """``initrd`` or ``kernel-modules``."""
    booted: str
    """The store path of the part that was booted; empty if the system has none."""
    current: str
    """The store path of the current system's part; empty if it has none."""


@dataclass(frozen=True)
class IncusPackage:
    """The package of Incus on a NixOS host. Incus may come from another package set than the system."""

    name: str
    """The name and version in the store path, for example ``incus-7.0.2``; empty if the client is not in the store."""
    stored: float | None
    """When this host got the store path, in seconds since the epoch; None if unknown. The package set may be newer."""
    nixpkgs: float | None
    """The day of the package set, as the configuration writes it to /etc/sigsrv/incus-nixpkgs; None if there is no such file."""


def nixos(document: str, host: str = "") -> NixSystem:
    """Return the versions of a NixOS host.

    document: ``nixos-version --json``, when the profile changed, the kernels booted and current, the systems of the profile and
    running, and the profile's specialisations; then lines that begin with a word, of which those of channels count. Raises EvidenceError if
    it is malformed.
    """
    with parsing("nixos-version", host):
        answer, lines, tagged = _split(document)
        version = text(mapping(parsed(answer), "answer")["nixosVersion"], "nixosVersion")
        switched, booted, current, profile, running, *others = lines
        if not all(path.startswith(_STORE) for path in (booted, current, profile, running, *others)):
            raise ValueError(f"{', '.join(path[:60] for path in lines[1:])}: not all are in the Nix store")
        at = float(instant(number(switched, "the time of the profile"), "the time of the profile"))
        fetched = _fetched(version, tagged.get("channel", ()))
        return NixSystem(version, at, _day(version) or fetched, booted, current, running, (profile, *others))


def boot_parts(document: str, host: str = "") -> tuple[BootPart, ...]:
    """Return the parts besides the kernel that only a boot changes. Raises EvidenceError if one is missing in the answer of ``nixos``."""
    with parsing("nixos-version", host):
        _, _, tagged = _split(document)
        return tuple(_part(name, tagged[name]) for name in _PARTS)


def incus_package(document: str, host: str = "") -> IncusPackage:
    """Return the package of Incus from the answer of ``nixos``. Raises EvidenceError if it is malformed."""
    with parsing("nixos-version", host):
        _, _, tagged = _split(document)
        ((stored, path),) = tagged["incus"]
        match = _NAME.fullmatch(path)
        at = number(stored, "the time of Incus's store path")
        days = [row[0] for row in tagged.get("incus-nixpkgs", ())]
        return IncusPackage(
            match[1] if match else "",
            float(instant(at, "the time of Incus's store path")) if at and match else None,
            _written(days[0]) if days else None,
        )


def _split(document: str) -> tuple[str, Sequence[str], Mapping[str, list[list[str]]]]:
    """Return the answer of nixos-version, the lines after it, and the words of the lines that begin with a word, by that word."""
    lines = document.splitlines()
    end = next(number for number, line in enumerate([*lines, "0"]) if line.isascii() and line.isdecimal())
    plain = [line for line in lines[end:] if line.startswith("/") or line.isdecimal()]
    tagged: dict[str, list[list[str]]] = {}
    for line in lines[end:]:
        if line not in plain:
            word, *rest = line.split()
            tagged.setdefault(word, []).append(rest)
    return "\n".join(lines[:end]), plain, tagged


def _part(name: str, rows: Sequence[Sequence[str]]) -> BootPart:
    ((booted, current),) = rows
    if not all(path == _NONE or path.startswith(_STORE) for path in (booted, current)):
        raise ValueError(f"{name}: {booted[:60]}, {current[:60]}: not in the Nix store")
    return BootPart(name, *("" if path == _NONE else path for path in (booted, current)))


def _day(version: str) -> float | None:
    """Return the day in a version like ``25.05.20260102.abcdef0``, in seconds since the epoch; None if there is none."""
    match = _DAY.search(version)
    return _seconds(match[1]) if match else None


def _fetched(version: str, channels: Sequence[Sequence[str]]) -> float | None:
    """Return when root first fetched the channel of a version, in seconds since the epoch; None if no channel has it.

    channels: time and version suffix of each generation. Nix writes a generation when the content of the channel is new.
    """
    match = _VERSION.fullmatch(version)
    times = [number(row[0], "the time of a channel") for row in channels if match and row[1:] == [match[2]]]
    return float(instant(min(times), "the time of a channel")) if times else None


def _written(word: str) -> float:
    """Return a day that begins with year, month and day, like ``lastModifiedDate`` of a flake's input, in seconds since the epoch."""
    if not re.fullmatch("20[0-9]{6}([0-9]{6})?", word):
        raise ValueError(f"{INCUS_NIXPKGS}: {word[:40]!r} is not a date like 20260102")
    return _seconds(word[:8])


def _seconds(day: str) -> float:
    return datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp()
