"""Tests the preflight of a host: its lock, its means of rollback, and the links of the login."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from sigsrv.remediate import preflight
from sigsrv.remediate.arming import RollbackTimer
from tests.fake_host import write_programs
from tests.local_host import TRANSACTION, Host, local_host, wait

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

    def take(self, token: int, seconds: float = 30, dead=()) -> str:
        over = [run(each) for each in dead]
        return self.host.call(preflight.lock, run(token), "alice@ws", seconds, over, self.host.paths)[0]


def run(number: int) -> str:
    """Return the id of a run."""
    return f"20260101T000000Z-{number:04x}"


def test_host_stays_locked_until_its_run_unlocks_it(host):
    """A second run learns who has the lock and for how long at most. The first one may extend its lock."""
    locks = Locks(host)

    assert locks.take(1) == ""
    assert locks.take(1) == ""
    assert f"refused: the host is locked by alice@ws, run {run(1)}, for" in locks.take(2)
    host.call(preflight.unlock, run(2), host.paths)
    assert f"run {run(1)}" in locks.take(2)
    host.call(preflight.unlock, run(1), host.paths)
    assert locks.take(2) == ""
    host.call(preflight.unlock, run(2), host.paths)
    assert host.leftovers == []


def test_lock_of_a_killed_run_expires(host):
    """The next run gets the lock when the time is over, or when its journal knows that the other run is dead."""
    locks = Locks(host)

    assert locks.take(1, seconds=0) == ""
    time.sleep(1.1)
    assert locks.take(2) == ""
    assert locks.take(3, dead=(9, 2)) == ""
    assert f"run {run(3)}" in locks.take(4, dead=(9, 2))


def test_one_of_many_concurrent_runs_gets_the_lock(host):
    """Taking the lock is atomic."""
    with ThreadPoolExecutor(8) as pool:
        result = list(pool.map(Locks(host).take, range(8)))

    assert result.count("") == 1


def test_one_process_at_a_time_writes_the_lock(host):
    """Another process waits while the lock file is read and written."""
    (host.folder / "run").mkdir()
    held = subprocess.Popen(["flock", host.folder / "run", "sleep", "1"])
    time.sleep(0.2)
    began = time.monotonic()

    assert Locks(host).take(1) == ""

    assert time.monotonic() - began > 0.6
    held.wait()


def test_fix_runs_only_on_a_host_that_its_run_has_locked(host):
    """Another run took the lock: the fix is refused before it writes anything."""
    Locks(host).take(1)

    result = host.call(host.remote(lock=run(2)).apply)

    assert "refused: another run has locked this host" in result.stderr
    assert (host.state, host.leftovers) == ("old", ["run/lock"])


def test_host_removes_the_lock_after_its_own_rollback(host):
    """The run that took the lock is gone."""
    Locks(host).take(1)
    host.call(host.remote(lock=run(1), confirm_s=1).apply)

    assert wait(lambda: host.leftovers == [], 5)


def test_leftovers_of_other_runs_are_found(host):
    """They are folders of unfinished fixes, below /run or on the disk."""
    host.call(host.remote(timer=RollbackTimer.UNIT).apply)

    found = host.call(preflight.inspect, host.paths)

    assert found.leftovers == (f"{host.folder}/disk/{TRANSACTION}",)


def test_preflight_finds_means_of_rollback_and_login_link(host, monkeypatch):
    """It finds systemd, writable units, and the link with the address of the session."""
    monkeypatch.setenv("SSH_CONNECTION", "127.0.0.1 50000 127.0.0.1 22")
    assert host.call(preflight.inspect, host.paths) == preflight.Preflight(False, False, ("lo",))
    (host.folder / "booted").mkdir()
    assert host.call(preflight.inspect, host.paths) == preflight.Preflight(True, True, ("lo",))
    monkeypatch.delenv("SSH_CONNECTION")


def test_units_are_written_where_a_reboot_keeps_them(host):
    """If /etc/systemd/system is missing or read-only, its neighbour is used, unless a reboot empties it or the scripts' folder."""

    def found(**paths: str) -> bool:
        return host.call(preflight.inspect, replace(host.paths, **paths)).units

    (host.folder / "booted").mkdir()
    memory = subprocess.run(["stat", "-f", "-c", "%T", host.folder], capture_output=True, text=True, check=True).stdout
    assert found()
    assert not found(volatile=f" {memory.strip()} ")
    (host.folder / "units").rmdir()
    assert found()
    (host.folder / "control").mkdir()
    assert found()
    assert not found(control="/proc/sys/system.control")
    assert not found(control="/nowhere/system.control")
    assert not found(disk="/proc/sys/armed")


def test_login_links_are_those_of_its_address_and_its_route(host, monkeypatch):
    """The address may be on another link than the route to the client."""
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.9 50000 192.0.2.1 22")
    write_programs(host.folder / "ip", {"ip": IP})
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
def test_change_that_survives_a_reboot_needs_a_timer_that_survives_it(
    host, survives, systemd, units, timer, safety_net, refused
):
    """Without writable units such a fix is refused, unless --no-safety-net accepts a weaker timer."""
    fix = host.fix(survives_reboot=survives)
    found_preflight = preflight.Preflight(systemd, units, ())

    found, reason = preflight.rollback_timer_for(fix, found_preflight, safety_net)

    assert (found, bool(reason)) == (timer, refused)
    assert not refused or "--no-safety-net" in reason
    assert preflight.rollback_timer_for(replace(fix, disruption="instance"), found_preflight)[1] == ""
