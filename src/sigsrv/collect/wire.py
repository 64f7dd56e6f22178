"""HTTP with a daemon that may be hostile: one exchange has one limit of time and one of bytes, whatever the daemon sends.

The timeout of a socket applies to each call, so a server that sends a byte now and then would never reach it. Here, each call gets
only the time that the exchange has left. sigsrv asks for answers without compression and refuses others, so the bytes on the wire
are the bytes in memory. The header, answers ``100 Continue``, sizes of chunks and trailers count too.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import requests

LIMIT_BYTES = 16 * 1024 * 1024  # of the body of an answer
LIMIT_ERROR_BYTES = 64 * 1024  # of the body of an error
LIMIT_HEAD_BYTES = 256 * 1024  # of the header, with everything before it
_PIECE = 64 * 1024
Connect = Callable[[float], socket.socket]


class AnswerTooLarge(Exception):
    """The daemon sent more than the limit."""


class Garbled(Exception):
    """What the daemon sent is not a complete HTTP answer."""


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end. A redirect and a compressed answer have no body: nobody may use it."""

    status: int
    body: bytes
    location: str = ""  # where a redirect leads
    encoding: str = "identity"  # anything else is a compression


class Wire:
    """A connection to a daemon. It is opened at the first exchange, and again when the daemon closed it.

    connect: opens a socket in the given seconds, or raises TimeoutError, OSError or what the transport raises.
    """

    def __init__(self, connect: Connect, host: str) -> None:
        self._connect = connect
        self._host = host
        self._socket: socket.socket | None = None

    def get(self, path: str, seconds: float) -> Reply:
        """Send a GET and return the whole answer.

        Raises requests.ConnectTimeout or requests.ReadTimeout when the time is up, requests.ConnectionError if there is no connection
        or no answer at all, AnswerTooLarge and Garbled.
        """
        until = time.monotonic() + seconds
        if self._socket is not None:
            try:
                return self._exchange(self._socket, path, until)
            except requests.ConnectionError:
                pass  # the daemon closed a connection that was kept: no answer began, so the request is sent on a new one
        try:
            self._socket = self._connect(_left(until))
        except TimeoutError as cause:
            raise requests.ConnectTimeout(str(cause)) from cause
        return self._exchange(self._socket, path, until)

    def _exchange(self, opened: socket.socket, path: str, until: float) -> Reply:
        """Send a request and return the answer. Closes the connection if it can't be used again. Raises as ``get``."""
        stream = _Stream(opened, until)
        keep = False
        try:
            reply, keep = _sent(stream, self._request(path))
            return reply
        except TimeoutError as cause:
            raise requests.ReadTimeout(str(cause)) from cause
        except (http.client.HTTPException, ValueError, OSError) as cause:
            if not stream.answered:
                error = requests.exceptions.SSLError if isinstance(cause, ssl.SSLError) else requests.ConnectionError
                raise error(str(cause)) from cause
            raise Garbled(" ".join(str(cause).split()) or type(cause).__name__) from cause
        finally:
            if not keep:
                self.close()

    def close(self) -> None:
        """Close the connection if it is open."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _request(self, path: str) -> bytes:
        lines = (
            f"GET {path} HTTP/1.1",
            f"Host: {self._host}",
            "Accept-Encoding: identity",
            "User-Agent: sigsrv",
            "",
            "",
        )
        return "\r\n".join(lines).encode("ascii")


class _Stream(io.RawIOBase):
    """The bytes of one exchange. answered: whether any arrived."""

    def __init__(self, source: socket.socket, until: float) -> None:
        self._source = source
        self._until = until
        self.answered = False
        self.expect("header", LIMIT_HEAD_BYTES)

    def expect(self, part: str, limit: int) -> None:
        """Count what arrives from here on as a part of its own, of at most ``limit`` bytes."""
        self.part, self.limit, self.count = part, limit, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._source.settimeout(_left(self._until))
        got = self._source.recv_into(buffer)
        self.answered = self.answered or got > 0
        self.count += got
        if self.count > self.limit:
            raise AnswerTooLarge(f"the {self.part} is larger than {self.limit} bytes")
        return got

    def send(self, data: bytes) -> None:
        self._source.settimeout(_left(self._until))
        self._source.sendall(data)

    def makefile(self, _: str) -> io.BufferedReader:
        """Return this as a file, as ``http.client`` asks a socket for one."""
        return io.BufferedReader(self, _PIECE)


def _left(until: float) -> float:
    """Return the seconds until a time.monotonic() value. Raises TimeoutError if there are none."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the time of the request is up")
    return seconds


def _sent(stream: _Stream, request: bytes) -> tuple[Reply, bool]:
    """Send a request; return its answer, and whether the connection can be used again."""
    stream.send(request)
    answer = http.client.HTTPResponse(cast(socket.socket, stream), method="GET")
    try:
        answer.begin()
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        location = answer.headers.get("Location", "")
        if encoding != "identity" or 300 <= answer.status < 400:
            return Reply(answer.status, b"", location, encoding), False
        stream.expect("answer", LIMIT_BYTES if answer.status == 200 else LIMIT_ERROR_BYTES)
        body = bytearray()
        while piece := answer.read(_PIECE):
            body += piece
        if answer.length:
            raise Garbled(f"{answer.length} bytes are missing")
        return Reply(answer.status, bytes(body)), not answer.will_close
    finally:
        answer.close()
