"""Tests every kind of failure on the lab.

Known facts are evaluated, the rest is an error with a reason, the scan ends in time, and no process stays behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import BIN, ROOT, Lab, clean

pytestmark = pytest.mark.lab("ns")  # checks times to the second; test_outage has the cases for virtual machines
LIMIT_S = 15


def scan(lab: Lab, folder: Path, *more: str) -> tuple[int, dict[str, dict]]:
    """Run a scan and return its exit status and findings.

    It must end in time, without a traceback or leftovers on this machine.
    """
    began = time.monotonic()
    done = lab.command("sigsrv", "scan", "--site", str(lab.site), "--report-dir", str(folder), *more)
    assert time.monotonic() - began < LIMIT_S + 3, "a host has 15 s, and the process some time to start and to report"
    assert "Traceback" not in done.stdout + done.stderr
    assert leftovers() == []
    data = json.loads((folder / "latest" / "findings.json").read_text())
    return done.returncode, {finding["id"]: finding for finding in data["findings"]}


def ssh_and_folders() -> set[str]:
    """Return the ssh processes and folders of scans on this machine, below its folder for temporary files.

    A parallel lab has another one.
    """
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    folder = tempfile.gettempdir()
    started = {line for line in listed if line.startswith("ssh ") and f"{folder}/sigsrv-" in line}
    return started | {str(each) for each in Path(folder).glob("sigsrv-????????")}


BEFORE: set[str] = set()


@pytest.fixture(autouse=True)
def record_leftovers_of_others() -> None:
    """Record leftovers of a scan that somebody killed with SIGKILL. A later scan must not touch them."""
    BEFORE.clear()
    BEFORE.update(ssh_and_folders())


def leftovers() -> list[str]:
    """Return the leftovers of the scan in this test."""
    return sorted(ssh_and_folders() - BEFORE)


# Policies that compare the hosts need the facts of all hosts. A member's own daemon also reports whether it is online.
TOGETHER = ("XHOST-", "NET-007@cluster", "ACL-006", "CLUS-001@cluster", "CLUS-002", "CLUS-006@cluster")


def other_findings_unchanged(findings: dict[str, dict], but_for: str) -> bool:
    """Check that all clean findings of other hosts are unchanged. Findings that need all hosts may be errors."""
    for key, verdict in clean().items():
        if f"@{but_for}/" in key:
            continue
        found = findings.get(key, {"verdict": None})["verdict"]
        assert found == verdict or (key.startswith(TOGETHER) and found in ("error", None)), (key, verdict, found)
    return True


@contextlib.contextmanager
def replace_ip(lab: Lab, script: str) -> Iterator[None]:
    """Replace ``ip`` on minisrv by another program."""
    command = 'cat >/run/fake; chmod 755 /run/fake; mount --bind /run/fake "$(readlink -f "$(command -v ip)")"'
    lab.on("minisrv", "sh", "-c", command, given=f"#!/bin/sh\n{script}\n")
    try:
        yield
    finally:
        lab.on("minisrv", "sh", "-c", 'umount -l "$(readlink -f "$(command -v ip)")"; rm /run/fake')


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sleep 60", "not finished in 5 s"),
        ("trap '' TERM; sleep 60; sleep 60", "not finished in 5 s"),
        ("yes", "larger than 16 MiB"),
        ("head -c 100000 /dev/zero | tr '\\0' '\\377'", "not UTF-8"),
        ('echo \'[{"ifname": "lo", \'', "ip link"),
        ("echo '[]'", "ip link"),
        ("echo 'deadbeef end link'; echo 'deadbeef done link'; echo '[]'", "ip link"),
        ("echo 'Cannot open netlink socket: Operation not permitted' >&2; exit 1", "Operation not permitted"),
        ("kill -9 $$", "it was killed"),
        ("setsid sleep 20 & exec sleep 60", "not finished in 5 s"),
    ],
    ids=[
        "never-ends",
        "ignores-term",
        "floods",
        "not-utf8",
        "half-a-document",
        "nothing",
        "forged-frame",
        "refused",
        "killed",
        "leaves-a-process",
    ],
)
def test_failing_probe_is_an_error_of_the_policies_that_need_it(lab, tmp_path, script, reason):
    """One broken command on one host: error with its reason, all other findings unchanged, exit status 3."""
    with replace_ip(lab, script):
        code, findings = scan(lab, tmp_path)

    assert code == 3
    broken = findings["NET-001@minisrv/minisrv"]
    assert broken["verdict"] == "error"
    assert reason in broken["reason"]
    # An answer that came and can't be understood is reported by the policies that need it alone.
    is_missing = reason != "ip link"
    assert broken["because"] == ("HOST-011@minisrv/minisrv" if is_missing else None)
    assert findings["HOST-011@minisrv/minisrv"]["verdict"] == ("error" if is_missing else "pass")
    assert other_findings_unchanged(findings, "minisrv")
    # links and addresses; after a flood the answers come too late to compare the host's clock
    needing = (*(f"NET-00{number}" for number in range(1, 8)), "ACL-007", "HOST-004", "HOST-007", "HOST-011")
    others = {key: verdict for key, verdict in clean().items() if "@minisrv/" in key and not key.startswith(needing)}
    assert {key: findings[key]["verdict"] for key in others} == others


def test_refused_ssh_key_is_unreachable(lab, tmp_path):
    """The reason is ssh's own message."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id"], check=True)

    config = tmp_path / "config"
    config.write_text("\n".join(line for line in lab.ssh_config.read_text().splitlines() if "IdentityFile" not in line))

    code, findings = scan(lab, tmp_path, "--ssh-config", str(config), "--ssh-identity-file", str(tmp_path / "id"))

    assert code == 3
    assert "Permission denied" in findings["HOST-001@sigsrv/sigsrv"]["reason"]


def test_sshd_that_dies_during_a_scan_is_reported_as_broken_connection(lab, tmp_path):
    """Answers that arrived are evaluated. The rest is an error, never a stopped daemon."""
    with replace_ip(lab, "sleep 4"):
        argv = [str(BIN / "sigsrv"), "scan", "--site", str(lab.site), "--report-dir", str(tmp_path)]
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(3)
        lab.on("minisrv", "pkill", "^sshd")
        assert process.wait(LIMIT_S) == 3
    lab.fault("sshd-stopped", "minisrv", heal=True)

    findings = {f["id"]: f for f in json.loads((tmp_path / "latest" / "findings.json").read_text())["findings"]}
    there = {key: f["verdict"] for key, f in findings.items() if "@minisrv/minisrv" in key and key[:8] != "HOST-001"}
    known = {key: verdict for key, verdict in there.items() if verdict != "error"}
    assert known.items() <= clean().items()  # from the answers that had arrived
    lost = [findings[f"{policy}@minisrv/minisrv"] for policy in ("NET-001", "NET-003", "HOST-004", "ACL-007")]
    assert {(f["verdict"], f["because"]) for f in lost} == {("error", "HOST-011@minisrv/minisrv")}
    assert findings["HOST-011@minisrv/minisrv"]["verdict"] == "error"
    assert other_findings_unchanged(findings, "minisrv")
    assert leftovers() == []


def test_frozen_daemon_is_an_error(lab, tmp_path):
    """It accepts connections and never answers: error after the timeout of a request, not a stopped daemon and not a
    hang.
    """
    lab.fault("incusd-frozen", "minisrv")
    try:
        code, findings = scan(lab, tmp_path)
    finally:
        lab.fault("incusd-frozen", "minisrv", heal=True)

    assert code == 3
    assert findings["HOST-002@minisrv/minisrv"]["verdict"] == "error"
    assert "no answer in 5 s" in findings["HOST-002@minisrv/minisrv"]["reason"]
    assert findings["POOL-001@minisrv/minisrv"]["because"] == "HOST-002@minisrv/minisrv"
    assert findings["NET-001@minisrv/sigsrvbr0"]["verdict"] == "pass"
    assert findings["NET-001@sigsrv/sigsrvbr0"]["verdict"] == "pass"


def test_cluster_without_its_database_voter_is_an_error(lab, tmp_path):
    """The leader's daemon is stopped, and queries on the other member hang.

    Its own facts are evaluated, the rest is an error in time.
    """
    lab.fault("incusd-stopped", "sigsrv")
    try:
        code, findings = scan(lab, tmp_path)
    finally:
        lab.fault("incusd-stopped", "sigsrv", heal=True)

    assert code == 3
    assert findings["HOST-002@sigsrv/sigsrv"]["verdict"] == "fail"
    assert findings["HOST-002@minisrv/minisrv"]["verdict"] == "pass"
    assert findings["NET-001@minisrv/sigsrvbr0"]["verdict"] == "pass"
    assert findings["INST-001@cluster/cluster"]["verdict"] == "error"
    assert not [
        key for key, f in findings.items() if key.startswith(("INST", "PROJ", "ACL")) and f["verdict"] == "pass"
    ]


def test_full_tmp_changes_nothing(lab, tmp_path):
    """A scan writes no file on a host."""
    lab.on(
        "minisrv",
        "sh",
        "-c",
        "mount -t tmpfs -o size=4k tmpfs /tmp; head -c 9999 /dev/zero >/tmp/x 2>/dev/null || true",
    )
    try:
        code, findings = scan(lab, tmp_path)
    finally:
        lab.on("minisrv", "umount", "/tmp")

    assert code == 0
    assert {key: f["verdict"] for key, f in findings.items()} == clean()


def test_login_shell_that_prints_a_banner_changes_nothing(lab, tmp_path):
    """The output of the shell itself is not taken as an answer."""
    lab.on("minisrv", "sh", "-c", "echo 'echo WELCOME; echo begin link; echo oops >&2' >/root/.bashrc")
    try:
        code, findings = scan(lab, tmp_path)
    finally:
        lab.on("minisrv", "rm", "/root/.bashrc")

    assert code == 0
    assert {key: f["verdict"] for key, f in findings.items()} == clean()


def test_login_shell_fish_changes_nothing(lab, tmp_path):
    """The command line means the same in a shell that is not of the Bourne family."""
    fish = shutil.which("fish")
    if fish is None:
        if os.environ.get("CI") == "true":
            pytest.fail("fish is not installed")
        pytest.skip("fish is not installed: apt-get install fish")
    lab.on("minisrv", "usermod", "-s", fish, "root")
    try:
        code, findings = scan(lab, tmp_path)
    finally:
        lab.on("minisrv", "usermod", "-s", "/bin/bash", "root")

    assert code == 0
    assert {key: f["verdict"] for key, f in findings.items()} == clean()


def test_account_without_a_shell_is_an_error(lab, tmp_path):
    """nologin runs no script: the reason has its message. Facts that Incus reports elsewhere are evaluated."""
    lab.on("minisrv", "usermod", "-s", "/usr/sbin/nologin", "root")
    try:
        code, findings = scan(lab, tmp_path)
    finally:
        lab.on("minisrv", "usermod", "-s", "/bin/bash", "root")

    assert code == 3
    for finding in ("HOST-001@minisrv/minisrv", "NET-001@minisrv/minisrv"):
        assert findings[finding]["verdict"] == "error"
        assert "the account can't run a script: This account is currently not available" in findings[finding]["reason"]
    assert other_findings_unchanged(findings, "minisrv")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_scan_leaves_nothing_running(lab, tmp_path, number):
    """Ctrl-C, cron and a closed terminal: it exits at once without a report, leaves nothing here, and soon nothing on
    the host.
    """
    with replace_ip(lab, "exec sleep 77"):
        argv = [str(BIN / "sigsrv"), "scan", "--site", str(lab.site), "--report-dir", str(tmp_path)]
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        time.sleep(2.5)
        process.send_signal(number)
        began = time.monotonic()
        result, _ = process.communicate(timeout=10)
        assert time.monotonic() - began < 4

        assert process.returncode == 130
        assert "interrupted" in result
        assert "Traceback" not in result
        assert not (tmp_path / "latest").exists()
        assert leftovers() == []
        time.sleep(11)
        assert "sleep 77" not in lab.on("minisrv", "ps", "-eo", "args")


def test_timeout_limits_the_collection_of_a_host(lab, tmp_path):
    """--timeout limits the whole collection of a host."""
    with replace_ip(lab, "sleep 60"):
        began = time.monotonic()
        code, findings = scan(lab, tmp_path, "--timeout", "3")

    assert time.monotonic() - began < 9
    assert code == 3
    assert findings["NET-001@minisrv/minisrv"]["verdict"] == "error"
    assert other_findings_unchanged(findings, "minisrv")
