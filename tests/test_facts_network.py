"""Links and bridges, read from recorded output of real hosts."""

from __future__ import annotations

import json

import pytest

from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.errors import EvidenceError, FailureKind
from sigsrv.facts.network import NetworkFacts, links


def of(stdout: str, rc: int = 0, stderr: str = "", failure: Failure | None = None) -> NetworkFacts:
    return NetworkFacts(Evidence("sigsrv", 0.0, probes={"link": Answer("ip", rc, stdout, stderr, failure)}))


@pytest.mark.parametrize("host", ["sigsrv", "minisrv"])
def test_the_trunk_s_three_vlans_are_read(recorded, host):
    """On both recorded hosts each VLAN link has the id, protocol, parent and bridge that it had."""
    found = links(recorded(f"link/{host}.json"))

    seen = {
        name: (link.vlan_id, link.vlan_protocol, link.parent, link.master)
        for name, link in found.items()
        if link.kind == "vlan"
    }
    assert seen == {
        "sigsrv0": (20, "802.1Q", "eth1", "sigsrvbr0"),
        "incus0": (16, "802.1Q", "eth1", "incusbr0"),
        "user0": (24, "802.1Q", "eth1", "userbr0"),
    }


def test_a_bridge_knows_its_ports(recorded):
    """A bridge's ports are the links that name it as their master."""
    bridge = of(recorded("link/sigsrv.json")).bridge("userbr0")

    assert bridge is not None
    assert bridge.ports == {"user0", "vethfed98ed6"}


def test_a_bridge_without_ports_is_seen(recorded):
    """A bridge that lost its last port is a bridge with no ports, not an absent bridge."""
    rows = [row for row in json.loads(recorded("link/sigsrv.json")) if row.get("master") != "userbr0"]

    bridge = of(json.dumps(rows)).bridge("userbr0")

    assert bridge is not None
    assert bridge.ports == frozenset()


def test_a_link_of_another_kind_is_no_bridge(recorded):
    """What is called like a bridge and is none has no ports to speak of."""
    assert of(recorded("link/sigsrv.json")).bridge("eth0") is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", "[{}]", "[1]", "Permission denied", '[{"ifname": "lo"}]', "[NaN]", "[" * 5000]
)
def test_unreadable_links_are_an_error_not_an_empty_network(text):
    """What is not a list of links never reads as a host without bridges."""
    with pytest.raises(EvidenceError, match="ip link"):
        links(text)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"stdout": "", "rc": 1, "stderr": "Operation not permitted"}, FailureKind.DENIED),
        ({"stdout": "[]", "rc": 2}, FailureKind.GARBLED),
        ({"stdout": "", "rc": 124, "failure": Failure(FailureKind.TIMEOUT, "no end in 5 s")}, FailureKind.TIMEOUT),
        ({"stdout": "", "rc": 127, "failure": Failure(FailureKind.MISSING, "no ip")}, FailureKind.MISSING),
    ],
)
def test_a_probe_that_failed_says_how(answer, kind):
    """Refused, timed out and missing are told apart, and none of them is an answer."""
    with pytest.raises(EvidenceError) as caught:
        _ = of(**answer).links

    assert caught.value.kind is kind


def test_a_vlan_link_without_its_id_is_an_error(recorded):
    """A VLAN whose 802.1Q id did not come back is unknown, not a link without an id."""
    rows = json.loads(recorded("link/sigsrv.json"))
    for row in rows:
        row.get("linkinfo", {}).get("info_data", {}).pop("id", None)

    with pytest.raises(EvidenceError, match="'id' is missing"):
        links(json.dumps(rows))
