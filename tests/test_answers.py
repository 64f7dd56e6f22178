"""Tests API answers that are cut off, too slow or invalid: only that answer fails."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import pytest

from sigsrv.collect import api, urls
from sigsrv.collect.evidence import Failure
from sigsrv.collect.transports import over_socket
from sigsrv.model.errors import FailureKind

ENVIRONMENT = {"server_clustered": False, "server_name": "a"}
SERVER = {"type": "sync", "status_code": 200, "metadata": {"auth": "trusted", "environment": ENVIRONMENT}}
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
EMPTY_LIST = json.dumps({"type": "sync", "status_code": 200, "metadata": []}).encode()


class Daemon(threading.Thread):
    """Answers API requests on a socket. Requests for networks get the bad answer, all others get a good one.

    way: ``well``, ``cut``, ``stall``, ``drip`` or ``deep``.
    """

    def __init__(self, path: str, way: str) -> None:
        super().__init__(daemon=True)
        self.way = way
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(9)
        self.start()

    def run(self) -> None:
        while True:
            try:
                call, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(call,), daemon=True).start()

    def serve(self, call: socket.socket) -> None:
        with call, call.makefile("rb") as lines, contextlib.suppress(OSError):
            while line := lines.readline():
                while lines.readline().strip():
                    pass
                self.answer(call, line.split()[1].decode())

    def answer(self, call: socket.socket, url: str) -> None:
        body = json.dumps(SERVER).encode() if url.split("?")[0] == urls.SERVER else EMPTY_LIST
        if not url.startswith("/1.0/networks") or self.way == "well":
            call.sendall(HEAD.format(size=len(body)).encode() + body)
        elif self.way == "deep":
            call.sendall(HEAD.format(size=200_000).encode() + b"[" * 200_000)
        else:
            call.sendall(HEAD.format(size=9_000).encode() + b"{")
            if self.way == "cut":
                call.shutdown(socket.SHUT_RDWR)
            while self.way == "drip":
                call.sendall(b" ")
                time.sleep(0.1)
            time.sleep(2 if self.way == "stall" else 0)


def daemon_is_down() -> Failure:
    return Failure(FailureKind.DOWN, "nothing answers")


@pytest.mark.parametrize(
    ("way", "kind"),
    [
        ("cut", FailureKind.GARBLED),
        ("stall", FailureKind.TIMEOUT),
        ("drip", FailureKind.TIMEOUT),
        ("deep", FailureKind.GARBLED),
    ],
)
def test_incomplete_answer_fails_alone(tmp_path, way, kind):
    """It neither stops nor delays the other answers. A server that sends one byte at a time gets no extra time."""
    path = str(tmp_path / "s")
    daemon = Daemon(path, way)
    began = time.monotonic()

    answers = api.collect_api([lambda s: over_socket(path, s)], "a", began + 20, daemon_is_down, 0.5)

    daemon.server.close()
    failed = {url: answer.failure.kind for url, answer in answers.items() if answer.failure}
    assert failed == {urls.NETWORKS: kind}
    assert time.monotonic() - began < 5
