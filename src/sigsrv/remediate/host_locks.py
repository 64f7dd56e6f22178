"""The hosts of a site, held by one run from its beginning to its end, so that two runs never mix."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from types import TracebackType

from sigsrv.collect.connection import open_session
from sigsrv.collect.session import ConnectionFailed
from sigsrv.collect.target import Target
from sigsrv.remediate import preflight
from sigsrv.remediate.preflight import Preflight
from sigsrv.remediate.shell import HostPaths, Notify


class Refused(Exception):
    """Nothing was applied, or no more of it. reasons: why, each one line."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


class HostLocks:
    """``with Hold(...) as hold``: each host that can be reached is held. Raises Refused where another run holds one.

    token: the word of the run; seconds: how long a hold lasts that nobody prolongs; dead: words of runs that are over.
    grounds: what each host offers, by its name; places: where things are on them.
    """

    def __init__(
        self,
        targets: Iterable[Target],
        token: str,
        who: str,
        seconds: float,
        dead: Sequence[str],
        notify: Notify,
        paths: HostPaths,
    ) -> None:
        self._targets = tuple(targets)
        self._token = token
        self._who = who
        self._seconds = seconds
        self._dead = dead
        self._notify = notify
        self.paths = paths
        self.preflights: dict[str, Preflight] = {}

    def __enter__(self) -> HostLocks:
        try:
            self.extend(self._seconds)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def extend(self, seconds: float) -> None:
        """Hold them for that long from now on, at most."""
        for host in self._targets:
            if host.api and host.api.only:
                continue  # nobody logs in there
            try:
                with open_session(host) as session:
                    refused, found = preflight.lock(session, self._token, self._who, seconds, self._dead, self.paths)
            except ConnectionFailed as cause:
                self._notify(f"{host.name} is not held, it can't be reached: {cause.failure.reason}")
                continue
            if found is None:
                raise Refused([f"{host.name}: {refused.removeprefix('refused: ')}"])
            self.preflights[host.name] = found

    def _release(self) -> None:
        for host in self._targets:
            if host.name in self.preflights:
                with (
                    contextlib.suppress(ConnectionFailed),
                    open_session(host) as session,
                ):
                    preflight.unlock(session, self._token, self.paths)
