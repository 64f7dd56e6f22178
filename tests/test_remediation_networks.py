"""Tests the scripts for networks, with an Incus and links that are files: what they read, change, refuse and restore."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.fake_host import FakeHost, make_host

# incus: each key of the network br0 is a file. A key of one member is in a folder of the member's name.
INCUS = """\
case "$*" in
  "network list -f csv local:") [ -e "$HERE/gone" ] || echo "br0,bridge,YES,10.9.0.1/16,none,,0,CREATED"; exit 0 ;;
  "network acl list -f csv local:") for acl in $(cat "$HERE/acls" 2>/dev/null); do echo "$acl,,0"; done; exit 0 ;;
  "network forward list -f csv -- local:br0") [ ! -e "$HERE/forwards" ] || cat "$HERE/forwards"; exit 0 ;;
esac
[ "$1" = network ] || exit 9
verb=$2; shift 2
at=cluster
if [ "$1" = --target ]; then at=$2; shift 2; fi
[ "$1 $2" = "-- local:br0" ] || exit 9
shift 2
mkdir -p "$HERE/$at"
case $verb in
  get) [ ! -e "$HERE/$at/$1" ] || cat "$HERE/$at/$1" ;;
  set)
    echo "set $at $*" >>"$HERE/done"
    for pair; do echo "${pair#*=}" >"$HERE/$at/${pair%%=*}"; done ;;
esac
"""
IP = """\
case "$*" in
  *" link show "*) echo "1: lo: <LOOPBACK,UP,LOWER_UP>" ;;
  *" show "*) [ ! -e "$HERE/address" ] || cat "$HERE/address" ;;
  *) echo "ip $*" >>"$HERE/done" ;;
esac
"""


@dataclass(frozen=True)
class Host(FakeHost):
    def key(self, name: str, value: str, at: str = "cluster") -> None:
        (self.folder / at).mkdir(exist_ok=True)
        (self.folder / at / name).write_text(value + "\n")

    def has(self, name: str, text: str = "") -> None:
        (self.folder / name).write_text(text)


@pytest.fixture
def host(tmp_path):
    return make_host(Host, tmp_path, {"ip": IP, "incus": INCUS})


CONFIG = {
    "network": "br0",
    "network_keys": ["ipv4.nat=true", "bridge.mtu=1500"],
    "links": [],
    "refuse": "",
    "moves": "",
}


def test_network_keys_are_set_and_restored_in_one_request(host):
    """Each request sets up the network again on all members. A key gets its old value, and a key that was unset is unset."""
    host.key("ipv4.nat", "no")

    code, output = host.run("set-network-config", "apply", CONFIG)
    assert (code, host.changes) == (0, ["set cluster ipv4.nat=true bridge.mtu=1500"])
    assert "br0: ipv4.nat: no -> true" in output
    code, output = host.run("set-network-config", "apply", CONFIG)
    assert (code, host.changes) == (0, [])
    assert "has these settings already" in output

    for undone in (["set cluster bridge.mtu= ipv4.nat=no"], []):
        assert host.run("set-network-config", "undo", CONFIG)[0] == 0
        assert host.changes == undone


def test_old_values_alone_are_saved_for_the_other_members(host):
    """They have them before anything changes."""
    assert host.run("set-network-config", "apply", CONFIG, SIGSRV_SAVE_ONLY="yes")[0] == 0

    assert host.changes == []
    assert (host.folder / "state" / "old.ipv4.nat").read_text() == "\n"
    assert (host.folder / "state" / "new.ipv4.nat").read_text() == "true\n"


@pytest.mark.parametrize("name", ["set-network-config", "reject-by-default"])
def test_value_that_somebody_changed_since_is_kept(host, name):
    """The other values go back. With --force, this one does too."""
    one, other = {
        "set-network-config": ("ipv4.nat", "bridge.mtu"),
        "reject-by-default": ("security.acls.default.ingress.action", "security.acls.default.egress.action"),
    }[name]
    values = {**CONFIG, "ingress": "reject", "egress": "reject", "nics": ""}
    host.key(one, "old")
    host.run(name, "apply", values)
    host.key(one, "mine")
    _ = host.changes

    code, output = host.run(name, "undo", values)
    assert (code, host.changes) == (0, [f"set cluster {other}="])
    assert f"kept: br0: {one} is mine, not " in output
    assert host.run(name, "undo", values, SIGSRV_FORCE="yes")[0] == 0
    assert host.changes == [f"set cluster {one}=old"]


@pytest.mark.parametrize("name", ["attach-acls", "reject-by-default", "set-network-config", "persist-vlan"])
def test_undo_ends_if_the_network_is_gone(host, name):
    """It must not fail for ever: what is left of a fix keeps every other fix of the site from running."""
    values = {**CONFIG, **ACLS, **PERSIST, "ingress": "reject", "egress": "reject", "nics": ""}
    assert host.run(name, "apply", values)[0] == 0
    host.has("gone")
    _ = host.changes

    code, output = host.run(name, "undo", values)
    assert (code, host.changes) == (0, [])
    assert "nothing left to undo: there is no network br0 any more" in output


def test_network_that_needs_a_manual_fix_is_refused(host):
    """No change is made, not even of keys that a script could set."""
    code, output = host.run("set-network-config", "apply", {**CONFIG, "refuse": "tunnel.a.protocol"})

    assert (code, host.changes) == (1, [])
    assert "decide by hand: tunnel.a.protocol" in output


def test_network_with_forwards_does_not_move(host):
    """Their targets are in the old subnet. Without a move, they do not matter."""
    host.has("forwards", "192.0.2.1,,10.9.0.7,0\n192.0.2.2,,10.9.0.8,0\n")

    code, output = host.run("set-network-config", "apply", {**CONFIG, "moves": "IPv4"})
    assert (code, host.changes) == (1, [])
    assert "these forwards send to its old subnet: 192.0.2.1 192.0.2.2 (incus network forward list br0)" in output
    assert host.run("set-network-config", "apply", CONFIG)[0] == 0


def test_correct_mtu_is_not_changed(host):
    """The loopback has 65536 on every machine. Undo has nothing to restore."""
    values = {**CONFIG, "network_keys": [], "links": [{"name": "lo", "mtu": 65536}]}

    assert host.run("set-network-config", "apply", values)[0] == 0
    assert host.run("set-network-config", "undo", values)[0] == 0
    assert host.changes == []


LINK = {**CONFIG, "network_keys": [], "links": [{"name": "lo", "mtu": 1500}]}


def test_mtu_is_set_and_said_to_end(host):
    """The old value is the kernel's own. Here ip changes nothing, so the undo finds the old MTU."""
    output = host.run("set-network-config", "apply", LINK)[1]

    assert "lo: MTU 65536 -> 1500" in output
    assert "lo: this MTU ends when the link is made again" in output
    assert host.changes == ["ip link set dev lo mtu 1500"]
    assert host.run("set-network-config", "undo", LINK)[0] == 0
    assert host.changes == []


def undo_mtu(host, old: int, new: int, **environment: str) -> str:
    host.run("set-network-config", "apply", LINK)
    (host.folder / "state" / "old-mtu.lo").write_text(f"{old}\n")
    (host.folder / "state" / "new-mtu.lo").write_text(f"{new}\n")
    _ = host.changes
    code, output = host.run("set-network-config", "undo", LINK, **environment)
    assert code == 0
    return output


def test_mtu_goes_back_if_it_is_still_that_of_the_fix(host):
    assert "lo: MTU 65536 -> 1400" in undo_mtu(host, 1400, 65536)
    assert host.changes == ["ip link set dev lo mtu 1400"]


def test_mtu_that_somebody_changed_since_is_kept(host):
    assert "kept: lo: MTU is 65536, not 1500 as the fix left it" in undo_mtu(host, 1400, 1500)
    assert host.changes == []
    assert undo_mtu(host, 1400, 1500, SIGSRV_FORCE="yes")
    assert host.changes == ["ip link set dev lo mtu 1400"]


def test_another_member_does_not_change_its_own_link(host):
    """The undo is armed there for the keys of the network. The link of the same name there was never changed."""
    undo_mtu(host, 1400, 65536, SIGSRV_ELSEWHERE="yes")

    assert host.changes == []


ACLS = {"network": "br0", "missing": ["b", "c"], "foreign": ["x"], "acls": "a,b,c", "absent": ""}


def test_acls_are_added_to_those_that_the_network_has(host):
    """A foreign one is taken out. The undo puts that one back, takes the others out, and leaves what was attached since."""
    host.key("security.acls", "a , x,c")
    host.has("acls", "a b c x")

    assert host.run("attach-acls", "apply", ACLS)[0] == 0
    assert host.changes == ["set cluster security.acls=a,c,b"]
    assert "already" in host.run("attach-acls", "apply", ACLS)[1]
    host.key("security.acls", "quarantine,a,c,b")
    assert host.run("attach-acls", "undo", ACLS)[0] == 0
    assert host.changes == ["set cluster security.acls=quarantine,a,c,x"]
    assert "nothing left to undo" in host.run("attach-acls", "undo", ACLS)[1]
    assert host.changes == []


@pytest.mark.parametrize("old", ["x,a", "c, x ,a", "x"])
def test_list_that_nobody_changed_is_as_before_in_the_order_of_before(host, old):
    """An ACL in the middle of the list goes back there, not to the end."""
    host.key("security.acls", old)
    host.has("acls", "a b c x")
    assert host.run("attach-acls", "apply", ACLS)[0] == 0
    _ = host.changes

    assert host.run("attach-acls", "undo", ACLS)[0] == 0
    assert host.changes == [f"set cluster security.acls={old}"]
    assert "nothing left to undo" in host.run("attach-acls", "undo", ACLS)[1]
    assert host.changes == []


def test_foreign_acl_that_is_gone_is_not_put_back(host):
    """Incus would refuse it each time."""
    host.key("security.acls", "x")
    host.run("attach-acls", "apply", ACLS)

    code, output = host.run("attach-acls", "undo", ACLS)

    assert code == 0
    assert "kept: br0: security.acls is without x: there is no such ACL any more" in output
    assert host.changes == ["set cluster security.acls=b,c", "set cluster security.acls="]


def test_missing_acl_is_not_attached(host):
    """Incus would refuse it. Its rules are a person's knowledge."""
    code, output = host.run("attach-acls", "apply", {**ACLS, "absent": "there is no ACL b"})

    assert (code, host.changes) == (1, [])
    assert "refused: there is no ACL b. Create it by hand" in output


PERSIST = {"bridge": "br0", "interface": "lo", "interfaces": "eth7,lo", "member": "minisrv"}
NAME = "bridge.external_interfaces"


def test_interface_is_added_to_the_list_and_removed_by_undo(host):
    """The key belongs to one member, which the output names. What somebody added since stays."""
    host.key(NAME, "eth7", "minisrv")

    output = host.run("persist-vlan", "apply", PERSIST)[1]
    assert f"minisrv: br0: {NAME}: eth7 -> eth7,lo" in output
    assert host.changes == [f"set minisrv {NAME}=eth7,lo"]
    assert "already" in host.run("persist-vlan", "apply", PERSIST)[1]
    host.key(NAME, "eth7,lo,eth9", "minisrv")
    assert host.run("persist-vlan", "undo", PERSIST)[0] == 0
    assert host.changes == [f"set minisrv {NAME}=eth7,eth9"]


def test_empty_list_is_unset_again_by_undo(host):
    """A standalone server has no member to name. A second undo does nothing."""
    values = {**PERSIST, "interfaces": "lo", "member": ""}

    host.run("persist-vlan", "apply", values)
    host.run("persist-vlan", "undo", values)

    assert host.changes == [f"set cluster {NAME}=lo", f"set cluster {NAME}="]
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
    values = {"bridge": "br0", "ports": ["lo", "none0"], "external": [], "network": "", "member": ""}

    assert "none of these ports" in host.run("detach-ports", "apply", values)[1]
    assert "nothing left to undo: there is no bridge br0" in host.run("detach-ports", "undo", values)[1]
    assert host.changes == []
