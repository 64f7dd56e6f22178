"""collect: hosts -> evidence.

Room: the lowest line of the layers; may import errors only. ``collect`` asks one host, ``collect_all`` all of them at the same time.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from sigsrv.collect.api import collect_api, explain_socket
from sigsrv.collect.connection import ConnectionFailed, Session, Target
from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.collect.probes import SOCKET, Probe, carried, read, script
from sigsrv.errors import FailureKind

__all__ = ["Answer", "Evidence", "Failure", "Session", "Target", "collect", "collect_all", "gather", "unreachable"]


def unreachable(host: str, failure: Failure, seconds: float = 0.0) -> Evidence:
    """The evidence of a host that there is no way to."""
    return Evidence(host, collected=time.time(), seconds=seconds, failure=failure)


def collect(target: Target, member: str, probes: Sequence[Probe]) -> Evidence:
    """Log in to one host, once, and bring back what its probes and its Incus daemon answer. Changes nothing there.

    member: the host's name in the cluster. Never raises for what a host does or does not do: that is in the evidence.
    """
    began = time.monotonic()
    try:
        with Session(target, forward=SOCKET) as session:
            return gather(session, member, probes)
    except ConnectionFailed as cause:
        return unreachable(target.name, cause.failure, time.monotonic() - began)
    except Exception as cause:  # a fault of ours on one host must not hide the others
        failure = Failure(FailureKind.GARBLED, f"{target.name}: the collection broke: {type(cause).__name__}: {cause}")
        return unreachable(target.name, failure, time.monotonic() - began)


def gather(session: Session, member: str, probes: Sequence[Probe]) -> Evidence:
    """The evidence of a host that a session is open to. When the session's time is up, it is cut.

    Raises ConnectionFailed where the connection breaks before the probes came back.
    """
    host = session.target.name
    began = time.monotonic()
    collected = time.time()
    watchdog = threading.Timer(session.remaining_s, session.close)
    watchdog.daemon = True
    watchdog.start()
    try:
        word = secrets.token_hex(16)
        output = session.host().run(carried(script(probes, word))).stdout_bytes
        answers = read(probes, word, output)
        endpoint = f"http+unix://{quote(str(session.socket), safe='')}"
        api = collect_api(endpoint, member, session.deadline, lambda: _explain(session, answers))
    finally:
        watchdog.cancel()
    return Evidence(host, collected, time.monotonic() - began, None, answers, api)


def _explain(session: Session, answers: Mapping[str, Answer]) -> Failure:
    """Why a request got no connection: our time is up, the ssh connection broke, or the daemon's socket gave none."""
    host = session.target.name
    if time.monotonic() >= session.deadline - 0.1:
        return Failure(FailureKind.TIMEOUT, f"Incus API on {host}: the host's time was used up")
    try:
        session.run("true", min(3.0, session.remaining_s))
    except ConnectionFailed as cause:
        return cause.failure
    return explain_socket(host, answers)


def collect_all(targets: Iterable[tuple[Target, str]], probes: Sequence[Probe]) -> dict[str, Evidence]:
    """The evidence of all hosts, collected at the same time; by name, in the order given. targets: each with its member name."""
    wanted = list(targets)
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(wanted)))) as pool:
        futures = {target.name: pool.submit(collect, target, member, probes) for target, member in wanted}
        return {name: future.result() for name, future in futures.items()}
