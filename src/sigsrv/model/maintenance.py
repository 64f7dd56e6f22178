"""When a site may be changed, and which changes need the approval of a second person, as the site file says."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DISRUPTIONS = ("none", "instance", "network", "service")
_MIDNIGHT = "24:00"
_AHEAD = 9  # days in which a window that has a day of the week begins again, also over a change of the clock


def zone(name: str) -> tzinfo:
    """Return a time zone by its name. UTC needs no database of time zones. Raises OSError, ValueError or KeyError for an unknown one."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # only for sites that name a zone

    return ZoneInfo(name)


@dataclass(frozen=True)
class Window:
    """A time of some days in which hosts may be changed.

    days: of its beginning, from ``DAYS``. begin, end: ``HH:MM``; an end that is not after the beginning is on the next day. hosts: empty
    for all.
    """

    begin: str
    end: str
    days: tuple[str, ...] = DAYS
    hosts: tuple[str, ...] = ()

    def is_for(self, host: str) -> bool:
        return not self.hosts or host in self.hosts

    def spans(self, around: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield its beginnings and ends in UTC, from the day before a local time on, in order. They are local times of that zone."""
        for offset in range(-1, _AHEAD):
            day = around.date() + timedelta(days=offset)
            if DAYS[day.weekday()] in self.days:
                begin = datetime.combine(day, _clock(self.begin), around.tzinfo)
                last = (
                    day if self.end != _MIDNIGHT and _clock(self.end) > _clock(self.begin) else day + timedelta(days=1)
                )
                end = datetime.combine(last, _clock(self.end), around.tzinfo)
                yield begin.astimezone(UTC), end.astimezone(UTC)


def _clock(text: str) -> time:
    return time() if text == _MIDNIGHT else time.fromisoformat(text)


@dataclass(frozen=True)
class Maintenance:
    """When hosts may be changed, and which changes a second person must approve.

    time_zone: of the windows. windows: empty for any time. approval: disruptions, from ``DISRUPTIONS``; a plan with a step of one of them
    needs an approval. approval_hours: how long an approval is valid.
    """

    time_zone: str = "UTC"
    windows: tuple[Window, ...] = ()
    approval: tuple[str, ...] = ()
    approval_hours: float = 24.0

    def is_open(self, host: str, now: datetime) -> bool:
        """Report whether a host may be changed at a time. Without windows, it always may; without one for this host, never."""
        if not self.windows:
            return True
        return any(begin <= now < end for begin, end in self._spans(host, now))

    def next_begin(self, host: str, now: datetime) -> datetime | None:
        """Return when the next window of a host begins, in the site's time zone; None if it has none."""
        found = [begin for begin, _ in self._spans(host, now) if begin > now]
        return min(found).astimezone(zone(self.time_zone)) if found else None

    def _spans(self, host: str, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        local = now.astimezone(zone(self.time_zone))
        for window in self.windows:
            if window.is_for(host):
                yield from window.spans(local)

    def needs_approval(self, disruptions: Collection[str]) -> bool:
        """Report whether a plan whose steps disrupt this needs the approval of a second person."""
        return not set(self.approval).isdisjoint(disruptions)
