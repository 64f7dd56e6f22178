"""Tests the code that runs on a host, on this machine in a folder: arm, apply, confirm, undo, and leave nothing behind."""

from __future__ import annotations

import base64
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from sigsrv.collect.connection import open_session
from sigsrv.collect.target import Target
from sigsrv.remediate import arming
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.remote import NOTHING_LEFT, FixOptions, RemoteFix, parse_state
from sigsrv.remediate.shell import CommandResult
from tests.fake_host import take_lines
from tests.local_host import TRANSACTION, Host, local_host, wait
from tests.test_remediate_journal import fill, small_disk

__all__ = ["small_disk"]


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", str(tmp_path))
    with local_host(tmp_path) as found:
        yield found


def timers(host: Host) -> list[str]:
    """Return the processes that would roll back a fix of this host."""
    found = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if f"{host.folder}/" in line and "undo-once" in line]


@pytest.mark.parametrize("timer", RollbackTimer)
def test_confirmed_fix_stays_and_leaves_nothing_behind(host, timer):
    """The host is in the new state, without folder, unit or timer."""
    remote = host.remote(timer=timer)

    result = host.call(remote.apply)
    assert (result.rc, result.stdout, host.state) == (0, "changed\n", "new"), result
    result = host.call(remote.old_values)
    assert parse_state(result.stdout) == {"old": b"old\n"}
    assert bool(timers(host)) is (timer is RollbackTimer.SHELL)
    assert host.call(remote.confirm).rc == 0

    assert (host.state, host.leftovers) == ("new", [])
    assert wait(lambda: not timers(host))


def test_undo_saves_no_old_values_before_it_runs(host):
    """The journal has them. Its script would undo already, before the other members are armed."""
    replayed = host.remote(state={"old": b"old\n"})

    assert host.call(replayed.save).rc == 0
    assert host.state == "old"
    assert parse_state(host.call(replayed.old_values).stdout) == {"old": b"old\n"}
    assert host.call(replayed.undo).rc == 0


@pytest.mark.parametrize("timer", RollbackTimer)
def test_undo_restores_the_old_state_and_leaves_nothing_behind(host, timer):
    """It runs over a new login. A second undo has nothing to do."""
    remote = host.remote(timer=timer)
    host.call(remote.apply)

    result = host.call(remote.undo)

    assert result.rc == 0, result
    assert (host.state, host.leftovers) == ("old", [])
    assert wait(lambda: not timers(host))
    assert host.call(remote.undo).stdout == f"{NOTHING_LEFT}\n"


def test_host_rolls_an_unconfirmed_fix_back_in_time(host):
    """A confirmation that comes too late gets an error."""
    remote = host.remote(confirm_s=2)
    began = time.monotonic()
    host.call(remote.apply)
    assert host.state == "new"

    assert wait(lambda: host.leftovers == [], 5)

    assert time.monotonic() - began < 2.5
    assert host.state == "old"
    assert "the host has rolled it back already: the time to confirm was over" in host.call(remote.confirm).stderr
    assert "the host has rolled it back already: the time to confirm was over" in host.call(remote.old_values).stderr


def test_rollback_stops_a_script_that_still_runs(host):
    """Script and undo never run at the same time: the script and its processes are stopped first."""
    fix = host.fix(f"sh -c 'sleep 1.7; echo late >{host.file}'\n")
    remote = host.remote(fix, confirm_s=1.6)

    result = host.call(remote.apply)

    assert result.rc != 0
    assert wait(lambda: host.leftovers == [], 5)
    time.sleep(1)
    assert host.state == "old"


def test_rollback_kills_a_script_that_ignores_sigterm(host):
    """Otherwise the script would make its change after the rollback, and the change would stay permanently."""
    fix = host.fix(
        f"trap '' TERM\ni=0\nwhile [ $i -lt 40 ]; do sleep 0.1 || true; i=$((i + 1)); done\necho late >{host.file}\n"
    )

    host.call(host.remote(fix, confirm_s=1.6).apply)

    assert wait(lambda: host.leftovers == [], 8)
    time.sleep(3)
    assert host.state == "old"


def test_killed_undo_is_taken_over_by_the_next_one(host):
    """A live process keeps the latch. The latch of a dead process is taken over."""
    fix = host.fix()
    slow = f'echo half >{host.file}\n[ -e "$SIGSRV_STATE/again" ] || {{ : >"$SIGSRV_STATE/again"; sleep 30; }}\n'
    remote = host.remote(replace(fix, undo=slow + fix.undo))
    host.call(remote.apply)
    once = subprocess.Popen(["sh", host.folder / "run" / TRANSACTION / "undo-once.sh"], start_new_session=True)
    assert wait(lambda: host.state == "half")
    second = subprocess.run(["sh", host.folder / "run" / TRANSACTION / "undo-once.sh"], check=False)
    assert (second.returncode, host.state) == (0, "half")

    for child in subprocess.run(
        ["pgrep", "-f", f"{host.folder}/run/{TRANSACTION}/undo"], capture_output=True, text=True
    ).stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
    once.wait()
    result = host.call(remote.undo)

    assert result.rc == 0, result
    assert (host.state, host.leftovers) == ("old", [])


@pytest.mark.parametrize("line", ["false", 'echo "$never_set"'])
def test_script_stops_at_its_first_failing_command(host, line):
    """This includes a script that forgot set -eu."""
    fix = host.fix()
    script = fix.script.replace("set -eu\n", "") + f"{line}\necho end\n"

    result = host.call(host.remote(replace(fix, script=script)).apply)

    assert result.rc != 0
    assert "end" not in result.stdout


@pytest.mark.parametrize(
    ("out", "err", "reason"),
    [
        ("done\n", "Error: it is busy\nTry `incus info web` for more info\n", "Error: it is busy"),
        ("done\n", "first\nlast\n\n", "last"),
        ("only this\n", "", "only this"),
        ("", "", "exit status 1"),
    ],
)
def test_reason_is_the_error_line_of_a_program(out, err, reason):
    """It is not the advice that follows. Without an error line it is the last line."""
    assert CommandResult(1, out, err).reason == reason


def test_fix_that_cuts_no_network_gets_the_time_of_its_script_too(host):
    """A container that restarts slowly is not rolled back meanwhile."""
    network, other = host.remote(), host.remote(host.fix(disruption="instance"))

    assert (network.deadline_s, other.deadline_s) == (60, 65)


def test_script_continues_when_its_connection_breaks(host):
    """It runs to its end without a reader, and a new login gets its result."""
    fix = host.fix("sleep 0.5\necho more\necho late >&2\nexit 7\n")
    remote = host.remote(fix)
    with open_session(Target("here", connection="local")) as session:

        class Broken(Exception):
            pass

        def cut(line: str) -> None:
            raise BrokenPipeError

        remote.apply(session, cut)

    result = host.call(remote.follow)

    assert (result.rc, result.stdout, result.reason) == (7, "changed\nmore\n", "late")


def kill_login(host: Host, call: str, until) -> None:
    """Start a login and kill all its processes during a call, as an sshd that is stopped does."""
    code = (
        f"from pathlib import Path\nfrom tests.local_host import Host\nhost = Host(Path({str(host.folder)!r}))\n{call}"
    )
    login = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    assert wait(until)
    os.killpg(login.pid, signal.SIGKILL)
    login.wait()


def test_script_outlives_the_login_that_started_it(host):
    """It is not one of the login's processes and runs to its end."""
    call = "host.call(host.remote(host.fix('sleep 1\\necho end\\n')).apply)"
    kill_login(host, call, lambda: host.state == "new")

    result = host.call(host.remote().follow)

    assert (result.rc, result.stdout) == (0, "changed\nend\n")


def test_undo_outlives_the_login_that_started_it(host):
    """Half an undo would leave the host between the old and the new state."""
    fix = host.fix()
    host.call(host.remote(replace(fix, undo=f"echo half >{host.file}\nsleep 1\n{fix.undo}")).apply)
    kill_login(host, "host.call(host.remote().undo)", lambda: host.state == "half")

    assert wait(lambda: host.leftovers == [])
    assert host.state == "old"


def test_output_arrives_while_the_script_runs(host):
    """Each line is shown when it is written, also from standard error."""
    lines: list[tuple[str, float]] = []
    remote = host.remote(host.fix("echo late >&2\nsleep 1\necho end\n"))

    host.call(remote.apply, lambda line: lines.append((line, time.monotonic())))

    assert sorted(line for line, _ in lines) == ["changed", "end", "late"]
    times = dict(lines)
    assert times["end"] - times["changed"] > 0.7


def test_script_that_was_not_started_is_reported(host):
    """The connection broke before anything arrived: nothing is on the host, and nothing was changed."""
    result = host.call(host.remote().follow)

    assert result.rc == RemoteFix.NOT_STARTED
    assert (host.state, host.leftovers) == ("old", [])


def test_incomplete_code_does_nothing(host):
    """A connection that breaks during the transfer leaves half of a function, and the shell runs none of it."""
    sent: list[bytes] = []

    class Session:
        target = Target("here")

        def run(self, command, timeout_s, stdin=b"", on_output=None):
            sent.append(stdin)
            return 0, b"", b""

    host.remote().apply(Session())
    (whole,) = sent
    for size in range(0, len(whole) - len("\nmain\n"), 97):
        subprocess.run(["sh", "-s"], input=whole[:size], capture_output=True, check=False, cwd=host.folder)
        assert not (host.folder / "run").exists()


def test_nothing_is_applied_if_the_timer_cannot_be_set(host):
    """systemctl fails: the fix is refused before its script runs, and no unit stays behind."""
    (host.folder / "bin" / "systemctl").write_text('#!/bin/sh\n[ "$1" != start ]\n')

    result = host.call(host.remote(timer=RollbackTimer.UNIT).apply)

    assert result.rc == 1
    assert "refused: the rollback could not be armed; nothing was changed" in result.stderr
    assert (host.state, host.leftovers) == ("old", [])


@pytest.mark.parametrize("timer", RollbackTimer)
def test_nothing_is_applied_if_the_undo_script_does_not_fit_on_the_disk(small_disk, host, timer):
    """No partial script stays behind that somebody might run."""
    fill(small_disk)

    result = host.call(host.remote(host.fix(survives_reboot=True), timer=timer).apply)

    assert "refused: the rollback could not be armed; nothing was changed" in result.stderr
    assert (result.rc, host.state, host.leftovers) == (1, "old", ["disk/filler"])


@pytest.mark.parametrize("folder", ["units", "control"])
def test_reboot_rolls_back_a_change_that_survives_it(host, folder):
    """All files below /run may be gone: the service that the boot wants rolls back and removes itself.

    Where /etc/systemd/system can't be written, its units are in /etc/systemd/system.control.
    """
    if folder == "control":
        (host.folder / "units").rmdir()
    host.call(host.remote(timer=RollbackTimer.UNIT).apply)
    unit = f"sigsrv-undo-{TRANSACTION}"
    wants = f"{folder}/multi-user.target.wants"
    assert [name for name in host.leftovers if name.startswith(folder)] == [
        wants,
        f"{wants}/{unit}.service",
        f"{folder}/{unit}.service",
        f"{folder}/{unit}.timer",
    ]
    assert (host.folder / wants / f"{unit}.service").read_text() == arming.SERVICE.format(
        transaction=TRANSACTION, once=f"{host.folder}/disk/{TRANSACTION}/undo-once.sh"
    )
    assert host.calls == ["systemctl daemon-reload", f"systemctl start {unit}.timer"]
    subprocess.run(["rm", "-r", host.folder / "run"], check=True)
    service = (host.folder / folder / f"{unit}.service").read_text()
    (command,) = [line.partition("=")[2] for line in service.splitlines() if line.startswith("ExecStart=")]

    subprocess.run(command.split(), check=True)

    assert (host.state, host.leftovers) == ("old", [])
    assert host.calls == [f"systemctl --quiet stop {unit}.timer", "systemctl daemon-reload"]


@pytest.mark.parametrize("timer", [RollbackTimer.SHELL, RollbackTimer.TRANSIENT])
def test_undo_works_after_a_reboot_without_a_timer(host, timer):
    """The timer is gone, but the scripts and the old values are on the disk."""
    remote = host.remote(host.fix(survives_reboot=True), timer=timer)
    host.call(remote.apply)
    for timer in host.folder.glob("run/*/timer"):
        os.killpg(int(timer.read_text()), signal.SIGKILL)
    subprocess.run(["rm", "-r", host.folder / "run"], check=True)
    assert host.state == "new"

    result = host.call(remote.undo)

    assert result.rc == 0, result
    assert (host.state, host.leftovers) == ("old", [])


@pytest.mark.parametrize("end", ["confirm", "undo"])
def test_removed_files_do_not_reappear_after_a_power_cut(host, end):
    """They would roll back a confirmed fix, so their parent folders are synced after the removal."""
    (host.folder / "bin" / "sync").write_text(
        '#!/bin/sh\nfor each; do\n  echo "$each: $(ls "$each" | tr "\\n" " ")" >>"$HERE/synced"\ndone\n'
    )
    (host.folder / "bin" / "sync").chmod(0o755)
    remote = host.remote(host.fix(survives_reboot=True), timer=RollbackTimer.UNIT)
    host.call(remote.apply)
    synced = take_lines(host.folder / "synced")
    assert f"{host.folder}/disk: {TRANSACTION} " in synced
    assert f"{host.folder}/disk/{TRANSACTION}: apply.sh state undo-once.sh undo.sh " in synced

    assert host.call(getattr(remote, end)).rc == 0

    synced = take_lines(host.folder / "synced")
    assert f"{host.folder}/units: multi-user.target.wants " in synced
    assert synced[-1] == f"{host.folder}/disk: "


def test_units_pass_systemd_analyze(host):
    """systemd-analyze verify reports nothing for the written units."""
    if subprocess.run(["sh", "-c", "command -v systemd-analyze"], capture_output=True).returncode:
        pytest.skip("systemd-analyze is not installed")
    host.call(host.remote(timer=RollbackTimer.UNIT).apply)
    units = [str(path) for path in sorted((host.folder / "units").glob("sigsrv-*"))]

    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    timer = (host.folder / "units" / f"sigsrv-undo-{TRANSACTION}.timer").read_text()
    assert "OnActiveSec=55s\nAccuracySec=100ms\n" in timer


def test_transient_timer_runs_the_undo(host):
    """Without a unit on the disk, systemd-run sets the timer. Its command rolls the fix back."""
    host.call(host.remote(timer=RollbackTimer.TRANSIENT).apply)
    (line,) = [line for line in host.calls if line.startswith("systemd-run")]
    assert f"--unit=sigsrv-undo-{TRANSACTION} --on-active=55s --timer-property=AccuracySec=100ms" in line

    subprocess.run(line.rpartition("RestartSec=5 ")[2].split(), check=True)

    assert (host.state, host.leftovers) == ("old", [])


def test_failed_undo_is_reported_and_keeps_its_files(host):
    """The folder stays, so a person can look and try again."""
    remote = host.remote(host.fix(undo="echo no >&2\nexit 1\n"))
    host.call(remote.apply)

    result = host.call(remote.undo)

    assert (result.rc, result.reason) == (1, "no")
    assert f"run/{TRANSACTION}/undo.sh" in host.leftovers
    assert f"run/{TRANSACTION}/decided" not in host.leftovers


def test_old_values_are_restored_whatever_their_names(host):
    """A later undo gets the recorded values back byte by byte."""
    old = {"key.user.a b": b"x\n\0y", "'$(reboot)'": b"", "-n": b"\xff"}
    script = f'cd "$SIGSRV_STATE"\nfor f in *; do cp -- "$f" "{host.folder}/got-$f"; done\n'

    host.call(host.remote(host.fix(script=script, undo="true"), state=old).apply)

    assert {path.name[4:]: path.read_bytes() for path in host.folder.glob("got-*")} == {**old, "old": b"old\n"}


@pytest.mark.parametrize("name", ["../x", "", ".", "a\0b"])
def test_old_value_whose_name_is_a_path_is_refused(name):
    """The recorded names come from a host and must be names of files in one folder."""
    line = f"{base64.b64encode(name.encode()).decode()} {base64.b64encode(b'x').decode()}"
    with pytest.raises(ValueError, match="not a file name"):
        parse_state(line)


def test_only_root_can_read_the_folder(host):
    """Nobody else can read or change an armed fix."""
    host.call(host.remote(timer=RollbackTimer.UNIT).apply)

    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (host.folder / "disk" / TRANSACTION).iterdir()}
    assert set(modes.values()) <= {"0o600", "0o700"}
    assert (host.folder / "disk").stat().st_mode & 0o777 == 0o700


def test_syslog_line_names_operator_fix_and_finding(host):
    """It also has the transaction and the hash of the script."""
    fix = host.fix()
    line = RemoteFix(fix, TRANSACTION, FixOptions(who="alice@ws"))._log_line("applies")

    said = f"alice@ws applies attach-vlan for NET-001@here/br0 (transaction {TRANSACTION}, script sha256 {fix.sha256})"
    assert line == f"'{said}'"
    with_reason = RemoteFix(fix, TRANSACTION, FixOptions(who="alice@ws", reason="ticket 12's"))._log_line("applies")
    assert shlex.split(with_reason) == [f"{said[:-1]}, reason: ticket 12's)"]
