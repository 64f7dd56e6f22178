"""Tests that the scripts for links leave alone what others configured or changed since, on a real kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.namespaces import Space, needs_root
from tests.test_remediation_links import ATTACH, FLUSH, linked, run

pytestmark = needs_root


@pytest.fixture
def host() -> Iterator[Space]:
    with linked() as found:
        yield found


@pytest.mark.parametrize(("name", "values"), [("attach-vlan", ATTACH), ("flush-vlan-address", FLUSH)])
def test_rule_and_route_of_another_table_that_stay_are_no_reason_to_refuse(host, tmp_path, name, values):
    """A policy table over another link loses nothing."""
    host.on("ip", "link", "set", "far0", "up")
    for words in ("rule add from 192.0.2.10 table 100", "route add default dev far0 table 100"):
        host.on("ip", *words.split())
    before = host.on("ip", "rule"), host.on("ip", "route", "show", "table", "100")

    assert run(host, tmp_path, name, "apply", values).endswith("ended with 0\n")
    assert (host.on("ip", "rule"), host.on("ip", "route", "show", "table", "100")) == before


def test_address_that_somebody_added_again_is_kept(host, tmp_path):
    """Undo writes over it only if it is forced to. The others come back, and those that are new stay."""
    assert run(host, tmp_path, "flush-vlan-address", "apply", FLUSH).endswith("ended with 0\n")
    for words in ("192.0.2.10/24 label v0:mine", "2001:db8::5/64", "10.99.0.1/24"):
        host.on("ip", "addr", "add", *words.split(), "dev", "v0")

    output = run(host, tmp_path, "flush-vlan-address", "undo", FLUSH)

    assert "kept: v0: the address 192.0.2.10/24 is there with other properties, not gone as the fix left it" in output
    assert output.count("kept:") == 1
    assert output.endswith("ended with 0\n")
    shown = host.on("ip", "-o", "addr", "show", "dev", "v0")
    assert all(part in shown for part in ("v0:mine", "10.99.0.1/24", "10.8.0.2/32", "fd00::5/64"))
    assert "kept:" not in run(host, tmp_path, "flush-vlan-address", "undo", FLUSH, force="yes")
    assert "v0:mine" not in host.on("ip", "-o", "addr", "show", "dev", "v0")


@pytest.mark.parametrize(
    ("since", "result", "master"),
    [
        ("link set v0 nomaster", "attached to nothing -> attached to nothing", ""),
        ("link set v0 master br1", "kept: v0 is attached to br1, not to br0 as the fix left it", "br1"),
        ("link del v0", "nothing left to undo: there is no link v0 any more", None),
    ],
)
def test_interface_that_somebody_moved_since_is_kept(host, tmp_path, since, result, master):
    """Undo does not take it out of another bridge, and never fails because it is gone."""
    host.on("ip", "link", "add", "br1", "type", "bridge")
    assert run(host, tmp_path, "attach-vlan", "apply", ATTACH).endswith("ended with 0\n")
    host.on("ip", *since.split())

    output = run(host, tmp_path, "attach-vlan", "undo", ATTACH)

    assert result in output
    assert output.endswith("ended with 0\n")
    if master is not None:
        shown = host.on("ip", "-o", "link", "show", "dev", "v0")
        assert (f"master {master}" in shown) if master else ("master" not in shown)


@pytest.mark.parametrize("name", ["attach-vlan", "raise-links"])
def test_second_uplink_is_refused_unless_it_is_declared_or_the_bridge_runs_stp(host, tmp_path, name):
    """Two ways to the same host are a loop. Ports that the site file allows, NICs of instances and dummies are none."""
    values = {"bridge": "br0", "interface": "v0", "parent": "", "extra_ports": []}
    if name == "raise-links":
        for words in ("link set v0 master br0", "link set v0 down"):
            host.on("ip", *words.split())
    host.on("ip", "link", "add", "w0", "type", "veth", "peer", "name", "far1")
    host.on("ip", "link", "add", "vx24", "type", "vxlan", "id", "24", "dstport", "4789", "dev", "far0")
    for port in ("w0", "vx24"):
        host.on("ip", "link", "set", port, "master", "br0")
    before = host.on("ip", "-br", "link")

    output = run(host, tmp_path, name, "apply", values)
    assert "refused: vx24 (vxlan) is a port of br0 too, and br0 runs no STP" in output
    assert host.on("ip", "-br", "link") == before

    assert run(host, tmp_path, name, "apply", {**values, "extra_ports": ["vx24"]}).endswith("ended with 0\n")
    assert run(host, tmp_path, name, "undo", values).endswith("ended with 0\n")
    host.on("ip", "link", "set", "br0", "type", "bridge", "stp_state", "1")
    assert run(host, tmp_path, name, "apply", values).endswith("ended with 0\n")
