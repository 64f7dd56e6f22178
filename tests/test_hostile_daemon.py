"""Tests that a daemon can do nothing to the machine of the scan: it reaches no other service, and takes little time and memory.

Each bad answer comes for the first request (/1.0) and for a later one, over a unix socket, over HTTPS and from ``incus query``.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from sigsrv.collect import api, hosts, urls
from sigsrv.collect.connection import open_session
from sigsrv.collect.evidence import ApiAnswer, Failure
from sigsrv.collect.probes import Probe
from sigsrv.collect.session import Session
from sigsrv.collect.target import Target
from sigsrv.collect.transports import over_https, over_query, over_socket
from sigsrv.model.errors import FailureKind
from sigsrv.model.site import ApiAddress
from tests import hostile_daemon
from tests.hostile_daemon import METADATA, HostileDaemon, answer
from tests.test_transports import certificate

GARBLED, TOO_LARGE, TIMEOUT, SILENT = (
    FailureKind.GARBLED,
    FailureKind.TOO_LARGE,
    FailureKind.TIMEOUT,
    FailureKind.SILENT,
)
SECONDS = 3.0  # the timeout of a request that gets no answer; longer than a busy machine needs for the other requests
BAD = {  # by mode: the kind of the failure, and words of its reason
    "redirect-http": (GARBLED, "HTTP 302: a redirect to 'http://127.0.0.1:"),
    "redirect-unix": (
        GARBLED,
        "a redirect to 'http+unix://%2Frun%2Fother.sock/1.0/networks'; sigsrv follows no redirect",
    ),
    "redirect-file": (GARBLED, "a redirect to 'file:///etc/passwd'; sigsrv follows no redirect"),
    "redirect-same": (GARBLED, "a redirect to '/1.0/other'; sigsrv follows no redirect"),
    "drip-head": (TIMEOUT, "no answer in"),
    "drip-body": (TIMEOUT, "no answer in"),
    "drip-error": (TIMEOUT, "no answer in"),
    "silent": (TIMEOUT, "no answer in"),
    "slow-100": (TIMEOUT, "no answer in"),
    "endless-lines": (TOO_LARGE, "the header is larger than 262144 bytes"),
    "endless-100": (TOO_LARGE, "the header is larger than 262144 bytes"),
    "endless-body": (TOO_LARGE, "the answer is larger than 16777216 bytes"),
    "endless-error": (TOO_LARGE, "the answer is larger than 65536 bytes"),
    "endless-extension": (TOO_LARGE, "the answer is larger than 16777216 bytes"),
    "endless-trailer": (TOO_LARGE, "the answer is larger than 16777216 bytes"),
    "gzip": (GARBLED, "the answer is compressed ('gzip'), which sigsrv did not ask for"),
    "gzip-error": (GARBLED, "the answer is compressed ('gzip'), which sigsrv did not ask for"),
    "values": (GARBLED, "not an Incus answer: more than 2000000 values"),
    "deep": (GARBLED, "not an Incus answer: nested more than 64 levels deep"),
    "deep-a-little": (GARBLED, "not an Incus answer: nested more than 64 levels deep"),
    "deep-error": (GARBLED, "HTTP 500: [[[["),
    "huge-integer": (GARBLED, "not an Incus answer: a number has more than 64 bits"),
    "big-integer": (GARBLED, "not an Incus answer: a number has more than 64 bits"),
    "infinite": (GARBLED, "not an Incus answer: a number has more than 64 bits"),
    "not-a-number": (GARBLED, "not an Incus answer: NaN is not JSON"),
    "not-utf-8": (GARBLED, "not an Incus answer: 'utf-8' codec can't decode"),
    "utf-16": (GARBLED, "not an Incus answer: 'utf-8' codec can't decode"),
    "list": (GARBLED, "not an Incus answer: not an object"),
    "nothing": (GARBLED, "not an Incus answer: Expecting value"),
    "cut": (GARBLED, "the answer is incomplete: 8999 bytes are missing"),
    "chunk": (GARBLED, "the answer is incomplete: IncompleteRead"),
    "status-0": (GARBLED, "the answer is incomplete: HTTP/1.1 000"),
    "status-text": (GARBLED, "the answer is incomplete: HTTP/1.1 fine"),
    "status-101": (GARBLED, "HTTP 101"),
    "no-http": (GARBLED, "the answer is incomplete: 220 mail.example.org"),
    "error-list": (GARBLED, "HTTP 500: []"),
    "error-number": (GARBLED, "HTTP 500: 7"),
    "error-bytes": (GARBLED, "HTTP 500: \ufffd\ufffd"),
}
FIRST, LATER = "/1.0", "/1.0/networks"


@pytest.fixture(scope="module")
def pem(tmp_path_factory) -> str:
    return certificate(tmp_path_factory.mktemp("tls"), "daemon")


@contextmanager
def connected(daemon: HostileDaemon, folder: Path) -> Iterator[api.Connect]:
    """Serve a daemon, and provide the function that connects to it."""
    path = folder / "s"
    with daemon.serve(None if daemon.pem else path) as port:
        if daemon.pem:
            address = ApiAddress(f"https://127.0.0.1:{port}", daemon.pem, daemon.pem, daemon.pem)
            yield lambda seconds: over_https(address, seconds)
        else:
            yield lambda seconds: over_socket(str(path), seconds)


def read(connect: api.Connect, seconds: float = 15.0, host_s: float = 30.0) -> dict[str, ApiAnswer]:
    down = Failure(FailureKind.DOWN, "no connection")
    return api.collect_api([connect], "", time.monotonic() + host_s, lambda: down, seconds)


def failed(found: dict[str, ApiAnswer]) -> dict[str, Failure]:
    return {url: each.failure for url, each in found.items() if each.failure}


CASES = [
    pytest.param(mode, place, tls, id=f"{mode}-{place}-{'https' if tls else 'socket'}")
    for mode in BAD
    for place in (FIRST, LATER)
    for tls in (False, True)
    if not (
        tls and BAD[mode][0] is TIMEOUT and mode != "drip-head"
    )  # each of these waits, and TLS changes nothing about it
]


@pytest.mark.parametrize(("mode", "place", "tls"), CASES)
def test_bad_answer_is_a_failure_in_time_and_leads_nowhere(tmp_path, pem, mode, place, tls):
    """A bad answer to a later request costs only that answer. Nobody asks another address, and nobody asks twice."""
    daemon = HostileDaemon(mode, place, pem if tls else "")
    kind, words = BAD[mode]
    kind = SILENT if kind is TIMEOUT and place == FIRST else kind
    began = time.monotonic()

    with connected(daemon, tmp_path) as connect:
        failures = failed(read(connect, SECONDS if kind in (TIMEOUT, SILENT) else 15.0, 30.0))

    assert time.monotonic() - began < 20
    if place == LATER:
        assert list(failures) == [urls.NETWORKS]
    else:
        assert list(failures) == [urls.SERVER, *urls.WANTED]
    failure = next(iter(failures.values()))
    assert (failure.kind, words in failure.reason) == (kind, True), failure
    assert failure.reason.startswith(f"Incus API {place}")
    assert daemon.reached == []
    assert sum(head.startswith(f"GET {place}") for head in daemon.asked) == 1


QUERY = {  # by mode: what `incus query` does, the kind of the failure and words of its reason
    "endless": ("exec cat /dev/zero", TOO_LARGE, "the answer is larger than 16777216 bytes"),
    "endless-error": ("exec cat /dev/zero >&2", TOO_LARGE, "the answer is larger than 16777216 bytes"),
    "drip": ("while :; do printf ' '; sleep 0.1; done", TIMEOUT, "no answer in"),
    "redirect": ("""echo '{"error_code": 302, "error": "Found"}'""", GARBLED, "HTTP 302: a redirect"),
    "denied": (
        """echo '{"error_code": 403, "error": "not authorized"}'""",
        FailureKind.DENIED,
        "HTTP 403: not authorized",
    ),
    "deep-error": (
        """echo "{\\"error_code\\": 500, \\"error\\": $(printf '%01000d' 0 | tr 0 '[')" """,
        GARBLED,
        "not an Incus answer",
    ),
    "infinite-code": (
        """echo '{"error_code": 1e999}'""",
        GARBLED,
        "not an Incus answer: a number has more than 64 bits",
    ),
    "deep": (
        "head -c 200000 /dev/zero | tr '\\0' '['",
        GARBLED,
        "not an Incus answer: nested more than 64 levels deep",
    ),
    "nothing": ("true", GARBLED, "not an Incus answer"),
}


@pytest.fixture
def local() -> Iterator[Session]:
    with open_session(Target("h", connection="local")) as session:
        yield session


@pytest.mark.parametrize("place", [FIRST, LATER])
@pytest.mark.parametrize("mode", QUERY)
def test_bad_answer_of_incus_query_is_a_failure_in_time(tmp_path, monkeypatch, local, mode, place):
    """The client on the host prints what the daemon sends, so it has the same limits."""
    bad, kind, words = QUERY[mode]
    kind = SILENT if kind is TIMEOUT and place == FIRST else kind
    good = {urls.SERVER: answer(METADATA).decode(), "*": answer([]).decode()}
    cases = "\n".join(f"{url}) echo {shlex.quote(text)};;" for url, text in good.items())
    match = f"{place}*" if place == LATER else place
    program = tmp_path / "incus"
    program.write_text(f'#!/bin/sh\ncase "${{3#local:}}" in\n{match}) {bad};;\n{cases}\nesac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    began = time.monotonic()

    failures = failed(
        read(lambda seconds: over_query(local, False, seconds), SECONDS if kind in (TIMEOUT, SILENT) else 15.0, 30.0)
    )

    assert time.monotonic() - began < 20
    assert list(failures) == ([urls.NETWORKS] if place == LATER else [urls.SERVER, *urls.WANTED])
    failure = next(iter(failures.values()))
    assert (failure.kind, words in failure.reason) == (kind, True), failure


CHILD = """
import json, sys, time
from sigsrv.collect import api
from sigsrv.collect.evidence import Failure
from sigsrv.collect.transports import over_socket
from sigsrv.model.errors import FailureKind
def peak(): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
before = peak()
down = Failure(FailureKind.DOWN, "no connection")
found = api.collect_api([lambda seconds: over_socket(sys.argv[1], seconds)], "", time.monotonic() + 15, lambda: down)
kinds = [each.failure.kind.value if each.failure else "" for each in found.values()]
print(json.dumps({"mib": (peak() - before) // 1024, "kinds": kinds}))
"""


@pytest.mark.parametrize(
    ("mode", "bad", "kinds", "limit_mib"),
    [
        ("endless-body", FIRST, {"too-large"}, 64),
        ("endless-error", FIRST, {"too-large"}, 16),
        ("endless-error", "/1.0/", {"", "too-large"}, 16),
        ("gzip", FIRST, {"garbled"}, 16),
        ("gzip-error", "/1.0/", {"", "garbled"}, 16),
        ("lists", "/1.0/", {"", "too-large"}, 400),
        ("strings", "/1.0/", {"", "too-large"}, 400),
        ("wide", "/1.0/", {"", "too-large"}, 500),
    ],
)
def test_worst_daemon_costs_a_few_times_the_limit_of_memory(tmp_path, mode, bad, kinds, limit_mib):
    """All answers of a host together have a limit too: 64 MiB, and a value counts as 24 bytes at least."""
    with HostileDaemon(mode, bad).serve(tmp_path / "s"):
        done = subprocess.run(
            [sys.executable, "-c", CHILD, tmp_path / "s"], capture_output=True, text=True, check=True, timeout=60
        )
    found = json.loads(done.stdout)

    assert set(found["kinds"]) == kinds
    assert found["mib"] < limit_mib


def test_host_with_only_an_api_that_drips_ends_at_its_timeout(tmp_path, pem):
    """No ssh session ends these requests, and no request gets more time than the host has left."""
    daemon = HostileDaemon("drip-head", "/1.0/", pem)
    with daemon.serve() as port:
        address = ApiAddress(f"https://127.0.0.1:{port}", pem, pem, pem, only=True)
        found = hosts.collect(Target("h", timeout_s=2, api=address), "h", [])

    assert 2 <= found.seconds < 6
    assert {failure.kind for failure in failed(found.api).values()} == {TIMEOUT}


def test_this_machine_with_a_daemon_that_drips_ends_at_its_timeout(tmp_path, monkeypatch):
    """Closing the session of this machine ends nothing, so each request must end by itself."""
    monkeypatch.setattr("sigsrv.collect.session.SOCKET", str(tmp_path / "s"))
    with HostileDaemon("drip-error", "/1.0/").serve(tmp_path / "s"):
        target = Target("h", connection="local", timeout_s=2)
        found = hosts.collect(target, "h", [Probe("socket-access", ("true",), "a test")])

    assert 2 <= found.seconds < 6
    assert {failure.kind for failure in failed(found.api).values()} == {TIMEOUT}


def test_environment_changes_no_request(tmp_path, pem, monkeypatch):
    """A proxy, a bundle of certificates and a .netrc are for other programs: the site file says how to reach a daemon."""
    daemon = HostileDaemon("closed", "/1.0/none", pem)
    (tmp_path / ".netrc").write_text("default login ada password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    with connected(daemon, tmp_path) as connect:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{daemon.elsewhere}")
        assert failed(read(connect)) == {}

    assert daemon.reached == []
    assert not any("authorization" in head.lower() or "gzip" in head for head in daemon.asked)


def test_client_of_a_host_reaches_that_host_only(tmp_path):
    """An answer could give pylxd another address. There is no adapter for it, and nothing but a GET is sent."""
    daemon = HostileDaemon("closed", "/1.0/none")
    with connected(daemon, tmp_path) as connect:
        client = connect(1.0)
        session = client.api.session
        for address in (f"http://{daemon.elsewhere}/", "https://example.org/", "file:///etc/passwd"):
            with pytest.raises(requests.exceptions.InvalidSchema):
                session.get(address)
        with pytest.raises(requests.ConnectionError, match="a scan only reads: sigsrv does not send DELETE"):
            client.api.instances["web"].delete()
        session.get("http+unix://%2Frun%2Fother.sock/1.0/instances")
        session.close()

    assert daemon.reached == []
    assert [head.split()[1] for head in daemon.asked] == ["/1.0", "/1.0/instances"]


@pytest.mark.parametrize("tls", [False, True], ids=["socket", "https"])
@pytest.mark.parametrize(("bad", "calls"), [("/1.0/none", 1), ("/1.0/", 11)])
def test_connection_is_kept_and_opened_again_if_the_daemon_closed_it(tmp_path, pem, tls, bad, calls):
    """A login of TLS for each request would be slow. A daemon may close a connection after any answer, without a word."""
    daemon = HostileDaemon("closed", bad, pem if tls else "")
    with connected(daemon, tmp_path) as connect:
        assert failed(read(connect)) == {}

    assert daemon.calls == calls


def test_pools_without_end_are_not_all_requested(tmp_path, monkeypatch):
    """Each pool needs requests of its own. Those beyond the limit have no answer, so what needs them is an error."""
    monkeypatch.setattr(api, "LIMIT_URLS", 6)
    pools = answer([{"name": f"p{number}"} for number in range(5)])
    monkeypatch.setitem(hostile_daemon.MODES, "pools", lambda call: call.send(hostile_daemon.whole(pools)))
    daemon = HostileDaemon("pools", "/1.0/storage-pools?")
    with connected(daemon, tmp_path) as connect:
        found = read(connect)

    assert [url for url in found if url.startswith("/1.0/storage-pools/")] == [
        url
        for number in range(3)
        for url in (urls.pool_resources_url(f"p{number}", None), urls.volumes_url(f"p{number}"))
    ]
