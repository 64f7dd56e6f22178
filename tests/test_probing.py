"""Tests the plan of ``--probe``: its namespaces, and addresses that no known machine uses."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address, ip_interface, ip_network
from typing import Any

import jsonpatch
import pytest

from sigsrv.authoring import document
from sigsrv.collect.frames import FramePlan, link_local
from sigsrv.scan import probing

UP = {"op": "replace", "path": "/cluster/instances/db/status", "value": "Running"}
NIC = {
    "op": "add",
    "path": "/cluster/instances/db/expanded_devices/eth0",
    "value": {"type": "nic", "network": "userbr0", "hwaddr": "10:66:6A:00:00:02"},
}


def state(*addresses: str) -> dict[str, Any]:
    """Return the state of an instance with some guest addresses."""
    listed = [{"family": "inet", "address": address} for address in addresses] + [
        {"family": "inet6", "address": "fe80::1"}
    ]
    row = {"hwaddr": "10:66:6a:00:00:02", "addresses": listed}
    usage = {"memory": {"usage": 1}, "processes": 1}
    return {"op": "add", "path": "/cluster/instances/db/state", "value": {**usage, "network": {"eth0": row}}}


def wanted(*changes: dict[str, Any]) -> FramePlan:
    content = jsonpatch.apply_patch(document.document(), changes)
    site, facts = document.facts_of(content)
    return probing.plan_frames(site, facts)


def subnet(address: str) -> list[dict[str, Any]]:
    """Return a change that gives userbr0 another address on both hosts; "": no address."""
    listed = (
        [{"family": "inet", "local": address.split("/")[0], "prefixlen": int(address.split("/")[1])}] if address else []
    )
    return [{"op": "replace", "path": f"/{host}/addresses/userbr0", "value": listed} for host in ("sigsrv", "minisrv")]


def test_each_bridge_gets_one_namespace_per_host_and_two_if_isolated():
    """Two namespaces on one host show whether traffic passes between two ports of its bridge."""
    found = wanted().ports

    for host in ("sigsrv", "minisrv"):
        assert [(port.bridge, port.number) for port in found[host]] == [
            ("sigsrvbr0", 1),
            ("userbr0", 1),
            ("userbr0", 2),
        ]
        assert [port.six for port in found[host]] == [False, True, True]


def test_names_and_addresses_are_unique():
    """Links, MACs and IP addresses are unique on all hosts together. Bridge ports have the highest local unicast MACs."""
    ports = [port for listed in wanted().ports.values() for port in listed]

    for values in (
        [port.link for port in ports],
        [mac for port in ports for mac in (port.mac, port.outer)],
        [address for port in ports for address in port.candidates],
        [port.tag for port in ports],
    ):
        assert len(values) == len(set(values))
    assert all(len(port.link) == 11 and port.link.startswith("sgp") for port in ports)
    assert all(port.outer.startswith("fe:") and port.mac.startswith("02:") for port in ports)
    assert {ip_interface(port.tag).network for port in ports} == {ip_network("198.18.0.0/15")}


def test_addresses_are_in_the_upper_half_of_the_bridge_s_subnet():
    """The network address and the broadcast address are never used."""
    for _ in range(20):
        for port in wanted(*subnet("10.9.0.1/28")).ports["sigsrv"][1:]:
            assert port.candidates
            for address in port.candidates:
                assert address.endswith("/28")
                assert 8 <= int(ip_address(address.split("/")[0])) - int(ip_address("10.9.0.0")) <= 14


def link(number: int) -> dict[str, Any]:
    """Return a change that gives a host an address on another link."""
    return {"family": "inet", "local": f"10.9.0.{number}", "prefixlen": 28}


OF_AN_INSTANCE = [state(*(f"10.9.0.{number}" for number in range(8, 14))), UP, NIC]
OF_A_HOST = [{"op": "add", "path": "/minisrv/addresses/user0", "value": [link(number) for number in range(8, 14)]}]


@pytest.mark.parametrize("taken", [OF_AN_INSTANCE, OF_A_HOST])
def test_known_addresses_are_not_used(taken):
    """Only one of seven addresses is free. A namespace without an address is not created, and the result says so."""
    ports = [port for listed in wanted(*subnet("10.9.0.1/28"), *taken).ports.values() for port in listed]
    tried = [address for port in ports if port.bridge == "userbr0" for address in port.candidates]

    assert tried == ["10.9.0.14/28"]


def test_a_configured_address_of_a_nic_is_not_used():
    """Its instance may be stopped now and start later."""
    nic = {**NIC, "value": {**NIC["value"], "ipv4.address": "10.9.0.6"}}  # type: ignore[dict-item]
    ports = [port for listed in wanted(*subnet("10.9.0.1/29"), nic).ports.values() for port in listed]

    assert {a for port in ports if port.bridge == "userbr0" for a in port.candidates} == {"10.9.0.4/29", "10.9.0.5/29"}


@pytest.mark.parametrize("address", ["", "10.9.0.1/32", "169.254.3.1/16"])
def test_a_bridge_without_a_subnet_gets_link_local_addresses(address):
    """The bridge may have no address, a single address, or an invalid network."""
    for port in wanted(*subnet(address)).ports["minisrv"][1:]:
        for each in port.candidates:
            assert ip_address(each.split("/")[0]) in ip_network("169.254.0.0/16")


def test_the_last_256_link_local_addresses_are_not_used():
    """RFC 3927 reserves them. The test draws 4096 addresses, which would include some of them by chance."""
    drawn = list(probing._free_addresses(IPv4Network("169.254.0.0/16"), set()))

    assert len(set(drawn)) == 4096
    assert max(drawn) < ip_address("169.254.255.0")
    assert min(drawn) >= ip_address("169.254.128.0")


def test_a_missing_or_unreadable_bridge_gets_no_namespace():
    """The other host then has no receiver, unless it has two namespaces of its own."""
    gone = {"op": "remove", "path": "/minisrv/links/sigsrvbr0"}
    refused = {"op": "add", "path": "/minisrv/failures/link", "value": {"kind": "denied", "reason": "refused"}}

    assert [port.bridge for port in wanted(gone).ports["minisrv"]] == ["userbr0", "userbr0"]
    assert [port.bridge for port in wanted(gone).ports["sigsrv"]] == ["userbr0", "userbr0"]
    assert wanted(refused).ports["minisrv"] == ()


def test_running_instances_on_an_isolated_bridge_are_contacted():
    """The plan has their addresses in the bridge's subnet. It skips stopped instances and other networks."""
    assert wanted(NIC, state("172.24.0.9")).instance_ports == ()
    assert wanted(UP, state("172.24.0.9")).instance_ports == ()
    assert wanted(UP, NIC, state("10.1.1.1")).instance_ports == ()

    (station,) = wanted(UP, NIC, state("172.24.0.9", "10.1.1.1")).instance_ports
    assert (station.bridge, station.host, station.name) == ("userbr0", "minisrv", "default/db/eth0")
    assert (station.mac, station.address) == ("10:66:6a:00:00:02", "172.24.0.9")


def test_at_most_twenty_instances_per_host_are_contacted():
    """Twenty instances are enough as a sample."""
    many = [
        {"op": "copy", "from": "/cluster/instances/db", "path": f"/cluster/instances/db{number}"}
        for number in range(30)
    ]
    assert len(wanted(UP, NIC, state("172.24.0.9"), *many).instance_ports) == 20


def test_the_link_local_address_follows_the_kernel_s_rule():
    """RFC 4291: invert the second lowest bit of the first octet and insert ff:fe in the middle."""
    assert link_local("02:11:22:33:44:55") == "fe80::11:22ff:fe33:4455"
