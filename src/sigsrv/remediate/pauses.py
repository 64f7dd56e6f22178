"""Waits between two steps while the hosts stay locked: for a person who decides, and after the canary."""

from __future__ import annotations

import time
from collections.abc import Callable

from sigsrv.remediate.host_locks import HostLocks
from sigsrv.remediate.planning import Step
from sigsrv.remediate.shell import Notify

FRESH_S = 2.0  # findings older than this are collected again after a wait
_EXTEND_S = 60.0  # how often a wait extends the locks of the hosts
_TICK_S = 0.5

Keep = Callable[[], None]
"""Keeps the hosts locked. Code that waits calls it every few seconds."""


def keeper(locks: HostLocks, step_s: float) -> Keep:
    """Return a function that extends the locks once a minute. step_s: seconds that the step after the wait may take."""
    last = time.monotonic()

    def keep() -> None:
        nonlocal last
        if time.monotonic() - last >= _EXTEND_S:
            locks.extend(step_s + 2 * _EXTEND_S)
            last = time.monotonic()

    return keep


class Pauses:
    """Pauses once for each remediation: after its first host, before its second one.

    seconds: length of a pause; 0 for none. The first host is the canary, or the next one if the operator left the canary out.
    """

    def __init__(self, seconds: float, notify: Notify) -> None:
        self._seconds = seconds
        self._notify = notify
        self._first: dict[str, str] = {}
        self._paused: set[str] = set()

    def before(self, step: Step, began: float, keep: Keep) -> None:
        """Wait if this step is the first on another host. began: when a question about the step began; that time counts."""
        name, host = step.fix.name, step.fix.runs_on
        first = self._first.setdefault(name, host)
        if first == host or name in self._paused:
            return
        self._paused.add(name)
        end = began + self._seconds
        if time.monotonic() < end:
            self._notify(f"pause of {self._seconds:g} s: {name} is verified on {first}; the hosts stay locked")
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _TICK_S))
            keep()
