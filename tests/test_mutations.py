"""Tests that no version of a user's file makes sigsrv crash, hang or answer without a line."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sigsrv.model import policy, site_file, waiver
from sigsrv.model.errors import UsageError
from tests.called import sigsrv
from tests.mutations import NUMBER, mutations

ROOT = Path(__file__).resolve().parents[1]
POLICIES = policy.load()
WAIVERS = """\
version: 1
waivers:
  - policy: INST-001   # a comment
    host: sigsrv
    resource: default/nfs
    owner: Ada Ops
    reason: kernel NFS server, alone in its VLAN
    until: 2026-12-31T23:59:59+01:00
    created: 2026-11-01T00:00:00Z
  - {policy: "NET-*", host: "*", resource: "default/*", owner: Bo, reason: "why: this", until: "2027-01-17T12:00:00Z"}
"""
READERS = {
    "site.yaml": lambda path: site_file.load(path, POLICIES),
    "waivers.yaml": lambda path: waiver.load(path, POLICIES, 365),
    "INST-002.yaml": policy.read,
    "PROJ-001.yaml": policy.read,
    "HOST-007.yaml": policy.read,
}
LIMIT_S = 2


def source(name: str) -> str:
    if name == "waivers.yaml":
        return WAIVERS
    folder = "" if name == "site.yaml" else f"{name.partition('-')[0].lower()}/"
    return (ROOT / "policies" / folder / name).read_text()


def place(tmp_path: Path, name: str) -> Path:
    """Return a path for a file, in the folder that its kind of file needs."""
    folder = tmp_path / name.partition("-")[0].lower() if "-" in name else tmp_path
    folder.mkdir(exist_ok=True)
    return folder / name


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    """Return the error with which a file is refused; None if it is read. Any other error is a bug."""
    try:
        read(path)
    except UsageError as wrong:
        return wrong.message
    return None


@pytest.mark.parametrize("name", READERS)
def test_every_wrong_version_of_a_file_is_read_or_refused_with_its_line(tmp_path, name):
    """Each of 560 versions is right, or wrong use with file and line, in less than two seconds of CPU time."""
    path = place(tmp_path, name)
    path.write_text(source(name))
    READERS[name](path)  # the file itself is right
    refused = 0
    for number, content in enumerate(mutations(source(name))):
        path.write_bytes(content)
        began = time.process_time()
        said = refusal(READERS[name], path)
        assert time.process_time() - began < LIMIT_S, number
        refused += said is not None
        assert said is None or re.match(rf"{re.escape(str(path))}:\d+: ", said), (number, said)
        assert said is None or len(said) < 700, number
    assert refused > NUMBER / 3


@pytest.mark.parametrize("name", ["site.yaml", "waivers.yaml", "PROJ-001.yaml"])
def test_a_command_refuses_a_wrong_version_in_one_line(tmp_path, name):
    """``sigsrv scan`` with such a file ends with 2 and a line that names it, or with the exit status of a scan. Never with a traceback."""
    path = place(tmp_path, name)
    option = {"site.yaml": "--site", "waivers.yaml": "--waivers"}.get(name, "--policies")
    given = str(path) if option != "--policies" else str(tmp_path)
    statuses = set()
    for content in list(mutations(source(name)))[:48:6]:
        path.write_bytes(content)
        done = sigsrv("scan", "--evidence", "demo", option, given, "--report-dir", str(tmp_path / "out"))
        assert "Traceback" not in done.stderr
        assert done.returncode in (1, 2, 3)
        if done.returncode == 2:
            assert re.match(rf"sigsrv: error: {re.escape(str(path))}:\d+: ", done.stderr), done.stderr
        statuses.add(done.returncode)
    assert 2 in statuses
