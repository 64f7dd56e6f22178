"""Tests the wheel as an operator installs it: with the locked dependencies, without a checkout, against the lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Lab

pytestmark = pytest.mark.lab("ns")  # the installed files are the same for both labs

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """Create a virtual environment with the locked dependencies and the wheel, without anything of the checkout."""
    base = tmp_path_factory.mktemp("wheel")
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
    python = str(base / "venv" / "bin" / "python")
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(base), str(ROOT)]
    subprocess.run([sys.executable, *pip, *build], check=True, timeout=120)
    (wheel,) = base.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", base / "venv"], check=True, timeout=120)
    locked = ["install", "--require-hashes", "--requirement", str(ROOT / "requirements.lock")]
    subprocess.run([python, *pip, *locked], check=True, timeout=300)
    subprocess.run([python, *pip, "install", "--no-deps", str(wheel)], check=True, timeout=120)
    return base / "venv"


@pytest.fixture
def run(environment, tmp_path) -> Command:
    """Run an installed command in a folder outside the checkout."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SIGSRV", "VIRTUAL"))}
    env = {**kept, "XDG_STATE_HOME": str(tmp_path / "state")}

    def call(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [environment / "bin" / name, *arguments],
            cwd=elsewhere,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return call


def test_installed_wheel_scans_the_lab_and_writes_to_the_state_directory(environment, lab: Lab, run, tmp_path):
    """The scan prints nothing and exits with 0. sigsrv-remediate finds its report in the state directory."""
    where = run("python", "-c", "import sigsrv; print(sigsrv.__file__)")
    scanned = run("sigsrv", "scan", "--site", str(lab.site))
    listed = run("sigsrv-remediate", "--site", str(lab.site))

    assert Path(where.stdout.strip()).is_relative_to(environment), where.stdout + where.stderr
    assert (scanned.returncode, scanned.stdout, scanned.stderr) == (0, "", "")
    latest = tmp_path / "state" / "sigsrv" / "runs" / "latest"
    assert (latest / "report.html").stat().st_size > 0
    found = json.loads((latest / "findings.json").read_text())
    assert {host["name"] for host in found["run"]["hosts"]} == {"sigsrv", "minisrv"}
    assert "pass" in {finding["verdict"] for finding in found["findings"]}
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.startswith(f"run {found['run']['id']} of ")
    assert "no script fixes a finding of this run" in listed.stdout
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_installed_wheel_lists_the_fix_and_shows_its_script(lab: Lab, run):
    """With a fault the scan exits with 1, sigsrv-remediate names the command that fixes it, and the wheel has the
    scripts.
    """
    finding = "NET-001@minisrv/sigsrvbr0"
    lab.fault("vlan-detached", "minisrv")
    try:
        scanned = run("sigsrv", "scan", "--site", str(lab.site))
        planned = run("sigsrv-remediate", finding, "--plan", "--site", str(lab.site))
    finally:
        lab.fault("vlan-detached", "minisrv", heal=True)
    listed = run("sigsrv-remediate", "--site", str(lab.site))

    assert scanned.returncode == 1, scanned.stdout + scanned.stderr
    assert (listed.returncode, listed.stderr) == (0, "")
    assert f"  sigsrv-remediate {finding}\n" in listed.stdout
    assert (planned.returncode, planned.stderr) == (0, "")
    assert "ip link set" in planned.stdout


def test_installed_wheel_shows_the_policies_as_tests(lab: Lab, run, tmp_path):
    """sigsrv pytest does what pytest checks does in a checkout.

    Another pytest run in that environment loads nothing of sigsrv.
    """
    shown = run("sigsrv", "pytest", "-q", "-p", "no:cacheprovider", "--site", str(lab.site))
    other = run("pytest", "--help")

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert (tmp_path / "state" / "sigsrv" / "runs" / "latest" / "report.html").exists()
    assert other.returncode == 0
    assert "sigsrv" not in other.stdout
