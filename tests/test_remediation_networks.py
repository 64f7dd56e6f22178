"""What scripts for networks do, against an Incus and links that are files: what they read, change, refuse and put back."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.fake_host import FakeHost, made

# incus: each key of a network is a file; a key of one member stands below its name.
INCUS = """\
[ "$1" = network ] || exit 9
verb=$2; shift 2
at=cluster
if [ "$1" = --target ]; then at=$2; shift 2; fi
[ "$1" = -- ] || exit 9
shift 2
mkdir -p "$HERE/$at"
case $verb in
  get) [ ! -e "$HERE/$at/$1" ] || cat "$HERE/$at/$1" ;;
  set) echo "set $at $1" >>"$HERE/done"; echo "${1#*=}" >"$HERE/$at/${1%%=*}" ;;
  unset) echo "unset $at $1" >>"$HERE/done"; rm "$HERE/$at/$1" ;;
esac
"""
IP = """\
case "$*" in
  *" show "*) [ ! -e "$HERE/address" ] || cat "$HERE/address" ;;
  *) echo "ip $*" >>"$HERE/done" ;;
esac
"""


@dataclass(frozen=True)
class Host(FakeHost):
    def key(self, name: str, value: str, at: str = "cluster") -> None:
        (self.folder / at).mkdir(exist_ok=True)
        (self.folder / at / name).write_text(value + "\n")


@pytest.fixture
def host(tmp_path):
    return made(Host, tmp_path, {"ip": IP, "incus": INCUS})


CONFIG = {"network": "br0", "network_keys": ["ipv4.nat=true", "bridge.mtu=1500"], "links": [], "refuse": ""}


def test_keys_of_a_network_are_set_and_come_back(host):
    """What was set gets its old value, what was unset is unset; a second run of either has nothing to do."""
    host.key("ipv4.nat", "no")

    assert host.run("set-network-config", "apply", CONFIG)[0] == 0
    assert host.done == ["set cluster ipv4.nat=true", "set cluster bridge.mtu=1500"]
    code, result = host.run("set-network-config", "apply", CONFIG)
    assert (code, host.done) == (0, [])
    assert "has these settings already" in result

    for undone in (["unset cluster bridge.mtu", "set cluster ipv4.nat=no"], ["set cluster ipv4.nat=no"]):
        assert host.run("set-network-config", "undo", CONFIG)[0] == 0
        assert host.done == undone


def test_a_network_that_a_person_must_look_at_is_refused(host):
    """Nothing is half done: not even the keys that a script could set."""
    code, result = host.run("set-network-config", "apply", {**CONFIG, "refuse": "tunnel.a.protocol"})

    assert (code, host.done) == (1, [])
    assert "decide by hand: tunnel.a.protocol" in result


def test_an_mtu_that_is_right_already_is_left_alone(host):
    """The loopback has 65536 on every machine; undo has nothing to put back."""
    values = {**CONFIG, "network_keys": [], "links": [{"name": "lo", "mtu": 65536}]}

    assert host.run("set-network-config", "apply", values)[0] == 0
    assert host.run("set-network-config", "undo", values)[0] == 0
    assert host.done == []


def test_an_mtu_is_set_and_comes_back(host):
    """In the kernel's own words."""
    values = {**CONFIG, "network_keys": [], "links": [{"name": "lo", "mtu": 1500}]}

    assert "lo: MTU 65536 -> 1500" in host.run("set-network-config", "apply", values)[1]
    assert host.run("set-network-config", "undo", values)[0] == 0
    assert host.done == ["ip link set dev lo mtu 1500", "ip link set dev lo mtu 65536"]


PERSIST = {"bridge": "br0", "interface": "lo", "interfaces": "eth7,lo", "member": "minisrv"}


def test_an_interface_is_named_beside_the_others_and_undone(host):
    """The key belongs to one member; undo gives the list back that there was."""
    host.key("bridge.external_interfaces", "eth7", "minisrv")

    assert host.run("persist-vlan", "apply", PERSIST)[0] == 0
    assert host.done == ["set minisrv bridge.external_interfaces=eth7,lo"]
    assert "already" in host.run("persist-vlan", "apply", PERSIST)[1]
    assert host.run("persist-vlan", "undo", PERSIST)[0] == 0
    assert host.done == ["set minisrv bridge.external_interfaces=eth7"]


def test_a_list_that_was_empty_is_unset_again_by_undo(host):
    """On a server that is in no cluster there is no member to name."""
    values = {**PERSIST, "interfaces": "lo", "member": ""}

    host.run("persist-vlan", "apply", values)
    host.run("persist-vlan", "undo", values)

    assert host.done == ["set cluster bridge.external_interfaces=lo", "unset cluster bridge.external_interfaces"]
    assert host.run("persist-vlan", "undo", values)[0] == 0
    assert host.done == []


def test_an_interface_with_an_address_is_refused(host):
    """Incus would refuse it at the next start of the network, and leave the bridge without it."""
    (host.folder / "address").write_text("1: lo    inet 10.9.0.1/24 scope global lo\n")

    code, result = host.run("persist-vlan", "apply", PERSIST)

    assert (code, host.done) == (1, [])
    assert "fix NET-003 first" in result


def test_an_interface_that_is_not_there_is_refused(host):
    """Incus would make nothing of it."""
    code, result = host.run("persist-vlan", "apply", {**PERSIST, "interface": "none0"})

    assert (code, host.done) == (1, [])
    assert "there is no link none0" in result


def test_a_port_that_is_in_no_bridge_is_left_alone(host):
    """Somebody took it out in between; there is nothing to undo."""
    values = {"bridge": "br0", "ports": ["lo", "none0"]}

    assert "none of these ports" in host.run("detach-ports", "apply", values)[1]
    assert "nothing was changed" in host.run("detach-ports", "undo", values)[1]
    assert host.done == []
