"""Tests the scripts of remediations with fake programs, for cases or kernels that the lab does not have."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from tests.fake_host import FakeHost, make_host

# ip: the question is the name of the file with the answer. Commands that change something are recorded in "done".
IP = """\
case "$*" in
  *" show "*) file=$(echo "$*" | tr ' ' '_'); [ ! -e "$HERE/$file" ] || cat "$HERE/$file" ;;
  *) echo "ip $*" >>"$HERE/done" ;;
esac
"""
ZPOOL = """\
case "$*" in
  status*) sed 1q "$HERE/pool"; cat "$HERE/status"; sed 1d "$HERE/pool" ;;
  list*) [ ! -e "$HERE/pool" ] || echo tank ;;
  "scrub -s "*) echo "zpool $*" >>"$HERE/done"; echo "  scan: scrub canceled on Mon Nov 23 13:10:02 2026" >"$HERE/status" ;;
  "scrub -p "*) echo "zpool $*" >>"$HERE/done"; echo "  scan: scrub paused since Mon Nov 23 13:10:02 2026" >"$HERE/status" ;;
  *) echo "zpool $*" >>"$HERE/done"; echo "  scan: scrub in progress since Mon Nov 23 13:10:02 2026" >"$HERE/status" ;;
esac
"""
POOL = """\
 state: ONLINE
config:

\tNAME        STATE     READ WRITE CKSUM
\ttank        ONLINE       0     0     0
\t  mirror-0  ONLINE       0     0     0
\t    sda     ONLINE       0     0     0
\t    sdb     ONLINE       0     0     0

errors: No known data errors
"""
ADDRESSES = """\
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
    (tmp_path / "pool").write_text(POOL)
    return make_host(Host, tmp_path, {"ip": IP, "zpool": ZPOOL})


FLUSH = {"interface": "lo"}  # a link that every machine has


def test_addresses_are_removed_and_restored(host):
    """All but link-local addresses go, whatever their scope. Undo restores peer, broadcast address and scope."""
    host.answers("-o addr show dev lo", ADDRESSES)

    assert host.run("flush-vlan-address", "apply", FLUSH)[0] == 0
    assert host.changes == [
        "ip addr del 10.9.0.1/24 dev lo",
        "ip addr del 10.8.0.1 peer 10.8.0.2/32 dev lo",
        "ip addr del 2001:db8::5/64 dev lo",
    ]

    host.answers("-o addr show dev lo", "")
    for _ in range(2):
        assert host.run("flush-vlan-address", "undo", FLUSH)[0] == 0
        *forever, leased = host.changes
        assert forever == [
            "ip addr add 10.9.0.1/24 brd 10.9.0.255 scope global dev lo",
            "ip addr add 10.8.0.1 peer 10.8.0.2/32 scope link noprefixroute dev lo",
        ]
        left = re.fullmatch(
            r"ip addr add 2001:db8::5/64 scope global mngtmpaddr valid_lft (\d+) preferred_lft (\d+) dev lo", leased
        )
        assert left
        assert 86000 < int(left[1]) <= 86395
        assert 14000 < int(left[2]) <= 14395


@pytest.mark.parametrize("flag", ["temporary", "stable-privacy", "flags 800"])
def test_address_that_ip_cannot_add_is_refused(host, flag):
    """The kernel makes such addresses itself."""
    host.answers(
        "-o addr show dev lo", f"1: lo    inet6 2001:db8::5/64 scope global {flag} \\       valid_lft forever\n"
    )

    code, output = host.run("flush-vlan-address", "apply", FLUSH)

    assert (code, host.changes) == (1, [])
    assert f"refused: the address 2001:db8::5/64 of lo is {flag.split()[-1]}, and undo can't add such a one" in output


def test_leased_address_ends_when_it_would_have_ended(host):
    """Undo does not make it permanent."""
    host.answers(
        "-o addr show dev lo",
        "1: lo    inet 10.9.0.1/24 scope global dynamic lo\\       valid_lft 0sec preferred_lft 0sec\n",
    )
    assert host.run("flush-vlan-address", "apply", FLUSH)[0] == 0
    host.answers("-o addr show dev lo", "")
    _ = host.changes

    code, output = host.run("flush-vlan-address", "undo", FLUSH)

    assert (code, host.changes) == (0, [])
    assert "the lifetime of 10.9.0.1/24 is over" in output


def test_undo_does_not_add_an_existing_address(host):
    """An address that is on the interface stays as it is."""
    host.answers("-o addr show dev lo", ADDRESSES)
    host.run("flush-vlan-address", "apply", FLUSH)
    _ = host.changes

    assert host.run("flush-vlan-address", "undo", FLUSH)[0] == 0
    assert host.changes == []


def test_interface_without_global_addresses_is_not_changed(host):
    """A second run has nothing to do, and undo has nothing to restore."""
    host.answers("-o addr show dev lo", "1: lo    inet6 fe80::1/64 scope link \\       valid_lft forever\n")

    assert "already" in host.run("flush-vlan-address", "apply", FLUSH)[1]
    assert "nothing was changed" in host.run("flush-vlan-address", "undo", FLUSH)[1]
    assert host.changes == []


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("-o -4 route show table all dev lo", "default via 10.9.0.254 table 7 \n", "default via 10.9.0.254 table 7."),
        ("-o -6 route show table all dev lo", "default via fe80::2 metric 1024\n", "default via fe80::2 metric 1024."),
        ("-o -4 route show table all dev lo", "10.7.0.0/16 scope link\n", "10.7.0.0/16 scope link."),
    ],
)
def test_interface_that_routes_need_is_refused(host, question, answer, reason):
    """Any route that undo would not restore blocks the removal of addresses, and is named."""
    host.answers("-o addr show dev lo", ADDRESSES)
    host.answers(question, answer)

    code, output = host.run("flush-vlan-address", "apply", FLUSH)

    assert (code, host.changes) == (1, [])
    assert f"refused: a route over lo would be lost: {reason}" in output


@pytest.mark.parametrize("address", ["10.9.0.1", "2001:db8::5"])
def test_interface_of_the_ssh_session_is_refused(host, address):
    """Removing the address would cut the operator's own connection."""
    host.answers("-o addr show dev lo", ADDRESSES)

    code, output = host.run("flush-vlan-address", "apply", FLUSH, SSH_CONNECTION=f"192.0.2.1 50000 {address} 22")

    assert (code, host.changes) == (1, [])
    assert "refused: this ssh session uses lo" in output


def test_link_that_is_down_is_set_up_and_down_again(host):
    """Undo sets down each link that was down. An empty parent is no link."""
    values = {"bridge": "lo", "interface": "lo", "parent": "", "extra_ports": []}
    host.answers("-o link show dev lo up", "")

    assert host.run("raise-links", "apply", values)[0] == 0
    assert host.changes == ["ip link set dev lo up"] * 2
    host.answers("-o link show dev lo up", "1: lo: <LOOPBACK,UP,LOWER_UP>\n")
    assert host.run("raise-links", "undo", values)[0] == 0
    assert host.changes == ["ip link set dev lo down"] * 2


def test_links_that_are_up_are_not_changed(host):
    """A second run has nothing to do, and undo sets nothing down."""
    values = {"bridge": "lo", "interface": "lo", "parent": "lo", "extra_ports": []}
    host.answers("-o link show dev lo up", "1: lo: <LOOPBACK,UP,LOWER_UP>\n")

    assert "up already" in host.run("raise-links", "apply", values)[1]
    assert "nothing was changed" in host.run("raise-links", "undo", values)[1]
    assert host.changes == []


@pytest.mark.parametrize("values", [{"interface": "none-such"}, {"parent": "none-such"}, {"bridge": "none-such"}])
def test_missing_link_is_refused_before_any_link_is_set_up(host, values):
    """The script changes all links or none."""
    code, output = host.run(
        "raise-links", "apply", {"bridge": "lo", "interface": "lo", "parent": "lo", "extra_ports": []} | values
    )

    assert (code, host.changes) == (1, [])
    assert "refused: there is no link none-such" in output


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
def test_scrub_is_started_once_and_stopped_by_undo(host, scan, undone):
    """A second run finds it running. Undo stops it or restores its pause. A second undo finds no scrub."""
    host.answers("status", scan)

    assert host.run("scrub-pool", "apply", SCRUB)[0] == 0
    assert host.changes == ["zpool scrub -- tank"]
    assert "running already" in host.run("scrub-pool", "apply", SCRUB)[1]
    assert host.changes == []
    assert host.run("scrub-pool", "undo", SCRUB)[0] == 0
    assert host.changes == [undone]
    again = "the scrub is paused already" if "paused" in scan else "no scrub of tank is running"
    assert again in host.run("scrub-pool", "undo", SCRUB)[1]
    assert host.changes == []


@pytest.mark.parametrize(
    ("was", "now", "reason"),
    [
        (" state: ONLINE", " state: DEGRADED", "tank is DEGRADED."),
        (" state: ONLINE", " state: SUSPENDED", "tank is SUSPENDED."),
        (" state: ONLINE", "", "tank is in an unknown state."),
        ("No known data errors", "3 data errors, use '-v' for a list", "tank has errors: 3 data errors"),
        ("sdb     ONLINE       0     0     0", "sdb     ONLINE       0     0  1.2K", "checksum errors on sdb."),
        ("sda     ONLINE       0     0", "sda     ONLINE       4     0", "checksum errors on sda."),
    ],
)
def test_pool_that_fails_is_not_scrubbed(host, was, now, reason):
    """Reading every block may end a failing disk. A person looks at it first."""
    host.answers("status", "")
    assert was in POOL
    host.answers("pool", POOL.replace(was, now))

    code, output = host.run("scrub-pool", "apply", SCRUB)

    assert (code, host.changes) == (1, [])
    assert output.startswith("refused: ")
    assert reason in output


def test_scrub_that_somebody_paused_since_is_kept(host):
    """Undo stops it only if it is forced to. Of a pool that is gone, nothing is left to undo."""
    host.answers("status", "")
    host.run("scrub-pool", "apply", SCRUB)
    host.answers("status", "  scan: scrub paused since Mon Nov 23 13:10:02 2026\n")
    _ = host.changes

    assert host.run("scrub-pool", "undo", SCRUB) == (
        0,
        "kept: tank: the scrub is paused, not running as the fix left it\n",
    )
    assert host.changes == []
    assert host.run("scrub-pool", "undo", SCRUB, SIGSRV_FORCE="yes")[0] == 0
    assert host.changes == ["zpool scrub -s -- tank"]
    (host.folder / "pool").unlink()
    assert host.run("scrub-pool", "undo", SCRUB) == (0, "nothing left to undo: there is no pool tank any more\n")


def test_resilvering_pool_is_refused(host):
    """A scrub would only slow the resilvering down."""
    host.answers("status", "  scan: resilver in progress since Mon Nov 23 13:10:02 2026\n")

    code, output = host.run("scrub-pool", "apply", SCRUB)

    assert (code, host.changes) == (1, [])
    assert "refused: tank is resilvering" in output


def test_scrub_that_already_ran_is_not_stopped(host):
    """A scrub that ran before the remediation continues after the undo."""
    host.answers("status", "  scan: scrub in progress since Mon Nov 23 13:10:02 2026\n")

    host.run("scrub-pool", "apply", SCRUB)

    assert "nothing was changed" in host.run("scrub-pool", "undo", SCRUB)[1]
    assert host.changes == []
