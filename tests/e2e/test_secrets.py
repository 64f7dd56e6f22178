"""Tests that secrets of the hosts reach neither evidence, findings, report nor output."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.conftest import Lab

pytestmark = pytest.mark.lab
MARKER = "MARKER-5e1f0c"


def _value(key: str) -> str:
    return f"#cloud-config\n# {MARKER}" if key.startswith("cloud-init") else MARKER


@pytest.fixture
def planted(lab: Lab):
    """Put a marker into each place of Incus that may have a secret."""
    keys = ["user.secret", "cloud-init.user-data", "cloud-init.vendor-data", "environment.API_KEY"]
    paths = [("config", "svc-a"), ("profile", "svc")]
    for kind, name in paths:
        lab.on("sigsrv", "incus", kind, "set", name, *(f"{key}={_value(key)}-{kind}" for key in keys))
    lab.on("sigsrv", "incus", "project", "set", "user-bob", f"user.note={MARKER}-project")
    lab.on("sigsrv", "incus", "network", "set", "userbr0", f"user.note={MARKER}-network")
    lab.on("sigsrv", "incus", "storage", "set", "hdd", f"user.note={MARKER}-pool")
    lab.on("sigsrv", "incus", "config", "set", f"user.token={MARKER}-server", f"loki.auth.password={MARKER}-loki")
    yield lab
    lab.on("sigsrv", "incus", "config", "set", "user.token=", "loki.auth.password=")
    lab.on("sigsrv", "incus", "storage", "unset", "hdd", "user.note")
    lab.on("sigsrv", "incus", "network", "unset", "userbr0", "user.note")
    lab.on("sigsrv", "incus", "project", "unset", "user-bob", "user.note")
    for kind, name in paths:
        lab.on("sigsrv", "incus", kind, "set", name, *(f"{key}=" for key in keys))


@pytest.mark.parametrize("way", ["ssh_config", "ssh_config.audit"])
def test_no_secret_leaves_the_host(planted, tmp_path, way):
    """No file and no output of a scan has the marker, although the hosts have it."""
    lab = planted
    argv = [
        "--site",
        str(lab.site),
        "--ssh-config",
        str(lab.files / way),
        "--report-dir",
        str(tmp_path / "r"),
        "--save",
        str(tmp_path / "e"),
    ]

    done = lab.command("sigsrv", "scan", "-v", *argv)
    listed = lab.command("pytest", "checks", "-vv", f"--site={lab.site}", f"--report-dir={tmp_path / 'p'}")

    assert MARKER in lab.on("sigsrv", "incus", "query", "/1.0/instances?recursion=2&all-projects=true")
    assert MARKER not in done.stdout + done.stderr + listed.stdout + listed.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 6
    assert [str(path) for path in files if MARKER in path.read_text()] == []
    if way == "ssh_config":
        assert "(redacted)" in (tmp_path / "e" / "sigsrv.json").read_text()


def test_only_the_owner_can_read_the_files_of_a_scan(lab, tmp_path):
    """Files have mode 0600 in folders of mode 0700, whatever the umask."""
    old = os.umask(0)
    try:
        lab.command(
            "sigsrv",
            "scan",
            "--site",
            str(lab.site),
            "--report-dir",
            str(tmp_path / "r"),
            "--save",
            str(tmp_path / "e"),
        )
    finally:
        os.umask(old)

    made: list[Path] = [
        path for path in (tmp_path / "r", tmp_path / "e") for path in [path, *path.rglob("*")] if not path.is_symlink()
    ]
    assert {oct(path.stat().st_mode & 0o777) for path in made if path.is_dir()} == {"0o700"}
    assert {oct(path.stat().st_mode & 0o777) for path in made if path.is_file() and path.name != ".lock"} == {"0o600"}
