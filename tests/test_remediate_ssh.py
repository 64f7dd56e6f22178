"""Runs over a real sshd of this machine that is the test's own: connections that break, and an sshd that the fix stops."""

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
    """An sshd on a port of its own. folder: its keys, configuration and pid."""

    folder: Path
    port: int

    @property
    def start(self) -> str:
        return f"mkdir -p /run/sshd 2>/dev/null; {SSHD} -f {self.folder}/sshd_config"

    @property
    def cut(self) -> str:
        """End all its connections, as a shell command."""
        return f"pkill -P $(cat {self.folder}/pid) || true"

    @property
    def stop(self) -> str:
        """End it, and then its connections, which have no parent any more."""
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
        pytest.skip("this machine has no sshd, or no pkill: apt-get install openssh-server procps")
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
    """The two files of a host that is reached over that sshd."""
    with two_files(tmp_path, monkeypatch) as found:
        found.hosts = found.reached(Options(evidence=DEMO, ssh_config=str(sshd.ssh_config())))
        found.limits = dataclasses.replace(found.limits, confirm_s=10)
        yield found


def test_a_run_over_ssh_is_verified_and_undone(world):
    """Each login is a new one; nothing is left."""
    (done,) = world.apply(A)
    assert (done.outcome.end_state, world.state()[0], world.left) == (EndState.VERIFIED, "new", [])

    (undone,) = world.undo(world.journal.history()[0].id)

    assert (undone.outcome.end_state, world.state()[0], world.left) == (EndState.VERIFIED, "old", [])


def test_a_fix_that_cuts_its_own_connection_is_proven_over_a_new_one(world, sshd):
    """The script goes on without it; a new login sees how it ended, and confirms it."""
    (world.scripts / "apply.sh.j2").write_text(f"{sshd.cut}\nsleep 1\n{APPLY}")

    (done,) = world.apply(A)

    assert any("the connection broke while it ran" in line for line in world.told), world.told
    assert (done.outcome.end_state, world.state()[0], world.left) == (EndState.VERIFIED, "new", [])
    assert world.journal.history()[0].steps[0].states == ("applying", "applied", "confirming", "verified")


def test_an_sshd_that_the_fix_stops_is_started_by_the_host_itself(world, sshd):
    """Nobody gets in to confirm: within its time the host has put it back, and then somebody sees that."""
    (world.scripts / "apply.sh.j2").write_text(f"{APPLY}{sshd.stop}\n")
    (world.scripts / "undo.sh.j2").write_text(f"{UNDO}{sshd.start}\n")

    (done,) = world.apply(A)

    assert done.outcome.end_state is EndState.UNDONE, done.outcome.reason
    assert (world.state()[0], world.left, sshd.answers()) == ("old", [], True)
    assert world.ends() == ["undone"]


def test_an_undo_that_cuts_its_own_connection_ends_all_the_same(world, sshd):
    """The fix fails, and undoing it cuts the connection over which it is undone: the old state, seen over a new one."""
    (world.scripts / "apply.sh.j2").write_text(f"{APPLY}exit 3\n")
    (world.scripts / "undo.sh.j2").write_text(f"{sshd.cut}\nsleep 1\n{UNDO}")

    (done,) = world.apply(A)

    assert (done.outcome.end_state, world.state()[0], world.left) == (EndState.UNDONE, "old", [])
