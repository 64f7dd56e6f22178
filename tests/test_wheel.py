"""Tests the content of the wheel: an installed sigsrv needs no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_wheel_has_all_content_and_runs_the_demo(tmp_path):
    """It has policies, checks, remediations, report templates and the demo, which runs from an unpacked wheel."""
    argv = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
    ]
    subprocess.run([*argv, "--wheel-dir", tmp_path, ROOT], check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")

    for folder in ("policies", "checks", "remediations", "reports"):
        left_out = {"out", "__pycache__"}
        kept = [path for path in (ROOT / folder).rglob("*") if path.is_file() and not left_out & set(path.parts)]
        assert {f"sigsrv/{path.relative_to(ROOT)}" for path in kept} <= names
    assert not [name for name in names if "/out/" in name or "__pycache__" in name]

    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path / "installed"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    code = "import sys; from sigsrv.commands.main import main; sys.exit(main(['demo']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert f"report: {tmp_path}/state/sigsrv/runs/latest/report.html" in done.stdout
    assert (tmp_path / "state" / "sigsrv" / "runs" / "latest" / "findings.json").exists()
