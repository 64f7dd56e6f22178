"""Locks the hosts of a site for one run, from its start to its end, so two runs never mix."""

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
    """Stops a run: nothing was applied, or no further step. reasons: one line each."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


class HostLocks:
    """Locks each reachable host for the duration of a ``with`` block. Raises Refused if another run has locked a host.

    token: the id of the run. seconds: how long a lock lasts without an extension. dead: ids of runs that are over.
    preflights: the preflight of each host, by its name. paths: where files are on the hosts.
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
        """Lock the hosts for at most that many seconds from now. Raises Refused if another run has locked one of them."""
        for host in self._targets:
            if host.api and host.api.only:
                continue  # sigsrv does not log in on this host
            try:
                with open_session(host) as session:
                    refused, found = preflight.lock(session, self._token, self._who, seconds, self._dead, self.paths)
            except ConnectionFailed as cause:
                self._notify(f"{host.name} is not locked, it can't be reached: {cause.failure.reason}")
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
