"""Tests outages of machines and of the network: a scan ends in time, known facts are evaluated, and the rest is an
error.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import BIN, ROOT, Lab, clean

pytestmark = pytest.mark.lab("vm")
HOST_S = 120  # the timeout for each host in the site file of this lab
TOGETHER = (
    "CLUS",
    "XHOST",
    "ACL",
    "INST",
    "PROJ",
    "VOL",
    "IMG",
    "AUTH",
    "NET-007@cluster",
)  # families that need the cluster or both hosts


def verdicts(folder: Path) -> dict[str, str]:
    findings = json.loads((folder / "latest" / "findings.json").read_text())["findings"]
    return {finding["id"]: finding["verdict"] for finding in findings}


def scan(lab: Lab, folder: Path) -> tuple[int, dict[str, str], float]:
    """Run a scan as its user would. Returns exit status, verdicts and seconds."""
    began = time.monotonic()
    done = lab.command("sigsrv", "scan", "--site", str(lab.site), "--report-dir", str(folder))
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, verdicts(folder), time.monotonic() - began


def of_host(found: dict[str, str], host: str) -> dict[str, str]:
    """Return the findings about a host itself."""
    return {key: verdict for key, verdict in found.items() if f"@{host}/" in key and not key.startswith(TOGETHER)}


def wrong_verdicts(found: dict[str, str]) -> dict[str, str]:
    """Return the verdicts that are neither those of the clean lab nor errors."""
    wanted = clean()
    return {
        key: verdict
        for key, verdict in found.items()
        if verdict not in ("error", wanted.get(key)) and not (verdict == "not-applicable" and key.startswith(TOGETHER))
    }


@contextlib.contextmanager
def paused(lab: Lab, host: str) -> Iterator[None]:
    """Pause the machine. Open sessions hang."""
    done = lab.command("lab/vm/qemu", "qmp", str(lab.state / host / "qmp"), "stop")
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        lab.fault("host-paused", host, heal=True)


def test_host_that_is_paused_during_its_collection_is_an_error(lab, tmp_path):
    """The scan ends when the host's time is up.

    The other host is evaluated as usual, and the paused one has no wrong verdict.
    """
    argv = [str(BIN / "sigsrv"), "scan", "--site", str(lab.site), "--report-dir", str(tmp_path)]
    before = lab.logins("minisrv")
    began = time.monotonic()
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while lab.logins("minisrv") == before:
            assert process.poll() is None, "the scan ended before the host was paused"
        with paused(lab, "minisrv"):
            _, result = process.communicate(timeout=HOST_S * 2)
            took_s = time.monotonic() - began

    found = verdicts(tmp_path)
    assert process.returncode == 3, result
    assert took_s < HOST_S + 20
    assert wrong_verdicts(found) == {}
    assert found["HOST-001@minisrv/minisrv"] in ("error", "pass")
    assert "error" in of_host(found, "minisrv").values()
    assert of_host(found, "sigsrv").items() >= {
        (key, verdict) for key, verdict in of_host(clean(), "sigsrv").items() if key.startswith(("NET", "HOST"))
    }


def test_unreachable_host_is_an_error_and_never_a_pass(lab, tmp_path):
    """Its findings have a root finding. If the database voter is away, findings that need the cluster are errors too."""
    for host, other in (("minisrv", "sigsrv"), ("sigsrv", "minisrv")):
        folder = tmp_path / host
        lab.fault("host-paused", host)
        try:
            status, found, took_s = scan(lab, folder)
        finally:
            lab.fault("host-paused", host, heal=True)

        assert status == 3
        assert took_s < HOST_S + 20
        assert found[f"HOST-001@{host}/{host}"] == "error"
        assert set(of_host(found, host).values()) == {"error"}
        assert of_host(found, other)[f"NET-001@{other}/sigsrvbr0"] == "pass"
        wrong = {key: verdict for key, verdict in wrong_verdicts(found).items() if key != f"CLUS-001@cluster/{host}"}
        assert wrong == {}


def test_hanging_zpool_is_an_error_on_that_host_only(lab, tmp_path):
    """Its policies are errors with the reason, and all other findings are unchanged."""
    command = 'cat >/root/fake; chmod 755 /root/fake; mount --bind /root/fake "$(readlink -f "$(command -v zpool)")"'
    lab.on("minisrv", "sh", "-c", command, given="#!/bin/sh\nexec sleep 612\n")
    try:
        status, found, took_s = scan(lab, tmp_path)
    finally:
        undo = 'umount -l "$(readlink -f "$(command -v zpool)")"; rm /root/fake; pkill -f "^sleep 612" || true'
        lab.on("minisrv", "sh", "-c", undo)

    wanted = clean()
    changed = {key: verdict for key, verdict in found.items() if wanted.get(key) != verdict}
    assert status == 3
    assert took_s < HOST_S + 20
    assert set(changed.values()) == {"error"}, changed
    policies = ("HOST-011", "POOL-003", "POOL-004", "POOL-005")
    assert {key.partition("/")[0] for key in changed} == {f"{each}@minisrv" for each in policies}


def test_slow_lossy_link_changes_no_verdict(lab, tmp_path):
    """With 500 ms delay and 5 % loss a verdict is the same, or an error after a timeout."""
    lab.on("minisrv", "tc", "qdisc", "add", "dev", "eth0", "root", "netem", "delay", "500ms", "loss", "5%")
    try:
        status, found, took_s = scan(lab, tmp_path)
    finally:
        lab.on("minisrv", "tc", "qdisc", "delete", "dev", "eth0", "root")

    assert took_s < HOST_S + 20
    assert wrong_verdicts(found) == {}
    assert status == (3 if "error" in found.values() else 0)
    assert found["HOST-001@sigsrv/sigsrv"] == "pass"
