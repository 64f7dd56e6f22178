"""Reads the Incus API of one host through pylxd, over any of the transports in ``collect.transports``.

sigsrv asks each host about itself: a request with ``?target=`` hangs for 11 s if that member is offline.
Every answer is stored under its URL. Source: Incus REST API, doc/rest-api.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from pylxd import Client
from pylxd.exceptions import ClientConnectionFailed, LXDAPIException

from sigsrv.collect.evidence import EXPIRED, Answer, ApiAnswer, Failure
from sigsrv.collect.extras import extra_urls, key_names
from sigsrv.collect.probes import SOCKET
from sigsrv.collect.redact import redact, redact_operations
from sigsrv.collect.target import REQUEST_S
from sigsrv.collect.transports import TransportError
from sigsrv.collect.urls import (
    EXTRA_PATHS,
    INSTANCES,
    INSTANCES_CONFIG,
    METADATA,
    NETWORKS,
    OPERATIONS,
    POOLS,
    SERVER,
    WANTED,
    network_url,
    path,
    pool_resources_url,
    pool_url,
    volumes_are_full,
    volumes_url,
)
from sigsrv.model.errors import FailureKind

TRANSITION_S = 5.0  # an instance that is starting or stopping gets this time to finish
LIMIT_URLS = 2000  # of the details of pools and networks


_KEPT: Mapping[str, Callable[[Any], Any]] = {
    OPERATIONS: redact_operations,
    METADATA: key_names,
}  # what is stored of them
_NOT_SUPPORTED = 400  # a driver that has no forwards or buckets refuses their list so: there are none
_TRANSITIONAL = frozenset({"Starting", "Stopping", "Aborting", "Freezing", "Thawed"})
Explain = Callable[[], Failure]
Connect = Callable[[float], Client]


def collect_api(
    connects: Sequence[Connect], member: str, deadline: float, explain: Explain, request_s: float = REQUEST_S
) -> dict[str, ApiAnswer]:
    """Return the answers of one host's Incus daemon, by URL. A URL without an answer has a failure; none of the first
    2000 is left out.

    connects: functions that connect to the daemon, in the order to try. Each takes the timeout of a request in seconds.
    member: the host's name in the cluster; "" if unknown, then the daemon's own name is used.
    deadline: a time.monotonic() value. explain: returns why no connection was possible. request_s: timeout of one request.
    """
    client, failure = _first_client(connects, deadline, explain, request_s)
    if client is None:
        return {url: ApiAnswer(failure=failure) for url in (SERVER, *WANTED)}
    try:
        return _answers(client, member, deadline, explain, request_s)
    finally:
        client.api.session.close()


def _answers(client: Client, member: str, deadline: float, explain: Explain, request_s: float) -> dict[str, ApiAnswer]:
    answers = {SERVER: ApiAnswer(200, redact(client.host_info))}
    for url in WANTED:
        answers[url] = _get(client, url, deadline, explain, request_s)
    if _is_in_transition(answers[INSTANCES]) and time.monotonic() + TRANSITION_S + request_s < deadline:
        time.sleep(TRANSITION_S)
        later = _get(client, INSTANCES, deadline, explain, request_s)
        answers[INSTANCES] = answers[INSTANCES] if later.failure else later
    if _timed_out(answers[INSTANCES]):  # a member is offline, but the database still has its instances' configuration
        answers[INSTANCES_CONFIG] = _get(client, INSTANCES_CONFIG, deadline, explain, request_s)
    own_name = member or _server_name(client.host_info)
    member_urls = _member_urls(answers, own_name if _is_clustered(client.host_info) else None)
    extras = list(extra_urls(client.host_info, answers))
    for url in (*member_urls[:LIMIT_URLS], *extras[:LIMIT_URLS]):  # without an answer, what needs it is an error
        answers[url] = _get(client, url, deadline, explain, request_s)
    return answers


def _first_client(
    connects: Sequence[Connect], deadline: float, explain: Explain, request_s: float
) -> tuple[Client | None, Failure | None]:
    """Return the first client that reaches the daemon, or the failure if none does."""
    failure: Failure | None = None
    for connect in connects:
        try:
            return connect(min(request_s, max(0.1, deadline - time.monotonic()))), None
        except requests.Timeout:  # the daemon accepts connections but does not answer: another transport would not help
            return None, Failure(FailureKind.SILENT, f"Incus API {SERVER}: no answer in {request_s:.0f} s")
        except (
            requests.RequestException,
            ClientConnectionFailed,
            LXDAPIException,
            OSError,
            ValueError,
            KeyError,
        ) as cause:
            failure = _transport_failure(cause) or failure
    reason = explain()
    if failure is None:
        return None, reason
    if reason.kind is FailureKind.DENIED:
        return None, Failure(FailureKind.DENIED, f"{reason.reason}; {failure.reason}")
    return None, failure


def _transport_failure(cause: BaseException) -> Failure | None:
    """Return the failure that an exception of a transport describes; None if it describes none."""
    while cause is not None:
        if isinstance(cause, TransportError):
            return cause.failure
        if isinstance(cause, requests.exceptions.SSLError):
            return Failure(FailureKind.UNREACHABLE, f"Incus API: no TLS connection: {_one_line(str(cause))}")
        if isinstance(cause, LXDAPIException):
            return _refusal(cause, SERVER)
        if isinstance(cause, ValueError | KeyError):
            return Failure(FailureKind.GARBLED, f"Incus API {SERVER}: not an Incus answer: {_one_line(str(cause))}")
        cause = cause.__context__  # type: ignore[assignment]
    return None


def _refusal(cause: LXDAPIException, url: str) -> Failure:
    """Return the failure of a request that the daemon answers with an error."""
    status = cause.response.status_code
    kind = FailureKind.DENIED if status in (401, 403) else FailureKind.GARBLED
    return Failure(kind, f"Incus API {url}: HTTP {status}: {_said(cause.response)}")


def _member_urls(answers: Mapping[str, ApiAnswer], member: str | None) -> list[str]:
    """Return the URLs with the details of one member. Outside a cluster the lists already contain most of them."""
    pools = [name for row in _listed(answers[POOLS]) if isinstance(name := row.get("name"), str)]
    full = volumes_are_full(answers[SERVER].metadata)
    resources = [url for name in pools for url in (pool_resources_url(name, member), volumes_url(name, full))]
    if member is None:
        return resources
    managed = [row.get("name") for row in _listed(answers[NETWORKS]) if row.get("managed") is True]
    networks = [network_url(name, member) for name in managed if isinstance(name, str)]
    return [*(pool_url(name, member) for name in pools), *resources, *networks]


def _listed(answer: ApiAnswer) -> list[Mapping[str, Any]]:
    rows = answer.metadata
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _server_name(server: Any) -> str:
    """Return the name that a cluster member has for itself; "" if unknown."""
    environment = server.get("environment") if isinstance(server, Mapping) else None
    name = environment.get("server_name") if isinstance(environment, Mapping) else None
    return name if isinstance(name, str) else ""


def _is_clustered(server: Any) -> bool:
    environment = server.get("environment") if isinstance(server, Mapping) else None
    return isinstance(environment, Mapping) and environment.get("server_clustered") is True


def _is_in_transition(answer: ApiAnswer) -> bool:
    """Return whether an instance is changing its state. Only a second request shows whether it gets there."""
    return any(str(row.get("status")) in _TRANSITIONAL for row in _listed(answer))


def _timed_out(answer: ApiAnswer) -> bool:
    return answer.failure is not None and answer.failure.kind is FailureKind.TIMEOUT


def _get(client: Client, url: str, deadline: float, explain: Callable[[], Failure], request_s: float) -> ApiAnswer:
    """Send one request. The transport limits the time and the size of the answer."""
    seconds = min(request_s, deadline - time.monotonic())
    if seconds <= 0:
        return ApiAnswer(failure=Failure(FailureKind.TIMEOUT, f"Incus API {url}: not requested: {EXPIRED} first"))
    parts = urlsplit(url)
    node = client.api
    for segment in parts.path.removeprefix("/1.0/").split("/"):
        node = node[segment]
    try:
        # With ``stream``, pylxd leaves the body to sigsrv. The transport has read it already.
        response = node.get(params=dict(parse_qsl(parts.query)), timeout=seconds, stream=True)
        metadata = response.json()["metadata"]
        return ApiAnswer(200, _KEPT.get(url, redact)(metadata))
    except LXDAPIException as cause:
        if cause.response.status_code == _NOT_SUPPORTED and path(url) in EXTRA_PATHS:
            return ApiAnswer(_NOT_SUPPORTED, [])
        return ApiAnswer(cause.response.status_code, failure=_refusal(cause, url))
    except requests.Timeout:
        return ApiAnswer(failure=Failure(FailureKind.TIMEOUT, f"Incus API {url}: no answer in {seconds:.0f} s"))
    except requests.ConnectionError as cause:
        return ApiAnswer(failure=_transport_failure(cause) or explain())
    except (ValueError, KeyError) as cause:
        return ApiAnswer(
            failure=Failure(FailureKind.GARBLED, f"Incus API {url}: not an Incus answer: {_one_line(str(cause))}")
        )


def _said(response: requests.Response) -> str:
    """Return what an error of the daemon says, on one line."""
    try:
        return _one_line(str(response.json()["error"]))
    except (ValueError, KeyError):
        return _one_line(response.content.decode("utf-8", "replace"))


def _one_line(text: str) -> str:
    return " ".join(text[:1000].split())[:200]


def explain_socket(host: str, probes: Mapping[str, Answer]) -> Failure:
    """Return why the daemon's socket gave no connection.

    The probe ``socket`` checks that it exists, ``socket-access`` checks that the account may use it.
    """
    exists, access = probes.get("socket"), probes.get("socket-access")
    if exists is None or access is None or exists.failure or access.failure:
        return Failure(FailureKind.GARBLED, f"Incus API on {host}: no connection, and the probes of {SOCKET} failed")
    if exists.rc != 0:
        return Failure(FailureKind.DOWN, f"Incus API on {host}: there is no socket {SOCKET}")
    if access.rc != 0:
        reason = f"Incus API on {host}: no permission for {SOCKET} (use root or an account in group incus-admin)"
        return Failure(FailureKind.DENIED, reason)
    return Failure(FailureKind.DOWN, f"Incus API on {host}: nothing answers at {SOCKET}")
