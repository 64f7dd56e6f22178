"""Tests the scripts for networks, with an Incus and links that are files: what they read, change, refuse and restore."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.fake_host import FakeHost, make_host

# incus: each key of a network is a file. A key of one member is in a folder of the member's name.
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
    return make_host(Host, tmp_path, {"ip": IP, "incus": INCUS})


CONFIG = {"network": "br0", "network_keys": ["ipv4.nat=true", "bridge.mtu=1500"], "links": [], "refuse": ""}


def test_network_keys_are_set_and_restored(host):
    """A key gets its old value, and a key that was unset is unset. A second run of either script does nothing."""
    host.key("ipv4.nat", "no")

    assert host.run("set-network-config", "apply", CONFIG)[0] == 0
    assert host.changes == ["set cluster ipv4.nat=true", "set cluster bridge.mtu=1500"]
    code, output = host.run("set-network-config", "apply", CONFIG)
    assert (code, host.changes) == (0, [])
    assert "has these settings already" in output

    for undone in (["unset cluster bridge.mtu", "set cluster ipv4.nat=no"], ["set cluster ipv4.nat=no"]):
        assert host.run("set-network-config", "undo", CONFIG)[0] == 0
        assert host.changes == undone


def test_network_that_needs_a_manual_fix_is_refused(host):
    """No change is made, not even of keys that a script could set."""
    code, output = host.run("set-network-config", "apply", {**CONFIG, "refuse": "tunnel.a.protocol"})

    assert (code, host.changes) == (1, [])
    assert "decide by hand: tunnel.a.protocol" in output


def test_correct_mtu_is_not_changed(host):
    """The loopback has 65536 on every machine. Undo has nothing to restore."""
    values = {**CONFIG, "network_keys": [], "links": [{"name": "lo", "mtu": 65536}]}

    assert host.run("set-network-config", "apply", values)[0] == 0
    assert host.run("set-network-config", "undo", values)[0] == 0
    assert host.changes == []


def test_mtu_is_set_and_restored(host):
    """The output has the kernel's own values."""
    values = {**CONFIG, "network_keys": [], "links": [{"name": "lo", "mtu": 1500}]}

    assert "lo: MTU 65536 -> 1500" in host.run("set-network-config", "apply", values)[1]
    assert host.run("set-network-config", "undo", values)[0] == 0
    assert host.changes == ["ip link set dev lo mtu 1500", "ip link set dev lo mtu 65536"]


PERSIST = {"bridge": "br0", "interface": "lo", "interfaces": "eth7,lo", "member": "minisrv"}


def test_interface_is_added_to_the_list_and_removed_by_undo(host):
    """The key belongs to one member. Undo restores the old list."""
    host.key("bridge.external_interfaces", "eth7", "minisrv")

    assert host.run("persist-vlan", "apply", PERSIST)[0] == 0
    assert host.changes == ["set minisrv bridge.external_interfaces=eth7,lo"]
    assert "already" in host.run("persist-vlan", "apply", PERSIST)[1]
    assert host.run("persist-vlan", "undo", PERSIST)[0] == 0
    assert host.changes == ["set minisrv bridge.external_interfaces=eth7"]


def test_empty_list_is_unset_again_by_undo(host):
    """A standalone server has no member to name."""
    values = {**PERSIST, "interfaces": "lo", "member": ""}

    host.run("persist-vlan", "apply", values)
    host.run("persist-vlan", "undo", values)

    assert host.changes == ["set cluster bridge.external_interfaces=lo", "unset cluster bridge.external_interfaces"]
    assert host.run("persist-vlan", "undo", values)[0] == 0
    assert host.changes == []


def test_interface_with_an_address_is_refused(host):
    """Incus would refuse it at the next start of the network and leave the bridge without it."""
    (host.folder / "address").write_text("1: lo    inet 10.9.0.1/24 scope global lo\n")

    code, output = host.run("persist-vlan", "apply", PERSIST)

    assert (code, host.changes) == (1, [])
    assert "fix NET-003 first" in output


def test_missing_interface_is_refused(host):
    """Incus would ignore it."""
    code, output = host.run("persist-vlan", "apply", {**PERSIST, "interface": "none0"})

    assert (code, host.changes) == (1, [])
    assert "there is no link none0" in output


def test_port_that_is_in_no_bridge_is_not_changed(host):
    """Somebody removed it in the meantime, so there is nothing to undo."""
    values = {"bridge": "br0", "ports": ["lo", "none0"]}

    assert "none of these ports" in host.run("detach-ports", "apply", values)[1]
    assert "nothing was changed" in host.run("detach-ports", "undo", values)[1]
    assert host.changes == []
