"""Tests commands of this machine with limited time and output, and the sessions that run them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sigsrv.collect.processes import CommandStopped, bounded
from sigsrv.collect.session import ConnectionFailed, LocalSession, TestinfraSession
from sigsrv.collect.target import Target
from sigsrv.model.errors import FailureKind
from tests.frozen import frozen
from tests.local_host import wait


def alive(pid: int) -> bool:
    """Return whether a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_command_has_limits_for_output_and_time():
    """A command that prints too much, or does not end, is killed."""
    rc, out, _ = bounded(["yes"], 10, 100_000)

    assert rc != 0
    assert 100_000 < len(out) < 300_000
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        bounded(["sh", "-c", "echo early; sleep 30"], 0.5, 1000)
    assert caught.value.output == b"early\n"


def test_input_and_both_outputs_are_whole():
    """All of them are larger than a pipe. The callback gets what is returned."""
    given, taken = os.urandom(3_000_000), {1: bytearray(), 2: bytearray()}
    command = ["sh", "-c", "tee /dev/stderr; exit 7"]
    rc, out, err = bounded(command, 20, 9_999_999, given, lambda stream, piece: taken[stream].extend(piece))

    assert (rc, out == given, err == given) == (7, True, True)
    assert (taken[1] == given, taken[2] == given) == (True, True)
    assert bounded(command, 20, 9_999_999, given, keep=False) == (7, b"", given)
    assert bounded(["true"], 20, 1000, given)[0] == 0, "a command that does not read its input"


def test_process_that_a_command_leaves_behind_is_not_waited_for():
    """It has a session of its own and keeps the outputs open."""
    began = time.monotonic()
    result = bounded(["sh", "-c", "setsid sleep 9 & echo out; echo err >&2"], 20, 1000)

    assert result == (0, b"out\n", b"err\n")
    assert time.monotonic() - began < 5


def test_whole_process_group_is_killed_when_the_time_is_up(tmp_path):
    """Nothing that the command started stays, also if it ignores SIGTERM."""
    code = f"trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >{tmp_path}/pid; sleep 30; sleep 30' & wait"
    with pytest.raises(subprocess.TimeoutExpired):
        bounded(["sh", "-c", code], 1, 1000)

    assert wait(lambda: not alive(int((tmp_path / "pid").read_text())))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Popen warns that it still runs
def test_program_that_hangs_in_the_kernel_is_not_waited_for(tmp_path):
    """SIGKILL does not end it, and it keeps the outputs open."""
    with frozen(tmp_path) as disk:
        began = time.monotonic()
        with pytest.raises(subprocess.TimeoutExpired):
            bounded([*disk.enter, "touch", f"{disk.folder}/file"], 1, 1000)
        assert time.monotonic() - began < 5
        gc.collect()  # the warning belongs to this test
        result = bounded([*disk.enter, "sh", "-c", f"touch {disk.folder}/file & echo out"], 20, 1000)

    assert result == (0, b"out\n", b"")
    assert time.monotonic() - began < 9


def test_command_ends_when_it_is_told_to():
    """An interrupt closes the sessions, so a scan ends at once."""
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(CommandStopped):
        bounded(["sleep", "30"], 20, 1000, stop=stop)

    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", [LocalSession, TestinfraSession])
def test_closed_session_ends_its_commands(kind):
    """The reason says whether the time of the host was up."""
    reasons = []
    for timeout_s, reason in (
        (0.3, "here: not finished in 0.3 s (--timeout)"),
        (60, "here: the connection was closed"),
    ):
        session = kind(Target("here", address="localhost", connection="local", timeout_s=timeout_s))
        with session:
            threading.Timer(0.5, session.close).start()
            began = time.monotonic()
            with pytest.raises(ConnectionFailed) as caught:
                session.run("sleep 30", 20)
        assert time.monotonic() - began < 5
        reasons.append((caught.value.failure.reason, reason))

    assert [found for found, _ in reasons] == [wanted for _, wanted in reasons]


@pytest.mark.parametrize("kind", [LocalSession, TestinfraSession])
def test_session_limits_time_and_output(kind):
    """The same for a session of testinfra, which only returns when a command has ended."""
    with kind(Target("here", address="localhost", connection="local")) as session:
        taken: list[bytes] = []
        _, out, _ = session.run(
            "yes | head -c 5000; echo err >&2", 20, on_output=lambda _, piece: taken.append(piece), limit_bytes=3000
        )
        assert 3000 < len(out) <= (3001 if kind is TestinfraSession else 5000)
        assert b"".join(taken)[:3001] == out[:3001]
        assert session.run("echo out", 20, keep=False)[1] == b""
        with pytest.raises(ConnectionFailed) as caught:
            session.run("sleep 30", 0.5)

    assert caught.value.failure.kind is FailureKind.TIMEOUT


def test_python_ends_although_a_backend_hangs():
    """The thread that waits for a backend of testinfra does not keep the program alive."""
    code = """
from sigsrv.collect.session import ConnectionFailed, TestinfraSession
from sigsrv.collect.target import Target
with TestinfraSession(Target("here", address="localhost", connection="local")) as session:
    try:
        session.run("exec sleep 20", 0.5)
    except ConnectionFailed:
        print("ended")
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False, timeout=19)

    assert done.stdout == "ended\n"
    assert time.monotonic() - began < 15
