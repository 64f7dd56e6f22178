"""Tests how a picture reads what programs print, and what it leaves out."""

from __future__ import annotations

import json

import pytest

from sigsrv.collect.evidence import Answer, Failure
from sigsrv.model.errors import FailureKind
from sigsrv.model.touches import OBJECT_KINDS, Touch
from sigsrv.remediate import picture, picture_incus, picture_kernel
from sigsrv.remediate.picture_kernel import READERS

LINKS = [
    {"ifname": "br0", "flags": ["UP", "LOWER_UP"], "mtu": 1500, "address": "10:66:6a:00:00:01", "operstate": "UP",
     "linkinfo": {"info_kind": "bridge", "info_data": {"stp_state": 0, "vlan_filtering": 1, "hello_timer": 0.3}}},
    {"ifname": "v0", "flags": ["UP"], "mtu": 1500, "link": "trunk", "master": "br0", "address": "10:66:6a:00:00:02",
     "linkinfo": {"info_kind": "vlan", "info_data": {"id": 24}, "info_slave_kind": "bridge",
                  "info_slave_data": {"state": "forwarding", "cost": 2, "isolated": True, "hold_timer": 0.1}}},
    {},
]  # fmt: skip


def test_links_have_their_masters_and_ports_their_options():
    found = picture_kernel.links(json.dumps(LINKS))

    assert found["link", "v0"] == {
        "kind": "vlan", "up": "yes", "master": "br0", "mtu": "1500", "mac": "10:66:6a:00:00:02", "parent": "trunk", "vlan": "24",
    }  # fmt: skip
    assert found["link", "br0"]["vlan_filtering"] == "1"
    assert found["port", "v0"] == {"cost": "2", "isolated": "on"}


def test_address_keeps_its_flags_and_loses_its_lifetime():
    row = {"local": "10.0.0.2", "prefixlen": 24, "scope": "global", "label": "v0:x", "noprefixroute": True,
           "metric": 7, "valid_life_time": 99, "dynamic": True, "tentative": True}  # fmt: skip
    found = picture_kernel.addresses(json.dumps([{"ifname": "v0", "addr_info": [row, {}]}]))

    assert found == {("address", "v0 10.0.0.2/24"): {"flags": "scope global noprefixroute label v0:x metric 7"}}


def test_routes_of_all_tables_but_local_and_of_both_families():
    rows = [
        {"dst": "default", "gateway": "10.0.0.1", "dev": "v0", "table": "100", "flags": []},
        {"dst": "default", "dev": "eth0", "protocol": "static", "metric": 5, "flags": [], "expires": 12},
        {"type": "local", "dst": "10.0.0.2", "dev": "v0", "table": "local", "flags": []},
        {
            "dst": "10.9.0.0/16",
            "flags": [],
            "nexthops": [{"gateway": "10.0.0.1", "dev": "a"}, {"gateway": "10.0.0.2", "dev": "b"}],
        },
    ]
    four, six = (READERS[name](json.dumps(rows)) for name in ("routes-4", "routes-6"))

    assert [name for _, name in four] == [
        "ipv4 100 default via 10.0.0.1 dev v0",
        "ipv4 main default dev eth0 metric 5 protocol static",
        "ipv4 main 10.9.0.0/16 via 10.0.0.1 dev a via 10.0.0.2 dev b",
    ]
    assert not four.keys() & six.keys()


def test_rule_is_a_thing_of_its_own():
    found = READERS["rules-4"](json.dumps([{"priority": 5, "src": "10.0.0.2", "table": "100"}]))

    assert list(found) == [("rule", "ipv4 priority 5, src 10.0.0.2, table 100")]


def test_vlans_of_a_port_keep_their_ranges_and_flags():
    rows = [{"ifname": "v0", "vlans": [{"vlan": 1, "flags": ["PVID", "Egress Untagged"]}, {"vlan": 5, "vlanEnd": 9}]}]

    assert picture_kernel.port_vlans(json.dumps(rows)) == {
        ("port-vlan", "v0 1"): {"flags": "PVID Egress Untagged"},
        ("port-vlan", "v0 5-9"): {"flags": ""},
    }


def rule(packets: int, handle: int, port: int = 22) -> dict:
    match = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": port}}
    return {"rule": {"family": "inet", "table": "t", "chain": "c", "handle": handle,
                     "expr": [match, {"counter": {"packets": packets, "bytes": packets}}, {"accept": None}]}}  # fmt: skip


def test_counters_and_handles_of_nft_are_no_difference_and_rules_are():
    def read(*rows: dict) -> picture_kernel.Things:
        head = [{"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "t"}}]
        return picture_kernel.ruleset(json.dumps({"nftables": [*head, *rows]}))

    assert read(rule(1, 4)) == read(rule(900, 17))
    assert read(rule(1, 4)) != read(rule(1, 4, 23))
    assert read(rule(1, 4), rule(1, 5, 23)) != read(rule(1, 5, 23), rule(1, 4))  # their order counts
    assert read() != read({"chain": {"family": "inet", "table": "t", "name": "c", "policy": "drop"}})


def test_sockets_of_services_are_things_and_ports_of_clients_are_not():
    text = (
        'tcp LISTEN 0 128 10.0.0.1:22 0.0.0.0:* users:(("sshd",pid=91,fd=4))\n'
        'udp UNCONN 0 0 0.0.0.0%br0:67 0.0.0.0:* users:(("dnsmasq",pid=345,fd=4))\n'
        'udp UNCONN 0 0 0.0.0.0:41234 0.0.0.0:* users:(("ntpd",pid=5,fd=4))\n'
        "tcp LISTEN 0 128 [::]:80 [::]:*\n"
    )
    assert picture_kernel.sockets(text) == {
        ("socket", "tcp 10.0.0.1:22"): {"by": "sshd"},
        ("socket", "udp 0.0.0.0%br0:67"): {"by": "dnsmasq"},
        ("socket", "tcp [::]:80"): {"by": ""},
    }


def test_units_that_run_and_units_that_are_enabled():
    text = (
        "incus.service loaded active running Incus\n"
        "incus.socket loaded active listening Incus\n"
        "logrotate.timer loaded active waiting Daily\n"
        "systemd-timedated.service loaded active running Time\n"
        "once.service loaded active exited Once\n"
        "incus.service indirect enabled\n"
        "incus.socket enabled enabled\n"
    )
    assert picture_kernel.units(text) == {
        ("unit", "incus.service"): {"active": "active", "enabled": "indirect"},
        ("unit", "incus.socket"): {"active": "active", "enabled": "enabled"},
    }


@pytest.mark.parametrize("reader", sorted(set(READERS) - {"sysctl", "leases", "units"}))
@pytest.mark.parametrize("text", ["{", "[1]", '{"a": 1}', "words that no program prints"])
def test_output_that_no_program_prints_is_unread(reader, text):
    """Not an empty picture: that would be equal to another empty one."""
    answers = {probe: Answer("x", 0, "") for probe in READERS} | {reader: Answer("x", 0, text)}

    assert reader in picture.parse(answers).unread


def test_probe_that_failed_is_unread_and_a_host_without_the_program_has_nothing_of_it():
    answers = {probe: Answer("x", 0, "") for probe in READERS}
    answers["nft"] = Answer("x", None, failure=Failure(FailureKind.MISSING, "nft: not found"))
    answers["units"] = Answer("x", 1, "", "System has not been booted with systemd as init system (PID 1).")
    answers["link"] = Answer("x", 255, "", "Cannot open netlink socket")
    answers["addr"] = Answer("x", None, failure=Failure(FailureKind.TIMEOUT, "5 s are over"))

    assert picture.parse(answers).unread == {
        "link": "Cannot open netlink socket",
        "addr": "5 s are over",
        "server": "no answer",
        "guests": "no answer",
    }


def answer(metadata: object, code: int = 0) -> Answer:
    content = {"type": "error" if code else "sync", "error_code": code, "error": "broken", "metadata": metadata}
    return Answer("x", 0, json.dumps(content))


def guest(link: str, status: str = "Running", address: str = "10.0.0.9") -> dict:
    return {
        "project": "p", "name": "web", "location": "sigsrv", "status": status,
        "config": {"volatile.eth0.host_name": link},
        "expanded_devices": {"eth0": {"type": "nic"}, "http": {"type": "proxy", "listen": "tcp:0.0.0.0:80"}},
        "state": {"network": {"eth0": {"host_name": link, "addresses": [
            {"address": address, "scope": "global"}, {"address": "fe80::1", "scope": "link"}]}}},
    }  # fmt: skip


def taken(link: str, **more) -> picture.Picture:
    """Return the picture of a host with one guest, whose NIC has a link of this name on the host."""
    veth = {"ifname": link, "flags": ["UP"], "mtu": 1500, "master": "br0", "address": "fe:00:00:00:00:01",
            "linkinfo": {"info_kind": "veth", "info_slave_kind": "bridge", "info_slave_data": {"cost": 2}}}  # fmt: skip
    chain = {"rule": {"family": "bridge", "table": "incus", "chain": "in.p_web.eth0", "expr": [{"drop": None}]}}
    shared = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": link}}
    row = {"rule": {"family": "inet", "table": "incus", "chain": "acl.br0", "expr": [shared]}}
    answers = {probe: Answer("x", 0, "") for probe in READERS} | {
        "link": Answer("x", 0, json.dumps([veth])),
        "nft": Answer("x", 0, json.dumps({"nftables": [chain, row]})),
        "sockets": Answer("x", 0, 'tcp LISTEN 0 1 0.0.0.0:80 0.0.0.0:* users:(("incusd",pid=9,fd=1))'),
        "server": answer({"environment": {"server_name": "sigsrv", "server_clustered": True}}),
        "guests": answer([guest(link, **more), {**guest("vethb"), "location": "minisrv", "name": "other"}]),
        "leases": Answer("x", 0, "/var/lib/incus/networks/br0/dnsmasq.leases:17 00:16:3e:00:00:01 10.0.0.9 web *\n"
                                 "/var/lib/incus/networks/br0/dnsmasq.leases:17 00:16:3e:00:00:02 10.0.0.77 gone *"),
    }  # fmt: skip
    return picture.parse(answers)


def test_guest_that_restarts_is_the_same_guest():
    """Its link on the host has another name after each start."""
    assert taken("veth1234").things == taken("vethabcd").things


def test_guest_has_its_status_addresses_port_chains_and_proxies():
    things = taken("veth1").things

    assert things["guest", "p/web"] == {
        "status": "Running", "addresses": "10.0.0.9", "eth0.kind": "veth", "eth0.up": "yes", "eth0.master": "br0",
        "eth0.mtu": "1500", "eth0.parent": "", "eth0.vlan": "", "eth0.cost": "2", "http.listens": "0.0.0.0:80",
        "nft bridge incus in.p_web.eth0": "(drop None)\n",
    }  # fmt: skip
    assert set(things) == {
        ("guest", "p/web"), ("nft", "inet incus acl.br0"), ("lease", "br0 00:16:3e:00:00:01"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("listen", "shown"),
    [
        ("tcp::8081", "*:8081"),
        ("tcp:0.0.0.0:8081", "0.0.0.0:8081"),
        ("tcp:[::]:8081", "*:8081"),
        ("tcp:10.0.0.1:80,8080-8090", "10.0.0.1:8081"),
    ],
)
def test_socket_of_a_proxy_belongs_to_its_guest_however_it_is_written(listen, shown):
    """It goes with the guest, or with the device, and is no surprise then."""
    things = {("socket", f"tcp {shown}"): {"by": "incusd"}, ("socket", "tcp 10.0.0.2:8081"): {"by": "nginx"}}

    assert picture_incus._proxy(things, "http", listen) == {"http.listens": listen.removeprefix("tcp:")}
    assert list(things) == [("socket", "tcp 10.0.0.2:8081")]


@pytest.mark.parametrize("more", [{"status": "Stopped"}, {"address": "10.0.0.10"}])
def test_guest_that_stopped_or_has_another_address_is_another_picture(more):
    assert taken("veth1").things != taken("veth1", **more).things


@pytest.mark.parametrize(
    ("server", "guests", "unread", "member"),
    [
        ({"environment": {"server_name": "a", "server_clustered": True}}, None, {"guests"}, "a"),
        ({"environment": {"server_name": "a", "server_clustered": False}}, [], set(), ""),
        ({"environment": 7}, [], {"server"}, ""),
        (None, [], {"server"}, ""),
    ],
)
def test_host_whose_membership_is_unknown_never_looks_like_one_in_no_cluster(server, guests, unread, member):
    """Else a fix of the whole cluster would not be armed there."""
    answers = {probe: Answer("x", 0, "") for probe in READERS}
    answers |= {
        name: answer(value) if value is not None else Answer("x", 1, "", "late")
        for name, value in (("server", server), ("guests", guests))
    }
    found = picture.parse(answers)

    assert (set(found.unread), found.member) == (unread, member)


def test_object_is_read_without_volatile_keys_and_with_its_devices():
    content = {
        "config": {"limits.cpu": "2", "volatile.uuid": "x"},
        "devices": {"eth0": {"type": "nic", "network": "br0"}},
        "description": "d",
        "profiles": ["a", "b"],
        "used_by": ["x"],
    }
    found = picture.with_objects(picture.Picture(), [("instance", "p/web")], {"object-0": answer(content)})

    assert found.things["instance", "p/web"] == {
        "limits.cpu": "2", "devices.eth0.type": "nic", "devices.eth0.network": "br0", "description": "d", "profiles": "a, b",
    }  # fmt: skip


def test_object_that_is_not_there_is_no_failure_and_an_error_is_one():
    objects = [("network", "a"), ("network", "b")]
    found = picture.with_objects(
        picture.Picture(), objects, {"object-0": answer(None, 404), "object-1": answer(None, 500)}
    )

    assert (found.things, found.unread) == ({}, {"network b": "broken"})


@pytest.mark.parametrize(
    ("kind", "name", "url"),
    [
        ("network", "br0", "/1.0/networks/br0?target=m"),
        ("pool", "nvme", "/1.0/storage-pools/nvme?target=m"),
        ("volume", "nvme/p/a b", "/1.0/storage-pools/nvme/volumes/custom/a%20b?target=m&project=p"),
        ("project", "p", "/1.0/projects/p"),
        ("instance", "p/web", "/1.0/instances/web?project=p"),
        ("profile", "p/default", "/1.0/profiles/default?project=p"),
        ("image", "p/abc", "/1.0/images/abc?project=p"),
        ("acl", "p/web", "/1.0/network-acls/web?project=p"),
        ("member", "m", "/1.0/cluster/members/m"),
        ("server", "", "/1.0"),
        ("server", "m", "/1.0?target=m"),
        ("network", "x?target=y/..", "/1.0/networks/x%3Ftarget%3Dy%2F..?target=m"),
    ],
)
def test_object_is_asked_for_by_its_own_path(kind, name, url):
    assert picture_incus.url_of(Touch(kind, name), "m") == url


@pytest.mark.parametrize("kind", OBJECT_KINDS)
def test_every_kind_of_object_has_a_path(kind):
    assert picture_incus.url_of(Touch(kind, "a/b/c"), "").startswith("/1.0")


def test_what_is_left_out_has_a_reason():
    """A picture that leaves something out without a reason hides a change."""
    assert all(len(reason) > 20 for reason in picture_kernel.LEFT_OUT.values())
