"""Tests the facts about links, bridges and addresses with recorded output of real hosts."""

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
def test_the_three_vlan_interfaces_of_the_trunk_are_read(recorded, host):
    """On both recorded hosts, each VLAN interface has its id, protocol, parent and bridge."""
    found = links(recorded(f"link/{host}.json"))

    vlans = {
        name: (link.vlan_id, link.vlan_protocol, link.parent, link.master)
        for name, link in found.items()
        if link.kind == "vlan"
    }
    assert vlans == {
        "sigsrv0": (20, "802.1Q", "eth1", "sigsrvbr0"),
        "incus0": (16, "802.1Q", "eth1", "incusbr0"),
        "user0": (24, "802.1Q", "eth1", "userbr0"),
    }


@pytest.mark.parametrize(("below", "parent"), [({"link": "enp5s0"}, "enp5s0"), ({"remote": "10.0.0.2"}, None)])
def test_a_vxlan_has_its_parent_among_its_own_options(below, parent):
    """ip shows the link below a VLAN interface beside its name, and that of a VXLAN among the options of the VXLAN."""
    lo = {"ifname": "lo", "mtu": 65536, "flags": []}
    vxlan = {
        "ifname": "sigsrv0",
        "mtu": 1500,
        "flags": [],
        "linkinfo": {"info_kind": "vxlan", "info_data": {"id": 20} | below},
    }

    assert links(json.dumps([lo, vxlan]))["sigsrv0"].parent == parent


def test_a_port_has_the_state_that_its_bridge_gives_it(recorded):
    """A bridge port is in the state forwarding. A link that is not a port has no such state."""
    found = links(recorded("link/sigsrv.json"))

    assert {name: found[name].port_state for name in ("sigsrv0", "eth1", "sigsrvbr0", "lo")} == {
        "sigsrv0": "forwarding",
        "eth1": None,
        "sigsrvbr0": None,
        "lo": None,
    }


def test_a_port_without_its_state_is_an_error(recorded):
    """If the output lacks the state of a port, the state is unknown and never reads as forwarding."""
    rows = json.loads(recorded("link/sigsrv.json"))
    for row in rows:
        row.get("linkinfo", {}).pop("info_slave_data", None)

    with pytest.raises(EvidenceError, match="'info_slave_data' is missing"):
        links(json.dumps(rows))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", "[{}]", "[1]", "Permission denied", '[{"ifname": "lo"}]', "[NaN]", "[" * 5000]
)
def test_unreadable_links_are_an_error_not_an_empty_network(text):
    """Output that is not a list of links never reads as a host without bridges."""
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
def test_a_failed_probe_says_why(answer, kind, probe, view):
    """Denied, garbled, timed out and missing are different kinds, and none of them is an answer."""
    with pytest.raises(EvidenceError) as caught:
        getattr(of(**answer, probe=probe), view)

    assert caught.value.kind is kind


def test_a_vlan_interface_without_its_id_is_an_error(recorded):
    """If the output lacks the 802.1Q id, the id is unknown. The link never reads as a link without an id."""
    rows = json.loads(recorded("link/sigsrv.json"))
    for row in rows:
        row.get("linkinfo", {}).get("info_data", {}).pop("id", None)

    with pytest.raises(EvidenceError, match="'id' is missing"):
        links(json.dumps(rows))


@pytest.mark.parametrize(("host", "own"), [("sigsrv", "10.77.0.1/24"), ("minisrv", "10.77.0.2/24")])
def test_each_link_has_its_addresses(recorded, host, own):
    """On both recorded hosts, the trunk and the bridges have one address each. The VLAN interfaces have none, and are still listed."""
    found = addresses(recorded(f"addr/{host}.json"))

    listed = {name: [str(address) for address in found[name]] for name in found if not name.startswith("veth")}
    assert listed == {
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
    """Output that is not a list of links with addresses never reads as links without addresses."""
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


def test_mac_addresses_that_a_bridge_learned_are_read(recorded):
    """Each entry has the port that learned it. The links' own addresses and static entries are left out."""
    found = fdb_entries(recorded("fdb/sigsrv.json"))

    assert {each.port for each in found if each.bridge == "userbr0"} == {"user0", "vethfed98ed6"}
    assert FdbEntry("10:66:6a:92:a6:f6", "user0", "userbr0") in found
    assert len(found) == 8


@pytest.mark.parametrize("state", ["", "stale", "reachable"])
def test_a_learned_mac_address_counts_in_any_state(state):
    """Static entries and a link's own address were not learned. The address is in lower case."""
    row = {"mac": "AA:00:00:00:00:01", "ifname": "v0", "flags": [], "master": "br0", "state": state}
    rows = [{**row, "vlan": 1}, row, {**row, "state": "permanent"}, {**row, "state": "static"}]

    assert fdb_entries(json.dumps(rows)) == (FdbEntry("aa:00:00:00:00:01", "v0", "br0"),)


@pytest.mark.parametrize(
    "output",
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
def test_output_that_is_not_a_forwarding_table_is_an_error(output):
    """It never reads as a bridge that learned no address."""
    with pytest.raises(EvidenceError, match="sigsrv: bridge fdb"):
        _ = of(output, probe="fdb").fdb_entries
