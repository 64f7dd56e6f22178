"""The last scan of a ZFS pool, a scrub or a resilver, in ``zpool status`` as JSON and as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sigsrv.facts.parsing import instant, mapping, number, one_of

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
# zpool's text output gives the time of a scan in the host's local time and does not name the time zone. We read it as UTC.
# The true time may differ by the largest UTC offset (UTC+14); the scan records that as ``doubt_s`` instead of guessing the zone.
_ZONES_S = 14 * 3600
# A sequential resilver has a line for each top-level device, with the device's name in parentheses.
_OF = r"(?P<of> \([^()]++\))?"
_SCANS = (
    (re.compile(r"(scrub) repaired .+ with (?P<errors>[0-9]++) errors on (?P<on>.+)"), "FINISHED"),
    (re.compile(rf"(resilver)ed{_OF} .+ with (?P<errors>[0-9]++) errors on (?P<on>.+)"), "FINISHED"),
    (re.compile(rf"(scrub|resilver){_OF} in progress since .+"), "SCANNING"),
    (re.compile(r"(scrub) paused since .+"), "PAUSED"),
    (re.compile(rf"(scrub|resilver){_OF} canceled on (?P<on>.+)"), "CANCELED"),
)
# OpenZFS's words in ``zpool status -j``. Source: pool_scan_func_str, pool_scan_state_str, vdev_rebuild_state_str of zpool_main.c.
_FUNCTIONS = ("NONE", "SCRUB", "RESILVER", "ERRORSCRUB")
_STATES = ("NONE", "SCANNING", "FINISHED", "CANCELED", "ERRORSCRUBBING")
_REBUILD_STATES = {"ACTIVE": "SCANNING", "COMPLETE": "FINISHED", "CANCELED": "CANCELED"}


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


def date(at: float) -> str:
    """Return a date (UTC) as ``2026-11-07``. at: seconds since the epoch."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def count(value: Any) -> int:
    """Return a counter: zpool prints a number, or text rounded to a unit (``1.02K``)."""
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is not a counter")
    match = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]+)?)([KMGT]?)", str(value))
    if match is None:
        raise ValueError(f"{value!r} is not a counter")
    return int(float(match[1]) * _UNITS[match[2]])


def scan_of(stats: Mapping[str, Any]) -> Scan | None:
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
    ended, paused = int(instant(count(stats["end_time"]), "end_time")), count(stats.get("scrub_pause", 0))
    if state == "SCANNING" and paused:
        state = "PAUSED"
    return _ended(Scan(function, state, count(stats["errors"]), ended or None))


def _rebuild(row: Mapping[str, Any]) -> Scan:
    """Return the sequential resilver of one top-level device."""
    state = _REBUILD_STATES[one_of(row["state"], tuple(_REBUILD_STATES), "state of a rebuild")]
    return _ended(Scan("RESILVER", state, count(row["errors"]), count(row["end_time"]) or None))


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


def scan_in(lines: Iterable[str]) -> Scan | None:
    """Return the last scan. lines: the values of the lines ``scan:`` of one pool. Raises ValueError if they are malformed."""
    scans: list[Scan] = []
    rebuilds: list[Scan] = []
    for line in lines:
        if line != "none requested":
            scan, of_device = _scan_line(line)
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
            scan = Scan(match[1].upper(), state, number(reported.get("errors") or "0", "errors"), ended, _ZONES_S)
            return scan, bool(reported.get("of"))
    raise ValueError(f"scan: {line[:60]!r}")
