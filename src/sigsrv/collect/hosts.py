"""Hosts -> evidence.

``collect`` asks one host, ``collect_all`` all of them at the same time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from sigsrv.collect.api import Connect, collect_api, explain_socket
from sigsrv.collect.connection import open_session
from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.collect.probes import SOCKET, Probe
from sigsrv.collect.running import probed
from sigsrv.collect.session import ConnectionFailed, Session, close_all
from sigsrv.collect.target import Target
from sigsrv.collect.transports import over_https, over_query, over_socket
from sigsrv.collect.urls import SERVER
from sigsrv.model.errors import FailureKind
from sigsrv.model.site import ApiAddress


def unreachable(host: str, failure: Failure, seconds: float = 0.0) -> Evidence:
    """The evidence of a host that there is no way to."""
    return Evidence(host, collected=time.time(), seconds=seconds, failure=failure)


def collect(target: Target, member: str, probes: Sequence[Probe], keep_open: bool = False) -> Evidence:
    """Log in to one host, once, and bring back what its probes and its Incus daemon answer. Changes nothing there.

    member: the host's name in the cluster. keep_open: leave the session in ``session.OPEN`` for who comes next; ``close_all`` ends
    it. Never raises for what a host does or does not do: that is in the evidence.
    """
    began = time.monotonic()
    try:
        if target.api and target.api.only:
            return _over_api_alone(target, target.api, member, probes)
        with ExitStack() as stack:
            session = stack.enter_context(open_session(target, forward=SOCKET))
            found = gather(session, member, probes)
            if keep_open:
                stack.pop_all()
            return found
    except ConnectionFailed as cause:
        return unreachable(target.name, cause.failure, time.monotonic() - began)
    except Exception as cause:  # a fault of ours on one host must not hide the others
        failure = Failure(FailureKind.GARBLED, f"{target.name}: the collection broke: {type(cause).__name__}: {cause}")
        return unreachable(target.name, failure, time.monotonic() - began)


def _over_api_alone(target: Target, address: ApiAddress, member: str, probes: Sequence[Probe]) -> Evidence:
    """The evidence of a host that nobody logs in to: each probe says that it was not run."""
    began, collected = time.monotonic(), time.time()
    silent = Failure(FailureKind.DOWN, f"Incus API on {target.name}: nothing answers at {address.url}")
    api = collect_api(
        [lambda s: over_https(address, s)], member, began + target.timeout_s, lambda: silent, target.request_s
    )
    if refused := api[SERVER].failure:
        return unreachable(target.name, refused, time.monotonic() - began)
    reason = Failure(FailureKind.ABSENT, f"{target.name} is asked over its API alone: no probe was run")
    answers = {probe.id: Answer(probe.shell, failure=reason) for probe in probes}
    return Evidence(target.name, collected, time.monotonic() - began, None, answers, api)


def gather(session: Session, member: str, probes: Sequence[Probe]) -> Evidence:
    """The evidence of a host that a session is open to. When the session's time is up, it is cut.

    Raises ConnectionFailed where nothing at all came back.
    """
    began, collected = time.monotonic(), time.time()
    watchdog = threading.Timer(session.remaining_s, session.close)
    watchdog.daemon = True
    watchdog.start()
    try:
        first = time.time()
        answers = probed(session, [probe for probe in probes if not probe.slow])
        began_and_back = first, time.time()
        api = collect_api(
            _ways(session, answers),
            member,
            session.deadline,
            lambda: _explain(session, answers),
            session.target.request_s,
        )
        answers |= _slow(session, [probe for probe in probes if probe.slow])
    finally:
        watchdog.cancel()
    return Evidence(session.target.name, collected, time.monotonic() - began, None, answers, api, began_and_back)


def _slow(session: Session, probes: Sequence[Probe]) -> dict[str, Answer]:
    """What the slow probes answered in the time that is left. A connection that breaks now costs their answers alone."""
    if not probes:
        return {}
    if session.time_is_up:
        used_up = Failure(FailureKind.TIMEOUT, f"{session.target.name}: the host's time was used up before it")
        return {probe.id: Answer(probe.shell, failure=used_up) for probe in probes}
    try:
        return probed(session, probes)
    except ConnectionFailed as cause:
        return {probe.id: Answer(probe.shell, failure=cause.failure) for probe in probes}


def _ways(session: Session, answers: Mapping[str, Answer]) -> list[Connect]:
    """The ways to a host's daemon, the best first: what the site names, the socket, ``incus query`` on the host."""
    target = session.target
    if address := target.api:
        return [lambda s: over_https(address, s)]
    access = answers.get("socket-access")
    allowed = access is not None and access.failure is None and access.rc == 0
    path, sudo = session.socket, target.sudo or not allowed
    socket: list[Connect] = [lambda s: over_socket(str(path), s)] if path and allowed else []
    return [*socket, lambda s: over_query(session, sudo, s)]


def _explain(session: Session, answers: Mapping[str, Answer]) -> Failure:
    """Why a request got no connection: our time is up, the connection broke, or the daemon's socket gave none."""
    target = session.target
    if time.monotonic() >= session.deadline - 0.1:
        return Failure(FailureKind.TIMEOUT, f"Incus API on {target.name}: the host's time was used up")
    if target.api:
        return Failure(FailureKind.DOWN, f"Incus API on {target.name}: nothing answers at {target.api.url}")
    try:
        session.run("true", min(3.0, session.remaining_s))
    except ConnectionFailed as cause:
        return cause.failure
    return explain_socket(target.name, answers)


def collect_all(targets: Iterable[tuple[Target, str, Sequence[Probe]]], keep_open: bool = False) -> dict[str, Evidence]:
    """The evidence of all hosts, collected at the same time; by name, in the order given.

    targets: each with its member name and the probes that are run there.

    Interrupted, all sessions are ended before the interruption goes on.
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
