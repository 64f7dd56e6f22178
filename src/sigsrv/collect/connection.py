"""One ssh login to a host, shared by everything that is done there, closed at the end.

OpenSSH does the login with the user's own configuration and known_hosts. A master process holds the connection; commands and the
forwarded socket of Incus go through it (ssh_config(5), ControlMaster; ssh(1), -L). Host keys are checked as the user's
configuration says; nothing is ever asked (BatchMode).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from sigsrv.collect.evidence import Failure
from sigsrv.collect.session import ConnectionFailed, LocalSession, Seen, Session, TestinfraSession, run_bounded
from sigsrv.collect.target import Target
from sigsrv.model.errors import FailureKind

CONNECT_S = 6


def open_session(target: Target, forward: str | None = None) -> Session:
    """The session of a target, to be entered. forward: a unix socket on the host that is to be reachable here."""
    if target.connection == "ssh":
        return SshSession(target, forward)
    return LocalSession(target) if target.connection == "local" else TestinfraSession(target)


class SshSession(Session):
    """A host over ssh: one login, however much is done."""

    def __init__(self, target: Target, forward: str | None = None) -> None:
        super().__init__(target)
        self._forward = forward
        self._folder = Path(tempfile.mkdtemp(prefix="sigsrv-"))  # short: a unix socket's path has 107 bytes
        self._master: subprocess.Popen[bytes] | None = None
        self._control = self._folder / "c"

    def _ssh(self) -> list[str]:
        """The part of the command line that each ssh(1) of this session has."""
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
        self, command: str, timeout_s: float, stdin: bytes = b"", seen: Seen | None = None
    ) -> tuple[int, bytes, bytes]:
        # Never a login of its own: where the master is gone, the proxy command fails.
        shared = [*self._ssh(), "-S", str(self._control), "-o", "ControlMaster=no", "-o", "ProxyCommand=/bin/false"]
        rc, out, err = run_bounded(
            self.target.name, [*shared, "--", self.target.destination, command], timeout_s, stdin, seen
        )
        if rc == 255:  # ssh's own failure (ssh(1), EXIT STATUS)
            line = err.decode("utf-8", "replace").strip().splitlines()[-1:] or ["the connection broke"]
            if self.time_is_up:  # we cut it ourselves: ssh's own words of that mean nothing to anybody
                line = [f"not done in {self.target.timeout_s:g} s (--timeout)"]
            raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, f"{self.target.name}: {line[0]}"), out)
        return rc, out, err


def _last_line(path: Path, destination: str) -> str:
    """What ssh said last: its own reason, one line."""
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"ssh {destination}: ended without a word"
