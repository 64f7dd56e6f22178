"""The ZFS pools of one host, from ``zpool status`` and ``zpool list``.

The Incus API says nothing of a pool's health, nor of its scrubs and fragmentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import command_failed, mapping, output, parsed, parsing, probe, text
from sigsrv.model.errors import EvidenceError, FailureKind

_CLASSES = ("vdevs", "special", "dedup", "logs", "l2cache", "spares")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_TEXT_GROUPS = frozenset({"logs", "cache", "spares", "special", "dedup"})
# zpool's text dates a scan in the host's local time and does not name the zone. It is read as UTC; the instant is then known to
# the distance of the farthest zone, UTC+14, and a scan carries that doubt with it instead of a guess at the zone.
_ZONES_S = 14 * 3600
_SCANS = (
    (re.compile(r"(scrub) repaired .+ with (?P<errors>\d+) errors on (?P<on>.+)"), "FINISHED"),
    (re.compile(r"(resilver)ed .+ with (?P<errors>\d+) errors on (?P<on>.+)"), "FINISHED"),
    (re.compile(r"(scrub|resilver) in progress since .+"), "SCANNING"),
    (re.compile(r"(scrub) paused since .+"), "PAUSED"),
    (re.compile(r"(scrub|resilver) canceled on (?P<on>.+)"), "CANCELED"),
)


@dataclass(frozen=True)
class Vdev:
    """A device of a pool, or a group of them. Errors: counts since the last clear; None for a spare, which has none."""

    name: str
    state: str
    read_errors: int | None
    write_errors: int | None
    checksum_errors: int | None

    @property
    def errors(self) -> int:
        return (self.read_errors or 0) + (self.write_errors or 0) + (self.checksum_errors or 0)


@dataclass(frozen=True)
class Scan:
    """The last scan of a pool; ZFS keeps no more than that one.

    function: ``SCRUB``, ``RESILVER`` ...; state: ``FINISHED``, ``SCANNING``, ``PAUSED``, ``CANCELED`` ...; errors: that it could not
    repair; ended: seconds since the epoch, None while it is not over; doubt_s: how far from that the true end may be, either way.
    """

    function: str
    state: str
    errors: int
    ended: float | None
    doubt_s: int = 0


@dataclass(frozen=True)
class ZpoolUsage:
    """How full a ZFS pool is, in percent. None where zpool itself shows ``-``: it does not know."""

    name: str
    capacity: int | None
    fragmentation: int | None


@dataclass(frozen=True)
class ZPool:
    """A ZFS pool. data_errors: files and objects with errors that could not be repaired. scan: None where there never was one."""

    name: str
    state: str
    data_errors: int
    vdevs: tuple[Vdev, ...]
    scan: Scan | None

    @property
    def resilvering(self) -> bool:
        return self.scan is not None and (self.scan.function, self.scan.state) == ("RESILVER", "SCANNING")


def _count(value: Any) -> int:
    """A counter: a number, or zpool's text of it, rounded to a unit (``1.02K``)."""
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is no counter")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", str(value))
    if match is None:
        raise ValueError(f"{value!r} is no counter")
    return int(float(match[1]) * _UNITS[match[2]])


def _vdevs(tree: Mapping[str, Any], spare: bool) -> Iterator[Vdev]:
    for row in tree.values():
        row = mapping(row, "vdev")
        counters = [None if spare else _count(row[f"{kind}_errors"]) for kind in ("read", "write", "checksum")]
        yield Vdev(text(row["name"], "vdev name"), text(row["state"], "vdev state"), *counters)
        yield from _vdevs(mapping(row.get("vdevs") or {}, "vdevs"), spare)


def from_json(document: str, host: str = "") -> dict[str, ZPool]:
    """Pools by name. document: ``zpool status -j`` of OpenZFS 2.3 or later. Raises EvidenceError where it is anything else.

    No pool imported is an empty ``pools``; that is an answer. Source: zpool-status(8).
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
    function, state = text(stats["function"], "scan function"), text(stats["state"], "scan state")
    if function == "NONE":
        return None
    ended, paused = _count(stats["end_time"]), _count(stats.get("scrub_pause", 0))
    if state == "SCANNING" and paused:
        state = "PAUSED"
    if not ended and state in ("FINISHED", "CANCELED"):
        raise ValueError(f"a scan that is {state} and has no end")
    return Scan(function, state, _count(stats["errors"]), ended or None)


def from_text(document: str, host: str = "") -> dict[str, ZPool]:
    """Pools by name. document: ``zpool status`` of an OpenZFS without ``-j``. Raises EvidenceError where it is anything else."""
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
            elif errors.startswith("Permanent errors"):  # with -v: a list, one error a line
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
    line = re.search(r"(?m)^\s*scan: (.*)$", block)
    if line is None or line[1].strip() == "none requested":
        return None
    for pattern, state in _SCANS:
        if match := pattern.fullmatch(line[1].strip()):
            said = match.groupdict()
            ended = None
            if "on" in said:
                ended = datetime.strptime(said["on"], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC).timestamp()
            return Scan(match[1].upper(), state, int(said.get("errors", 0)), ended, _ZONES_S)
    raise ValueError(f"scan: {line[1][:60]!r}")


def usages(document: str, host: str = "") -> dict[str, ZpoolUsage]:
    """How full each pool is, by its name. document: ``zpool list -Hp``: a line a pool, eleven columns parted by tabs.

    Raises EvidenceError where it is anything else. Where no pool is imported zpool prints nothing here, as a probe that was cut off
    does: whether a pool is imported is for ``zpool status`` to say. Source: zpool-list(8).
    """
    with parsing("zpool list", host):
        found = {}
        for line in document.splitlines():
            columns = line.split("\t")
            if len(columns) != 11:  # name size alloc free ckpoint expandsz frag cap dedup health altroot
                raise ValueError(f"{len(columns)} columns instead of 11 in {line[:60]!r}")
            name = text(columns[0], "name")
            found[name] = ZpoolUsage(name, _percent(columns[7]), _percent(columns[6]))
        if not found:
            raise ValueError("no pool in it")
        return found


def _percent(value: str) -> int | None:
    if value == "-":
        return None
    if not value.isascii() or not value.isdigit():
        raise ValueError(f"{value!r} is no percentage")
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
    """When each pool was made, by name: seconds since the epoch, of its root dataset.

    document: ``zfs list -Hp -d 0 -o name,creation``: a line for each pool, two columns with a tab between. Raises EvidenceError.
    Source: zfs-list(8).
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
    """What one host tells of its ZFS pools."""

    evidence: Evidence

    @cached_property
    def zpools(self) -> Mapping[str, ZPool]:
        """Imported pools, by ZFS name: from the JSON form, else from the text. Raises EvidenceError."""
        host = self.evidence.host
        answer = probe(self.evidence, "zpool-json")
        if answer.rc == 0:
            return from_json(answer.stdout, host)
        if "invalid option" not in answer.stderr:
            raise command_failed(host, "zpool-json", answer)
        return from_text(output(self.evidence, "zpool-text"), host)

    def created(self, name: str) -> int:
        """When a pool was made, in seconds since the epoch. Raises EvidenceError, also where the pool is not in the answer."""
        host = self.evidence.host
        found = creations(output(self.evidence, "zfs-created"), host)
        if name not in found:
            raise EvidenceError(f"{host}: zfs list: no pool {name}", FailureKind.GARBLED, host)
        return found[name]

    def zpool(self, name: str) -> ZPool | None:
        """A pool; None where it is not imported. Raises EvidenceError."""
        if not name:
            raise EvidenceError(f"{self.evidence.host}: no ZFS pool name", FailureKind.GARBLED, self.evidence.host)
        return self.zpools.get(name)

    @cached_property
    def _usages(self) -> Mapping[str, ZpoolUsage]:
        return usages(output(self.evidence, "zpool-list"), self.evidence.host)

    def usage(self, name: str) -> ZpoolUsage:
        """How full an imported pool is. Raises EvidenceError, also where the list has no such pool."""
        found = self._usages.get(name)
        if found is None:
            host = self.evidence.host
            raise EvidenceError(f"{host}: zpool list has no pool {name}", FailureKind.GARBLED, host)
        return found
