"""What everything that is done on a host goes through: one session, with one time for all of it.

The seam between the ways to a host: ssh (collect.connection), this very host (``local://``), any other backend of testinfra.
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

_OUTPUT_LIMIT = 256 * 1024 * 1024
Seen = Callable[[int, bytes], None]  # gets what a command writes as it comes: 1 or 2, and a piece


class ConnectionFailed(Exception):
    """The way to the host is not there, or broke. failure: the kind and one line; output: what had come until then."""

    def __init__(self, failure: Failure, output: bytes = b"") -> None:
        super().__init__(failure.reason)
        self.failure = failure
        self.output = output


OPEN: dict[str, Session] = {}  # by the host's name: what a testinfra check of the user's runs through


class Session(ABC):
    """One host, reached; ``with session as session``. Raises ConnectionFailed on entry where there is no way to it.

    socket: the Incus daemon's unix socket as it is reachable here; None where it is not forwarded.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.deadline = time.monotonic() + target.timeout_s
        self.socket: Path | None = None

    @property
    def remaining_s(self) -> float:
        """What is left of the target's time."""
        return max(0.1, self.deadline - time.monotonic())

    @property
    def time_is_up(self) -> bool:
        """Whether nothing is left of it: ``remaining_s`` always leaves a moment."""
        return time.monotonic() >= self.deadline

    def extend(self, seconds: float) -> None:
        """Give the session so many seconds from now on: for what is done after its host was read."""
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
        """End the session; what still runs through it ends too. A second time does nothing."""
        if OPEN.get(self.target.name) is self:
            del OPEN[self.target.name]
        self._close()

    @abstractmethod
    def _open(self) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...

    @abstractmethod
    def run(
        self, command: str, timeout_s: float, stdin: bytes = b"", seen: Seen | None = None
    ) -> tuple[int, bytes, bytes]:
        """Run one command line on the host; its exit status, standard output and error. seen: gets its output as it comes.

        Raises ConnectionFailed where the connection is gone or time is up.
        """

    def host(self) -> Host:
        """testinfra's host, which runs its commands through this session."""
        register_backend()
        target = self.target
        return testinfra.get_host(
            f"{SessionBackend.NAME}://{target.name}", sudo=target.sudo, sudo_user=target.sudo_user
        )


class LocalSession(Session):
    """This very host: no login."""

    def _open(self) -> None:
        self.socket = Path(SOCKET)

    def _close(self) -> None:
        """Nothing is open."""

    def run(
        self, command: str, timeout_s: float, stdin: bytes = b"", seen: Seen | None = None
    ) -> tuple[int, bytes, bytes]:
        return run_bounded(self.target.name, ["/bin/sh", "-c", command], timeout_s, stdin, seen)


class TestinfraSession(Session):
    """Any other backend of testinfra (``--connection``): what it means is testinfra's to say. The API is asked on the host."""

    __test__ = False  # not a test, whatever its name begins with

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
        """testinfra keeps no connection that could be closed."""

    def run(
        self, command: str, timeout_s: float, stdin: bytes = b"", seen: Seen | None = None
    ) -> tuple[int, bytes, bytes]:
        if stdin:
            reason = f"{self.target.name}: testinfra's connection {self.target.connection} has no standard input"
            raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, reason))
        caught: list[CommandResult | Exception] = []

        def call() -> None:
            try:
                caught.append(self._backend.run(command))
            except Exception as cause:  # whatever a backend raises: there is no way to the host
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
        if seen:
            seen(1, caught[0].stdout_bytes)
        return caught[0].rc, caught[0].stdout_bytes, caught[0].stderr_bytes


class SessionBackend(BaseBackend):  # type: ignore[misc]  # testinfra has no types
    """testinfra's backend over the open session of a host. Its own ssh backend shares no connection and knows no time limit.

    A command may take what is left of the session's time. Raises ConnectionFailed where that is up or the host is not reached.
    """

    NAME = "sigsrv"

    def __init__(self, hostspec: str, sudo: bool = False, sudo_user: str | None = None, **_: Any) -> None:
        super().__init__(hostspec, sudo=sudo, sudo_user=sudo_user)

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        session = OPEN.get(self.hostname)
        if session is None:
            raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, f"{self.hostname} could not be reached"))
        line = self.get_command(command, *args)
        rc, out, err = session.run(line, session.remaining_s)
        return self.result(rc, line.encode(), out, err)


def register_backend() -> None:
    """Make ``sigsrv://HOST`` known to testinfra."""
    BACKENDS[SessionBackend.NAME] = f"{SessionBackend.__module__}.{SessionBackend.__qualname__}"


def close_all() -> None:
    """End all sessions: what waits for them ends."""
    for session in list(OPEN.values()):
        session.close()


def run_bounded(
    name: str, argv: list[str], timeout_s: float, stdin: bytes, seen: Seen | None = None
) -> tuple[int, bytes, bytes]:
    """``bounded``, whose time-out is the failure of a host."""
    try:
        return bounded(argv, timeout_s, _OUTPUT_LIMIT, stdin, seen)
    except subprocess.TimeoutExpired as cause:
        failure = Failure(FailureKind.TIMEOUT, f"{name}: no answer in {timeout_s:.0f} s")
        raise ConnectionFailed(failure, cause.output or b"") from cause


def bounded(
    argv: list[str], timeout_s: float, limit_bytes: int, stdin: bytes = b"", seen: Seen | None = None
) -> tuple[int, bytes, bytes]:
    """Run a local command; its exit status, standard output and error. Its output and its time have bounds.

    seen: gets its output as it comes, from a thread for each of the two streams.

    Raises subprocess.TimeoutExpired (with what had come until then); what exceeds ``limit_bytes`` ends the command and is cut off.
    """
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pipes = (process.stdout, process.stderr)
    caught: list[bytearray] = [bytearray(), bytearray()]

    def drain(which: int) -> None:
        pipe = pipes[which]
        while pipe and (chunk := pipe.read1(65536)):  # type: ignore[attr-defined]
            caught[which] += chunk
            if seen:
                seen(which + 1, chunk)
            if len(caught[which]) > limit_bytes:
                process.kill()
                break

    threads = [threading.Thread(target=drain, args=(which,), daemon=True) for which in (0, 1)]
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
