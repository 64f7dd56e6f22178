"""Reads the answers of probes from the output of their script, in one pass and as it arrives."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Sequence

from sigsrv.collect.evidence import Answer, Failure
from sigsrv.collect.probes import Probe, readable
from sigsrv.collect.script import ROOM_BYTES
from sigsrv.model.errors import FailureKind

HOST_BYTES = 64 * 1024 * 1024  # of the output of a script, whatever its probes may print
_BANNER_BYTES = 64 * 1024  # what a login shell may print
_HEADER_BYTES = 120
# timeout(1): 124 after its SIGTERM (143 in busybox), 137 after its SIGKILL; 137 also if something else killed the program.
_TIME_IS_UP = (124, 143)


def limit_bytes(probes: Iterable[Probe]) -> int:
    """Return how many bytes a host may send in answer to the script of these probes."""
    return min(HOST_BYTES, _BANNER_BYTES + sum(_HEADER_BYTES + _frame_bytes(probe) for probe in probes))


def _frame_bytes(probe: Probe) -> int:
    """Return the largest count in a header of the probe's frame: base64 has 77 characters for 57 bytes."""
    return (probe.limit_bytes + ROOM_BYTES) // 57 * 77 + 77


class AnswerReader:
    """Reads frames (see ``collect.script``). The output may begin with the banner of a login shell.

    A header that the script can't have written ends the reading. So a host can't keep the reader busy, whatever it sends.
    """

    def __init__(
        self, probes: Sequence[Probe], word: str, on_answer: Callable[[str, Answer], None] = lambda *_: None
    ) -> None:
        """word: that of the script. on_answer: called with each probe's ID and answer when it arrives."""
        self._probes = {probe.id: probe for probe in probes}
        self._limit_bytes = limit_bytes(probes)
        self._mark = word.encode()
        self._on_answer = on_answer
        self._found: dict[str, Answer] = {}
        self._buffer = bytearray()
        self._frame: tuple[Probe, int] | None = None  # the frame that is arriving, and its count
        self._is_broken = False
        self._received_bytes = 0
        self._banner = bytearray()

    @property
    def banner(self) -> bytes:
        """Return the end of what came before the first frame."""
        return bytes(self._banner if self._found else self._banner + self._buffer)

    @property
    def has_answers(self) -> bool:
        """Return whether the answer of any probe has arrived."""
        return bool(self._found)

    def take(self, piece: bytes) -> None:
        """Read the next piece of the output."""
        self._received_bytes += len(piece)
        if not self._is_broken:
            self._buffer += piece
            while self._take_frame() if self._frame else self._take_header():
                pass

    def _take_header(self) -> bool:
        """Read up to the end of the next header. Return false if it has not arrived yet, or is not valid."""
        start = self._buffer.find(self._mark + b" ")
        skipped = start if start >= 0 else max(0, len(self._buffer) - len(self._mark))
        if not self._found:
            self._banner = (self._banner + self._buffer[:skipped])[-4096:]
        del self._buffer[:skipped]
        line, end, _ = bytes(self._buffer[:_HEADER_BYTES]).partition(b"\n")
        if start < 0 or (not end and len(line) < _HEADER_BYTES):
            return False
        match = re.fullmatch(rb"\w+ ([a-z0-9-]+) ([0-9]{1,9})", line)
        probe = self._probes.get(match[1].decode()) if match else None
        if not match or not probe or probe.id in self._found:
            self._is_broken = True
            self._buffer.clear()
            return False
        del self._buffer[: len(line) + 1]
        self._frame = probe, int(match[2])
        return True

    def _take_frame(self) -> bool:
        """Read the frame whose header was read. Return false if its end has not arrived yet."""
        assert self._frame
        probe, count = self._frame
        if len(self._buffer) < count:
            return False
        self._found[probe.id] = _answer(probe, self._mark, bytes(self._buffer[:count]))
        del self._buffer[:count]
        self._frame = None
        self._on_answer(probe.id, self._found[probe.id])
        return True

    def answers(self, broke: Failure | None = None) -> dict[str, Answer]:
        """Return the answer of each probe. A missing answer is a failure of its probe, never an empty answer.

        broke: why the output may have ended early.
        """
        return {
            name: self._found.get(name) or Answer(probe.shell, failure=self._missing(probe, broke))
            for name, probe in self._probes.items()
        }

    def _missing(self, probe: Probe, broke: Failure | None) -> Failure:
        if self._received_bytes > self._limit_bytes:
            reason = f"probe {probe.id}: the host sent more than {readable(self._limit_bytes)} before the answer was complete"
            return Failure(FailureKind.TOO_LARGE, reason)
        if broke and broke.kind is FailureKind.TIMEOUT:
            return Failure(broke.kind, f"probe {probe.id} (`{probe.shell}`): {broke.reason}")
        return broke or Failure(FailureKind.GARBLED, f"probe {probe.id}: the answer is incomplete")


def _answer(probe: Probe, mark: bytes, frame: bytes) -> Answer:
    """Return the answer in the content of a frame. mark: the word of the script."""
    line = b"\n" + mark + b" "
    try:
        raw = binascii.a2b_base64(frame.translate(None, b"\n"), strict_mode=True)
        if len(raw) == probe.limit_bytes + ROOM_BYTES:
            return Answer(probe.shell, failure=_too_large(probe))
        body, _, last = raw.rpartition(line)
        start = len(body) - _number(last)
        out, _, reader = body[:start].rpartition(line)
        passed_on = _number(reader)
        stderr = body[start:].decode("utf-8", "replace").strip()
    except ValueError:  # also binascii.Error
        return Answer(probe.shell, failure=Failure(FailureKind.GARBLED, f"probe {probe.id}: the answer is damaged"))
    at = out.rfind(line)
    ended = re.compile(rb"([0-9]{1,3})\n").match(out, at + len(line)) if at >= 0 else None
    status = int(ended[1]) if ended else None
    out = out[:at] if ended else out
    failure = _failure(probe, len(out), status, passed_on, stderr)
    stdout = ""
    if failure is None:
        try:
            stdout = out.decode("utf-8")
        except UnicodeDecodeError as cause:
            reason = f"probe {probe.id}: the output is not UTF-8 (byte {cause.start})"
            failure = Failure(FailureKind.GARBLED, reason)
    return Answer(probe.shell, status, stdout, stderr, failure)


def _number(line: bytes) -> int:
    """Return the number in a line of the script. Raises ValueError for anything else."""
    if not re.fullmatch(rb"[0-9]{1,6}\n", line):
        raise ValueError("not a number")
    return int(line)


def _too_large(probe: Probe) -> Failure:
    return Failure(FailureKind.TOO_LARGE, f"probe {probe.id}: the output is larger than {probe.limit}")


def _failure(probe: Probe, size_bytes: int, status: int | None, passed_on: int, stderr: str) -> Failure | None:
    """Return why an answer does not count; None if it does.

    status: the exit status of the program; None if it is missing. passed_on: that of the process that passed the output on.
    """
    name = f"probe {probe.id}"
    command = f"{name} (`{probe.shell}`)"
    if size_bytes > probe.limit_bytes:
        return _too_large(probe)
    if passed_on not in (0, *_TIME_IS_UP):
        return Failure(
            FailureKind.GARBLED, f"{name}: the answer is incomplete: the process that passed it on was killed"
        )
    if status in (None, 137) and passed_on in _TIME_IS_UP:
        reason = f"{command}: not finished in {probe.timeout_s} s, and not ended by SIGKILL: it hangs in the kernel. "
        return Failure(FailureKind.TIMEOUT, reason + "See `ps -eo pid,stat,wchan:32,args` on the host (state D)")
    if status is None:
        return Failure(FailureKind.GARBLED, f"{name}: the answer is incomplete: its exit status is missing")
    if status in (137, *_TIME_IS_UP):
        reason = f"not finished in {probe.timeout_s} s" + (", or it was killed" if status == 137 else "")
        return Failure(FailureKind.TIMEOUT, f"{command}: {reason}")
    if status == 127 and probe.root and "sudo" in stderr:
        return Failure(FailureKind.DENIED, f"{name} needs root, but sudo is not installed on the host")
    if status == 127 or (probe.root and "command not found" in stderr):
        return Failure(FailureKind.MISSING, f"{name}: command not found on the host: {probe.command[0]}")
    return None
