"""Tests the reasons for a failed HTTPS connection to a daemon."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from sigsrv.collect import api, urls
from sigsrv.collect.evidence import Failure
from sigsrv.collect.transports import over_https
from sigsrv.model.errors import FailureKind
from sigsrv.model.site import ApiAddress


def certificate(folder: Path, name: str) -> str:
    """Create a certificate for 127.0.0.1. Returns its file, which also contains the key."""
    key, whole = folder / f"{name}.key", folder / f"{name}.pem"
    words = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-newkey", "ec"]
    argv = ["openssl", "req", "-x509", "-nodes", *words, "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", key]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    whole.write_text(done.stdout + key.read_text())
    return str(whole)


def serve(server: socket.socket, shown: str | None) -> None:
    """Accept connections until the server is closed.

    With a certificate, do a TLS handshake. Without one, read once and close the connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if shown:
        context.load_cert_chain(shown)
    while True:
        try:
            call, _ = server.accept()
        except OSError:
            return
        with call, contextlib.suppress(OSError):
            if shown:
                context.wrap_socket(call, server_side=True).close()
            else:
                call.recv(65536)


@pytest.mark.parametrize(
    ("shows", "reason"),
    [(True, "the server's certificate is not the one in the site file: "), (False, "no TLS connection: ")],
)
def test_wrong_certificate_and_closed_connection_have_different_reasons(tmp_path, shows, reason):
    """A person must check a wrong certificate.

    A closed connection means that a forwarder accepts all connections, but no daemon runs behind it.
    """
    named = certificate(tmp_path, "named")
    server = socket.create_server(("127.0.0.1", 0))
    shown = certificate(tmp_path, "another") if shows else None
    threading.Thread(target=serve, args=(server, shown), daemon=True).start()
    address = ApiAddress(f"https://127.0.0.1:{server.getsockname()[1]}", named, named, named)

    silent = Failure(FailureKind.DOWN, "nothing answers")

    found = api.collect_api([lambda s: over_https(address, s)], "sigsrv", time.monotonic() + 9, lambda: silent)
    server.close()

    assert found[urls.SERVER].failure.reason.startswith(f"Incus API: {reason}")
