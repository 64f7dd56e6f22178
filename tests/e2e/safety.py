"""What the tests of remediations share: how they are called on a lab, and what of a fix a host may not keep."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.e2e.conftest import BIN, ROOT, Lab

FINDING = "NET-001@minisrv/sigsrvbr0"  # what the fault vlan-detached breaks on minisrv
ATTACH = "ip link set dev sigsrv0 master sigsrvbr0\n"
DETACH = "ip link set dev sigsrv0 nomaster\n"


def has_systemd(lab: Lab, host: str = "sigsrv") -> bool:
    """Whether a host was booted with systemd: those of namespaces have none, virtual machines do."""
    return "yes" in lab.on(host, "sh", "-c", "if [ -d /run/systemd/system ]; then echo yes; fi")


def options(lab: Lab) -> list[str]:
    """What sigsrv-remediate must be told on a lab: how long proving may take there, and that nothing on a host undoes it after a reboot."""
    time_s = ["--confirm-timeout", str(60 * lab.slowness)]
    return time_s if has_systemd(lab) else [*time_s, "--no-safety-net"]


def remediate(lab: Lab, journal: Path, *argv: str) -> list[str]:
    """The command line of sigsrv-remediate, with a journal of the test's own."""
    return ["sigsrv-remediate", "--site", str(lab.site), "--journal", str(journal), *options(lab), *argv]


def attached(lab: Lab) -> bool:
    """Whether the finding of FINDING is put right."""
    return "master sigsrvbr0" in lab.on("minisrv", "ip", "-o", "link", "show", "dev", "sigsrv0")


def left(lab: Lab, host: str = "minisrv") -> str:
    """What of a fix is on a host: its folders, its units, the lock of a run, a script that undoes."""
    look = (
        "ls -A /run/sigsrv /var/lib/sigsrv/armed /etc/systemd/system/sigsrv-* 2>/dev/null | grep -v -e ':$' -e '^$'; "
        "ps -eo args | grep '[u]ndo-once'; true"
    )
    return lab.on(host, "sh", "-c", look).strip()


def start(*argv: str) -> subprocess.Popen[str]:
    """A command of the project, which goes on beside the test."""
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    return subprocess.Popen(
        argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
