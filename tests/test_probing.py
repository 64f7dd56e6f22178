"""Which namespaces are wanted, and which addresses they may get: none that anybody is known to have."""

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
    """An instance's state: what its guest has."""
    listed = [{"family": "inet", "address": address} for address in addresses] + [
        {"family": "inet6", "address": "fe80::1"}
    ]
    row = {"hwaddr": "10:66:6a:00:00:02", "addresses": listed}
    usage = {"memory": {}, "processes": 1}
    return {"op": "add", "path": "/cluster/instances/db/state", "value": {**usage, "network": {"eth0": row}}}


def wanted(*changes: dict[str, Any]) -> FramePlan:
    content = jsonpatch.apply_patch(document.document(), changes)
    site, facts = document.facts_of(content)
    return probing.wanted(site, facts)


def subnet(address: str) -> list[dict[str, Any]]:
    """The change that gives userbr0 another address on both hosts; "": none."""
    listed = (
        [{"family": "inet", "local": address.split("/")[0], "prefixlen": int(address.split("/")[1])}] if address else []
    )
    return [{"op": "replace", "path": f"/{host}/addresses/userbr0", "value": listed} for host in ("sigsrv", "minisrv")]


def test_one_namespace_for_each_bridge_and_host_and_two_where_instances_are_isolated():
    """Two on one host show what passes between two ports of it."""
    found = wanted().ports

    for host in ("sigsrv", "minisrv"):
        assert [(port.bridge, port.number) for port in found[host]] == [
            ("sigsrvbr0", 1),
            ("userbr0", 1),
            ("userbr0", 2),
        ]
        assert [port.six for port in found[host]] == [False, True, True]


def test_names_and_addresses_are_each_used_once():
    """Of links, MACs and IP addresses, on all hosts together; the bridge's port has the highest address that is no group's."""
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


def test_addresses_are_of_the_upper_half_of_the_bridge_s_own_subnet():
    """Neither its network's nor its broadcast address."""
    for _ in range(20):
        for port in wanted(*subnet("10.9.0.1/28")).ports["sigsrv"][1:]:
            assert port.candidates
            for address in port.candidates:
                assert address.endswith("/28")
                assert 8 <= int(ip_address(address.split("/")[0])) - int(ip_address("10.9.0.0")) <= 14


def link(number: int) -> dict[str, Any]:
    """An address of a host's own, on another link."""
    return {"family": "inet", "local": f"10.9.0.{number}", "prefixlen": 28}


OF_AN_INSTANCE = [state(*(f"10.9.0.{number}" for number in range(8, 14))), UP, NIC]
OF_A_HOST = [{"op": "add", "path": "/minisrv/addresses/user0", "value": [link(number) for number in range(8, 14)]}]


@pytest.mark.parametrize("taken", [OF_AN_INSTANCE, OF_A_HOST])
def test_what_somebody_is_known_to_have_is_not_tried(taken):
    """Of seven addresses one is left; who gets none is not made, and that is told."""
    ports = [port for listed in wanted(*subnet("10.9.0.1/28"), *taken).ports.values() for port in listed]
    tried = [address for port in ports if port.bridge == "userbr0" for address in port.candidates]

    assert tried == ["10.9.0.14/28"]


def test_an_address_that_a_nic_is_configured_with_is_not_tried():
    """Its instance may be off, and come back."""
    nic = {**NIC, "value": {**NIC["value"], "ipv4.address": "10.9.0.6"}}  # type: ignore[dict-item]
    ports = [port for listed in wanted(*subnet("10.9.0.1/29"), nic).ports.values() for port in listed]

    assert {a for port in ports if port.bridge == "userbr0" for a in port.candidates} == {"10.9.0.4/29", "10.9.0.5/29"}


@pytest.mark.parametrize("address", ["", "10.9.0.1/32", "169.254.3.1/16"])
def test_a_bridge_without_a_subnet_gets_link_local_addresses(address):
    """Whatever there is instead of one: none, a single address, a network that is none."""
    for port in wanted(*subnet(address)).ports["minisrv"][1:]:
        for each in port.candidates:
            assert ip_address(each.split("/")[0]) in ip_network("169.254.0.0/16")


def test_the_last_256_link_local_addresses_are_nobody_s():
    """RFC 3927 keeps them. Of those that may be tried 4096 are drawn, which would be some of them."""
    drawn = list(probing._free(IPv4Network("169.254.0.0/16"), set()))

    assert len(set(drawn)) == 4096
    assert max(drawn) < ip_address("169.254.255.0")
    assert min(drawn) >= ip_address("169.254.128.0")


def test_a_bridge_that_is_not_there_or_not_told_of_gets_none():
    """On that host; the other has nobody to send to then, unless its own two send to each other."""
    gone = {"op": "remove", "path": "/minisrv/links/sigsrvbr0"}
    refused = {"op": "add", "path": "/minisrv/failures/link", "value": {"kind": "denied", "reason": "refused"}}

    assert [port.bridge for port in wanted(gone).ports["minisrv"]] == ["userbr0", "userbr0"]
    assert [port.bridge for port in wanted(gone).ports["sigsrv"]] == ["userbr0", "userbr0"]
    assert wanted(refused).ports["minisrv"] == ()


def test_running_instances_of_an_isolated_bridge_are_asked():
    """By their addresses of its subnet, where they are; those of another network, or that do not run, are not."""
    assert wanted(NIC, state("172.24.0.9")).instance_ports == ()
    assert wanted(UP, state("172.24.0.9")).instance_ports == ()
    assert wanted(UP, NIC, state("10.1.1.1")).instance_ports == ()

    (station,) = wanted(UP, NIC, state("172.24.0.9", "10.1.1.1")).instance_ports
    assert (station.bridge, station.host, station.name) == ("userbr0", "minisrv", "default/db/eth0")
    assert (station.mac, station.address) == ("10:66:6a:00:00:02", "172.24.0.9")


def test_no_more_than_twenty_instances_of_a_host_are_asked():
    """What is shown by twenty is shown."""
    many = [
        {"op": "copy", "from": "/cluster/instances/db", "path": f"/cluster/instances/db{number}"}
        for number in range(30)
    ]
    assert len(wanted(UP, NIC, state("172.24.0.9"), *many).instance_ports) == 20


def test_the_link_local_address_is_the_kernel_s():
    """RFC 4291: the second lowest bit of the first octet is turned, ff:fe is put in the middle."""
    assert link_local("02:11:22:33:44:55") == "fe80::11:22ff:fe33:4455"
