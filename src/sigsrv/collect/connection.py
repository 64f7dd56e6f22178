"""Opens one ssh login to a host. Everything that sigsrv does on the host goes through it; it closes at the end.

OpenSSH logs in with the user's own configuration and known_hosts. A master process keeps the connection open; commands and
the forwarded Incus socket go through it (ssh_config(5), ControlMaster; ssh(1), -L). The user's configuration decides how
host keys are checked. ssh never asks a question (BatchMode).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from sigsrv.collect.evidence import Failure
from sigsrv.collect.session import (
    LIMIT_OUTPUT_BYTES,
    ConnectionFailed,
    LocalSession,
    OutputCallback,
    Session,
    TestinfraSession,
    run_bounded,
)
from sigsrv.collect.target import Target
from sigsrv.model.errors import FailureKind

CONNECT_S = 6


def open_session(target: Target, forward: str | None = None) -> Session:
    """Return the session of a target; enter it to connect. forward: a unix socket on the host, to be forwarded to this machine."""
    if target.connection == "ssh":
        return SshSession(target, forward)
    return LocalSession(target) if target.connection == "local" else TestinfraSession(target)


class SshSession(Session):
    """A host over ssh, with a single login."""

    def __init__(self, target: Target, forward: str | None = None) -> None:
        super().__init__(target)
        self._forward = forward
        # Short, because the path of a unix socket has at most 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="sigsrv-"))
        self._master: subprocess.Popen[bytes] | None = None
        self._control = self._folder / "c"

    def _ssh(self) -> list[str]:
        """Return the start of the command line, the same for each ssh(1) of this session."""
        target = self.target
        options = ["BatchMode=yes", "RequestTTY=no", "RemoteCommand=none", "PermitLocalCommand=no"]
        options += ["ForwardAgent=no", "ForwardX11=no", f"ConnectTimeout={CONNECT_S}"]
        config = ["-F", target.ssh_config] if target.ssh_config else []
        identity = ["-i", target.identity_file] if target.identity_file else []
        port = ["-p", str(target.port)] if target.port else []
        return ["ssh", *config, *identity, *port, *[word for option in options for word in ("-o", option)]]

    def _open(self) -> None:
        argv = [*self._ssh(), "-N", "-M", "-S", str(self._control), "-o", "ControlPersist=no"]
        argv += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=2", "-o", "ExitOnForwardFailure=no"]
        if self._forward:
            self.socket = self._folder / "s"
            argv += ["-L", f"{self.socket}:{self._forward}"]
        stderr = self._folder / "stderr"
        try:
            with stderr.open("wb") as log:
                self._master = subprocess.Popen(
                    [*argv, "--", self.target.destination],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )
        except FileNotFoundError as cause:
            reason = "ssh is not installed here: apt-get install openssh-client"
            raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, reason)) from cause
        end = time.monotonic() + min(CONNECT_S + 2, self.remaining_s)
        while not self._control.exists():
            if self._master.poll() is not None:
                raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, _last_line(stderr, self.target.destination)))
            if time.monotonic() > end:
                reason = f"ssh {self.target.destination}: no login in {CONNECT_S + 2} s"
                raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, reason))
            time.sleep(0.005)

    def _close(self) -> None:
        if self._master and self._master.poll() is None:
            self._master.terminate()
            try:
                self._master.wait(2)
            except subprocess.TimeoutExpired:
                self._master.kill()
                self._master.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(
        self,
        command: str,
        timeout_s: float,
        stdin: bytes = b"",
        on_output: OutputCallback | None = None,
        limit_bytes: int = LIMIT_OUTPUT_BYTES,
    ) -> tuple[int, bytes, bytes]:
        # Without its master ssh would log in again. The proxy command makes that fail.
        shared = [*self._ssh(), "-S", str(self._control), "-o", "ControlMaster=no", "-o", "ProxyCommand=/bin/false"]
        rc, out, err = run_bounded(
            self.target.name,
            [*shared, "--", self.target.destination, command],
            timeout_s,
            stdin,
            on_output,
            limit_bytes,
        )
        if rc == 255:  # ssh's own failure (ssh(1), EXIT STATUS)
            line = err.decode("utf-8", "replace").strip().splitlines()[-1:] or ["the connection was lost"]
            if self.time_is_up:  # sigsrv closed the connection, so ssh's own message would mislead
                line = [f"not finished in {self.target.timeout_s:g} s (--timeout)"]
            raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, f"{self.target.name}: {line[0]}"), out)
        return rc, out, err


def _last_line(path: Path, destination: str) -> str:
    """Return the last line that ssh printed, which is its reason."""
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"ssh {destination}: ssh ended without a message"
