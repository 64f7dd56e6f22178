"""Tests the facts about the listening sockets of a host, which come from ss."""

from __future__ import annotations

from pathlib import Path

import pytest

from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.listening import Listener, listeners
from sigsrv.model.errors import EvidenceError, FailureKind

RECORDED = (Path(__file__).parent / "evidence" / "listen" / "sigsrv.txt").read_text()


def test_each_socket_has_its_address_and_port():
    """Reads the recorded output of ss on a real host."""
    assert [str(found) for found in listeners(RECORDED)] == [
        "172.20.0.1:53",
        "0.0.0.0:22",
        "172.16.0.1:53",
        "127.0.0.1:8080",
        "[::]:22",
        "*:8443",
        "10.77.0.1:8443",
    ]
    assert [found.port for found in listeners(RECORDED) if found.is_wildcard] == [22, 22, 8443]
    assert [found.port for found in listeners(RECORDED) if found.is_loopback] == [8080]


@pytest.mark.parametrize(
    ("local", "listener"),
    [
        ("*:8443", Listener("*", 8443)),
        ("0.0.0.0%userbr0:67", Listener("0.0.0.0", 67, "userbr0")),
        ("[fe80::1]%eth0:546", Listener("fe80::1", 546, "eth0")),
        ("[fe80::1%eth0]:546", Listener("fe80::1", 546, "eth0")),
        ("[2001:DB8:0::1]:443", Listener("2001:db8::1", 443)),
        ("127.0.0.53%lo:53", Listener("127.0.0.53", 53, "lo")),
    ],
)
def test_every_form_of_an_address_is_read(local, listener):
    """Covers IPv6 in brackets, an interface after a percent sign, and an address in another notation."""
    assert listeners(f"LISTEN 0 128 {local} *:*\n") == (listener,)


def test_a_host_without_any_socket_has_no_listeners():
    """ss prints nothing then. Empty output is a valid answer."""
    assert listeners("") == ()


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "LISTEN",
        "ESTAB 0 0 10.0.0.1:22 10.0.0.2:50000",
        "LISTEN 0 128 nowhere:22 *:*",
        "LISTEN 0 128 10.0.0.1 *:*",
        "LISTEN 0 128 10.0.0.1:http *:*",
        "LISTEN 0 128 [::1:22 *:*",
        "LISTEN 0 128 10.0.0.1:70000 *:*",
        "LISTEN 0 128 :22 *:*",
        "Permission denied",
    ],
)
def test_a_line_that_is_not_a_socket_is_an_error(line):
    """A line that cannot be parsed may hide a listening socket, so the other lines do not count either."""
    with pytest.raises(EvidenceError, match="ss: "):
        listeners(f"LISTEN 0 128 10.0.0.1:22 0.0.0.0:*\n{line}\n")


def test_a_failed_ss_is_an_error():
    """A non-zero exit status and a timeout never read as an empty list."""
    late = Answer("ss", failure=Failure(FailureKind.TIMEOUT, "no end in 5 s"))
    for answer in (Answer("ss", 1, "", "Cannot open netlink socket"), late):
        with pytest.raises(EvidenceError):
            _ = HostFacts("h", "h", Evidence("h", 0.0, probes={"listen": answer})).listeners
