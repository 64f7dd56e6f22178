"""What runs on a host for a fix, run on this machine in a folder: armed, applied, confirmed, undone, and nothing left behind."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from sigsrv.collect.connection import open_session
from sigsrv.collect.target import Target
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.remote import NOTHING_THERE, FixOptions, RemoteFix, parse_state
from sigsrv.remediate.shell import CommandResult
from tests.fake_host import taken
from tests.local_host import Host, local_host, wait
from tests.test_remediate_journal import fill, small_disk

__all__ = ["small_disk"]


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", str(tmp_path))
    with local_host(tmp_path) as found:
        yield found


def timers(host: Host) -> list[str]:
    """The processes that would undo a fix of this host."""
    found = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if f"{host.folder}/" in line and "undo-once" in line]


@pytest.mark.parametrize("timer", RollbackTimer)
def test_what_is_confirmed_stays_and_leaves_nothing(host, timer):
    """Applied, its old values told, confirmed: the new state, and neither folder, unit nor timer."""
    remote = host.remote(timer=timer)

    result = host.call(remote.apply)
    assert (result.rc, result.stdout, host.state) == (0, "changed\n", "new"), result
    kept = host.call(remote.kept)
    assert parse_state(kept.stdout) == {"old": b"old\n"}
    assert bool(timers(host)) is (timer is RollbackTimer.SHELL)
    assert host.call(remote.confirm).rc == 0

    assert (host.state, host.left) == ("new", [])
    assert wait(lambda: not timers(host))


@pytest.mark.parametrize("timer", RollbackTimer)
def test_what_is_undone_is_as_it_was_and_leaves_nothing(host, timer):
    """Undone over a new login: the old state, and nothing on the host; a second time there is nothing to do."""
    remote = host.remote(timer=timer)
    host.call(remote.apply)

    result = host.call(remote.undo)

    assert result.rc == 0, result
    assert (host.state, host.left) == ("old", [])
    assert wait(lambda: not timers(host))
    assert host.call(remote.undo).stdout == f"{NOTHING_THERE}\n"


def test_nobody_confirms_and_the_host_undoes_it_in_time(host):
    """Whoever applied it is gone: within its time it is as it was, and whoever comes too late is told."""
    remote = host.remote(confirm_s=2)
    began = time.monotonic()
    host.call(remote.apply)
    assert host.state == "new"

    assert wait(lambda: host.left == [], 5)

    assert time.monotonic() - began < 2.5
    assert host.state == "old"
    assert "undone already: its time was up" in host.call(remote.confirm).stderr
    assert "undone already: its time was up" in host.call(remote.kept).stderr


def test_a_script_that_still_runs_when_its_time_is_up_is_stopped_first(host):
    """Script and undo never run at the same time: the script is ended, with all that it began, and then undone."""
    fix = host.fix(f"sh -c 'sleep 1.7; echo late >{host.file}'\n")
    remote = host.remote(fix, confirm_s=1.6)

    result = host.call(remote.apply)

    assert result.rc != 0
    assert wait(lambda: host.left == [], 5)
    time.sleep(1)
    assert host.state == "old"


def test_a_script_that_does_not_end_when_it_is_told_to_is_killed_before_it_is_undone(host):
    """Else its change would come after the undo, and stay for good."""
    fix = host.fix(
        f"trap '' TERM\ni=0\nwhile [ $i -lt 40 ]; do sleep 0.1 || true; i=$((i + 1)); done\necho late >{host.file}\n"
    )

    host.call(host.remote(fix, confirm_s=1.6).apply)

    assert wait(lambda: host.left == [], 8)
    time.sleep(3)
    assert host.state == "old"


def test_an_undo_that_is_killed_is_taken_up_by_who_comes_next(host):
    """The latch is the dead one's; whoever lives holds it alone."""
    fix = host.fix()
    slow = f'echo half >{host.file}\n[ -e "$SIGSRV_STATE/again" ] || {{ : >"$SIGSRV_STATE/again"; sleep 30; }}\n'
    remote = host.remote(replace(fix, undo=slow + fix.undo))
    host.call(remote.apply)
    once = subprocess.Popen(["sh", host.folder / "run" / "abc" / "undo-once.sh"], start_new_session=True)
    assert wait(lambda: host.state == "half")
    second = subprocess.run(["sh", host.folder / "run" / "abc" / "undo-once.sh"], check=False)
    assert (second.returncode, host.state) == (0, "half")

    for child in subprocess.run(
        ["pgrep", "-f", f"{host.folder}/run/abc/undo"], capture_output=True, text=True
    ).stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)
    once.wait()
    result = host.call(remote.undo)

    assert result.rc == 0, result
    assert (host.state, host.left) == ("old", [])


@pytest.mark.parametrize("line", ["false", 'echo "$never_set"'])
def test_a_script_ends_with_its_first_command_that_fails(host, line):
    """Also one that forgot set -eu."""
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
def test_the_reason_is_what_a_program_calls_its_error(out, err, reason):
    """Not the advice after it; else the last that it said."""
    assert CommandResult(1, out, err).reason == reason


def test_what_cuts_no_network_has_its_scripts_time_beside(host):
    """A container that restarts slowly is not undone while it does."""
    network, other = host.remote(), host.remote(host.fix(disruption="instance"))

    assert (network.deadline_s, other.deadline_s) == (60, 65)


def test_a_script_goes_on_when_its_connection_breaks(host):
    """Nobody reads its output any more: it runs to its end, and a new login sees what became of it."""
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


def killed_login(host: Host, call: str, until) -> None:
    """A login whose processes are all ended while it does something, as by an sshd that is stopped."""
    code = (
        f"from pathlib import Path\nfrom tests.local_host import Host\nhost = Host(Path({str(host.folder)!r}))\n{call}"
    )
    login = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    assert wait(until)
    os.killpg(login.pid, signal.SIGKILL)
    login.wait()


def test_a_script_outlives_the_login_that_began_it(host):
    """It is none of the processes of the login, and goes on to its end."""
    call = "host.call(host.remote(host.fix('sleep 1\\necho end\\n')).apply)"
    killed_login(host, call, lambda: host.state == "new")

    result = host.call(host.remote().follow)

    assert (result.rc, result.stdout) == (0, "changed\nend\n")


def test_an_undo_outlives_the_login_that_began_it(host):
    """Half of an undo would be between the old and the new state."""
    fix = host.fix()
    host.call(host.remote(replace(fix, undo=f"echo half >{host.file}\nsleep 1\n{fix.undo}")).apply)
    killed_login(host, "host.call(host.remote().undo)", lambda: host.state == "half")

    assert wait(lambda: host.left == [])
    assert host.state == "old"


def test_output_comes_while_the_script_runs(host):
    """Each line is shown when it is written, that of standard error too."""
    seen: list[tuple[str, float]] = []
    remote = host.remote(host.fix("echo late >&2\nsleep 1\necho end\n"))

    host.call(remote.apply, lambda line: seen.append((line, time.monotonic())))

    assert sorted(line for line, _ in seen) == ["changed", "end", "late"]
    times = dict(seen)
    assert times["end"] - times["changed"] > 0.7


def test_what_was_not_begun_is_told(host):
    """A connection that broke before anything came there: nothing is on the host, and nothing was done."""
    result = host.call(host.remote().follow)

    assert result.rc == RemoteFix.NOT_BEGUN
    assert (host.state, host.left) == ("old", [])


def test_half_of_the_code_does_nothing(host):
    """A connection that breaks while code is sent leaves a shell with half of a function: it runs none of it."""
    sent: list[bytes] = []

    class Session:
        target = Target("here")

        def run(self, command, timeout_s, stdin=b"", seen=None):
            sent.append(stdin)
            return 0, b"", b""

    host.remote().apply(Session())
    (whole,) = sent
    for size in range(0, len(whole) - len("\nmain\n"), 97):
        subprocess.run(["sh", "-s"], input=whole[:size], capture_output=True, check=False, cwd=host.folder)
        assert not (host.folder / "run").exists()


def test_where_the_timer_cannot_be_set_nothing_is_applied(host):
    """systemctl fails: refused before the script runs, and no unit stays behind."""
    (host.folder / "bin" / "systemctl").write_text('#!/bin/sh\n[ "$1" != start ]\n')

    result = host.call(host.remote(timer=RollbackTimer.UNIT).apply)

    assert result.rc == 1
    assert "refused: what undoes it by itself could not be set up; nothing was changed" in result.stderr
    assert (host.state, host.left) == ("old", [])


@pytest.mark.parametrize("timer", RollbackTimer)
def test_where_what_undoes_it_finds_no_room_nothing_is_applied(small_disk, host, timer):
    """The disk is full: no half of a script stays there that somebody might run."""
    fill(small_disk)

    result = host.call(host.remote(host.fix(survives_reboot=True), timer=timer).apply)

    assert "refused: what undoes it by itself could not be set up; nothing was changed" in result.stderr
    assert (result.rc, host.state, host.left) == (1, "old", ["disk/filler"])


def test_a_reboot_undoes_what_survives_it(host):
    """Of a unit on the disk all that is below /run may go: what it starts at the next boot undoes it, and takes itself away."""
    host.call(host.remote(timer=RollbackTimer.UNIT).apply)
    assert host.left[-2:] == ["units/sigsrv-undo-abc.service", "units/sigsrv-undo-abc.timer"]
    assert "systemctl --quiet enable sigsrv-undo-abc.service" in host.done
    subprocess.run(["rm", "-r", host.folder / "run"], check=True)
    service = (host.folder / "units" / "sigsrv-undo-abc.service").read_text()
    (command,) = [line.partition("=")[2] for line in service.splitlines() if line.startswith("ExecStart=")]

    subprocess.run(command.split(), check=True)

    assert (host.state, host.left) == ("old", [])
    assert "systemctl --quiet disable sigsrv-undo-abc.service" in host.done


@pytest.mark.parametrize("timer", [RollbackTimer.SHELL, RollbackTimer.TRANSIENT])
def test_who_comes_back_after_a_reboot_finds_what_undoes_a_change_that_survived_it(host, timer):
    """No timer of its own is there any more; the scripts and the old values lie on the disk."""
    remote = host.remote(host.fix(survives_reboot=True), timer=timer)
    host.call(remote.apply)
    for timer in host.folder.glob("run/*/timer"):
        os.killpg(int(timer.read_text()), signal.SIGKILL)
    subprocess.run(["rm", "-r", host.folder / "run"], check=True)
    assert host.state == "new"

    result = host.call(remote.undo)

    assert result.rc == 0, result
    assert (host.state, host.left) == ("old", [])


@pytest.mark.parametrize("end", ["confirm", "undo"])
def test_what_was_taken_off_the_disk_does_not_come_back_after_a_power_cut(host, end):
    """It would undo what was confirmed: the folders that held it are written to the disk when it is gone."""
    (host.folder / "bin" / "sync").write_text(
        '#!/bin/sh\nfor each; do\n  echo "$each: $(ls "$each" | tr "\\n" " ")" >>"$HERE/synced"\ndone\n'
    )
    (host.folder / "bin" / "sync").chmod(0o755)
    remote = host.remote(host.fix(survives_reboot=True), timer=RollbackTimer.UNIT)
    host.call(remote.apply)
    synced = taken(host.folder / "synced")
    assert f"{host.folder}/disk: abc " in synced
    assert f"{host.folder}/disk/abc: apply.sh state undo-once.sh undo.sh " in synced

    assert host.call(getattr(remote, end)).rc == 0

    synced = taken(host.folder / "synced")
    assert f"{host.folder}/units: " in synced
    assert synced[-1] == f"{host.folder}/disk: "


def test_units_are_what_systemd_takes(host):
    """systemd-analyze verify finds no fault with the units that are written."""
    if subprocess.run(["sh", "-c", "command -v systemd-analyze"], capture_output=True).returncode:
        pytest.skip("there is no systemd-analyze")
    host.call(host.remote(timer=RollbackTimer.UNIT).apply)
    units = [str(path) for path in sorted((host.folder / "units").iterdir())]

    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    timer = (host.folder / "units" / "sigsrv-undo-abc.timer").read_text()
    assert "OnActiveSec=55s\nAccuracySec=100ms\n" in timer


def test_a_timer_of_systemd_runs_what_undoes_it(host):
    """Without a unit on the disk systemd-run holds the time; what it was told to run undoes it."""
    host.call(host.remote(timer=RollbackTimer.TRANSIENT).apply)
    (line,) = [line for line in host.done if line.startswith("systemd-run")]
    assert "--unit=sigsrv-undo-abc --on-active=55s --timer-property=AccuracySec=100ms" in line

    subprocess.run(line.rpartition("RestartSec=5 ")[2].split(), check=True)

    assert (host.state, host.left) == ("old", [])


def test_an_undo_that_fails_is_told_and_leaves_what_it_takes(host):
    """Its folder stays, so that a person can look and it can be tried again."""
    remote = host.remote(host.fix(undo="echo no >&2\nexit 1\n"))
    host.call(remote.apply)

    result = host.call(remote.undo)

    assert (result.rc, result.reason) == (1, "no")
    assert "run/abc/undo.sh" in host.left
    assert "run/abc/decided" not in host.left


def test_old_values_come_back_whatever_they_are_called(host):
    """What the journal recorded is there again, byte by byte, for the undo that a later run makes."""
    old = {"key.user.a b": b"x\n\0y", "'$(reboot)'": b"", "-n": b"\xff"}
    script = f'cd "$SIGSRV_STATE"\nfor f in *; do cp -- "$f" "{host.folder}/got-$f"; done\n'

    host.call(host.remote(host.fix(script=script, undo="true"), state=old).apply)

    assert {path.name[4:]: path.read_bytes() for path in host.folder.glob("got-*")} == {**old, "old": b"old\n"}


@pytest.mark.parametrize("name", ["../x", "", ".", "a\0b"])
def test_names_of_old_values_that_are_paths_are_refused(name):
    """What was recorded comes from a host: it names files of one folder."""
    line = f"{base64.b64encode(name.encode()).decode()} {base64.b64encode(b'x').decode()}"
    with pytest.raises(ValueError, match="not the name of a file"):
        parse_state(line)


def test_the_folder_is_for_root_only(host):
    """Nobody else reads or changes what is armed."""
    host.call(host.remote(timer=RollbackTimer.UNIT).apply)

    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (host.folder / "disk" / "abc").iterdir()}
    assert set(modes.values()) <= {"0o600", "0o700"}
    assert (host.folder / "disk").stat().st_mode & 0o777 == 0o700


def test_who_did_what_is_in_the_hosts_syslog(host):
    """Who, which remediation for which finding, and the script's hash: one line for each thing done."""
    fix = host.fix()
    words = RemoteFix(fix, "abc", FixOptions(who="alice@ws"))._words("applies")

    assert words == f"'alice@ws applies attach-vlan for NET-001@here/br0 (transaction abc, script sha256 {fix.sha256})'"
