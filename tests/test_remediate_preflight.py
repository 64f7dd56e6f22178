"""A host before anything is done there: is it free, what can undo a fix by itself, over which links does the login come."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from sigsrv.remediate import preflight
from sigsrv.remediate.arming import RollbackTimer
from tests.fake_host import commands
from tests.local_host import Host, local_host, wait

IP = """\
case "$*" in
  "-o addr show")
    echo '5: v7    inet 192.0.2.1/24 scope global v7'
    echo '6: v8    inet 192.0.2.11/24 scope global v8'
    ;;
  "-o route get 192.0.2.9") echo '192.0.2.9 via 192.0.2.254 dev up0 src 192.0.2.1 uid 0' ;;
esac
"""


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", str(tmp_path))
    with local_host(tmp_path) as found:
        yield found


@dataclass(frozen=True)
class Locks:
    host: Host

    def take(self, token: str, seconds: float = 30, dead=()) -> str:
        return self.host.call(preflight.lock, token, "alice@ws", seconds, dead, self.host.paths)[0]


def test_a_host_is_one_runs_own_until_it_is_given_back(host):
    """A second run is told who is at work, and for how long at most; the first may prolong it."""
    locks = Locks(host)

    assert locks.take("a") == ""
    assert locks.take("a") == ""
    assert "refused: alice@ws is at work here, run a, for" in locks.take("b")
    host.call(preflight.unlock, "b", host.paths)
    assert "run a" in locks.take("b")
    host.call(preflight.unlock, "a", host.paths)
    assert locks.take("b") == ""
    host.call(preflight.unlock, "b", host.paths)
    assert host.left == []


def test_a_run_that_was_killed_holds_a_host_no_longer_than_it_said(host):
    """Its time is over, or its machine knows that it is dead: the next one has the host."""
    locks = Locks(host)

    assert locks.take("a", seconds=0) == ""
    time.sleep(1.1)
    assert locks.take("b") == ""
    assert locks.take("c", dead=("x", "b")) == ""
    assert "run c" in locks.take("d", dead=("x", "b"))


def test_of_many_that_take_a_host_at_once_one_has_it(host):
    """The lock is taken in one piece."""
    with ThreadPoolExecutor(8) as pool:
        result = list(pool.map(lambda number: Locks(host).take(f"t{number}"), range(8)))

    assert result.count("") == 1


def test_the_lock_is_written_by_one_at_a_time(host):
    """Whoever comes while another reads and writes it waits."""
    (host.folder / "run").mkdir()
    held = subprocess.Popen(["flock", host.folder / "run", "sleep", "1"])
    time.sleep(0.2)
    began = time.monotonic()

    assert Locks(host).take("a") == ""

    assert time.monotonic() - began > 0.6
    held.wait()


def test_a_fix_runs_only_where_its_run_holds_the_host(host):
    """Another run took the host meanwhile: refused before anything is there."""
    Locks(host).take("other")

    result = host.call(host.remote(lock="mine").apply)

    assert "refused: another run holds this host now" in result.stderr
    assert (host.state, host.left) == ("old", ["run/lock"])


def test_the_host_gives_its_lock_back_when_it_undoes_by_itself(host):
    """Nobody is there to do it."""
    Locks(host).take("mine")
    host.call(host.remote(lock="mine", confirm_s=1).apply)

    assert wait(lambda: host.left == [], 5)


def test_what_other_runs_left_is_seen(host):
    """A folder below /run or on the disk, of a fix that did not come to an end."""
    host.call(host.remote(timer=RollbackTimer.UNIT).apply)

    found = host.call(preflight.inspect, host.paths)

    assert found.left == (f"{host.folder}/disk/abc",)


def test_the_ground_tells_what_can_undo_and_which_way_the_login_came(host, monkeypatch):
    """systemd, units that can be written, and the link that holds the address of the session."""
    monkeypatch.setenv("SSH_CONNECTION", "127.0.0.1 50000 127.0.0.1 22")
    assert host.call(preflight.inspect, host.paths) == preflight.Preflight(False, False, ("lo",))
    (host.folder / "booted").mkdir()
    assert host.call(preflight.inspect, host.paths) == preflight.Preflight(True, True, ("lo",))
    monkeypatch.delenv("SSH_CONNECTION")
    (host.folder / "units").rmdir()
    assert host.call(preflight.inspect, host.paths) == preflight.Preflight(True, False, ())


def test_the_way_of_the_login_is_where_its_address_is_and_where_its_answers_go(host, monkeypatch):
    """Both links: an address may be on another link than the one that leads to the client."""
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.9 50000 192.0.2.1 22")
    commands(host.folder / "ip", {"ip": IP})
    paths = replace(host.paths, path=f"{host.folder}/ip:{host.paths.path}")

    assert host.call(preflight.inspect, paths).links == ("v7", "up0")


@pytest.mark.parametrize(
    ("survives", "systemd", "units", "timer", "safety_net", "refused"),
    [
        (False, False, False, RollbackTimer.SHELL, True, False),
        (False, True, True, RollbackTimer.TRANSIENT, True, False),
        (True, True, True, RollbackTimer.UNIT, True, False),
        (True, True, False, RollbackTimer.TRANSIENT, True, True),
        (True, False, False, RollbackTimer.SHELL, True, True),
        (True, False, False, RollbackTimer.SHELL, False, False),
        (True, True, False, RollbackTimer.TRANSIENT, False, False),
    ],
)
def test_what_survives_a_reboot_needs_a_timer_that_does(host, survives, systemd, units, timer, safety_net, refused):
    """Where units can't be written such a fix is refused, unless a lesser net is said to be enough."""
    fix = host.fix(survives_reboot=survives)
    here = preflight.Preflight(systemd, units, ())

    found, reason = preflight.rollback_timer_for(fix, here, safety_net)

    assert (found, bool(reason)) == (timer, refused)
    assert not refused or "--no-safety-net" in reason
    assert preflight.rollback_timer_for(replace(fix, disruption="instance"), here)[1] == ""
