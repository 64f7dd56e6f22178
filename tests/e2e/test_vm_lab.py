"""Tests the lab of virtual machines itself: it resumes from its saved state, leaves nothing behind, and its machines
are set up as claimed.

It calls lab/lab as a user does, and leaves the lab as it found it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Lab

pytestmark = pytest.mark.lab("vm")
GENERATED = ("ssh_config", "ssh_config.audit", "ssh_config.noaccess", "known_hosts", "site.yaml")


def machines(lab: Lab) -> list[str]:
    """Return the command lines of the virtual machines of this lab."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # the process has just ended
            continue
        if command.startswith("qemu-system") and str(lab.state) in command:
            found.append(command)
    return found


def traces(lab: Lab) -> list[str]:
    return [
        *machines(lab),
        *[name for name in GENERATED if (lab.files / name).exists()],
        *[str(lab.state)] * lab.state.exists(),
    ]


def test_machines_are_two_systems_on_one_trunk(lab):
    """Each has systemd, ZFS, AppArmor and three 802.1Q links on eth1, and reaches only the other machine."""
    for host, other in (("sigsrv", "10.77.0.2"), ("minisrv", "10.77.0.1")):
        links = {row["ifname"]: row for row in json.loads(lab.on(host, "ip", "-j", "-d", "link", "show"))}
        vlans = {
            name: (links[name]["linkinfo"]["info_data"]["id"], links[name]["link"])
            for name in ("sigsrv0", "incus0", "user0")
        }
        assert vlans == {"sigsrv0": (20, "eth1"), "incus0": (16, "eth1"), "user0": (24, "eth1")}
        assert lab.on(host, "cat", "/proc/1/comm", "/sys/module/apparmor/parameters/enabled").split() == [
            "systemd",
            "Y",
        ]
        assert {line.split()[0] for line in lab.on(host, "zpool", "list", "-H").splitlines()} == {"nvme", "hdd", "iso"}
        assert " 0% packet loss" in lab.on(host, "ping", "-c", "2", "-W", "5", other)
        outside = lab.on(host, "sh", "-c", "ip route get 192.0.2.1 2>&1 || true")
        assert "unreachable" in outside


def test_second_up_changes_nothing(lab):
    """It ends at once, and status shows both machines."""
    before = machines(lab)
    began = time.monotonic()

    again = lab.command(*lab.program, "up")

    assert (again.returncode, "up already" in again.stdout) == (0, True), again.stderr
    assert time.monotonic() - began < 10
    assert machines(lab) == before
    status = lab.command(*lab.program, "status")
    assert ("minisrv  ONLINE" in status.stdout, status.returncode) == (True, 0), status.stdout


def test_fault_that_this_lab_does_not_support_is_refused(lab):
    """The message names the lab that supports it."""
    refused = lab.command("lab/fault", "--lab=vm", "link-down", "minisrv")

    assert refused.returncode == 3
    assert refused.stderr.splitlines()[0] == "fault: error: the lab vm can't have the fault link-down"
    assert "--lab=ns link-down minisrv" in refused.stderr


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("after_s", "sent", "status"), [(1.0, signal.SIGTERM, 143), (6.0, signal.SIGINT, 130)])
def test_down_and_interrupted_up_leave_nothing_and_next_up_resumes(lab, after_s, sent, status):
    """No machine and no file but the cache is left. The next up restores the saved state in less than a minute."""
    assert lab.command(*lab.program, "down").returncode == 0
    assert traces(lab) == []
    with subprocess.Popen(
        [*lab.program, "up"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as up:
        time.sleep(after_s)
        up.send_signal(sent)
        _, errors = up.communicate(timeout=60)
    interrupted = up.returncode, traces(lab)

    began = time.monotonic()
    done = lab.command(*lab.program, "up")

    assert interrupted == (status, []), errors
    assert done.returncode == 0, done.stderr
    assert "building" not in done.stdout
    assert time.monotonic() - began < 90
