"""Tests a host that loses power during a remediation.

It ends in its old state, or the next run restores that state, and the journal records which one.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from sigsrv.remediate.journal import Journal
from tests.e2e.conftest import Lab
from tests.e2e.safety import leftovers, remediate, start
from tests.local_host import wait

pytestmark = pytest.mark.lab("vm")  # hosts of namespaces do not boot


def kill_after_apply(lab: Lab, journal: Path, finding: str) -> None:
    """Remediate in another process, and kill that process before it confirms anything."""
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
    """Reset minisrv as a power cut does: data that its kernel had not written yet is lost. Returns after its boot."""
    reset = lab.command("lab/vm/qemu", "qmp", str(lab.state / "minisrv" / "qmp"), "system_reset")
    assert reset.returncode == 0, reset.stderr
    time.sleep(5)

    def is_up() -> bool:
        return (
            lab.command(*lab.program, "exec", "minisrv", "systemctl", "is-active", "multi-user.target").returncode == 0
        )

    assert wait(is_up, 600), "minisrv did not come back"


def assert_next_run_continues(lab: Lab, journal: Path, finding: str) -> None:
    """Check that the next run records the end of the interrupted one, fixes the finding and leaves nothing on the
    hosts.
    """
    lab.fault("host-paused", "minisrv", heal=True)  # waits until all services from before the reset run again
    done = lab.command(*remediate(lab, journal, finding, "--yes"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"was interrupted: {finding} undone, {finding} is fail as before" in done.stdout
    assert leftovers(lab, "sigsrv") + leftovers(lab, "minisrv") == ""


@pytest.fixture
def fault_until_healed(lab: Lab):
    """Apply a fault to minisrv, and heal it at the end when all services run again."""
    put: list[str] = []

    def fault(name: str) -> None:
        lab.fault(name, "minisrv")
        put.append(name)

    yield fault
    lab.fault("host-paused", "minisrv", heal=True)
    lab.on(
        "minisrv", "rm", "-f", "/etc/ssh/sshd_config.d/00-sigsrv-passwords.conf"
    )  # the remediation's file would hide a later fault
    for name in put:
        lab.fault(name, "minisrv", heal=True)


@pytest.fixture(params=["system", "system.control"])
def units(request, lab: Lab):
    """Name the folder below /etc/systemd that gets the units of a rollback: where nobody can write the first one, it is the second."""
    if request.param == "system":
        yield request.param
        return
    lab.on("minisrv", "chattr", "+i", "/etc/systemd/system")
    yield request.param
    lab.on("minisrv", "chattr", "-i", "/etc/systemd/system")


def test_host_rolls_a_fix_back_at_its_next_boot_after_a_power_cut(lab, units, fault_until_healed, tmp_path):
    """The change and its undo are on the disk: after a reset the host restores its old state, and the next run records
    that.
    """
    finding, journal = "HOST-009@minisrv/minisrv", tmp_path / "journal.sqlite"
    fault_until_healed("ssh-passwords")
    kill_after_apply(lab, journal, finding)
    assert lab.on("minisrv", "sh", "-c", f"ls /etc/systemd/{units}/sigsrv-undo-*.service")
    assert "passwordauthentication no" in lab.on("minisrv", "sshd", "-T")

    cut_power(lab)

    assert wait(lambda: leftovers(lab) == "", 60), "leftovers of the fix are still on the host"
    assert "passwordauthentication yes" in lab.on("minisrv", "sshd", "-T")
    assert_next_run_continues(lab, journal, finding)


def test_next_run_rolls_back_a_fix_that_survives_a_reset(lab, fault_until_healed, tmp_path):
    """It does not cut the network, so no timer survives the reset.

    The undo script does, and the next run uses it before it scans.
    """
    finding, journal = "AUTH-004@minisrv/minisrv", tmp_path / "journal.sqlite"
    fault_until_healed("admin-user")
    kill_after_apply(lab, journal, finding)

    cut_power(lab)

    assert "games" not in lab.on("minisrv", "getent", "group", "incus-admin")
    assert "undo.sh" in lab.on("minisrv", "sh", "-c", "ls /var/lib/sigsrv-remediate/armed/*")
    assert_next_run_continues(lab, journal, finding)
