"""The transports below pylxd, the Incus client. Hosts differ only in how sigsrv reaches their API:

- the daemon's unix socket, forwarded over the host's ssh session, or on this machine
- HTTPS with a client certificate; the server must present the certificate that the site file names
- ``incus query`` through the same session, with sudo if the account needs it
"""

from __future__ import annotations

import io
import json
import shlex
from typing import Any
from urllib.parse import quote

import requests
import urllib3
from pylxd import Client
from pylxd.client import get_session_for_url
from requests.adapters import HTTPAdapter

from sigsrv.collect.evidence import Failure
from sigsrv.collect.refusals import is_refused, refusal_message
from sigsrv.collect.session import ConnectionFailed, Session
from sigsrv.model.errors import FailureKind
from sigsrv.model.site import ApiAddress

_QUERY = "http+incus://host"  # requests encodes parameters only for a scheme that starts with http


class TransportError(requests.ConnectionError):
    """The transport gave no answer, for a known reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def over_socket(path: str, timeout_s: float) -> Client:
    """Return a pylxd client for a unix socket on this machine. Raises what pylxd and requests raise."""
    endpoint = f"http+unix://{quote(path, safe='')}"
    session = get_session_for_url(endpoint)
    session.trust_env = False
    return Client(endpoint=endpoint, session=session, timeout=timeout_s)


def over_https(address: ApiAddress, timeout_s: float) -> Client:
    """Return a pylxd client over HTTPS. Raises what pylxd and requests raise, and OSError for an unreadable certificate file.

    Ignores the environment: REQUESTS_CA_BUNDLE would silently replace the certificate that the site file names.
    """
    session = get_session_for_url(
        address.url, verify=address.server_cert, cert=(address.client_cert, address.client_key)
    )
    session.trust_env = False
    return Client(endpoint=address.url, session=session, timeout=timeout_s)


def over_query(session: Session, sudo: bool, timeout_s: float) -> Client:
    """Return a pylxd client over ``incus query`` on the host. Raises what pylxd raises, and TransportError."""
    http = requests.Session()
    http.trust_env = False
    http.mount(_QUERY, QueryAdapter(session, sudo))
    return Client(endpoint=_QUERY, session=http, timeout=timeout_s)


def query_command(url: str, sudo: bool) -> tuple[str, ...]:
    """Return the command that reads one URL on the host (GET) and prints the whole answer."""
    return (*(("sudo", "-n") if sudo else ()), "incus", "query", "--raw", url)


class QueryAdapter(HTTPAdapter):
    """Sends a GET of ``requests`` as ``incus query --raw`` through the session of a host, one command per request."""

    def __init__(self, session: Session, sudo: bool) -> None:
        super().__init__()
        self._session = session
        self._sudo = sudo

    def send(self, request: requests.PreparedRequest, *_: Any, timeout: Any = None, **__: Any) -> requests.Response:
        """Send a request. Raises TransportError if the command gave no answer of the API, and requests.Timeout."""
        seconds = timeout if isinstance(timeout, int | float) else self._session.remaining_s
        if request.method != "GET":
            raise TransportError(
                Failure(FailureKind.DENIED, f"a scan only reads: sigsrv does not send {request.method}")
            )
        command = shlex.join(query_command(request.path_url, self._sudo))
        try:
            rc, out, err = self._session.run(command, min(seconds, self._session.remaining_s))
        except ConnectionFailed as cause:
            if cause.failure.kind is FailureKind.TIMEOUT:
                raise requests.Timeout(cause.failure.reason) from cause
            raise TransportError(cause.failure) from cause
        if rc != 0:
            raise TransportError(self._query_failure(rc, err.decode("utf-8", "replace")))
        try:
            status = int(json.loads(out)["error_code"]) or 200
        except (ValueError, KeyError, TypeError):
            status = 200  # not an Incus answer: the caller reports that
        return self.build_response(
            request,
            urllib3.HTTPResponse(
                body=io.BytesIO(out), status=status, preload_content=False, headers={"Content-Type": "application/json"}
            ),
        )

    def _query_failure(self, rc: int, stderr: str) -> Failure:
        host = self._session.target.name
        line = (stderr.strip().splitlines() or [f"exit status {rc}"])[-1][:1000]
        lower = stderr.lower()
        if is_refused(stderr) or "permission" in lower:
            return Failure(FailureKind.DENIED, f"Incus API on {host}: {refusal_message(line)}")
        if rc == 127 or "command not found" in lower:
            return Failure(FailureKind.MISSING, f"Incus API on {host}: {line[:200]}")
        if any(word in lower for word in ("connection refused", "no such file", "appear to be started")):
            return Failure(FailureKind.DOWN, f"Incus API on {host}: {line[:200]}")
        return Failure(FailureKind.GARBLED, f"Incus API on {host}: {line[:200]}")
