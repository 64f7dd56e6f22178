"""Refuses steps outside the maintenance windows of the hosts that they change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sigsrv.model.maintenance import Maintenance

OPTION = "--outside-window --reason TEXT"


def now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)


def closed(maintenance: Maintenance, hosts: Iterable[str], when: datetime) -> list[str]:
    """Return which of these hosts may not be changed at a time, with when they may, a line each; none if all may."""
    return [
        f"{host} is outside its maintenance windows: {_next(maintenance, host, when)}. To change it now: {OPTION}"
        for host in dict.fromkeys(hosts)
        if not maintenance.is_open(host, when)
    ]


def _next(maintenance: Maintenance, host: str, when: datetime) -> str:
    begin = maintenance.next_begin(host, when)
    if begin is None:
        return "the site file has none for it"
    return f"the next one begins {begin:%a %Y-%m-%d %H:%M} {maintenance.time_zone}"
