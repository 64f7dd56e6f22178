"""The ZFS pools of one host, from ``zpool status`` and ``zpool list``.

The Incus API does not report a pool's health, scrubs or fragmentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import command_failed, mapping, one_of, output, parsed, parsing, probe, text
from sigsrv.facts.reading import fact
from sigsrv.model.errors import EvidenceError, FailureKind

_CLASSES = ("vdevs", "special", "dedup", "logs", "l2cache", "spares")
_GROUPS = frozenset({"root", "mirror", "raidz", "draid", "replacing", "spare"})  # types of vdevs that consist of others
_SPARE_STATES = ("AVAIL", "INUSE")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_TEXT_GROUPS = frozenset({"logs", "cache", "spares", "special", "dedup"})
# zpool's text output gives the time of a scan in the host's local time and does not name the time zone. We read it as UTC.
# The true time may differ by the largest UTC offset (UTC+14); the scan records that as ``doubt_s`` instead of guessing the zone.
_ZONES_S = 14 * 3600
# A sequential resilver has a line for each top-level device, with the device's name in parentheses.
_SCANS = (
    (re.compile(r"(scrub) repaired .+ with (?P<errors>\d+) errors on (?P<on>.+)"), "FINISHED"),
    (re.compile(r"(resilver)ed(?P<of> \(.+\))? .+ with (?P<errors>\d+) errors on (?P<on>.+)"), "FINISHED"),
    (re.compile(r"(scrub|resilver)(?P<of> \(.+\))? in progress since .+"), "SCANNING"),
    (re.compile(r"(scrub) paused since .+"), "PAUSED"),
    (re.compile(r"(scrub|resilver)(?P<of> \(.+\))? canceled on (?P<on>.+)"), "CANCELED"),
)
# OpenZFS's words in ``zpool status -j``. Source: pool_scan_func_str, pool_scan_state_str, vdev_rebuild_state_str of zpool_main.c.
_FUNCTIONS = ("NONE", "SCRUB", "RESILVER", "ERRORSCRUB")
_STATES = ("NONE", "SCANNING", "FINISHED", "CANCELED", "ERRORSCRUBBING")
_REBUILD_STATES = {"ACTIVE": "SCANNING", "COMPLETE": "FINISHED", "CANCELED": "CANCELED"}


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
class Scan:
    """The last scan of a ZFS pool. ZFS remembers one scrub or resilver, and the last sequential resilver of each top-level device."""

    function: str
    """The kind of scan, for example ``SCRUB`` or ``RESILVER``. A sequential resilver (a rebuild) is a ``RESILVER`` too."""
    state: str
    """The state of the scan, for example ``FINISHED``, ``SCANNING``, ``PAUSED`` or ``CANCELED``."""
    errors: int
    """The number of errors that the scan could not repair."""
    ended: float | None
    """When the scan ended, in seconds since the epoch; None while it has not ended."""
    doubt_s: int = 0
    """How many seconds the true end may differ from ``ended``, in either direction."""

    @property
    def ended_on(self) -> str | None:
        """Return the date (UTC) on which the scan ended, for example ``2026-11-07``; None while it has not ended."""
        return None if self.ended is None else date(self.ended)


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


def date(at: float) -> str:
    """Return a date (UTC) as ``2026-11-07``. at: seconds since the epoch."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def _count(value: Any) -> int:
    """Return a counter: zpool prints a number, or text rounded to a unit (``1.02K``)."""
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is not a counter")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", str(value))
    if match is None:
        raise ValueError(f"{value!r} is not a counter")
    return int(float(match[1]) * _UNITS[match[2]])


def _vdevs(tree: Mapping[str, Any], spare: bool) -> Iterator[Vdev]:
    for row in tree.values():
        row = mapping(row, "vdev")
        counters = [None if spare else _count(row[f"{kind}_errors"]) for kind in ("read", "write", "checksum")]
        yield Vdev(text(row["name"], "vdev name"), text(row["state"], "vdev state"), *counters)
        below = mapping(row.get("vdevs") or {}, "vdevs")
        if row.get("vdev_type") in _GROUPS and not below:
            raise ValueError(f"{row['name']}: a {row['vdev_type']} without devices")
        yield from _vdevs(below, spare)


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
            scan = _scan(mapping(pool["scan_stats"], "scan_stats")) if "scan_stats" in pool else None
            state = text(pool["state"], "state")
            found[name] = ZPool(name, state, _count(pool["error_count"]), tuple(vdevs), scan)
        return found


def _scan(stats: Mapping[str, Any]) -> Scan | None:
    """Return the last scan. A pool with a sequential resilver, but never a scrub or another resilver, has only ``rebuild_stats``."""
    rows = mapping(stats["rebuild_stats"], "rebuild_stats").values() if "rebuild_stats" in stats else ()
    rebuilds = [_rebuild(mapping(row, "rebuild_stats")) for row in rows]
    other = _other_scan(stats) if "function" in stats or not rebuilds else None
    return _latest(other, rebuilds)


def _other_scan(stats: Mapping[str, Any]) -> Scan | None:
    """Return the last scrub or resilver that is not sequential."""
    function = one_of(stats["function"], _FUNCTIONS, "scan function")
    state = one_of(stats["state"], _STATES, "scan state")
    if function == "NONE":
        return None
    ended, paused = _count(stats["end_time"]), _count(stats.get("scrub_pause", 0))
    if state == "SCANNING" and paused:
        state = "PAUSED"
    return _ended(Scan(function, state, _count(stats["errors"]), ended or None))


def _rebuild(row: Mapping[str, Any]) -> Scan:
    """Return the sequential resilver of one top-level device."""
    state = _REBUILD_STATES[one_of(row["state"], tuple(_REBUILD_STATES), "state of a rebuild")]
    return _ended(Scan("RESILVER", state, _count(row["errors"]), _count(row["end_time"]) or None))


def _ended(scan: Scan) -> Scan:
    if scan.ended is None and scan.state in ("FINISHED", "CANCELED"):
        raise ValueError(f"a scan that is {scan.state} and has no end")
    return scan


def _latest(scan: Scan | None, rebuilds: Sequence[Scan]) -> Scan | None:
    """Return the scan that runs, else the one that ended last. rebuilds: sequential resilvers; ``scan`` is any other scan."""
    for rebuild in rebuilds:
        if rebuild.state == "SCANNING":
            return rebuild
    finished = [rebuild for rebuild in rebuilds if rebuild.state == "FINISHED"]
    last = max(finished, key=lambda rebuild: rebuild.ended or 0, default=None)
    if scan is None or last is None or last.ended is None:
        return scan or last
    return last if scan.ended is not None and last.ended > scan.ended else scan


def from_text(document: str, host: str = "") -> dict[str, ZPool]:
    """Return the pools by name.

    document: the output of ``zpool status`` from an OpenZFS without ``-j``. Raises EvidenceError if it is malformed.
    """
    with parsing("zpool status", host):
        if document.strip() == "no pools available":
            return {}
        found = {}
        for block in re.split(r"(?m)^\s*pool: ", document)[1:]:
            name = block.split("\n", 1)[0].strip()
            state = _field(block, "state")
            errors = _field(block, "errors")
            if errors == "No known data errors":
                count = 0
            elif match := re.match(r"(\d+) data errors", errors):
                count = int(match[1])
            elif errors.startswith("Permanent errors"):  # with -v: a list, one error per line
                count = max(1, len(re.findall(r"(?m)^\s{8,}\S", block.split("errors:", 1)[1])))
            else:
                raise ValueError(f"{name}: errors: {errors[:60]!r}")
            found[name] = ZPool(name, state, count, tuple(_text_vdevs(block)), _text_scan(block))
        if not found:
            raise ValueError(f"no pool in {document[:60]!r}")
        return found


def _field(block: str, name: str) -> str:
    match = re.search(rf"(?m)^\s*{name}: (.+)$", block)
    if match is None:
        raise ValueError(f"no {name}")
    return match[1].strip()


def _text_scan(block: str) -> Scan | None:
    scans: list[Scan] = []
    rebuilds: list[Scan] = []
    for line in re.findall(r"(?m)^\s*scan: (.*)$", block):
        if line.strip() != "none requested":
            scan, of_device = _scan_line(line.strip())
            (rebuilds if of_device else scans).append(scan)
    if len(scans) > 1:
        raise ValueError(f"{len(scans)} scans")
    return _latest(scans[0] if scans else None, rebuilds)


def _scan_line(line: str) -> tuple[Scan, bool]:
    """Return the scan in a line, and whether it is the sequential resilver of one top-level device."""
    for pattern, state in _SCANS:
        if match := pattern.fullmatch(line):
            reported = match.groupdict()
            ended = None
            if "on" in reported:
                ended = datetime.strptime(reported["on"], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC).timestamp()
            scan = Scan(match[1].upper(), state, int(reported.get("errors") or 0), ended, _ZONES_S)
            return scan, bool(reported.get("of"))
    raise ValueError(f"scan: {line[:60]!r}")


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
    if not value.isascii() or not value.isdigit():
        raise ValueError(f"{value!r} is not a percentage")
    return int(value)


def _text_vdevs(block: str) -> Iterator[Vdev]:
    table = re.search(r"(?m)^\s*NAME\s+STATE\s+READ\s+WRITE\s+CKSUM.*\n((?:[ \t]+\S.*\n)+)", block)
    if table is None:
        raise ValueError("no table of devices")
    group = ""
    for line in table[1].splitlines():
        columns = line.split()
        if len(columns) == 1 and columns[0] in _TEXT_GROUPS:
            group = columns[0]
        elif group == "spares":
            yield Vdev(columns[0], columns[1], None, None, None)
        else:
            yield Vdev(columns[0], columns[1], *(_count(column) for column in columns[2:5]))


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
                found[text(name, "name")] = int(creation)
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

    def created(self, name: str) -> int:
        """Return when a pool was created, in seconds since the epoch. Raises EvidenceError, also if the answer lacks the pool."""
        host = self.evidence.host
        found = creations(output(self.evidence, "zfs-created"), host)
        if name not in found:
            raise EvidenceError(f"{host}: zfs list: no pool {name}", FailureKind.GARBLED, host)
        return found[name]

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
