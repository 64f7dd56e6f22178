"""Tests the values for the script that sets keys of the server: which sockets they open or close, and what they end."""

from __future__ import annotations

import pytest

from sigsrv.facts.listening import endpoint
from sigsrv.judge.server_settings import server_fix, server_setting


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1:8443", ["tcp 10.0.0.1:8443", "udp 10.0.0.1:8443"]),
        ("[fd00::1]", ["tcp [fd00::1]:8443", "udp [fd00::1]:8443"]),
        (":9100", [f"{protocol} {host}:9100" for host in ("*", "0.0.0.0", "[::]") for protocol in ("tcp", "udp")]),
    ],
)
def test_setting_names_the_sockets_of_its_addresses(address, expected):
    """They are named as ss names them. A difference that the fix does not name undoes it."""
    assert server_setting("core.https_address", "x", listens=[endpoint(address, 8443)])["sockets"] == expected


def test_plan_says_what_each_key_ends():
    """Each sentence once, and only those of the keys that change."""
    keys = ("core.metrics_authentication", "core.trust_ca_certificates", "core.trust_ca_certificates")
    fix = server_fix([server_setting(key, "") for key in keys], ["a", "b", "a"])

    assert fix["refused"] == "a; b"
    assert fix["disrupts"].count("Prometheus") == fix["disrupts"].count("the CA of their certificate") == 1
    assert "S3" not in fix["disrupts"]


def test_key_without_a_text_of_its_own_ends_nothing():
    """Nobody is cut off by a key that only this site has."""
    assert server_fix([server_setting("user.x", "")], [])["disrupts"] == "Instances keep running."
