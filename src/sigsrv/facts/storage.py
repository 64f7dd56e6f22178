"""The ZFS pools of one host, from ``zpool status`` and ``zpool list``.

The Incus API does not report a pool's health, scrubs or fragmentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import Any

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import command_failed, instant, mapping, number, output, parsed, parsing, probe, text
from sigsrv.facts.reading import fact
from sigsrv.facts.zpool_scans import Scan, count, scan_in, scan_of
from sigsrv.model.errors import EvidenceError, FailureKind

_CLASSES = ("vdevs", "special", "dedup", "logs", "l2cache", "spares")
_GROUPS = frozenset({"root", "mirror", "raidz", "draid", "replacing", "spare"})  # types of vdevs that consist of others
_SPARE_STATES = ("AVAIL", "INUSE")
_LEVELS = 8  # ZFS has four: a root, a mirror, a spare in it, a disk that it is replacing
_TABLE = ("NAME", "STATE", "READ", "WRITE", "CKSUM")  # the columns of the table of devices
_TEXT_GROUPS = frozenset({"logs", "cache", "spares", "special", "dedup"})


@dataclass(frozen=True)
class Vdev:
    """A device of a ZFS pool, or a group of devices."""

    name: str
    """The name that zpool shows: a device, a path, or a group such as ``mirror-0``."""
    state: str
    """The state that zpool shows, for example ``ONLINE``, ``DEGRADED`` or ``FAULTED``."""
    read_errors: int | None
    """The number of read errors since the last ``zpool clear``; None for a spare."""
    write_errors: int | None
    """The number of write errors since the last ``zpool clear``; None for a spare."""
    checksum_errors: int | None
    """The number of checksum errors since the last ``zpool clear``; None for a spare."""

    @property
    def errors(self) -> int:
        """Return the sum of read, write and checksum errors; 0 for a spare."""
        return (self.read_errors or 0) + (self.write_errors or 0) + (self.checksum_errors or 0)

    @property
    def is_ready_spare(self) -> bool:
        """Return whether it is a spare that waits for its use, or that is in use."""
        return self.read_errors is None and self.state in _SPARE_STATES


@dataclass(frozen=True)
class ZpoolUsage:
    """How full and how fragmented a ZFS pool is."""

    capacity: int | None
    """The used space in percent; None if zpool shows ``-``."""
    fragmentation: int | None
    """The fragmentation of the free space in percent; None if zpool shows ``-``."""


@dataclass(frozen=True)
class ZPool:
    """A ZFS pool."""

    name: str
    """The pool's name in ZFS."""
    state: str
    """The state that zpool shows, for example ``ONLINE`` or ``DEGRADED``."""
    data_errors: int
    """The number of files and objects with errors that ZFS could not repair."""
    vdevs: tuple[Vdev, ...]
    """All devices and groups of devices in the pool, spares included."""
    scan: Scan | None
    """The scrub or resilver that runs, else the one that ended last; None if there was none.

    A sequential resilver that was cancelled does not count.
    """

    @property
    def not_online(self) -> tuple[str, ...]:
        """Return the devices and groups that are not ONLINE, each with its state: ``sda is FAULTED``. A spare may wait or be in use."""
        return tuple(
            f"{vdev.name} is {vdev.state}" for vdev in self.vdevs if vdev.state != "ONLINE" and not vdev.is_ready_spare
        )

    @property
    def device_errors(self) -> tuple[str, ...]:
        """Return the devices and groups with errors, each with its counters."""
        return tuple(
            f"{vdev.name} has {vdev.read_errors} read, {vdev.write_errors} write, {vdev.checksum_errors} checksum errors"
            for vdev in self.vdevs
            if vdev.errors
        )

    @property
    def resilvering(self) -> bool:
        """Return whether a resilver runs now, sequential or not."""
        return self.scan is not None and (self.scan.function, self.scan.state) == ("RESILVER", "SCANNING")


def _vdevs(tree: Mapping[str, Any], spare: bool, level: int = 1) -> Iterator[Vdev]:
    if level > _LEVELS and tree:
        raise ValueError(f"vdevs below each other on more than {_LEVELS} levels")
    for row in tree.values():
        row = mapping(row, "vdev")
        counters = [None if spare else count(row[f"{kind}_errors"]) for kind in ("read", "write", "checksum")]
        yield Vdev(text(row["name"], "vdev name"), text(row["state"], "vdev state"), *counters)
        below = mapping(row.get("vdevs") or {}, "vdevs")
        if row.get("vdev_type") in _GROUPS and not below:
            raise ValueError(f"{row['name']}: a {row['vdev_type']} without devices")
        yield from _vdevs(below, spare, level + 1)


def from_json(document: str, host: str = "") -> dict[str, ZPool]:
    """Return the pools by name.

    document: the output of ``zpool status -j`` (OpenZFS 2.3 or later). Raises EvidenceError if it is malformed.
    If no pool is imported, ``pools`` is empty: that is a valid answer. Source: zpool-status(8).
    """
    with parsing("zpool status -j", host):
        found = {}
        for pool in mapping(mapping(parsed(document), "answer")["pools"], "pools").values():
            name = text(pool["name"], "name")
            if not mapping(pool["vdevs"], "vdevs"):
                raise ValueError(f"{name}: no vdevs")
            vdevs = [v for kind in _CLASSES for v in _vdevs(mapping(pool.get(kind) or {}, kind), kind == "spares")]
            scan = scan_of(mapping(pool["scan_stats"], "scan_stats")) if "scan_stats" in pool else None
            state = text(pool["state"], "state")
            found[name] = ZPool(name, state, count(pool["error_count"]), tuple(vdevs), scan)
        return found


def from_text(document: str, host: str = "") -> dict[str, ZPool]:
    """Return the pools by name.

    document: the output of ``zpool status`` from an OpenZFS without ``-j``. Raises EvidenceError if it is malformed.
    """
    with parsing("zpool status", host):
        if document.strip() == "no pools available":
            return {}
        found = {}
        for name, lines in _text_pools(document):
            state, errors = _field(lines, "state"), _field(lines, "errors")
            counted, of, _ = (errors or "").partition(" data errors")
            if not state or errors is None:
                raise ValueError(f"{name}: no {'errors' if state else 'state'}")
            if errors == "No known data errors":
                count = 0
            elif of:
                count = number(counted, f"{name}: errors")
            elif errors.startswith("Permanent errors"):  # with -v: a list, one error per line
                count = max(1, _listed_errors(lines))
            else:
                raise ValueError(f"{name}: errors: {errors[:60]!r}")
            found[name] = ZPool(name, state, count, tuple(_text_vdevs(lines)), scan_in(_fields(lines, "scan")))
        if not found:
            raise ValueError(f"no pool in {document[:60]!r}")
        return found


def _text_pools(document: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each pool with its lines. What stands before the first pool belongs to none."""
    name, lines = "", list[str]()
    for line in document.split("\n"):
        if line.lstrip().startswith("pool: "):
            if name:
                yield name, lines
            name, lines = text(line.partition("pool: ")[2].strip(), "pool"), []
        else:
            lines.append(line)
    if name:
        yield name, lines


def _field(lines: Iterable[str], name: str) -> str | None:
    """Return the value of the first line ``NAME: VALUE``; None if there is no such line."""
    return next(_fields(lines, name), None)


def _fields(lines: Iterable[str], name: str) -> Iterator[str]:
    """Yield the value of each line ``NAME: VALUE``."""
    start = f"{name}:"
    return (line.removeprefix(start).strip() for line in map(str.strip, lines) if line.startswith(start))


def _listed_errors(lines: Iterable[str]) -> int:
    """Return how many errors the list below ``errors:`` has: one on each line, indented by eight columns or more."""
    listed = dropwhile(lambda line: not line.lstrip().startswith("errors:"), lines)
    return sum(1 for line in listed if line.strip() and len(line) - len(line.lstrip()) >= 8)


def usages(document: str, host: str = "") -> dict[str, ZpoolUsage]:
    """Return the usage of each pool, by name.

    document: the output of ``zpool list -Hp``: one line per pool, eleven columns separated by tabs. Raises EvidenceError if it is
    malformed or empty. Empty output is ambiguous: either no pool is imported, or the probe was cut off. ``zpool status`` says
    which pools are imported. Source: zpool-list(8).
    """
    with parsing("zpool list", host):
        found = {}
        for line in document.splitlines():
            columns = line.split("\t")
            if len(columns) != 11:  # name size alloc free ckpoint expandsz frag cap dedup health altroot
                raise ValueError(f"{len(columns)} columns instead of 11 in {line[:60]!r}")
            name = text(columns[0], "name")
            found[name] = ZpoolUsage(_percent(columns[7]), _percent(columns[6]))
        if not found:
            raise ValueError("no pool in the answer")
        return found


def _percent(value: str) -> int | None:
    if value == "-":
        return None
    return number(value, "a percentage")


def _text_vdevs(lines: Iterable[str]) -> Iterator[Vdev]:
    """Yield the devices of the table, which ends with the first line that is empty or not indented."""
    below = dropwhile(lambda line: tuple(line.split()[: len(_TABLE)]) != _TABLE, lines)
    next(below, None)
    table = list(takewhile(lambda line: line.strip() and line[0] in " \t", below))
    if not table:
        raise ValueError("no table of devices")
    group = ""
    for line in table:
        columns = line.split()
        if len(columns) == 1 and columns[0] in _TEXT_GROUPS:
            group = columns[0]
        elif group == "spares":
            yield Vdev(columns[0], columns[1], None, None, None)
        else:
            yield Vdev(columns[0], columns[1], *(count(column) for column in columns[2:5]))


def creations(document: str, host: str = "") -> dict[str, int]:
    """Return when each pool was created, by name: the creation time of its root dataset, in seconds since the epoch.

    document: the output of ``zfs list -Hp -d 0 -o name,creation``: one line per pool, two columns separated by a tab.
    Raises EvidenceError if it is malformed or names no pool. Source: zfs-list(8).
    """
    with parsing("zfs list", host):
        found = {}
        for line in document.splitlines():
            name, creation = line.split("\t")
            if "/" not in name:
                found[text(name, "name")] = int(instant(number(creation, "creation"), f"creation of {name}"))
        if not found:
            raise ValueError(f"no pool in {document[:60]!r}")
        return found


@dataclass(frozen=True)
class StorageFacts:
    """The ZFS pools of one host."""

    evidence: Evidence
    """The evidence of the host."""

    @fact
    def zpools(self) -> Mapping[str, ZPool]:
        """Return the imported ZFS pools by name.

        Reads ``zpool status -j``, or plain ``zpool status`` if zpool does not know ``-j``. Raises EvidenceError.
        """
        host = self.evidence.host
        answer = probe(self.evidence, "zpool-json")
        if answer.rc == 0:
            return from_json(answer.stdout, host)
        if "invalid option" not in answer.stderr:
            raise command_failed(host, "zpool-json", answer)
        return from_text(output(self.evidence, "zpool-text"), host)

    @fact
    def _created(self) -> Mapping[str, int]:
        return creations(output(self.evidence, "zfs-created"), self.evidence.host)

    def created(self, name: str) -> int:
        """Return when a pool was created, in seconds since the epoch. Raises EvidenceError, also if the answer lacks the pool."""
        host = self.evidence.host
        if name not in self._created:
            raise EvidenceError(f"{host}: zfs list: no pool {name}", FailureKind.GARBLED, host)
        return self._created[name]

    def zpool(self, name: str) -> ZPool | None:
        """Return a pool by its ZFS name; None if it is not imported. Raises EvidenceError."""
        if not name:
            raise EvidenceError(f"{self.evidence.host}: no ZFS pool name", FailureKind.GARBLED, self.evidence.host)
        return self.zpools.get(name)

    @fact
    def _usages(self) -> Mapping[str, ZpoolUsage]:
        return usages(output(self.evidence, "zpool-list"), self.evidence.host)

    def usage(self, name: str) -> ZpoolUsage:
        """Return how full an imported pool is. Raises EvidenceError, also if the answer lacks the pool."""
        found = self._usages.get(name)
        if found is None:
            host = self.evidence.host
            raise EvidenceError(f"{host}: zpool list has no pool {name}", FailureKind.GARBLED, host)
        return found
