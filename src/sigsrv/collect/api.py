"""The Incus API of one host, asked through pylxd, by whatever way leads there (collect.transports).

Each host is asked about itself: ``?target=`` of a member that is offline hangs 11 s. Every answer is kept under its URL.
Source: Incus REST API, doc/rest-api.md.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
import urllib3
from pylxd import Client
from pylxd.exceptions import ClientConnectionFailed, LXDAPIException

from sigsrv.collect.evidence import Answer, ApiAnswer, Failure
from sigsrv.collect.probes import SOCKET
from sigsrv.collect.redact import of_operations, redacted
from sigsrv.collect.target import REQUEST_S
from sigsrv.collect.transports import TransportError
from sigsrv.collect.urls import (
    INSTANCES,
    INSTANCES_CONFIG,
    NETWORKS,
    OPERATIONS,
    POOLS,
    SERVER,
    WANTED,
    network_url,
    pool_resources_url,
    pool_url,
    volumes_url,
)
from sigsrv.model.errors import FailureKind

PASSING_S = 5.0  # what starts or stops when it is looked at has this long to end
LIMIT_BYTES = 16 * 1024 * 1024


_ON_THEIR_WAY = frozenset({"Starting", "Stopping", "Aborting", "Freezing", "Thawed"})
Explain = Callable[[], Failure]
Connect = Callable[[float], Client]


def collect_api(
    connects: Sequence[Connect], member: str, deadline: float, explain: Explain, request_s: float = REQUEST_S
) -> dict[str, ApiAnswer]:
    """Every answer of one host's daemon, by URL.

    connects: the ways to it, in the order in which they are tried; each takes the seconds of a request. member: the host's name in
    the cluster, "" where nobody said it yet: then the name that its daemon has for itself. deadline: of time.monotonic().
    explain: says why no way led there. request_s: what one request may take, at most. A URL that was not answered has a failure;
    nothing is left out.
    """
    client, failure = _first(connects, deadline, explain, request_s)
    if client is None:
        return {url: ApiAnswer(failure=failure) for url in (SERVER, *WANTED)}
    answers = {SERVER: ApiAnswer(200, redacted(client.host_info))}
    for url in WANTED:
        answers[url] = _get(client, url, deadline, explain, request_s)
    if _is_passing(answers[INSTANCES]) and time.monotonic() + PASSING_S + request_s < deadline:
        time.sleep(PASSING_S)
        later = _get(client, INSTANCES, deadline, explain, request_s)
        answers[INSTANCES] = answers[INSTANCES] if later.failure else later
    if _timed_out(answers[INSTANCES]):  # a member is away: its configuration is known all the same
        answers[INSTANCES_CONFIG] = _get(client, INSTANCES_CONFIG, deadline, explain, request_s)
    at = member or _own_name(client.host_info)
    for url in _of_member(answers, at if _is_clustered(client.host_info) else None):
        answers[url] = _get(client, url, deadline, explain, request_s)
    return answers


def _first(
    connects: Sequence[Connect], deadline: float, explain: Explain, request_s: float
) -> tuple[Client | None, Failure | None]:
    """The client of the first way that leads to the daemon, or why none does."""
    failure: Failure | None = None
    for connect in connects:
        try:
            return connect(min(request_s, max(0.1, deadline - time.monotonic()))), None
        except requests.Timeout:  # it is there and does not answer: by another way it would not either
            return None, Failure(FailureKind.SILENT, f"Incus API {SERVER}: no answer in {request_s:.0f} s")
        except (
            requests.RequestException,
            ClientConnectionFailed,
            LXDAPIException,
            OSError,
            ValueError,
            KeyError,
        ) as cause:
            failure = _why(cause) or failure
    reason = explain()
    if failure is None:
        return None, reason
    if reason.kind is FailureKind.DENIED:
        return None, Failure(FailureKind.DENIED, f"{reason.reason}; {failure.reason}")
    return None, failure


def _why(cause: BaseException) -> Failure | None:
    """What a way says of its own failure; None where it can't say."""
    while cause is not None:
        if isinstance(cause, TransportError):
            return cause.failure
        if isinstance(cause, requests.exceptions.SSLError):
            unlike = "the server's certificate is not the site's"
            what = unlike if _is_refused_certificate(cause) else "no TLS connection"
            return Failure(FailureKind.UNREACHABLE, f"Incus API: {what}: {_one_line(str(cause))}")
        if isinstance(cause, LXDAPIException):
            return Failure(FailureKind.GARBLED, f"Incus API {SERVER}: {_one_line(str(cause))}")
        if isinstance(cause, FileNotFoundError | PermissionError):
            return Failure(FailureKind.MISSING, f"Incus API: {cause.filename}: {cause.strerror}")
        cause = cause.__context__  # type: ignore[assignment]
    return None


def _is_refused_certificate(cause: BaseException | None) -> bool:
    """Whether we refused what the server showed: by its fingerprint, which is urllib3's own word, or as ssl does.

    Else it ended the connection itself, or what answers there speaks no TLS.
    """
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return isinstance(cause, ssl.SSLCertVerificationError)
        cause = cause.__context__
    return True


def _of_member(answers: Mapping[str, ApiAnswer], member: str | None) -> list[str]:
    """The URLs that tell what one member has of what the cluster lists. Without a cluster the lists themselves tell most."""
    pools = [name for row in _listed(answers[POOLS]) if isinstance(name := row.get("name"), str)]
    resources = [url for name in pools for url in (pool_resources_url(name, member), volumes_url(name))]
    if member is None:
        return resources
    managed = [row.get("name") for row in _listed(answers[NETWORKS]) if row.get("managed") is True]
    networks = [network_url(name, member) for name in managed if isinstance(name, str)]
    return [*(pool_url(name, member) for name in pools), *resources, *networks]


def _listed(answer: ApiAnswer) -> list[Mapping[str, Any]]:
    rows = answer.metadata
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _own_name(server: Any) -> str:
    """What a member of a cluster calls itself; "" where it does not say."""
    environment = server.get("environment") if isinstance(server, Mapping) else None
    name = environment.get("server_name") if isinstance(environment, Mapping) else None
    return name if isinstance(name, str) else ""


def _is_clustered(server: Any) -> bool:
    environment = server.get("environment") if isinstance(server, Mapping) else None
    return isinstance(environment, Mapping) and environment.get("server_clustered") is True


def _is_passing(answer: ApiAnswer) -> bool:
    """Whether some instance is on its way from one state to another: only a second look tells whether it arrives."""
    return any(row.get("status") in _ON_THEIR_WAY for row in _listed(answer))


def _timed_out(answer: ApiAnswer) -> bool:
    return answer.failure is not None and answer.failure.kind is FailureKind.TIMEOUT


def _get(client: Client, url: str, deadline: float, explain: Callable[[], Failure], request_s: float) -> ApiAnswer:
    """One request. Its time and the size of its answer have bounds."""
    seconds = min(request_s, deadline - time.monotonic())
    if seconds <= 0:
        return ApiAnswer(
            failure=Failure(FailureKind.TIMEOUT, f"Incus API {url}: the host's time was used up before it")
        )
    parts = urlsplit(url)
    node = client.api
    for segment in parts.path.removeprefix("/1.0/").split("/"):
        node = node[segment]
    try:
        until = time.monotonic() + seconds
        response = node.get(params=dict(parse_qsl(parts.query)), timeout=seconds, stream=True)
        body = _body(response, until)
        if len(body) > LIMIT_BYTES:
            return ApiAnswer(failure=Failure(FailureKind.TOO_LARGE, f"Incus API {url}: more than {LIMIT_BYTES} bytes"))
        told = json.loads(body)["metadata"]
        return ApiAnswer(200, of_operations(told) if url == OPERATIONS else redacted(told))
    except LXDAPIException as cause:
        status = cause.response.status_code
        kind = FailureKind.DENIED if status in (401, 403) else FailureKind.GARBLED
        return ApiAnswer(status, failure=Failure(kind, f"Incus API {url}: HTTP {status}: {_one_line(str(cause))}"))
    except (requests.Timeout, urllib3.exceptions.ReadTimeoutError):
        return ApiAnswer(failure=Failure(FailureKind.TIMEOUT, f"Incus API {url}: no answer in {seconds:.0f} s"))
    except requests.ConnectionError as cause:
        return ApiAnswer(failure=_why(cause) or explain())
    except urllib3.exceptions.HTTPError as cause:
        reason = f"Incus API {url}: its answer broke off: {_one_line(str(cause))}"
        return ApiAnswer(failure=Failure(FailureKind.GARBLED, reason))
    except (requests.RequestException, OSError) as cause:
        timed_out = "timed out" in str(cause).lower()
        kind = FailureKind.TIMEOUT if timed_out else FailureKind.GARBLED
        return ApiAnswer(failure=Failure(kind, f"Incus API {url}: {_one_line(str(cause))}"))
    except (ValueError, KeyError, TypeError, RecursionError) as cause:
        return ApiAnswer(failure=Failure(FailureKind.GARBLED, f"Incus API {url}: not an answer of Incus: {cause}"))


def _body(response: requests.Response, until: float) -> bytes:
    """What an answer holds, at most a little more than the limit. Raises requests.Timeout where it does not end by then.

    The time of a request is one for each piece of its answer: somebody who sends a byte now and then would never come to an end.
    """
    body = bytearray()
    while len(body) <= LIMIT_BYTES:
        if time.monotonic() > until:
            raise requests.Timeout
        piece = response.raw.read1(65536, decode_content=True)
        if not piece:
            break
        body += piece
    return bytes(body)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]


def explain_socket(host: str, probes: Mapping[str, Answer]) -> Failure:
    """Why the daemon's socket gave no connection, from the probes ``socket`` (is there one) and ``socket-access`` (may we)."""
    there, access = probes.get("socket"), probes.get("socket-access")
    if there is None or access is None or there.failure or access.failure:
        return Failure(FailureKind.GARBLED, f"Incus API on {host}: no connection, and the probes of {SOCKET} failed")
    if there.rc != 0:
        return Failure(FailureKind.DOWN, f"Incus API on {host}: there is no socket {SOCKET}")
    if access.rc != 0:
        reason = f"Incus API on {host}: the account may not use {SOCKET} (root, or the group incus-admin, may)"
        return Failure(FailureKind.DENIED, reason)
    return Failure(FailureKind.DOWN, f"Incus API on {host}: nothing answers at {SOCKET}")
