"""Tests commands whose standard output or error is full, closed, or a pipe that nobody reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
FULL = Path("/dev/full")

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")

# A command, its exit status, and the number of lines that it writes to standard error anyway.
COMMANDS = [
    ("sigsrv --version", 0, 0),
    ("sigsrv explain NET-001", 0, 0),
    ("sigsrv scan --evidence demo -v --report-dir out", 3, 0),
    ("sigsrv init --evidence demo", 0, 3),
    ("sigsrv-remediate --history", 0, 0),
    ("sigsrv policies lint --policies none", 2, 1),
]


def run(command: str, state: str, tmp_path: Path) -> tuple[int, list[str]]:
    """Run a command with its standard output in a state; return the exit status and the lines of standard error."""
    program, *words = command.split()
    argv = [str(BIN / program), *words]
    env = {key: value for key, value in os.environ.items() if not key.startswith("SIGSRV")}
    options = {"cwd": tmp_path, "env": env, "stdin": subprocess.DEVNULL, "text": True, "check": False, "timeout": 60}
    if state == "closed":
        done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *argv], stderr=subprocess.PIPE, **options)
    elif state == "full":
        with FULL.open("w") as full:
            done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, **options)
    else:
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(argv, stdout=writer, stderr=subprocess.PIPE, **options)
        os.close(writer)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize(
    ("state", "said"),
    [("full", "No space left on device"), ("closed", "Bad file descriptor"), ("unread", "Broken pipe")],
)
@pytest.mark.parametrize(("command", "status", "lines"), COMMANDS, ids=lambda value: str(value)[:24])
def test_lost_output_is_one_line_and_an_exit_status(tmp_path, command, status, lines, state, said):
    """Full and closed turn 0 and 1 into 3. An unread pipe keeps the exit status: the reader had enough."""
    found, errors = run(command, state, tmp_path)

    nothing_lost = status == 2  # all of its output is on standard error
    assert found == (3 if status < 2 and state != "unread" else status)
    assert len(errors) == (lines if nothing_lost else lines + 1), errors
    if not nothing_lost:
        program = command.split()[0]
        assert errors[-1] == f"{program}: error: standard output: {said}; not all of it was written"
    if " scan " in command:
        assert json.loads((tmp_path / "out" / "latest" / "findings.json").read_text())["summary"]["fail"]


@pytest.mark.parametrize("redirect", ["2>/dev/full", "2>&-", "<&- 2>&- >&-"])
def test_lost_errors_do_not_change_the_exit_status(tmp_path, redirect):
    """Without standard error, wrong use is still 2, never 1, which means findings; and the error does not go to standard output."""
    for words, status in (
        ("explain NET-999", 2),
        ("scna", 2),
        ("explain NET-001", 3 if redirect.endswith(" >&-") else 0),
    ):
        done = subprocess.run(
            ["sh", "-c", f'"$@" {redirect}', "sh", str(BIN / "sigsrv"), *words.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        assert done.returncode == status
        assert status == 0 or done.stdout == ""
