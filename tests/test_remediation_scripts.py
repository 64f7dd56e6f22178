"""What scripts of remediations do, against programs that answer what they are told: what the lab has no case or no kernel for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.fake_host import FakeHost, made

# ip: what it is asked is the name of the file that holds the answer; what changes something is kept in "done".
IP = """\
case "$*" in
  *" show "*) file=$(echo "$*" | tr ' ' '_'); [ ! -e "$HERE/$file" ] || cat "$HERE/$file" ;;
  *) echo "ip $*" >>"$HERE/done" ;;
esac
"""
ZPOOL = """\
case "$*" in
  status*) cat "$HERE/status" ;;
  "scrub -s "*) echo "zpool $*" >>"$HERE/done"; echo "  scan: scrub canceled on Mon Nov 23 13:10:02 2026" >"$HERE/status" ;;
  "scrub -p "*) echo "zpool $*" >>"$HERE/done"; echo "  scan: scrub paused since Mon Nov 23 13:10:02 2026" >"$HERE/status" ;;
  *) echo "zpool $*" >>"$HERE/done"; echo "  scan: scrub in progress since Mon Nov 23 13:10:02 2026" >"$HERE/status" ;;
esac
"""
HELD = """\
1: lo    inet 10.9.0.1/24 brd 10.9.0.255 scope global lo\\       valid_lft forever preferred_lft forever
1: lo    inet 10.8.0.1 peer 10.8.0.2/32 scope link noprefixroute lo\\       valid_lft forever preferred_lft forever
1: lo    inet 169.254.3.4/16 scope link lo\\       valid_lft forever preferred_lft forever
1: lo    inet6 2001:db8::5/64 scope global dynamic mngtmpaddr \\       valid_lft 86395sec preferred_lft 14395sec
1: lo    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever
"""


@dataclass(frozen=True)
class Host(FakeHost):
    def answers(self, question: str, text: str) -> None:
        (self.folder / question.replace(" ", "_")).write_text(text)


@pytest.fixture
def host(tmp_path):
    return made(Host, tmp_path, {"ip": IP, "zpool": ZPOOL})


FLUSH = {"interface": "lo"}  # a link that every machine has


def test_addresses_are_taken_off_and_come_back_as_they_were(host):
    """All but link-local ones go, whatever their scope says; undo gives back peer, broadcast address and scope."""
    host.answers("-o addr show dev lo", HELD)

    assert host.run("flush-vlan-address", "apply", FLUSH)[0] == 0
    assert host.done == [
        "ip addr del 10.9.0.1/24 brd 10.9.0.255 scope global dev lo",
        "ip addr del 10.8.0.1 peer 10.8.0.2/32 scope link dev lo",
        "ip addr del 2001:db8::5/64 scope global dev lo",
    ]

    host.answers("-o addr show dev lo", "")
    for _ in range(2):
        assert host.run("flush-vlan-address", "undo", FLUSH)[0] == 0
        assert host.done == [
            "ip addr add 10.9.0.1/24 brd 10.9.0.255 scope global dev lo",
            "ip addr add 10.8.0.1 peer 10.8.0.2/32 scope link dev lo",
            "ip addr add 2001:db8::5/64 scope global dev lo",
        ]


def test_what_is_there_again_is_not_added_twice(host):
    """Undo leaves an address alone that is on the interface."""
    host.answers("-o addr show dev lo", HELD)
    host.run("flush-vlan-address", "apply", FLUSH)
    _ = host.done

    assert host.run("flush-vlan-address", "undo", FLUSH)[0] == 0
    assert host.done == []


def test_an_interface_without_such_addresses_is_left_alone(host):
    """A second run has nothing to do, and undo nothing to put back."""
    host.answers("-o addr show dev lo", "1: lo    inet6 fe80::1/64 scope link \\       valid_lft forever\n")

    assert "already" in host.run("flush-vlan-address", "apply", FLUSH)[1]
    assert "nothing was changed" in host.run("flush-vlan-address", "undo", FLUSH)[1]
    assert host.done == []


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("-o -4 route show default dev lo", "default via 10.9.0.254\n", "the default route uses lo"),
        ("-o -6 route show default dev lo", "default via fe80::2 metric 1024\n", "the default route uses lo"),
        ("-o -4 route show dev lo", "10.7.0.0/16 via 10.9.0.254\n", "a route over lo would be lost"),
        ("-o -4 route show dev lo", "10.7.0.0/16 scope link\n", "a route over lo would be lost"),
    ],
)
def test_an_interface_that_routes_need_is_refused(host, question, answer, reason):
    """The default route, and any other that would not come back by undo, keep the addresses where they are."""
    host.answers("-o addr show dev lo", HELD)
    host.answers(question, answer)

    code, result = host.run("flush-vlan-address", "apply", FLUSH)

    assert (code, host.done) == (1, [])
    assert f"refused: {reason}" in result


@pytest.mark.parametrize("address", ["10.9.0.1", "2001:db8::5"])
def test_an_interface_that_the_session_uses_is_refused(host, address):
    """Whoever came in over one of the addresses would cut himself off."""
    host.answers("-o addr show dev lo", HELD)

    code, result = host.run("flush-vlan-address", "apply", FLUSH, SSH_CONNECTION=f"192.0.2.1 50000 {address} 22")

    assert (code, host.done) == (1, [])
    assert "refused: this ssh session uses lo" in result


def test_what_is_down_is_set_up_and_down_again(host):
    """Each link that is down is set up, and set down again when that is undone; no parent is none."""
    values = {"bridge": "lo", "interface": "lo", "parent": ""}
    host.answers("-o link show dev lo up", "")

    assert host.run("raise-links", "apply", values)[0] == 0
    assert host.done == ["ip link set dev lo up"] * 2
    assert host.run("raise-links", "undo", values)[0] == 0
    assert host.done == ["ip link set dev lo down"] * 2


def test_links_that_are_up_are_left_alone(host):
    """A second run has nothing to do, and undo sets nothing down."""
    values = {"bridge": "lo", "interface": "lo", "parent": "lo"}
    host.answers("-o link show dev lo up", "1: lo: <LOOPBACK,UP,LOWER_UP>\n")

    assert "up already" in host.run("raise-links", "apply", values)[1]
    assert "nothing was changed" in host.run("raise-links", "undo", values)[1]
    assert host.done == []


@pytest.mark.parametrize("values", [{"interface": "none-such"}, {"parent": "none-such"}, {"bridge": "none-such"}])
def test_a_link_that_is_missing_is_refused_before_any_is_set_up(host, values):
    """Nothing is changed where not all of it can be."""
    code, result = host.run("raise-links", "apply", {"bridge": "lo", "interface": "lo", "parent": "lo"} | values)

    assert (code, host.done) == (1, [])
    assert "refused: there is no link none-such" in result


SCRUB = {"zpool": "tank"}


@pytest.mark.parametrize(
    ("scan", "undone"),
    [
        ("", "zpool scrub -s -- tank"),
        ("  scan: scrub repaired 0B in 00:00:00 with 0 errors on Mon Nov 23 13:10:02 2026\n", "zpool scrub -s -- tank"),
        ("  scan: scrub paused since Mon Nov 23 13:10:02 2026\n", "zpool scrub -p -- tank"),
    ],
    ids=["never", "finished", "paused"],
)
def test_a_scrub_is_begun_once_and_stopped(host, scan, undone):
    """A second run finds it running; undo stops it, or lets it stand as it stood; a second undo finds none."""
    host.answers("status", scan)

    assert host.run("scrub-pool", "apply", SCRUB)[0] == 0
    assert host.done == ["zpool scrub -- tank"]
    assert "running already" in host.run("scrub-pool", "apply", SCRUB)[1]
    assert host.done == []
    assert host.run("scrub-pool", "undo", SCRUB)[0] == 0
    assert host.done == [undone]
    assert "no scrub is running" in host.run("scrub-pool", "undo", SCRUB)[1]
    assert host.done == []


def test_a_pool_that_resilvers_is_left_alone(host):
    """A scrub would only slow down what makes the pool whole again."""
    host.answers("status", "  scan: resilver in progress since Mon Nov 23 13:10:02 2026\n")

    code, result = host.run("scrub-pool", "apply", SCRUB)

    assert (code, host.done) == (1, [])
    assert "refused: tank is resilvering" in result


def test_a_scrub_that_somebody_else_began_is_not_stopped(host):
    """What ran before the remediation runs on when that is undone."""
    host.answers("status", "  scan: scrub in progress since Mon Nov 23 13:10:02 2026\n")

    host.run("scrub-pool", "apply", SCRUB)

    assert "nothing was changed" in host.run("scrub-pool", "undo", SCRUB)[1]
    assert host.done == []
