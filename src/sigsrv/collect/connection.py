"""collect.connection: one ssh login to a host, shared by everything that is done there, closed at the end.

Room: collect. May import errors and collect.evidence.

OpenSSH does the login with the user's own configuration and known_hosts. A master process holds the connection; commands and the
forwarded socket of Incus go through it (ssh_config(5), ControlMaster; ssh(1), -L). Host keys are checked as the user's
configuration says; nothing is ever asked (BatchMode).
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import testinfra
from testinfra.backend import BACKENDS
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from sigsrv.collect.evidence import Failure
from sigsrv.errors import FailureKind

CONNECT_S = 6
_OUTPUT_LIMIT = 256 * 1024 * 1024


class ConnectionFailed(Exception):
    """The way to the host is not there, or broke. failure: the kind and one line for a person."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


@dataclass(frozen=True)
class Target:
    """How a host is reached. address: what ssh(1) takes for a host, so a name of the user's ssh configuration too."""

    name: str
    address: str = ""
    ssh_config: str | None = None
    identity_file: str | None = None
    sudo: bool = False
    sudo_user: str | None = None
    timeout_s: float = 15.0

    @property
    def destination(self) -> str:
        return self.address or self.name

    def ssh(self) -> list[str]:
        """The part of the command line that each ssh(1) of this target has."""
        options = ["BatchMode=yes", "RequestTTY=no", "RemoteCommand=none", "PermitLocalCommand=no"]
        options += ["ForwardAgent=no", "ForwardX11=no", f"ConnectTimeout={CONNECT_S}"]
        config = ["-F", self.ssh_config] if self.ssh_config else []
        identity = ["-i", self.identity_file] if self.identity_file else []
        return ["ssh", *config, *identity, *[word for option in options for word in ("-o", option)]]


def bounded(argv: list[str], timeout_s: float, limit_bytes: int, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    """Run a local command; its exit status, standard output and error. Its output and its time have bounds.

    Raises subprocess.TimeoutExpired; what exceeds ``limit_bytes`` ends the command and is cut off.
    """
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pipes = (process.stdout, process.stderr)
    caught: list[bytearray] = [bytearray(), bytearray()]

    def drain(which: int) -> None:
        pipe = pipes[which]
        while pipe and (chunk := pipe.read1(65536)):  # type: ignore[attr-defined]
            caught[which] += chunk
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
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in pipes:
            if pipe:
                pipe.close()


class Session:
    """A host's one connection: ``with Session(target, forward=...) as session``.

    forward: a unix socket on the host that is to be reachable here as ``session.socket``.
    Raises ConnectionFailed on entry where there is no way to the host.
    """

    def __init__(self, target: Target, forward: str | None = None) -> None:
        self.target = target
        self.deadline = time.monotonic() + target.timeout_s
        self._forward = forward
        self._folder = Path(tempfile.mkdtemp(prefix="sigsrv-"))  # short: a unix socket's path has 107 bytes
        self._master: subprocess.Popen[bytes] | None = None
        self.control = self._folder / "c"
        self.socket = self._folder / "s"

    @property
    def remaining_s(self) -> float:
        """What is left of the target's time."""
        return max(0.1, self.deadline - time.monotonic())

    def __enter__(self) -> Session:
        argv = [*self.target.ssh(), "-N", "-M", "-S", str(self.control), "-o", "ControlPersist=no"]
        argv += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=2", "-o", "ExitOnForwardFailure=no"]
        argv += ["-L", f"{self.socket}:{self._forward}"] if self._forward else []
        stderr = self._folder / "stderr"
        try:
            with stderr.open("wb") as log:
                self._master = subprocess.Popen(
                    [*argv, "--", self.target.destination],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )
            self._await_login(stderr)
        except FileNotFoundError as cause:
            self.close()
            reason = "ssh is not installed here: apt-get install openssh-client"
            raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, reason)) from cause
        except BaseException:
            self.close()
            raise
        return self

    def _await_login(self, stderr: Path) -> None:
        assert self._master
        end = time.monotonic() + CONNECT_S + 2
        while not self.control.exists():
            if self._master.poll() is not None:
                raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, _last_line(stderr, self.target.destination)))
            if time.monotonic() > end:
                reason = f"ssh {self.target.destination}: no login in {CONNECT_S + 2} s"
                raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, reason))
            time.sleep(0.005)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; what still runs through it ends too."""
        if self._master and self._master.poll() is None:
            self._master.terminate()
            try:
                self._master.wait(2)
            except subprocess.TimeoutExpired:
                self._master.kill()
                self._master.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def shared(self) -> list[str]:
        """ssh(1) through this connection. Never a login of its own: where the master is gone, the proxy command fails."""
        return [*self.target.ssh(), "-S", str(self.control), "-o", "ControlMaster=no", "-o", "ProxyCommand=/bin/false"]

    def run(self, command: str, timeout_s: float, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
        """Run one command line on the host. Raises ConnectionFailed where the connection is gone or time is up."""
        try:
            argv = [*self.shared(), "--", self.target.destination, command]
            rc, out, err = bounded(argv, timeout_s, _OUTPUT_LIMIT, stdin)
        except subprocess.TimeoutExpired as cause:
            failure = Failure(FailureKind.TIMEOUT, f"{self.target.name}: no answer in {timeout_s:.0f} s")
            raise ConnectionFailed(failure) from cause
        if rc == 255:  # ssh's own failure (ssh(1), EXIT STATUS)
            line = err.decode("utf-8", "replace").strip().splitlines()[-1:] or ["the connection broke"]
            raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, f"{self.target.name}: {line[0]}"))
        return rc, out, err

    def host(self) -> Host:
        """testinfra's host, which runs its commands through this connection."""
        BACKENDS[OpensshBackend.NAME] = f"{OpensshBackend.__module__}.{OpensshBackend.__qualname__}"
        target = self.target
        address = f"{OpensshBackend.NAME}://{target.name}"
        return testinfra.get_host(address, sudo=target.sudo, sudo_user=target.sudo_user, session=self)


def _last_line(path: Path, destination: str) -> str:
    """What ssh said last: its own reason, one line."""
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"ssh {destination}: ended without a word"


class OpensshBackend(BaseBackend):  # type: ignore[misc]  # testinfra has no types
    """testinfra's backend over a Session. Its own ssh backend shares no connection, and sets no limit to a command's time.

    A command may take what is left of the session's time. Raises ConnectionFailed where that is up or the connection is gone.
    """

    NAME = "openssh"

    def __init__(
        self, hostspec: str, session: Session, sudo: bool = False, sudo_user: str | None = None, **_: Any
    ) -> None:
        super().__init__(hostspec, sudo=sudo, sudo_user=sudo_user)
        self._session = session

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        line = self.get_command(command, *args)
        rc, out, err = self._session.run(line, self._session.remaining_s)
        return self.result(rc, line.encode(), out, err)
