"""Tests the scripts for links on a real kernel: they restore what they removed, and refuse what they could not restore."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sigsrv.model import data
from sigsrv.model.fix import render
from tests.fake_host import take_lines, write_programs
from tests.namespaces import Space, needs_root, space

pytestmark = needs_root

ATTACH = {"bridge": "br0", "interface": "v0", "extra_ports": []}
FLUSH = {"interface": "v0"}
ADDRESSES = (
    "192.0.2.10/24 brd 192.0.2.255",
    "192.0.2.11/24",  # same network: the kernel removes it together with the first one
    "10.8.0.1 peer 10.8.0.2/32",
    "198.51.100.1/24 scope link metric 7",
    "203.0.113.1/24 label v0:x",
    "203.0.113.65/26 noprefixroute",
    "10.6.0.1/24 valid_lft 3600 preferred_lft 0",
    "169.254.3.4/16 scope link",
    "2001:db8::5/64",
    "fd00::5/64 nodad metric 9",
    "fd00:1::5/64 home noprefixroute",
)


@contextmanager
def linked() -> Iterator[Space]:
    """Provide a host with a bridge and a separate link that is up and has addresses of all kinds."""
    with space("host") as found:
        for words in ("link add br0 type bridge", "link add v0 type veth peer name far0", "link set far0 up"):
            found.on("ip", *words.split())
        # Without this, duplicate address detection keeps an address tentative for a second
        found.on("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/v0/accept_dad")
        for link in ("br0", "v0"):
            found.on("ip", "link", "set", link, "up")
        # The kernel adds a link-local address when it notices the carrier, perhaps a second later
        found.on("timeout", "9", "sh", "-c", "until ip -6 route show dev v0 | grep -q ^fe80; do sleep 0.05; done")
        for address in ADDRESSES:
            found.on("ip", "addr", "add", *address.split(), "dev", "v0")
        wait_until_no_address_is_tentative(found)
        yield found


@pytest.fixture
def host() -> Iterator[Space]:
    with linked() as found:
        yield found


def wait_until_no_address_is_tentative(host: Space) -> None:
    """Wait until the kernel has accepted each IPv6 address. It does so in the background, later if the machine is busy."""
    tentative = "ip -6 -o addr show dev v0 tentative"
    host.on("timeout", "30", "sh", "-c", f'while [ -n "$({tentative})" ]; do sleep 0.05; done')


def run(
    host: Space, folder: Path, name: str, script: str, values: dict[str, Any], path: str = "", force: str = ""
) -> str:
    """Run a script of a remediation in the namespace.

    Returns its output and exit status. path: the only folders with programs.
    """
    text = render(data.folder("remediations") / name / f"{script}.sh.j2", values)
    (folder / "state").mkdir(exist_ok=True)
    environment = f"HERE={folder} SIGSRV_FORCE={force} SIGSRV_STATE={folder}/state PATH={path or f'{folder}/bin:$PATH'}"
    return host.on("sh", "-c", f"export {environment}\n({text}) 2>&1; echo ended with $?")


def seen(host: Space) -> dict[str, list[str]]:
    """Return the addresses, routes of all tables, state and master of the link, without times that count down.

    Addresses that were just added are no longer tentative.
    """
    wait_until_no_address_is_tentative(host)
    asked = {
        "addresses": "ip -o addr show dev v0",
        "routes": "ip route show table all dev v0",
        "routes of IPv6": "ip -6 route show table all dev v0",
        "link": "ip -o link show dev v0",
    }
    found = {each: host.on(*command.split()) for each, command in asked.items()}
    return {each: sorted(re.sub(r" 3[56]\d\dsec", " 3600sec", text).splitlines()) for each, text in found.items()}


@pytest.mark.parametrize(("name", "values"), [("attach-vlan", ATTACH), ("flush-vlan-address", FLUSH)])
@pytest.mark.parametrize("state", ["up", "down"])
def test_addresses_and_their_routes_are_restored(host, tmp_path, name, values, state):
    """All but link-local addresses go. Undo restores peer, broadcast address and scope, and it can run twice."""
    host.on("ip", "link", "set", "v0", state)
    before = seen(host)

    assert run(host, tmp_path, name, "apply", values).endswith("ended with 0\n")
    remaining = host.on("ip", "-o", "addr", "show", "dev", "v0", "to", "0/0")
    assert [line.split()[3] for line in remaining.splitlines()] == ["169.254.3.4/16"]
    assert ("master br0" in host.on("ip", "link", "show", "v0")) == (name == "attach-vlan")

    for _ in range(2):
        assert run(host, tmp_path, name, "undo", values).endswith("ended with 0\n")
        assert seen(host) == before


@pytest.mark.parametrize(
    ("name", "values", "fails"),
    [("attach-vlan", ATTACH, "link set dev v0 master br0"), ("flush-vlan-address", FLUSH, "addr del fd00::5/64")],
)
def test_addresses_that_an_interrupted_run_removed_are_restored(host, tmp_path, name, values, fails):
    """Some or all addresses are gone when the script runs again: the second run adds to the old values of the first."""
    before = seen(host)
    ip = f'case "$*" in "{fails}"*) exit 7 ;; esac\nexec {shutil.which("ip")} "$@"\n'
    write_programs(tmp_path / "bin", {"ip": ip})
    assert run(host, tmp_path, name, "apply", values).endswith("ended with 7\n")
    assert seen(host)["addresses"] != before["addresses"]

    (tmp_path / "bin" / "ip").unlink()
    assert run(host, tmp_path, name, "apply", values).endswith("ended with 0\n")
    assert run(host, tmp_path, name, "undo", values).endswith("ended with 0\n")

    assert seen(host) == before


@pytest.mark.parametrize(("name", "values"), [("attach-vlan", ATTACH), ("flush-vlan-address", FLUSH)])
@pytest.mark.parametrize(
    ("route", "result"),
    [
        ("default via 192.0.2.1", "a route over v0 would be lost: default via 192.0.2.1"),
        ("-6 default via 2001:db8::1", "a route over v0 would be lost: default via 2001:db8::1"),
        ("10.7.0.0/16 via 192.0.2.1", "a route over v0 would be lost: 10.7.0.0/16 via 192.0.2.1"),
        ("10.7.0.0/16", "a route over v0 would be lost: 10.7.0.0/16 scope link"),
        ("10.7.0.0/16 via 192.0.2.1 table 100", "a route over v0 would be lost: 10.7.0.0/16 via 192.0.2.1 table 100"),
        ("-6 2001:db8:7::/48 via 2001:db8::1 table 100", "a route over v0 would be lost: 2001:db8:7::/48"),
        ("203.0.113.64/26 proto kernel src 203.0.113.65", "the address 203.0.113.65/26 of v0 has a route of its own"),
    ],
)
def test_link_with_a_route_that_undo_could_not_restore_is_refused(host, tmp_path, name, values, route, result):
    """The kernel removes a route that a person added together with the address, and nothing would add it again."""
    family, words = (["-6"], route.removeprefix("-6 ")) if route.startswith("-6") else ([], route)
    host.on("ip", *family, "route", "add", *words.split(), "dev", "v0")
    before = seen(host)

    output = run(host, tmp_path, name, "apply", values)

    assert f"refused: {result}" in output
    assert output.endswith("ended with 1\n")
    assert seen(host) == before


@pytest.mark.parametrize(("name", "values"), [("attach-vlan", ATTACH), ("flush-vlan-address", FLUSH)])
@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("route add 10.7.0.0/16 dev far0 src 192.0.2.10", "a route with the source address 192.0.2.10 of v0"),
        ("neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev v0", "a neighbour that somebody added to v0"),
        ("neigh add proxy 192.0.2.8 dev v0", "a neighbour that somebody added to v0 would be lost: 192.0.2.8"),
    ],
)
def test_what_the_kernel_forgets_with_an_address_is_refused(host, tmp_path, name, values, command, result):
    """A route over another link may have the address as its source, and the last address takes all neighbours along."""
    host.on("ip", "link", "set", "far0", "up")
    host.on("ip", *command.split())
    before = seen(host)

    output = run(host, tmp_path, name, "apply", values)

    assert f"refused: {result}" in output
    assert output.endswith("ended with 1\n")
    assert seen(host) == before


@pytest.mark.parametrize("down", [("v0",), ("br0",), ("v0", "br0", "far0"), ()])
def test_links_that_were_down_are_set_down_again(host, tmp_path, down):
    """Other links stay up, and both scripts can run twice."""
    values = {**ATTACH, "parent": "far0"}
    host.on("ip", "link", "set", "v0", "master", "br0")
    for link in down:
        host.on("ip", "link", "set", link, "down")

    for _ in range(2):
        assert run(host, tmp_path, "raise-links", "apply", values).endswith("ended with 0\n")
        assert all("UP" in each for each in flags(host).values())
    for _ in range(2):
        assert run(host, tmp_path, "raise-links", "undo", values).endswith("ended with 0\n")
        assert {link for link, each in flags(host).items() if "UP" not in each} == set(down)


def flags(host: Space) -> dict[str, list[str]]:
    """Return the flags of each link: UP means that it is set up."""
    lines = [line.split() for line in host.on("ip", "-o", "link").splitlines()]
    return {
        words[1].partition("@")[0].rstrip(":"): words[2].strip("<>").split(",") for words in lines if "lo:" not in words
    }


PORTS = {"bridge": "br0", "ports": ["v0"], "external": [], "network": "", "member": ""}


def test_port_is_restored_with_its_bridge_options(host, tmp_path):
    """A port that lost its isolation would be worse than before. Both scripts can run twice."""
    host.on("ip", "link", "set", "v0", "master", "br0")
    for option in ("isolated on", "learning off", "cost 7", "guard on"):
        host.on("ip", "link", "set", "v0", "type", "bridge_slave", *option.split())
    before = host.on("ip", "-d", "link", "show", "v0")

    for result in ("v0: attached to br0 -> attached to nothing", "has none of these ports any more"):
        assert result in run(host, tmp_path, "detach-ports", "apply", PORTS)
        assert "master" not in host.on("ip", "link", "show", "v0")
    for _ in range(2):
        assert run(host, tmp_path, "detach-ports", "undo", PORTS).endswith("ended with 0\n")
        assert options(host.on("ip", "-d", "link", "show", "v0")) == options(before)


def options(shown: str) -> dict[str, str]:
    """Return the options of a port as iproute2 shows them, in pairs of words, without values that change by themselves."""
    words = shown.partition("bridge_slave")[2].partition("numtxqueues")[0].split()
    pairs = dict(zip(words[::2], words[1::2], strict=False))
    assert pairs["isolated"]
    return {
        name: value for name, value in pairs.items() if name not in ("state", "designated_port", "forward_delay_timer")
    }


@pytest.mark.parametrize(
    ("since", "result"),
    [
        ("link del w0", "nothing left to undo: there is no link w0 any more"),
        ("link set w0 master br1", "kept: w0 is attached to br1"),
    ],
)
def test_port_that_is_elsewhere_now_does_not_block_the_others(host, tmp_path, since, result):
    """A removed link can't be restored. Taking a port out of another bridge would cut that bridge and join the two."""
    ports = {**PORTS, "ports": ["w0", "v0"]}
    host.on("ip", "link", "add", "br1", "type", "bridge")
    host.on("ip", "link", "add", "w0", "type", "veth", "peer", "name", "far1")
    for port in ("w0", "v0"):
        host.on("ip", "link", "set", port, "master", "br0")
    assert run(host, tmp_path, "detach-ports", "apply", ports).endswith("ended with 0\n")
    host.on("ip", *since.split())

    output = run(host, tmp_path, "detach-ports", "undo", ports)

    assert result in output
    assert output.endswith("ended with 0\n")
    assert "master br0" in host.on("ip", "link", "show", "v0")


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("link set dev v0 locked on", "v0 is locked (802.1X)"),
        ("fdb add 02:00:00:00:00:01 dev v0 master static", "v0 has static forwarding entries"),
    ],
)
def test_ports_with_options_that_undo_could_not_restore_are_refused(host, tmp_path, command, result):
    """The kernel forgets these options, and undo.sh could not set them again. The other ports stay too."""
    host.on("ip", "link", "add", "w0", "type", "veth", "peer", "name", "far1")
    for port in ("w0", "v0"):
        host.on("ip", "link", "set", port, "master", "br0")
    host.on("bridge", *command.split())

    output = run(host, tmp_path, "detach-ports", "apply", {**PORTS, "ports": ["w0", "v0"]})

    assert f"refused: {result}" in output
    assert output.endswith("ended with 1\n")
    for port in ("w0", "v0"):
        assert "master br0" in host.on("ip", "link", "show", port)


# bridge: a file has the VLANs of a port. After a port is attached again, the file has the VLANs that the bridge gives it.
BRIDGE = """\
port=$(echo "$*" | sed 's/.* dev \\([^ ]*\\).*/\\1/')
case "$*" in
  *" show "*) printf 'port              vlan-id  \\n%s' "$port"; sed 's/^/                /' "$HERE/vlans" ;;
  *) echo "bridge $*" >>"$HERE/done" ;;
esac
"""
GIVEN = "1 PVID Egress Untagged\n"


@pytest.mark.parametrize(
    ("carried", "done"),
    [
        (GIVEN, []),
        ("", ["bridge vlan del dev v0 vid 1"]),
        (
            "7 PVID Egress Untagged\n20-25\n30 Egress Untagged\n",
            [
                "bridge vlan del dev v0 vid 1",
                "bridge vlan add dev v0 vid 7 pvid untagged",
                "bridge vlan add dev v0 vid 20-25",
                "bridge vlan add dev v0 vid 30 untagged",
            ],
        ),
    ],
    ids=["those of a new port", "none", "its own"],
)
def test_port_is_restored_with_its_vlans(host, tmp_path, carried, done):
    """The kernel forgets them and gives the port those of any new port."""
    host.on("ip", "link", "set", "v0", "master", "br0")
    make_bridge_filter_vlans(host, tmp_path)
    write_programs(tmp_path / "bin", {"bridge": BRIDGE})
    vlans = tmp_path / "vlans"

    vlans.write_text(carried)
    assert run(host, tmp_path, "detach-ports", "apply", PORTS).endswith("ended with 0\n")
    vlans.write_text(GIVEN)
    assert run(host, tmp_path, "detach-ports", "undo", PORTS).endswith("ended with 0\n")

    assert take_lines(tmp_path / "done") == done


def test_ports_of_a_filtering_bridge_stay_if_their_vlans_are_unreadable(host, tmp_path):
    """Undo could not restore the VLANs."""
    host.on("ip", "link", "set", "v0", "master", "br0")
    make_bridge_filter_vlans(host, tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "ip", "cat", "readlink", "basename"):
        (programs / name).symlink_to(shutil.which(name))

    output = run(host, tmp_path, "detach-ports", "apply", PORTS, path=str(programs))

    assert "refused: br0 filters VLANs" in output
    assert "master br0" in host.on("ip", "link", "show", "v0")


def make_bridge_filter_vlans(host: Space, folder: Path) -> None:
    """Make the bridge report that it filters VLANs. Not every kernel can filter them."""
    (folder / "bridge").mkdir()
    (folder / "bridge" / "vlan_filtering").write_text("1\n")
    host.on("mount", "--bind", str(folder / "bridge"), "/sys/devices/virtual/net/br0/bridge")
