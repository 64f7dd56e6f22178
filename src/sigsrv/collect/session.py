"""Sessions: everything that sigsrv does on a host goes through one session, with one timeout for all of it.

The common interface of the transports: ssh (collect.connection), this machine (``local://``), other testinfra backends.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import testinfra
from testinfra.backend import BACKENDS
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from sigsrv.collect.evidence import Failure
from sigsrv.collect.probes import SOCKET
from sigsrv.collect.target import Target
from sigsrv.model.errors import FailureKind

LIMIT_OUTPUT_BYTES = 256 * 1024 * 1024
# Called with each piece of output: 1 (stdout) or 2 (stderr), and the bytes.
OutputCallback = Callable[[int, bytes], None]


class ConnectionFailed(Exception):
    """The connection to the host failed or was lost. failure: kind and reason. output: what had arrived before."""

    def __init__(self, failure: Failure, output: bytes = b"") -> None:
        super().__init__(failure.reason)
        self.failure = failure
        self.output = output


OPEN: dict[str, Session] = {}  # by host name; a user's own testinfra check runs through these sessions


class Session(ABC):
    """A connection to one host, used as ``with session as session``. Entering it raises ConnectionFailed if that fails.

    socket: the path of the Incus daemon's unix socket on this machine; None if it is not forwarded.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.deadline = time.monotonic() + target.timeout_s
        self.socket: Path | None = None

    @property
    def remaining_s(self) -> float:
        """Return the remaining time of the session in seconds, at least 0.1."""
        return max(0.1, self.deadline - time.monotonic())

    @property
    def time_is_up(self) -> bool:
        """Return whether the session's time is up. ``remaining_s`` is never 0, so it does not show this."""
        return time.monotonic() >= self.deadline

    def extend(self, seconds: float) -> None:
        """Set the remaining time of the session. Used for work after the collection of evidence."""
        self.deadline = time.monotonic() + seconds

    def __enter__(self) -> Session:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        OPEN[self.target.name] = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session and everything that still runs through it. A second call does nothing."""
        if OPEN.get(self.target.name) is self:
            del OPEN[self.target.name]
        self._close()

    @abstractmethod
    def _open(self) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...

    @abstractmethod
    def run(
        self,
        command: str,
        timeout_s: float,
        stdin: bytes = b"",
        on_output: OutputCallback | None = None,
        limit_bytes: int = LIMIT_OUTPUT_BYTES,
    ) -> tuple[int, bytes, bytes]:
        """Run one command line on the host; return its exit status, standard output and standard error.

        on_output: called with the output as it arrives. limit_bytes: a command that writes more is ended, and its output is a little
        longer than the limit. Raises ConnectionFailed if the connection is lost or the time is up.
        """

    def host(self) -> Host:
        """Return a testinfra host that runs its commands through this session."""
        register_backend()
        target = self.target
        return testinfra.get_host(
            f"{SessionBackend.NAME}://{target.name}", sudo=target.sudo, sudo_user=target.sudo_user
        )


class LocalSession(Session):
    """This machine, without a login."""

    def _open(self) -> None:
        self.socket = Path(SOCKET)

    def _close(self) -> None:
        """Do nothing: nothing is open."""

    def run(
        self,
        command: str,
        timeout_s: float,
        stdin: bytes = b"",
        on_output: OutputCallback | None = None,
        limit_bytes: int = LIMIT_OUTPUT_BYTES,
    ) -> tuple[int, bytes, bytes]:
        return run_bounded(self.target.name, ["/bin/sh", "-c", command], timeout_s, stdin, on_output, limit_bytes)


class TestinfraSession(Session):
    """Any other testinfra backend (``--connection``). The API is read with ``incus query`` on the host."""

    __test__ = False  # pytest must not collect it, although its name starts with Test

    def _open(self) -> None:
        target = self.target
        try:
            self._backend = testinfra.get_host(
                target.destination,
                connection=target.connection,
                ssh_config=target.ssh_config,
                ssh_identity_file=target.identity_file,
            ).backend
        except (RuntimeError, ImportError, TypeError) as cause:
            reason = f"{target.name}: testinfra's connection {target.connection}: {cause}"
            raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, reason)) from cause

    def _close(self) -> None:
        """Do nothing: testinfra keeps no connection open."""

    def run(
        self,
        command: str,
        timeout_s: float,
        stdin: bytes = b"",
        on_output: OutputCallback | None = None,
        limit_bytes: int = LIMIT_OUTPUT_BYTES,  # noqa: ARG002  a backend of testinfra returns the whole output
    ) -> tuple[int, bytes, bytes]:
        if stdin:
            reason = f"{self.target.name}: testinfra's connection {self.target.connection} can't send standard input"
            raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, reason))
        caught: list[CommandResult | Exception] = []

        def call() -> None:
            try:
                caught.append(self._backend.run(command))
            except Exception as cause:  # any exception of a backend means that the host can't be reached
                caught.append(cause)

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(timeout_s)
        if not caught:
            failure = Failure(FailureKind.TIMEOUT, f"{self.target.name}: no answer in {timeout_s:.0f} s")
            raise ConnectionFailed(failure)
        if isinstance(caught[0], Exception):
            line = " ".join(str(caught[0]).split())[:200]
            raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, f"{self.target.name}: {line}")) from caught[0]
        if on_output:
            on_output(1, caught[0].stdout_bytes)
        return caught[0].rc, caught[0].stdout_bytes, caught[0].stderr_bytes


class SessionBackend(BaseBackend):  # type: ignore[misc]  # testinfra has no types
    """The testinfra backend for the open session of a host. testinfra's own ssh backend shares no connection and has no timeout.

    A command may use the remaining time of the session. Raises ConnectionFailed if the time is up or the host is unreachable.
    """

    NAME = "sigsrv"

    def __init__(self, hostspec: str, sudo: bool = False, sudo_user: str | None = None, **_: Any) -> None:
        super().__init__(hostspec, sudo=sudo, sudo_user=sudo_user)

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        session = OPEN.get(self.hostname)
        if session is None:
            raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, f"{self.hostname} is not reachable"))
        line = self.get_command(command, *args)
        rc, out, err = session.run(line, session.remaining_s)
        return self.result(rc, line.encode(), out, err)


def register_backend() -> None:
    """Register ``sigsrv://HOST`` with testinfra."""
    BACKENDS[SessionBackend.NAME] = f"{SessionBackend.__module__}.{SessionBackend.__qualname__}"


def close_all() -> None:
    """End all sessions. Calls that wait for them end too."""
    for session in list(OPEN.values()):
        session.close()


def run_bounded(
    name: str,
    argv: list[str],
    timeout_s: float,
    stdin: bytes,
    on_output: OutputCallback | None = None,
    limit_bytes: int = LIMIT_OUTPUT_BYTES,
) -> tuple[int, bytes, bytes]:
    """Run ``bounded``. Raises ConnectionFailed for host ``name`` when the time is up."""
    try:
        return bounded(argv, timeout_s, limit_bytes, stdin, on_output)
    except subprocess.TimeoutExpired as cause:
        failure = Failure(FailureKind.TIMEOUT, f"{name}: no answer in {timeout_s:.0f} s")
        raise ConnectionFailed(failure, cause.output or b"") from cause


def bounded(
    argv: list[str], timeout_s: float, limit_bytes: int, stdin: bytes = b"", on_output: OutputCallback | None = None
) -> tuple[int, bytes, bytes]:
    """Run a local command with limited time and output; return its exit status, standard output and standard error.

    on_output: called with the output as it arrives, from one thread per stream. A command that writes more than
    ``limit_bytes`` is killed and its output is truncated.

    Raises subprocess.TimeoutExpired with the output that had arrived.
    """
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pipes = (process.stdout, process.stderr)
    caught: list[bytearray] = [bytearray(), bytearray()]

    def drain(stream: int) -> None:
        pipe = pipes[stream]
        while pipe and (chunk := pipe.read1(65536)):  # type: ignore[attr-defined]
            caught[stream] += chunk
            if on_output:
                on_output(stream + 1, chunk)
            if len(caught[stream]) > limit_bytes:
                process.kill()
                break

    threads = [threading.Thread(target=drain, args=(stream,), daemon=True) for stream in (0, 1)]
    for thread in threads:
        thread.start()
    try:
        with contextlib.suppress(BrokenPipeError):
            assert process.stdin
            process.stdin.write(stdin)
            process.stdin.close()
        rc = process.wait(timeout_s)
        for thread in threads:
            thread.join(1)
        return rc, bytes(caught[0]), bytes(caught[1])
    except subprocess.TimeoutExpired as cause:
        raise subprocess.TimeoutExpired(argv, timeout_s, bytes(caught[0]), bytes(caught[1])) from cause
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for thread in threads:
            thread.join(1)
        for pipe in pipes:
            if pipe:
                pipe.close()
