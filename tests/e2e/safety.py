"""Provides helpers for tests of remediations on a lab: command lines, and a check for leftovers on a host."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.e2e.conftest import BIN, ROOT, Lab

FINDING = "NET-001@minisrv/sigsrvbr0"  # the finding of the fault vlan-detached on minisrv
ATTACH = "ip link set dev sigsrv0 master sigsrvbr0\n"
DETACH = "ip link set dev sigsrv0 nomaster\n"


def has_systemd(lab: Lab, host: str = "sigsrv") -> bool:
    """Report whether a host was booted with systemd. Virtual machines are, hosts of namespaces are not."""
    return "yes" in lab.on(host, "sh", "-c", "if [ -d /run/systemd/system ]; then echo yes; fi")


def options(lab: Lab) -> list[str]:
    """Return the options that sigsrv-remediate needs on a lab: the confirm timeout, and --no-safety-net without
    systemd.
    """
    time_s = ["--confirm-timeout", str(60 * lab.slowness)]
    return time_s if has_systemd(lab) else [*time_s, "--no-safety-net"]


def remediate(lab: Lab, journal: Path, *argv: str) -> list[str]:
    """Return a command line of sigsrv-remediate with the test's own journal."""
    return ["sigsrv-remediate", "--site", str(lab.site), "--journal", str(journal), *options(lab), *argv]


def attached(lab: Lab) -> bool:
    """Report whether the finding of FINDING is fixed."""
    return "master sigsrvbr0" in lab.on("minisrv", "ip", "-o", "link", "show", "dev", "sigsrv0")


def leftovers(lab: Lab, host: str = "minisrv") -> str:
    """Return the leftovers of fixes on a host: folders, units, the lock of a run, processes of undo scripts."""
    look = (
        "ls -A /run/sigsrv /var/lib/sigsrv-remediate/armed /etc/systemd/system/sigsrv-* /etc/systemd/system.control/sigsrv-* "
        "/etc/systemd/system*/multi-user.target.wants/sigsrv-undo-* 2>/dev/null | grep -v -e ':$' -e '^$'; "
        "ps -eo args | grep '[u]ndo-once'; true"
    )
    return lab.on(host, "sh", "-c", look).strip()


def start(*argv: str) -> subprocess.Popen[str]:
    """Start a command of the project that runs in parallel to the test."""
    env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    return subprocess.Popen(
        argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
