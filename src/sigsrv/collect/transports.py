"""The transports below pylxd, the Incus client. Hosts differ only in how sigsrv reaches their API:

- the daemon's unix socket, forwarded over the host's ssh session, or on this machine
- HTTPS with a client certificate; the server must present the certificate that the site file names
- ``incus query`` through the same session, with sudo if the account needs it

The daemon may be hostile. Every request of pylxd, its own first one too, goes through an adapter of this module, which reads one place
and nothing else: no redirect, no proxy, no other scheme, and nothing from the environment.
"""

from __future__ import annotations

import hashlib
import shlex
import socket
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from pylxd import Client
from requests.adapters import BaseAdapter

from sigsrv.collect.documents import decoded, values
from sigsrv.collect.evidence import Failure
from sigsrv.collect.refusals import is_refused, last_message, refusal_message
from sigsrv.collect.session import ConnectionFailed, Session
from sigsrv.collect.target import REQUEST_S
from sigsrv.collect.wire import LIMIT_BYTES, LIMIT_ERROR_BYTES, AnswerTooLarge, Garbled, Reply, Wire
from sigsrv.model.errors import FailureKind
from sigsrv.model.site import ApiAddress

LIMIT_TOTAL_BYTES = 64 * 1024 * 1024  # of all answers of one host
_VALUE_BYTES = 24  # what each value counts at least, because it takes more than twice that in Python
_QUERY = "http+incus://host"  # requests encodes parameters only for a scheme that starts with http


class TransportError(requests.ConnectionError):
    """The transport gave no answer, for a known reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def over_socket(path: str, timeout_s: float) -> Client:
    """Return a pylxd client for a unix socket on this machine. Raises what pylxd and requests raise."""

    def connect(seconds: float) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX)
        try:
            opened.settimeout(seconds)
            opened.connect(path)
        except OSError as cause:
            opened.close()
            raise requests.ConnectionError(f"{path}: {cause.strerror}") from cause
        return opened

    return _client(f"http+unix://{quote(path, safe='')}", WireAdapter(Wire(connect, "localhost")), timeout_s)


def over_https(address: ApiAddress, timeout_s: float) -> Client:
    """Return a pylxd client over HTTPS. Raises what pylxd and requests raise, and TransportError for an unreadable certificate file."""
    place = urlsplit(address.url)
    wanted, context = _fingerprint(address.server_cert), _client_context(address)

    def connect(seconds: float) -> socket.socket:
        until = time.monotonic() + seconds
        try:
            plain = socket.create_connection((place.hostname or "", place.port or 443), seconds)
        except OSError as cause:
            error = requests.ConnectTimeout if isinstance(cause, TimeoutError) else requests.ConnectionError
            raise error(f"{address.url}: {cause}") from cause
        try:
            plain.settimeout(max(0.01, until - time.monotonic()))
            opened = context.wrap_socket(plain, server_hostname=place.hostname)
        except TimeoutError as cause:
            plain.close()
            raise requests.ReadTimeout(str(cause)) from cause
        except OSError as cause:
            plain.close()
            raise requests.exceptions.SSLError(str(cause)) from cause
        shown = hashlib.sha256(opened.getpeercert(binary_form=True) or b"").hexdigest()
        if shown != wanted:
            opened.close()
            reason = f"Incus API: the server's certificate is not the one in the site file: it has fingerprint {shown}"
            raise TransportError(Failure(FailureKind.UNREACHABLE, reason))
        return opened

    return _client(address.url, WireAdapter(Wire(connect, place.netloc)), timeout_s)


def over_query(session: Session, sudo: bool, timeout_s: float) -> Client:
    """Return a pylxd client over ``incus query`` on the host. Raises what pylxd raises, and TransportError."""
    return _client(_QUERY, QueryAdapter(session, sudo), timeout_s)


def query_command(url: str, sudo: bool) -> tuple[str, ...]:
    """Return the command that reads one URL on the host (GET) and prints the whole answer.

    ``local:`` is always the daemon of this host, whatever remote the account has switched to (Incus doc/remotes.md).
    """
    return (*(("sudo", "-n") if sudo else ()), "incus", "query", "--raw", f"local:{url}")


def _fingerprint(path: str) -> str:
    """Return the SHA-256 of a certificate in a PEM file, in hexadecimal."""
    try:
        return x509.load_pem_x509_certificate(Path(path).read_bytes()).fingerprint(hashes.SHA256()).hex()
    except (OSError, ValueError) as cause:
        raise _unreadable(path, cause) from cause


def _client_context(address: ApiAddress) -> ssl.SSLContext:
    """Return the settings of TLS with the client's certificate. The server's certificate is compared after the handshake."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for path in (address.client_cert, address.client_key):
        try:
            Path(path).read_bytes()  # the error of load_cert_chain does not name the file
        except OSError as cause:
            raise _unreadable(path, cause) from cause
    try:
        context.load_cert_chain(address.client_cert, address.client_key)
    except OSError as cause:
        raise _unreadable(address.client_cert, cause) from cause
    return context


def _unreadable(path: str, cause: Exception) -> TransportError:
    reason = (
        cause.strerror if isinstance(cause, FileNotFoundError | PermissionError) else f"no certificate in PEM: {cause}"
    )
    return TransportError(Failure(FailureKind.MISSING, f"Incus API: {path}: {reason}"))


def _client(endpoint: str, adapter: BaseAdapter, timeout_s: float) -> Client:
    """Return a pylxd client whose requests go through one adapter, and nowhere else."""
    session = requests.Session()
    session.trust_env = False
    session.adapters.clear()  # so there is none for another scheme; this one connects to its own place, whatever the address says
    session.mount(f"{urlsplit(endpoint).scheme}://", adapter)
    try:
        return Client(endpoint=endpoint, session=session, timeout=timeout_s)
    except BaseException:
        session.close()
        raise


class ApiResponse(requests.Response):
    """An answer of the API that was read to its end."""

    def json(self, **_: Any) -> dict[str, Any]:
        """Return the answer, which is always an object. Raises ValueError if it is none or exceeds a limit."""
        found = decoded(self.content)
        if not isinstance(found, dict):
            raise ValueError("not an object")
        return found


class ApiAdapter(BaseAdapter):
    """Sends a GET of ``requests`` to a daemon. A redirect, a compressed answer and one that is too large raise TransportError.

    One thread at a time uses it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._left = LIMIT_TOTAL_BYTES

    def send(self, request: requests.PreparedRequest, *_: Any, timeout: Any = None, **__: Any) -> requests.Response:
        """Send a request. Raises TransportError, requests.Timeout, or requests.ConnectionError if there is no answer."""
        path = request.path_url
        if request.method != "GET":
            raise _refused(FailureKind.DENIED, path, f"a scan only reads: sigsrv does not send {request.method}")
        if self._left <= 0:
            reason = f"not requested: the answers before it are larger than {LIMIT_TOTAL_BYTES} bytes"
            raise _refused(FailureKind.TOO_LARGE, path, reason)
        try:
            reply = self._reply(path, timeout or REQUEST_S)
        except AnswerTooLarge as cause:
            self._left -= LIMIT_BYTES
            raise _refused(FailureKind.TOO_LARGE, path, str(cause)) from cause
        except Garbled as cause:
            raise _refused(FailureKind.GARBLED, path, f"the answer is incomplete: {str(cause)[:200]}") from cause
        self._left -= max(len(reply.body), values(reply.body.decode("latin-1")) * _VALUE_BYTES)
        if 300 <= reply.status < 400:
            reason = f"HTTP {reply.status}: a redirect to {reply.location[:100]!r}; sigsrv follows no redirect"
            raise _refused(FailureKind.GARBLED, path, reason)
        if reply.encoding != "identity":
            reason = f"the answer is compressed ({reply.encoding[:20]!r}), which sigsrv did not ask for"
            raise _refused(FailureKind.GARBLED, path, reason)
        response = ApiResponse()
        response.status_code, response.url, response.request = reply.status, str(request.url), request
        response._content = reply.body  # so pylxd finds it read
        return response

    def _reply(self, path: str, seconds: float) -> Reply:
        """Return the answer to one path. Raises AnswerTooLarge, Garbled, and what ``send`` raises."""
        raise NotImplementedError


def _refused(kind: FailureKind, path: str, reason: str) -> TransportError:
    return TransportError(Failure(kind, f"Incus API {path}: {reason}"))


class WireAdapter(ApiAdapter):
    """Sends requests as HTTP."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def _reply(self, path: str, seconds: float) -> Reply:
        return self._wire.get(path, seconds)

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()


class QueryAdapter(ApiAdapter):
    """Sends requests as ``incus query --raw`` through the session of a host, one command per request."""

    def __init__(self, session: Session, sudo: bool) -> None:
        super().__init__()
        self._session = session
        self._sudo = sudo

    def close(self) -> None:
        """Do nothing: each command has ended."""

    def _reply(self, path: str, seconds: float) -> Reply:
        command = shlex.join(query_command(path, self._sudo))
        try:
            rc, out, err = self._session.run(command, min(seconds, self._session.remaining_s), limit_bytes=LIMIT_BYTES)
        except ConnectionFailed as cause:
            if cause.failure.kind is FailureKind.TIMEOUT:
                raise requests.ReadTimeout(cause.failure.reason) from cause
            raise TransportError(cause.failure) from cause
        if max(len(out), len(err)) > LIMIT_BYTES:
            raise AnswerTooLarge(f"the answer is larger than {LIMIT_BYTES} bytes")
        if rc != 0:
            raise TransportError(self._query_failure(rc, err.decode("utf-8", "replace")))
        return Reply(_status(out), out)

    def _query_failure(self, rc: int, stderr: str) -> Failure:
        host = self._session.target.name
        line = last_message(stderr)[:1000] or f"exit status {rc}"
        lower = stderr.lower()
        if is_refused(stderr) or "permission" in lower:
            return Failure(FailureKind.DENIED, f"Incus API on {host}: {refusal_message(line)}")
        if rc == 127 or "command not found" in lower:
            return Failure(FailureKind.MISSING, f"Incus API on {host}: {line[:200]}")
        if any(word in lower for word in ("connection refused", "no such file", "appear to be started")):
            return Failure(FailureKind.DOWN, f"Incus API on {host}: {line[:200]}")
        return Failure(FailureKind.GARBLED, f"Incus API on {host}: {line[:200]}")


def _status(answer: bytes) -> int:
    """Return the HTTP status that an answer of Incus contains: an error, which is short, has it as ``error_code``.

    200 also if it is no answer of Incus: the caller reports that.
    """
    try:
        found = decoded(answer) if len(answer) <= LIMIT_ERROR_BYTES else None
    except ValueError:
        return 200
    code = found.get("error_code") if isinstance(found, dict) else None
    return code if isinstance(code, int) and 300 <= code <= 599 else 200
