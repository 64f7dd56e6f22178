"""Watches the hosts during one step: compares pictures of before and after, and says what the fix does not declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sigsrv.judge.require import SERVICE
from sigsrv.model.finding import Verdict
from sigsrv.model.fix import Fix
from sigsrv.remediate import guard, network_resets
from sigsrv.remediate.picture import Picture
from sigsrv.remediate.rescan import FreshFinding

_INCUS_UNIT = "incus.service"
Look = Callable[[], Mapping[str, Picture]]


class StateGuard:
    """Holds the picture of before a step. look: takes pictures of all hosts. replays: the step undoes an earlier one."""

    def __init__(self, look: Look, fresh: FreshFinding, replays: bool) -> None:
        assert fresh.fix
        self._look = look
        self._fix: Fix = fresh.fix
        self._down = {f.host for f in fresh.findings if f.policy == SERVICE and f.verdict is not Verdict.PASS}
        self._silent = fresh.silent if fresh.finding.policy == SERVICE else frozenset()
        self._exact = not replays
        self._before: Mapping[str, Picture] = {}

    def begin(self) -> str:
        """Take the first picture. Return why the step must not begin, also what Incus would take away beside it; "" for no reason."""
        self._before = self._look()
        if unread := guard.unread(self._before, self._down | self._silent):
            return (
                f"the state before the change can't be read, so nobody would know what it changes: {'; '.join(unread)}"
            )
        lost = network_resets.losses(self._fix, self._before, is_undo=not self._exact)
        return "; ".join([*lost, *network_resets.side_effects(self._fix, self._before)])

    def changed(self) -> str:
        """Return what changed that the fix does not declare, in words; "" for nothing."""
        found = guard.undeclared(guard.differences(self._before, self._look()), self._fix, self._exact)
        found = [each for each in found if not self._comes_with_incus(each)]
        return f"it changed what it does not declare: {guard.named(found)}" if found else ""

    def _comes_with_incus(self, found: guard.Difference) -> bool:
        """Return whether the daemon brings it that the fix starts: its networks, its sockets and guests that start with it.

        It was not there before. What was there may not change or go.
        """
        starts = any(each.kind == "unit" and each.name == _INCUS_UNIT for each in self._fix.touches)
        return starts and set(found.hosts) <= self._down and found.before in ("", "no")

    def left(self) -> tuple[str, ...]:
        """Return what differs from the first picture, a line for each difference. Used after a rollback."""
        return tuple(each.text for each in guard.differences(self._before, self._look()))
