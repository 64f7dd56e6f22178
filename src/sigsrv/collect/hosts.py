"""Collects evidence from hosts. ``collect`` reads one host, ``collect_all`` reads all hosts at the same time.

A failure on one host never affects the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

from sigsrv.collect.api import Connect, collect_api, explain_socket
from sigsrv.collect.connection import open_session
from sigsrv.collect.evidence import EXPIRED, Answer, ApiAnswer, Evidence, Failure
from sigsrv.collect.probes import BEFORE_API, SOCKET, Probe
from sigsrv.collect.running import run_probes
from sigsrv.collect.session import ConnectionFailed, Session, close_all
from sigsrv.collect.target import Target
from sigsrv.collect.transports import over_https, over_query, over_socket
from sigsrv.collect.urls import SERVER
from sigsrv.model.errors import FailureKind
from sigsrv.model.site import ApiAddress


def unreachable(host: str, failure: Failure, seconds: float = 0.0) -> Evidence:
    """Return the evidence of a host that sigsrv can't reach."""
    return Evidence(host, collected=time.time(), seconds=seconds, failure=failure)


def collect(target: Target, member: str, probes: Sequence[Probe], keep_open: bool = False) -> Evidence:
    """Log in to one host once, and return the answers of its probes and its Incus daemon. Changes nothing on the host.

    member: the host's name in the cluster. keep_open: leave the session in ``session.OPEN`` for later use; ``close_all`` ends it.
    Never raises for what a host does or does not do: the evidence contains the failure.
    """
    began = time.monotonic()
    try:
        if target.api and target.api.only:
            return _collect_over_api(target, target.api, member, probes)
        with ExitStack() as stack:
            session = stack.enter_context(open_session(target, forward=SOCKET))
            found = gather(session, member, probes)
            if keep_open:
                stack.pop_all()
            return found
    except ConnectionFailed as cause:
        return unreachable(target.name, cause.failure, time.monotonic() - began)
    except Exception as cause:  # a bug of sigsrv on one host must not hide the other hosts
        reason = f"{target.name}: bug in sigsrv during collection: {type(cause).__name__}: {cause}"
        return unreachable(target.name, Failure(FailureKind.GARBLED, reason), time.monotonic() - began)


def _collect_over_api(target: Target, address: ApiAddress, member: str, probes: Sequence[Probe]) -> Evidence:
    """Return the evidence of a host without a login. Each probe has the failure that it did not run."""
    began, collected = time.monotonic(), time.time()
    silent = Failure(FailureKind.DOWN, f"Incus API on {target.name}: nothing answers at {address.url}")
    api = collect_api(
        [lambda s: over_https(address, s)], member, began + target.timeout_s, lambda: silent, target.request_s
    )
    if refused := api[SERVER].failure:
        return unreachable(target.name, refused, time.monotonic() - began)
    reason = Failure(FailureKind.NO_LOGIN, f"sigsrv does not log in to {target.name} (api.only in the site file)")
    answers = {probe.id: Answer(probe.shell, failure=reason) for probe in probes}
    return Evidence(target.name, collected, time.monotonic() - began, None, answers, api)


def gather(session: Session, member: str, probes: Sequence[Probe]) -> Evidence:
    """Return the evidence of a host with an open session. When the session's time is up, the session is closed.

    Raises ConnectionFailed if no answer came back at all.
    """
    began, collected = time.monotonic(), time.time()
    watchdog = threading.Timer(session.remaining_s, session.close)
    watchdog.daemon = True
    watchdog.start()
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:
            run = _HostRun(session, member, probes, pool)
            try:
                answers = run_probes(session, run.quick, run.note)
            finally:
                run.settle()
            api, slow = run.rest()
    finally:
        watchdog.cancel()
    return Evidence(
        session.target.name, collected, time.monotonic() - began, None, answers | slow, api, (collected, run.settled_at)
    )


class _HostRun:
    """What happens on one host beside the quick probes, in a thread of its own: the requests to the API, then the slow probes.

    So a probe that hangs costs neither of them any time. settled_at: when all quick probes but those that hang had answered, in
    seconds since the epoch.
    """

    def __init__(self, session: Session, member: str, probes: Sequence[Probe], pool: ThreadPoolExecutor) -> None:
        self.quick = [probe for probe in probes if not probe.slow]
        self.settled_at = 0.0
        self._session = session
        self._member = member
        self._slow = [probe for probe in probes if probe.slow]
        self._pool = pool
        self._awaited = BEFORE_API & {probe.id for probe in self.quick}
        self._answers: dict[str, Answer] = {}
        self._settled = threading.Event()
        self._rest: Future[tuple[dict[str, ApiAnswer], dict[str, Answer]]] | None = None

    def note(self, name: str, answer: Answer) -> None:
        """Take the answer of a quick probe. The script starts the last of them when all others have answered or hang."""
        self._answers[name] = answer
        if self._rest is None and self._awaited <= self._answers.keys():
            self._rest = self._pool.submit(self._collect_rest)
        if name == self.quick[-1].id:
            self.settle()

    def settle(self) -> None:
        """Let the slow probes begin as soon as the API has answered."""
        if not self._settled.is_set():
            self.settled_at = time.time()
            self._settled.set()

    def rest(self) -> tuple[dict[str, ApiAnswer], dict[str, Answer]]:
        """Return the answers of the API and of the slow probes."""
        return (self._rest or self._pool.submit(self._collect_rest)).result()

    def _collect_rest(self) -> tuple[dict[str, ApiAnswer], dict[str, Answer]]:
        session = self._session
        api = collect_api(
            _transports(session, self._answers),
            self._member,
            session.deadline,
            lambda: _explain(session, self._answers),
            session.target.request_s,
        )
        self._settled.wait()
        return api, _run_slow(session, self._slow)


def _run_slow(session: Session, probes: Sequence[Probe]) -> dict[str, Answer]:
    """Return the answers of the slow probes in the remaining time. If the connection fails now, only their answers are lost."""
    if session.time_is_up:
        expired = Failure(FailureKind.TIMEOUT, f"{session.target.name}: not run: {EXPIRED} first")
        return {probe.id: Answer(probe.shell, failure=expired) for probe in probes}
    try:
        return run_probes(session, probes)
    except ConnectionFailed as cause:
        return {probe.id: Answer(probe.shell, failure=cause.failure) for probe in probes}


def _transports(session: Session, answers: Mapping[str, Answer]) -> list[Connect]:
    """Return the transports to a host's daemon, in the order to try.

    Only HTTPS if the site file names an API address; otherwise the socket, then ``incus query`` on the host.
    """
    target = session.target
    if address := target.api:
        return [lambda s: over_https(address, s)]
    access = answers.get("socket-access")
    allowed = access is not None and access.failure is None and access.rc == 0
    path, sudo = session.socket, target.sudo or not allowed
    socket: list[Connect] = [lambda s: over_socket(str(path), s)] if path and allowed else []
    return [*socket, lambda s: over_query(session, sudo, s)]


def _explain(session: Session, answers: Mapping[str, Answer]) -> Failure:
    """Return why a request got no connection: timeout, a lost connection, or no connection to the daemon's socket."""
    target = session.target
    if time.monotonic() >= session.deadline - 0.1:
        return Failure(FailureKind.TIMEOUT, f"Incus API on {target.name}: {EXPIRED}")
    if target.api:
        return Failure(FailureKind.DOWN, f"Incus API on {target.name}: nothing answers at {target.api.url}")
    try:
        session.run("true", min(3.0, session.remaining_s))
    except ConnectionFailed as cause:
        return cause.failure
    return explain_socket(target.name, answers)


def collect_all(targets: Iterable[tuple[Target, str, Sequence[Probe]]], keep_open: bool = False) -> dict[str, Evidence]:
    """Return the evidence of all hosts, by name, in the given order. Collects from all hosts at the same time.

    targets: each with its member name and its probes. On an interrupt, ends all sessions and raises the exception.
    """
    wanted = list(targets)
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(wanted)))) as pool:
        futures = {
            target.name: pool.submit(collect, target, member, probes, keep_open) for target, member, probes in wanted
        }
        try:
            return {name: future.result() for name, future in futures.items()}
        except BaseException:
            close_all()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
