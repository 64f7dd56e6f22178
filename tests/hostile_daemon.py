"""Provides a daemon that answers as no Incus does: redirects, bombs, answers that never end. On a unix socket, or with TLS on loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from pathlib import Path

MIB = 1024 * 1024
METADATA = {
    "api_extensions": [],
    "auth": "trusted",
    "config": {},
    "environment": {"server_name": "h", "server_clustered": False},
}


def answer(metadata: object) -> bytes:
    """Return a good answer of Incus."""
    return json.dumps({"type": "sync", "status_code": 200, "error_code": 0, "metadata": metadata}).encode()


def whole(body: bytes, status: str = "200 OK", *lines: str) -> bytes:
    """Return an HTTP answer with a body."""
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(body)}"))
    return head.encode() + b"\r\n" + body


@dataclass
class Call:
    """A request, and how to answer it."""

    send: Callable[[bytes], None]
    elsewhere: str  # the address of a service that nobody may reach through a redirect

    def start(self, *lines: str, status: str = "200 OK") -> None:
        """Send the head of an answer that ends with the connection."""
        self.send("".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines, "")).encode())

    def forever(self, piece: bytes, pause: float = 0.0) -> None:
        """Send a piece until the other side closes the connection, at most 700 MiB."""
        for _ in range(700 * MIB // len(piece)):
            self.send(piece)
            if pause:
                time.sleep(pause)


@cache
def _gzip() -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(packer.compress(b" " * MIB) for _ in range(100)) + packer.flush()


def _redirect(place: str) -> Callable[[Call], None]:
    return lambda call: call.send(whole(b"", "302 Found", f"Location: {place.format(there=call.elsewhere)}"))


def _drip_head(call: Call) -> None:
    call.send(b"HTTP/1.1 200 OK\r\nX: ")
    call.forever(b"a", 0.1)


def _drip_body(call: Call) -> None:
    call.start()
    call.forever(b" ", 0.1)


def _drip_error(call: Call) -> None:
    call.start(status="500 Oops")
    call.forever(b" ", 0.1)


def _endless_lines(call: Call) -> None:
    call.send(b"HTTP/1.1 200 OK\r\n")
    call.forever(b"X: " + b"a" * 60_000 + b"\r\n")


def _endless_100(call: Call) -> None:
    call.forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def _slow_100(call: Call) -> None:
    call.forever(b"HTTP/1.1 100 Continue\r\n\r\n", 0.1)


def _endless_body(call: Call) -> None:
    call.start()
    call.forever(b" " * MIB)


def _endless_error(call: Call) -> None:
    call.start(status="500 Oops")
    call.forever(b" " * MIB)


def _endless_extension(call: Call) -> None:
    call.start("Transfer-Encoding: chunked")
    call.forever(b"1;" + b"x" * 60_000 + b"\r\n \r\n")


def _endless_trailer(call: Call) -> None:
    call.start("Transfer-Encoding: chunked")
    call.send(b"0\r\n")
    call.forever(b"X: " + b"a" * 60_000 + b"\r\n")


def _cut(call: Call) -> None:
    call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{")


def _silent(call: Call) -> None:
    time.sleep(20)


MODES: dict[str, Callable[[Call], None]] = {
    "redirect-http": _redirect("http://{there}/admin?x=1"),
    "redirect-unix": _redirect("http+unix://%2Frun%2Fother.sock/1.0/networks"),
    "redirect-file": _redirect("file:///etc/passwd"),
    "redirect-same": _redirect("/1.0/other"),
    "drip-head": _drip_head,
    "drip-body": _drip_body,
    "drip-error": _drip_error,
    "silent": _silent,
    "endless-lines": _endless_lines,
    "endless-100": _endless_100,
    "slow-100": _slow_100,
    "endless-body": _endless_body,
    "endless-error": _endless_error,
    "endless-extension": _endless_extension,
    "endless-trailer": _endless_trailer,
    "gzip": lambda call: call.send(whole(_gzip(), "200 OK", "Content-Encoding: gzip")),
    "gzip-error": lambda call: call.send(whole(_gzip(), "500 Oops", "Content-Encoding: gzip")),
    "values": lambda call: call.send(whole(b'{"metadata":[' + b"{}," * 600_000 + b"{}]}")),
    "lists": lambda call: call.send(whole(b'{"metadata":[' + b"[]," * 990_000 + b"[]]}")),
    "strings": lambda call: call.send(whole(b'{"metadata":[' + b'"ab",' * 1_900_000 + b"[]]}")),
    "wide": lambda call: call.send(whole(b'{"metadata":["' + b"a" * (14 * MIB) + '\U0001f600"]}'.encode())),
    "deep": lambda call: call.send(whole(b'{"metadata":' + b"[" * 200_000 + b"]" * 200_000 + b"}")),
    "deep-a-little": lambda call: call.send(whole(b'{"metadata":' + b"[" * 70 + b"]" * 70 + b"}")),
    "deep-error": lambda call: call.send(whole(b"[" * 60_000, "500 Oops")),
    "huge-integer": lambda call: call.send(whole(b'{"metadata":[' + b"9" * (4 * MIB) + b"]}")),
    "big-integer": lambda call: call.send(whole(b'{"metadata":[18446744073709551616]}')),
    "infinite": lambda call: call.send(whole(b'{"metadata":[1e999]}')),
    "not-a-number": lambda call: call.send(whole(b'{"metadata":[NaN]}')),
    "not-utf-8": lambda call: call.send(whole(b'{"metadata":["\xff"]}')),
    "utf-16": lambda call: call.send(whole('{"metadata":[]}'.encode("utf-16"))),
    "list": lambda call: call.send(whole(b"[]")),
    "nothing": lambda call: call.send(whole(b"")),
    "no-metadata": lambda call: call.send(whole(b"{}")),
    "closed": lambda call: call.send(whole(answer([]))),  # without a word that the connection ends
    "cut": _cut,
    "length": lambda call: call.send(b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\n{}"),
    "chunk": lambda call: call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n{}"),
    "status-0": lambda call: call.send(whole(answer([]), "000 Nothing")),
    "status-text": lambda call: call.send(whole(answer([]), "fine")),
    "status-101": lambda call: call.send(whole(answer([]), "101 Switching Protocols")),
    "no-http": lambda call: call.send(b"220 mail.example.org ESMTP\r\n\r\n"),
    "error-list": lambda call: call.send(whole(b"[]", "500 Oops")),
    "error-number": lambda call: call.send(whole(b'{"error": 7}', "500 Oops")),
    "error-bytes": lambda call: call.send(whole(b"\xff\xfe", "500 Oops")),
}


@dataclass
class HostileDaemon:
    """A daemon that answers one request in a bad way, or all of them, and the others well. bad: what the URLs of these begin with."""

    mode: str
    bad: str = "/1.0/networks"
    pem: str = ""  # with a file of a certificate and its key: TLS on loopback
    reached: list[str] = field(default_factory=list)  # the requests at the service that nobody may reach
    asked: list[str] = field(default_factory=list)  # the requests at the daemon, each with its header
    elsewhere: str = ""  # the address of that service
    calls: int = 0  # connections to the daemon

    @contextmanager
    def serve(self, path: Path | None = None) -> Iterator[int]:
        """Serve on a unix socket, or on a port of loopback, which it yields."""
        _gzip()  # a request has no time to wait for it
        if path:
            own = socket.socket(socket.AF_UNIX)
            own.bind(str(path))
            own.listen(50)
        else:
            own = socket.create_server(("127.0.0.1", 0))
        with own, socket.create_server(("127.0.0.1", 0)) as victim:
            self.elsewhere = f"127.0.0.1:{victim.getsockname()[1]}"
            threading.Thread(target=self._accept, args=(victim, self._be_reached), daemon=True).start()
            threading.Thread(target=self._accept, args=(own, self._answer_all), daemon=True).start()
            try:
                yield 0 if path else own.getsockname()[1]
            finally:
                for each in (own, victim):
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)

    def _accept(self, server: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                call, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(serve, call), daemon=True).start()

    def _serve(self, serve: Callable[[socket.socket], None], call: socket.socket) -> None:
        with call, contextlib.suppress(OSError):
            serve(call)

    def _be_reached(self, call: socket.socket) -> None:
        self.reached.append(call.recv(4096).decode("latin-1").split("\r\n")[0])
        call.sendall(whole(answer([{"secret": "of the operator's machine"}])))

    def _answer_all(self, call: socket.socket) -> None:
        if self.pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.pem)
            call = context.wrap_socket(call, server_side=True)
        with call:
            self.calls += 1
            lines = call.makefile("rb")
            while head := "".join(line.decode() for line in takewhile(lambda line: line != b"\r\n", lines)):
                url = head.split()[1]
                self.asked.append(head)
                if url.startswith(self.bad):
                    MODES[self.mode](Call(call.sendall, self.elsewhere))
                    return
                call.sendall(whole(answer(METADATA if url == "/1.0" else [])))
