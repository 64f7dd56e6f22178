"""Runs a command of this machine within limits of time and output."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable

# Called with each piece of output: 1 (stdout) or 2 (stderr), and the bytes.
OutputCallback = Callable[[int, bytes], None]
_PIECE_BYTES = 64 * 1024
_LOOK_S = 0.1  # how often it looks whether the command has ended although its output has not, or whether it has to stop


class CommandStopped(Exception):
    """A command was ended before its time."""


def bounded(
    argv: list[str],
    timeout_s: float,
    limit_bytes: int,
    stdin: bytes = b"",
    on_output: OutputCallback | None = None,
    keep: bool = True,
    stop: threading.Event | None = None,
) -> tuple[int, bytes, bytes]:
    """Run a local command with limited time and output; return its exit status, standard output and standard error.

    The command gets its own session and process group, which is killed when its time is up. A process that a command leaves behind
    with its output open is not waited for.

    on_output: called with the output as it arrives. keep: whether to return the standard output too. stop: ends the command when it
    is set. A command that writes more than ``limit_bytes`` is killed; its output is a little longer than that.

    Raises subprocess.TimeoutExpired with the output that had arrived, and CommandStopped.
    """
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    end = time.monotonic() + timeout_s
    try:
        with contextlib.closing(_Pipes(process, stdin, on_output, keep)) as pipes:
            while True:
                has_ended = (
                    process.poll() is not None
                )  # asked before the pipes are read, so they hold all that it wrote
                left = end - time.monotonic()
                if stop and stop.is_set():
                    raise CommandStopped
                if left <= 0 and not has_ended:
                    raise subprocess.TimeoutExpired(argv, timeout_s, bytes(pipes.caught[0]), bytes(pipes.caught[1]))
                has_moved = pipes.move(0 if has_ended else min(_LOOK_S, left))
                if max(pipes.received) > limit_bytes or (has_ended and not has_moved) or left <= 0:
                    break
    finally:
        if process.poll() is None:
            _kill(process)
    rc = -signal.SIGKILL if process.returncode is None else process.returncode
    return rc, bytes(pipes.caught[0]), bytes(pipes.caught[1])


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group of a command. A program that hangs in the kernel is not waited for."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)


class _Pipes:
    """The ends of a command's pipes on our side. caught, received: output and number of bytes of stdout and stderr."""

    def __init__(
        self, process: subprocess.Popen[bytes], stdin: bytes, on_output: OutputCallback | None, keep: bool
    ) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._process = process
        self._stdin = process.stdin
        self._unsent = memoryview(stdin)
        self._outputs = (process.stdout, process.stderr)
        self._on_output = on_output
        self._keeps = (keep, True)
        self._selector = selectors.DefaultSelector()
        self.caught = (bytearray(), bytearray())
        self.received = [0, 0]
        for number, pipe in enumerate(self._outputs):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, number)
        if stdin:
            os.set_blocking(self._stdin.fileno(), False)
            self._selector.register(self._stdin, selectors.EVENT_WRITE)
        else:
            self._stdin.close()

    def move(self, timeout_s: float) -> bool:
        """Send and receive what is possible now, or wait for it. Return whether anything happened before the time was up."""
        if not self._selector.get_map():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
            return False
        ready = self._selector.select(timeout_s)
        for key, _ in ready:
            if key.data is None:
                self._send()
            else:
                self._receive(key.data)
        return bool(ready)

    def _send(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._stdin.fileno(), self._unsent[:_PIECE_BYTES]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # the command reads no more
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._selector.unregister(self._stdin)
            self._stdin.close()

    def _receive(self, number: int) -> None:
        pipe = self._outputs[number]
        try:
            piece = os.read(pipe.fileno(), _PIECE_BYTES)
        except BlockingIOError:
            return
        if not piece:
            self._selector.unregister(pipe)
            return
        self.received[number] += len(piece)
        if self._keeps[number]:
            self.caught[number].extend(piece)
        if self._on_output:
            self._on_output(number + 1, piece)

    def close(self) -> None:
        """Close all pipes, also if another process has the other ends."""
        self._selector.close()
        for pipe in (self._stdin, *self._outputs):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
