"""Standard input, output and error that may be closed or full.

A command never stops because nobody reads its output: a scan still writes its report, and a fix is still verified. What could not be
written is lost, and the command says so at its end.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from typing import Any


class _Sink(io.FileIO):
    """A file descriptor that takes everything. lost: the first error of a write; all later output goes nowhere."""

    lost: OSError | None = None

    def write(self, content: Any, /) -> int:
        while self.lost is None:
            try:
                written = super().write(content)
            except OSError as cause:
                self.lost = cause
                break
            if written is not None:
                return written
            select.select([], [self], [])  # a pipe that does not block, and is full
        return memoryview(content).nbytes


@contextlib.contextmanager
def tolerant_streams() -> Iterator[Callable[[], OSError | None]]:
    """Replace the standard streams by ones that never fail. Yields a function: it flushes standard output and returns its first error.

    Streams that are not the process's own stay: a test, or a program that calls the command, has replaced them.
    """
    _open_closed_descriptors()
    before = sys.stdin, sys.stdout, sys.stderr
    sinks: dict[str, _Sink] = {}
    for number, name in ((1, "stdout"), (2, "stderr")):
        given = getattr(sys, name)
        if given is getattr(sys, f"__{name}__"):
            sinks[name] = _Sink(number, "wb", closefd=False)
            stream = io.TextIOWrapper(
                io.BufferedWriter(sinks[name]),
                encoding=given.encoding if given else "utf-8",
                errors="backslashreplace",
                line_buffering=number == 2 or sinks[name].isatty(),
            )
            setattr(sys, name, stream)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  as long as the process

    def lost_output() -> OSError | None:
        sys.stdout.flush()
        return sinks["stdout"].lost if "stdout" in sinks else None

    try:
        yield lost_output
    finally:
        for name in sinks:
            getattr(sys, name).flush()
        sys.stdin, sys.stdout, sys.stderr = before


def _open_closed_descriptors() -> None:
    """Open each closed standard descriptor, so that no file or connection gets its number.

    Standard output and error are opened for reading only: a write to them fails, as it should.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError as cause:
            if cause.errno != errno.EBADF:
                raise
            os.open(os.devnull, os.O_RDONLY)  # the lowest free number is this one
