"""Links, bridges and addresses, read from recorded output of real hosts."""

from __future__ import annotations

import json
from ipaddress import ip_address

import pytest

from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.facts.network import Address, FdbEntry, NetworkFacts, addresses, fdb_entries, links
from sigsrv.model.errors import EvidenceError, FailureKind


def of(stdout: str, rc: int = 0, stderr: str = "", failure: Failure | None = None, probe: str = "link") -> NetworkFacts:
    return NetworkFacts(Evidence("sigsrv", 0.0, probes={probe: Answer("ip", rc, stdout, stderr, failure)}))


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


def test_a_port_has_the_state_that_its_bridge_gives_it(recorded):
    """The port of a bridge forwards; a link that is none has no such state."""
    found = links(recorded("link/sigsrv.json"))

    assert {name: found[name].port_state for name in ("sigsrv0", "eth1", "sigsrvbr0", "lo")} == {
        "sigsrv0": "forwarding",
        "eth1": None,
        "sigsrvbr0": None,
        "lo": None,
    }


def test_a_port_without_its_state_is_an_error(recorded):
    """A port whose state did not come back is unknown, not one that forwards."""
    rows = json.loads(recorded("link/sigsrv.json"))
    for row in rows:
        row.get("linkinfo", {}).pop("info_slave_data", None)

    with pytest.raises(EvidenceError, match="'info_slave_data' is missing"):
        links(json.dumps(rows))


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
@pytest.mark.parametrize(("probe", "view"), [("link", "links"), ("addr", "addresses")])
def test_a_probe_that_failed_says_how(answer, kind, probe, view):
    """Refused, timed out and missing are told apart, and none of them is an answer."""
    with pytest.raises(EvidenceError) as caught:
        getattr(of(**answer, probe=probe), view)

    assert caught.value.kind is kind


def test_a_vlan_link_without_its_id_is_an_error(recorded):
    """A VLAN whose 802.1Q id did not come back is unknown, not a link without an id."""
    rows = json.loads(recorded("link/sigsrv.json"))
    for row in rows:
        row.get("linkinfo", {}).get("info_data", {}).pop("id", None)

    with pytest.raises(EvidenceError, match="'id' is missing"):
        links(json.dumps(rows))


@pytest.mark.parametrize(("host", "own"), [("sigsrv", "10.77.0.1/24"), ("minisrv", "10.77.0.2/24")])
def test_each_link_has_its_addresses(recorded, host, own):
    """On both recorded hosts the trunk and the bridges hold one address each, the VLAN links none: they are there all the same."""
    found = addresses(recorded(f"addr/{host}.json"))

    seen = {name: [str(address) for address in found[name]] for name in found if not name.startswith("veth")}
    assert seen == {
        "lo": ["127.0.0.1/8", "::1/128"],
        "eth0": ["10.0.2.15/24"],
        "eth1": [own],
        "sigsrv0": [],
        "incus0": [],
        "user0": [],
        "sigsrvbr0": ["172.20.0.1/16"],
        "incusbr0": ["172.16.0.1/16"],
        "userbr0": ["172.24.0.1/16"],
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        "[{}]",
        "[1]",
        "Permission denied",
        '[{"ifname": "lo"}]',
        '[{"ifname": "lo", "addr_info": {}}]',
        '[{"ifname": "lo", "addr_info": [{"prefixlen": 8}]}]',
        '[{"ifname": "lo", "addr_info": [{"local": "127.0.0", "prefixlen": 8}]}]',
        '[{"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}]}]',
        '[{"ifname": "eth0", "addr_info": []}]',
    ],
)
def test_unreadable_addresses_are_an_error_not_a_host_without_any(text):
    """What is not a list of links with their addresses never reads as links that hold none."""
    with pytest.raises(EvidenceError, match="ip addr"):
        addresses(text)


@pytest.mark.parametrize(
    ("local", "counts"),
    [
        ("10.0.0.1", True),
        ("192.168.1.1", True),
        ("203.0.113.7", True),
        ("2001:db8::1", True),
        ("fd00::1", True),
        ("169.254.1.1", False),
        ("fe80::1", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
    ],
)
def test_an_address_counts_as_incus_counts_it(local, counts):
    """Private ranges are global unicast to Incus; link-local, loopback, multicast and unspecified addresses are not."""
    assert Address(ip_address(local), 24).is_global_unicast is counts


def test_stations_that_a_bridge_has_learned_are_read(recorded):
    """By the port that they were seen at; the links' own addresses, and those that were set, are none."""
    found = fdb_entries(recorded("fdb/sigsrv.json"))

    assert {each.port for each in found if each.bridge == "userbr0"} == {"user0", "vethfed98ed6"}
    assert FdbEntry("10:66:6a:92:a6:f6", "user0", "userbr0") in found
    assert len(found) == 8


@pytest.mark.parametrize("state", ["", "stale", "reachable"])
def test_a_station_counts_in_whatever_state_it_was_learned(state):
    """Only what was set by hand or is the link's own was not learned; the address is compared in lower case."""
    row = {"mac": "AA:00:00:00:00:01", "ifname": "v0", "flags": [], "master": "br0", "state": state}
    rows = [{**row, "vlan": 1}, row, {**row, "state": "permanent"}, {**row, "state": "static"}]

    assert fdb_entries(json.dumps(rows)) == (FdbEntry("aa:00:00:00:00:01", "v0", "br0"),)


@pytest.mark.parametrize(
    "told",
    [
        "",
        "[]",
        "{}",
        '[{"ifname": "v0", "flags": [], "state": ""}]',
        '[{"mac": "a", "flags": [], "state": ""}]',
        '[{"mac": "a", "ifname": "v0", "flags": []}]',
        '[{"mac": "a", "ifname": "v0", "flags": {}, "state": ""}]',
    ],
)
def test_what_is_no_table_of_stations_is_an_error(told):
    """Never a bridge that has learned nothing."""
    with pytest.raises(EvidenceError, match="sigsrv: bridge fdb"):
        _ = of(told, probe="fdb").fdb_entries
