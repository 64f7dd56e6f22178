"""A host without power in the middle of a remediation: it ends in its old state, or the next run has it so, and the journal says which."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from sigsrv.remediate.journal import Journal
from tests.e2e.conftest import Lab
from tests.e2e.safety import left, remediate, start
from tests.local_host import wait

pytestmark = pytest.mark.lab("vm")  # the hosts of namespaces have no boot


def killed_when_applied(lab: Lab, journal: Path, finding: str) -> None:
    """Remediate in another process, which is killed before anything of it is confirmed."""
    process = start(*remediate(lab, journal, finding, "--yes", "--confirm-timeout", "600"))
    database = Journal(journal)
    try:
        assert wait(lambda: [s for s in database.interrupted_steps() if "applied" in s.states], 240), (
            process.communicate()
        )
    finally:
        database.close()
    process.send_signal(signal.SIGKILL)
    process.communicate()


def cut_power(lab: Lab) -> None:
    """Reset minisrv, as where its power was cut: what its kernel had not written yet is lost. Returns when it has booted."""
    reset = lab.command("lab/vm/qemu", "qmp", str(lab.state / "minisrv" / "qmp"), "system_reset")
    assert reset.returncode == 0, reset.stderr
    time.sleep(5)

    def is_up() -> bool:
        return (
            lab.command(*lab.program, "exec", "minisrv", "systemctl", "is-active", "multi-user.target").returncode == 0
        )

    assert wait(is_up, 300), "minisrv did not come back"


def goes_on(lab: Lab, journal: Path, finding: str) -> None:
    """The next run writes what became of the one that was broken off, puts the finding right, and leaves nothing on the hosts."""
    lab.fault("host-paused", "minisrv", heal=True)  # waits until all that ran before the reset runs again
    done = lab.command(*remediate(lab, journal, finding, "--yes"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"was broken off: {finding} undone, {finding} is fail as before" in done.stdout
    assert left(lab, "sigsrv") + left(lab, "minisrv") == ""


@pytest.fixture
def powered(lab: Lab):
    """Puts a fault on minisrv, and heals it at the end when all of it runs again."""
    put: list[str] = []

    def fault(name: str) -> None:
        lab.fault(name, "minisrv")
        put.append(name)

    yield fault
    lab.fault("host-paused", "minisrv", heal=True)
    lab.on(
        "minisrv", "rm", "-f", "/etc/ssh/sshd_config.d/00-sigsrv-passwords.conf"
    )  # what put it right: no later fault would show
    for name in put:
        lab.fault(name, "minisrv", heal=True)


def test_a_host_without_power_in_the_middle_of_a_fix_undoes_it_at_its_next_boot(lab, powered, tmp_path):
    """The change is on the disk, and so is what undoes it: after a reset the host is in its old state, and the next run writes that."""
    finding, journal = "HOST-009@minisrv/minisrv", tmp_path / "journal.sqlite"
    powered("ssh-passwords")
    killed_when_applied(lab, journal, finding)
    assert lab.on("minisrv", "sh", "-c", "ls /etc/systemd/system/sigsrv-undo-*.service")
    assert "passwordauthentication no" in lab.on("minisrv", "sshd", "-T")

    cut_power(lab)

    assert wait(lambda: left(lab) == "", 60), "what was armed is still there"
    assert "passwordauthentication yes" in lab.on("minisrv", "sshd", "-T")
    goes_on(lab, journal, finding)


def test_a_fix_that_outlives_a_reset_is_undone_by_who_comes_back(lab, powered, tmp_path):
    """It cuts no network, so no timer is there after a reset; what undoes it is, and the next run does so before it looks at anything."""
    finding, journal = "AUTH-004@minisrv/minisrv", tmp_path / "journal.sqlite"
    powered("admin-user")
    killed_when_applied(lab, journal, finding)

    cut_power(lab)

    assert "games" not in lab.on("minisrv", "getent", "group", "incus-admin")
    assert "undo.sh" in lab.on("minisrv", "sh", "-c", "ls /var/lib/sigsrv/armed/*")
    goes_on(lab, journal, finding)
