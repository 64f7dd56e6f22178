"""Limits the processor time for reading the answers of a host and for judging it, so that no host holds up the others.

Reading takes time in proportion to the size of an answer, and the collection limits the size. The limits here are for the answer that
nobody thought of: they end whatever runs, also a regular expression. While ``watching`` is open, a timer ticks. Each tick charges the
time since the last one to the innermost open ``charged`` block, and ends the block if its time is used up.

Only the main thread of a process can have such a timer. In any other thread there is no limit.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import NamedTuple

from sigsrv.model.errors import EvidenceError, FailureKind

ANSWER_S = 20.0  # processor time for one answer of a host, and for one policy on one host or cluster
HOST_S = 120.0  # processor time for all answers of a host together, with the policies on it
_TICK_S = 0.1
# A tick raises nothing in the code of these modules: it opens and closes blocks.
_UNDISTURBED = frozenset({__name__, "contextlib", "sigsrv.facts.reading"})


class TooSlowError(BaseException):
    """Ends what runs in a block whose time is used up. The block turns it into EvidenceError.

    No ``except`` but the one of the block may catch it, so it is no ``Exception``. is_join: whether the block is that of a policy, and
    not the one of an answer.
    """

    def __init__(self, reason: str, is_join: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_join = is_join


class _Key(NamedTuple):
    host: str
    what: str
    is_join: bool


class _Watch:
    """The time that was used so far, by block and by host. open: the blocks that are open, the innermost last."""

    def __init__(self) -> None:
        self.open: list[_Key] = []
        self._at = time.process_time()
        self._spent: Counter[_Key] = Counter()
        self._of_host: Counter[str] = Counter()

    def tick(self, _: int, frame: FrameType | None) -> None:
        """Charge the time since the last tick. Raises TooSlowError in whatever runs."""
        now = time.process_time()
        used, self._at = now - self._at, now
        if not self.open:
            return
        key = self.open[-1]
        self._spent[key] += used  # type: ignore[assignment]  # typeshed knows only counters of integers
        self._of_host[key.host] += used  # type: ignore[assignment]
        may_raise = frame is not None and frame.f_globals.get("__name__") not in _UNDISTURBED
        if may_raise and (reason := self.why_ended(key)):
            raise TooSlowError(reason, key.is_join)

    def why_ended(self, key: _Key) -> str:
        """Return why there is no time left for a block; "" if there is some."""
        doing = f"judging {key.what}" if key.is_join else f"reading the answer to {key.what}"
        if self._spent[key] > ANSWER_S:
            return f"{key.host}: {doing} took more than {ANSWER_S:.0f} s of processor time, so it was ended"
        if self._of_host[key.host] > HOST_S:
            all_of = f"reading and judging what {key.host} answered took more than {HOST_S:.0f} s of processor time"
            return f"{key.host}: {all_of}, so {doing} was ended"
        return ""


_watch: _Watch | None = None


@contextmanager
def watching() -> Iterator[None]:
    """Limit the time of the ``charged`` blocks in this block. Within another such block, that one counts."""
    global _watch
    if _watch is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    _watch = _Watch()
    handler = signal.signal(signal.SIGPROF, _watch.tick)
    timer = signal.setitimer(signal.ITIMER_PROF, _TICK_S, _TICK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)  # runs the handler of a tick that came before
        signal.setitimer(signal.ITIMER_PROF, *timer)
        _watch = None


class charged:
    """Charge the time of the block to an answer of a host. Raises EvidenceError if the time is used up, also before the block.

    host: the host, or the scope of a policy. what: the answer, or the policy. is_join: whether it is a policy.
    A class and not a generator: a scan enters tens of thousands.
    """

    __slots__ = ("_depth", "_key")

    def __init__(self, host: str, what: str, is_join: bool = False) -> None:
        self._key = _Key(host, what, is_join)
        self._depth = 0

    def __enter__(self) -> None:
        if _watch is not None:
            if reason := _watch.why_ended(self._key):
                raise _ended(reason, self._key.host)
            self._depth = len(_watch.open)
            _watch.open.append(self._key)

    def __exit__(
        self, kind: type[BaseException] | None, cause: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if _watch is not None:
            del _watch.open[self._depth :]
        if isinstance(cause, TooSlowError):
            raise _ended(cause.reason, self._key.host) from None


def _ended(reason: str, host: str) -> EvidenceError:
    return EvidenceError(reason, FailureKind.TOO_LARGE, host)
