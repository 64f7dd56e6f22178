"""Starts a real sshd on a port of this machine."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.local_host import wait

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass(frozen=True)
class Sshd:
    """Represents an sshd on its own port. folder: its keys, configuration and pid file."""

    folder: Path
    port: int

    @property
    def start(self) -> str:
        return f"mkdir -p /run/sshd 2>/dev/null; {SSHD} -f {self.folder}/sshd_config"

    @property
    def cut(self) -> str:
        """Return the shell command that ends all its connections."""
        return f"pkill -P $(cat {self.folder}/pid) || true"

    @property
    def stop(self) -> str:
        """Return the shell command that ends sshd and then its connections, which have no parent any more."""
        return f'children=$(pgrep -P "$(cat {self.folder}/pid)"); kill $(cat {self.folder}/pid) $children'

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ssh_config(self) -> Path:
        path = self.folder / "ssh_config"
        path.write_text(
            f"Host *\n  HostName 127.0.0.1\n  Port {self.port}\n  User {getpass.getuser()}\n  IdentityFile {self.folder}/key\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {self.folder}/known\n  StrictHostKeyChecking accept-new\n"
        )
        return path


@contextmanager
def loopback_sshd(folder: Path, *enter: str) -> Iterator[Sshd]:
    """Start an sshd for this account, with its files in a new folder below ``folder``. enter: a command that runs it elsewhere.

    Skips the test if sshd is not installed.
    """
    if not Path(SSHD).exists() or shutil.which("pkill") is None:
        pytest.skip("sshd or pkill is not installed: apt-get install openssh-server procps")
    folder = folder / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {folder}/pid\nAuthorizedKeysFile {folder}/key.pub\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    found = Sshd(folder, port)
    subprocess.run([*enter, "sh", "-c", found.start], check=True)
    assert wait(found.answers)
    try:
        yield found
    finally:
        subprocess.run(["sh", "-c", found.stop], capture_output=True, check=False)
