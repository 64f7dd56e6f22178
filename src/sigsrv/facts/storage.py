"""facts.storage: the ZFS pools of one host, from ``zpool status``.

Room: facts. May import errors and collect. The Incus API says nothing of a pool's health.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sigsrv.collect.evidence import Evidence
from sigsrv.errors import EvidenceError, FailureKind
from sigsrv.facts.reading import command_failed, mapping, parsed, probe, reading, text

_CLASSES = ("vdevs", "special", "dedup", "logs", "l2cache", "spares")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_TEXT_GROUPS = frozenset({"logs", "cache", "spares", "special", "dedup"})


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
class ZPool:
    """A ZFS pool. data_errors: files and objects with errors that could not be repaired."""

    name: str
    state: str
    data_errors: int
    vdevs: tuple[Vdev, ...]
    resilvering: bool


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
    with reading("zpool status -j", host):
        found = {}
        for pool in mapping(mapping(parsed(document), "answer")["pools"], "pools").values():
            name = text(pool["name"], "name")
            if not mapping(pool["vdevs"], "vdevs"):
                raise ValueError(f"{name}: no vdevs")
            vdevs = [v for kind in _CLASSES for v in _vdevs(mapping(pool.get(kind) or {}, kind), kind == "spares")]
            scan = mapping(pool.get("scan_stats") or {}, "scan_stats")
            busy = scan.get("function") == "RESILVER" and scan.get("state") == "SCANNING"
            state = text(pool["state"], "state")
            found[name] = ZPool(name, state, _count(pool["error_count"]), tuple(vdevs), busy)
        return found


def from_text(document: str, host: str = "") -> dict[str, ZPool]:
    """Pools by name. document: ``zpool status`` of an OpenZFS without ``-j``. Raises EvidenceError where it is anything else."""
    with reading("zpool status", host):
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
            scan = re.search(r"(?m)^\s*scan: (.*)", block)
            busy = scan is not None and scan[1].startswith("resilver in progress")
            found[name] = ZPool(name, state, count, tuple(_text_vdevs(block)), busy)
        if not found:
            raise ValueError(f"no pool in {document[:60]!r}")
        return found


def _field(block: str, name: str) -> str:
    match = re.search(rf"(?m)^\s*{name}: (.+)$", block)
    if match is None:
        raise ValueError(f"no {name}")
    return match[1].strip()


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
        older = probe(self.evidence, "zpool-text")
        if older.rc != 0:
            raise command_failed(host, "zpool-text", older)
        return from_text(older.stdout, host)

    def zpool(self, name: str) -> ZPool | None:
        """A pool; None where it is not imported. Raises EvidenceError."""
        if not name:
            raise EvidenceError(f"{self.evidence.host}: no ZFS pool name", FailureKind.GARBLED, self.evidence.host)
        return self.zpools.get(name)
