"""Tests runs over a real sshd that the test starts on this machine: connections that break, and a fix that stops sshd."""

from __future__ import annotations

import dataclasses
import getpass
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from sigsrv.remediate.transaction import EndState
from sigsrv.scan.options import DEMO, Options
from tests.local_host import wait
from tests.run_world import APPLY, UNDO, A, two_files

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclasses.dataclass(frozen=True)
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


@pytest.fixture
def sshd(tmp_path):
    if not Path(SSHD).exists() or shutil.which("pkill") is None:
        pytest.skip("sshd or pkill is not installed: apt-get install openssh-server procps")
    folder = tmp_path / "ssh"
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
    subprocess.run(["sh", "-c", found.start], check=True)
    assert wait(found.answers)
    yield found
    subprocess.run(["sh", "-c", found.stop], capture_output=True, check=False)


@pytest.fixture
def world(tmp_path, sshd, monkeypatch):
    """Provide the two files of a host that is reached over this sshd."""
    with two_files(tmp_path, monkeypatch) as found:
        found.hosts = found.reached_by(Options(evidence=DEMO, ssh_config=str(sshd.ssh_config())))
        found.limits = dataclasses.replace(found.limits, confirm_s=10)
        yield found


def test_run_over_ssh_is_verified_and_undone(world):
    """Each login is a new one, and nothing is left on the host."""
    (done,) = world.apply(A)
    assert (done.outcome.end_state, world.state()[0], world.leftovers) == (EndState.VERIFIED, "new", [])

    (undone,) = world.undo(world.journal.history()[0].id)

    assert (undone.outcome.end_state, world.state()[0], world.leftovers) == (EndState.VERIFIED, "old", [])


def test_fix_that_cuts_its_own_connection_is_verified_over_a_new_one(world, sshd):
    """The script continues. A new login gets its result and confirms it."""
    (world.scripts / "apply.sh.j2").write_text(f"{sshd.cut}\nsleep 1\n{APPLY}")

    (done,) = world.apply(A)

    assert any("the connection broke while the script ran" in line for line in world.messages), world.messages
    assert (done.outcome.end_state, world.state()[0], world.leftovers) == (EndState.VERIFIED, "new", [])
    assert world.journal.history()[0].steps[0].states == ("applying", "applied", "confirming", "verified")


def test_host_restarts_the_sshd_that_a_fix_stopped(world, sshd):
    """No login can confirm the fix: the host rolls it back in time, and then a login sees that."""
    (world.scripts / "apply.sh.j2").write_text(f"{APPLY}{sshd.stop}\n")
    (world.scripts / "undo.sh.j2").write_text(f"{UNDO}{sshd.start}\n")

    (done,) = world.apply(A)

    assert done.outcome.end_state is EndState.UNDONE, done.outcome.reason
    assert (world.state()[0], world.leftovers, sshd.answers()) == ("old", [], True)
    assert world.end_states() == ["undone"]


def test_undo_that_cuts_its_own_connection_still_ends(world, sshd):
    """The fix fails, and its undo cuts the connection: a new login sees the old state."""
    (world.scripts / "apply.sh.j2").write_text(f"{APPLY}exit 3\n")
    (world.scripts / "undo.sh.j2").write_text(f"{sshd.cut}\nsleep 1\n{UNDO}")

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.leftovers) == (EndState.UNDONE, "old", [])
