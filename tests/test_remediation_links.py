"""What scripts for links do to a real kernel: what they take away comes back as it was, and what would not is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from sigsrv.model import data
from sigsrv.model.fix import render
from tests.fake_host import commands, taken
from tests.namespaces import Space, needs_root, space

pytestmark = needs_root

ATTACH = {"bridge": "br0", "interface": "v0"}
FLUSH = {"interface": "v0"}
ADDRESSES = (
    "192.0.2.10/24 brd 192.0.2.255",
    "192.0.2.11/24",  # of the same network: the kernel takes it away with the first one
    "10.8.0.1 peer 10.8.0.2/32",
    "198.51.100.1/24 scope link",
    "169.254.3.4/16 scope link",
    "2001:db8::5/64",
    "fd00::5/64",
)


@pytest.fixture
def host():
    """A host with a bridge and a link beside it, which is up and has addresses of all kinds."""
    with space("host") as found:
        for words in ("link add br0 type bridge", "link add v0 type veth peer name far0", "link set far0 up"):
            found.on("ip", *words.split())
        # Else an address is tentative for a second
        found.on("sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/v0/accept_dad")
        for link in ("br0", "v0"):
            found.on("ip", "link", "set", link, "up")
        # The kernel gives it a link-local address when it notices its carrier, a second later perhaps
        found.on("timeout", "9", "sh", "-c", "until ip -6 route show dev v0 | grep -q ^fe80; do sleep 0.05; done")
        for address in ADDRESSES:
            found.on("ip", "addr", "add", *address.split(), "dev", "v0")
        yield found


def run(host: Space, folder: Path, name: str, script: str, values: dict[str, Any], path: str = "") -> str:
    """Run a script of a remediation there; what it said, and its exit status. path: where programs are, and nowhere else."""
    text = render(data.folder("remediations") / name / f"{script}.sh.j2", values)
    (folder / "state").mkdir(exist_ok=True)
    environment = f"HERE={folder} SIGSRV_STATE={folder}/state PATH={path or f'{folder}/bin:$PATH'}"
    return host.on("sh", "-c", f"export {environment}\n({text}) 2>&1; echo ended with $?")


def seen(host: Space) -> dict[str, list[str]]:
    """Addresses and routes of the link, whether it is up, and what it is attached to; without times that run."""
    asked = {
        "addresses": "ip -o addr show dev v0",
        "routes": "ip route show dev v0",
        "routes of IPv6": "ip -6 route show dev v0",
        "link": "ip -o link show dev v0",
    }
    return {each: sorted(host.on(*command.split()).splitlines()) for each, command in asked.items()}


@pytest.mark.parametrize(("name", "values"), [("attach-vlan", ATTACH), ("flush-vlan-address", FLUSH)])
@pytest.mark.parametrize("state", ["up", "down"])
def test_addresses_and_their_routes_come_back_as_they_were(host, tmp_path, name, values, state):
    """All but link-local addresses go; undo gives them back with peer, broadcast address and scope, and it can run twice."""
    host.on("ip", "link", "set", "v0", state)
    before = seen(host)

    assert run(host, tmp_path, name, "apply", values).endswith("ended with 0\n")
    held = host.on("ip", "-o", "addr", "show", "dev", "v0", "to", "0/0")
    assert [line.split()[3] for line in held.splitlines()] == ["169.254.3.4/16"]
    assert ("master br0" in host.on("ip", "link", "show", "v0")) == (name == "attach-vlan")

    for _ in range(2):
        assert run(host, tmp_path, name, "undo", values).endswith("ended with 0\n")
        assert seen(host) == before


@pytest.mark.parametrize(
    ("name", "values", "fails"),
    [("attach-vlan", ATTACH, "link set dev v0 master br0"), ("flush-vlan-address", FLUSH, "addr del fd00::5/64")],
)
def test_what_a_run_that_broke_off_had_taken_away_comes_back_too(host, tmp_path, name, values, fails):
    """Half of the addresses, or all, are gone when it runs again: the second run adds to what the first one kept."""
    before = seen(host)
    ip = f'case "$*" in "{fails}"*) exit 7 ;; esac\nexec {shutil.which("ip")} "$@"\n'
    commands(tmp_path / "bin", {"ip": ip})
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
        ("default via 192.0.2.1", "the default route uses v0"),
        ("-6 default via 2001:db8::1", "the default route uses v0"),
        ("10.7.0.0/16 via 192.0.2.1", "a route over v0 would be lost"),
        ("10.7.0.0/16", "a route over v0 would be lost"),
    ],
)
def test_routes_that_would_not_come_back_keep_the_link_as_it_is(host, tmp_path, name, values, route, result):
    """The kernel drops what a person added to its table together with the address, and nothing would add it again."""
    family, words = (["-6"], route.removeprefix("-6 ")) if route.startswith("-6") else ([], route)
    host.on("ip", *family, "route", "add", *words.split(), "dev", "v0")
    before = seen(host)

    told = run(host, tmp_path, name, "apply", values)

    assert f"refused: {result}" in told
    assert told.endswith("ended with 1\n")
    assert seen(host) == before


def test_routes_of_ipv6_outlive_what_takes_the_address(host, tmp_path):
    """So they are no reason to refuse."""
    host.on("ip", "-6", "route", "add", "2001:db8:7::/48", "via", "2001:db8::1", "dev", "v0")
    before = seen(host)

    assert run(host, tmp_path, "attach-vlan", "apply", ATTACH).endswith("ended with 0\n")
    assert run(host, tmp_path, "attach-vlan", "undo", ATTACH).endswith("ended with 0\n")

    assert seen(host) == before


@pytest.mark.parametrize("down", [("v0",), ("br0",), ("v0", "br0", "far0"), ()])
def test_links_that_were_down_are_down_again(host, tmp_path, down):
    """Only those; whatever else was up stays up, and both scripts can run twice."""
    values = {"bridge": "br0", "interface": "v0", "parent": "far0"}
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
    """What the kernel says of each link: UP where somebody set it up."""
    lines = [line.split() for line in host.on("ip", "-o", "link").splitlines()]
    return {
        words[1].partition("@")[0].rstrip(":"): words[2].strip("<>").split(",") for words in lines if "lo:" not in words
    }


PORTS = {"bridge": "br0", "ports": ["v0"]}


def test_a_port_comes_back_with_what_the_bridge_had_set_on_it(host, tmp_path):
    """An isolated port that came back without its isolation would be worse than before; both scripts can run twice."""
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
    """The options of a port, as iproute2 shows them: pairs of words, but for what runs or is given anew."""
    words = shown.partition("bridge_slave")[2].partition("numtxqueues")[0].split()
    pairs = dict(zip(words[::2], words[1::2], strict=False))
    assert pairs["isolated"]
    return {
        name: value for name, value in pairs.items() if name not in ("state", "designated_port", "forward_delay_timer")
    }


@pytest.mark.parametrize(
    ("since", "result"),
    [
        ("link del w0", "w0 does not exist any more"),
        ("link set w0 master br1", "w0 is now in br1"),
    ],
)
def test_a_port_that_is_elsewhere_by_now_keeps_no_other_from_its_bridge(host, tmp_path, since, result):
    """What is gone can't come back, and to take it out of another bridge would cut that and join the two."""
    ports = {"bridge": "br0", "ports": ["w0", "v0"]}
    host.on("ip", "link", "add", "br1", "type", "bridge")
    host.on("ip", "link", "add", "w0", "type", "veth", "peer", "name", "far1")
    for port in ("w0", "v0"):
        host.on("ip", "link", "set", port, "master", "br0")
    assert run(host, tmp_path, "detach-ports", "apply", ports).endswith("ended with 0\n")
    host.on("ip", *since.split())

    told = run(host, tmp_path, "detach-ports", "undo", ports)

    assert result in told
    assert told.endswith("ended with 0\n")
    assert "master br0" in host.on("ip", "link", "show", "v0")


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("link set dev v0 locked on", "v0 is locked (802.1X)"),
        ("fdb add 02:00:00:00:00:01 dev v0 master static", "v0 has static forwarding entries"),
    ],
)
def test_ports_with_what_would_not_come_back_stay_all_of_them(host, tmp_path, command, result):
    """The kernel forgets it, and undo.sh could not set it again: also the other ports are left as they are."""
    host.on("ip", "link", "add", "w0", "type", "veth", "peer", "name", "far1")
    for port in ("w0", "v0"):
        host.on("ip", "link", "set", port, "master", "br0")
    host.on("bridge", *command.split())

    told = run(host, tmp_path, "detach-ports", "apply", {"bridge": "br0", "ports": ["w0", "v0"]})

    assert f"refused: {result}" in told
    assert told.endswith("ended with 1\n")
    for port in ("w0", "v0"):
        assert "master br0" in host.on("ip", "link", "show", port)


# bridge: what a port carries is a file, and for a port that is attached anew what the bridge gives it.
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
    ids=["as each port", "none", "its own"],
)
def test_a_port_comes_back_with_the_vlans_that_it_carried(host, tmp_path, carried, done):
    """Which the kernel forgets, and gives it those of any new port."""
    host.on("ip", "link", "set", "v0", "master", "br0")
    filters(host, tmp_path)
    commands(tmp_path / "bin", {"bridge": BRIDGE})
    vlans = tmp_path / "vlans"

    vlans.write_text(carried)
    assert run(host, tmp_path, "detach-ports", "apply", PORTS).endswith("ended with 0\n")
    vlans.write_text(GIVEN)
    assert run(host, tmp_path, "detach-ports", "undo", PORTS).endswith("ended with 0\n")

    assert taken(tmp_path / "done") == done


def test_a_bridge_that_filters_vlans_keeps_its_ports_where_these_cannot_be_read(host, tmp_path):
    """They would not come back."""
    host.on("ip", "link", "set", "v0", "master", "br0")
    filters(host, tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "ip", "cat", "readlink", "basename"):
        (programs / name).symlink_to(shutil.which(name))

    told = run(host, tmp_path, "detach-ports", "apply", PORTS, path=str(programs))

    assert "refused: br0 filters VLANs" in told
    assert "master br0" in host.on("ip", "link", "show", "v0")


def filters(host: Space, folder: Path) -> None:
    """Have the bridge say that it filters VLANs, which not every kernel can."""
    (folder / "bridge").mkdir()
    (folder / "bridge" / "vlan_filtering").write_text("1\n")
    host.on("mount", "--bind", str(folder / "bridge"), "/sys/devices/virtual/net/br0/bridge")
