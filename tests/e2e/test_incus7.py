"""Tests the lab with Incus 7.0: what differs there from 6.0, and a fix."""

from __future__ import annotations

from functools import partial

import pytest

from tests.e2e.conftest import clean, verdicts
from tests.e2e.safety import leftovers, remediate
from tests.e2e.test_faults import difference, known_state, unchanged

pytestmark = pytest.mark.lab("incus-7.0")

__all__ = ["known_state", "unchanged"]

ACL = "ACL-001@cluster/userbr0"


def test_clean_lab_has_the_reviewed_verdicts(lab):
    """Both hosts run 7.0 from a root of their own. The site file is that of 6.0."""
    versions = {lab.on(host, "/usr/libexec/incus/incusd", "--version").strip()[:4] for host in lab.members}
    found = verdicts(lab.scan()[0])

    assert versions == {"7.0."}
    assert found == clean()
    assert found["VOL-001@sigsrv/nvme/default/data"] == "pass"  # its snapshots are in the row of the volume
    assert found["PROJ-004@cluster/user-alice"] == "pass"  # which pools a project may use is a key of 7.0


def test_a_project_that_may_use_any_pool_is_a_finding(lab, unchanged):
    """6.0 has no such key, so nothing restricts the pools there."""
    key = "restricted.storage-pools.access"
    lab.on("sigsrv", "incus", "project", "unset", "user-alice", key)
    try:
        assert difference(verdicts(lab.scan()[0])) == {"PROJ-004@cluster/user-alice": "fail"}
    finally:
        lab.on("sigsrv", "incus", "project", "set", "user-alice", f"{key}=hdd,nvme")


def test_lost_snapshots_of_a_volume_are_a_finding(lab):
    """The snapshot of data is in the row of the volume. Without it VOL-001 fails."""
    lab.fault("snapshots-lost-volume", "sigsrv")
    try:
        found = difference(verdicts(lab.scan()[0]))
    finally:
        lab.fault("snapshots-lost-volume", "sigsrv", heal=True)

    assert found == {"VOL-001@sigsrv/nvme/default/data": "fail"}
    assert difference(verdicts(lab.scan()[0])) == {}


def test_fix_of_an_acl_reaches_both_members_and_is_undone_on_them(lab, unchanged, tmp_path):
    """The rules of 7.0 in the kernel are read, before and after."""
    command = partial(remediate, lab, tmp_path / "journal.sqlite")

    def filtering() -> list[bool]:
        return ["chain acl.userbr0" in lab.on(host, "nft", "list", "ruleset") for host in lab.members]

    lab.fault("acl-detached", "minisrv")
    try:
        assert [key for key, verdict in difference(verdicts(lab.scan()[0])).items() if verdict == "fail"] == [ACL]
        assert filtering() == [False, False]

        applied = lab.command(*command(ACL, "--yes"))
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert filtering() == [True, True]
        assert difference(verdicts(lab.scan()[0])) == {}

        undone = lab.command(*command("--undo", applied.stdout.split()[-1], "--yes"))
        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert filtering() == [False, False]
        assert [leftovers(lab, host) for host in lab.members] == ["", ""]
    finally:
        lab.fault("acl-detached", "minisrv", heal=True)
