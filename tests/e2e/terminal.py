"""Runs a command on a terminal of 80 columns and answers its questions, as a person does."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence

from tests.e2e.conftest import BIN, ROOT


def on_terminal(argv: Sequence[str], answers: Sequence[tuple[str, str]], timeout_s: float = 120) -> tuple[int, str]:
    """Run a command; return its exit status and what the terminal showed.

    answers: a text to wait for, and what to type then, in order.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    process = subprocess.Popen([BIN / argv[0], *argv[1:]], cwd=ROOT, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown, answered, left, end = "", 0, list(answers), time.monotonic() + timeout_s
    try:
        while time.monotonic() < end:
            if not select.select([master], [], [], 0.2)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                chunk = os.read(master, 4096)
            except OSError:  # the command has closed the terminal
                break
            shown += chunk.decode(errors="replace")
            while left and (place := shown.find(left[0][0], answered)) >= 0:
                answered = place + len(left[0][0])
                os.write(master, left.pop(0)[1].encode() + b"\n")
        return process.wait(10), shown.replace("\r\n", "\n")
    finally:
        process.kill()
        os.close(master)
