"""Tests sigsrv-remediate on the lab as an operator uses it: plan, question, refusal, messages.

Failures during a fix are in test_transaction.
"""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import Lab, clean, verdicts
from tests.e2e.safety import FINDING, attached, leftovers, remediate
from tests.e2e.terminal import on_terminal

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def healed(lab: Lab):
    """Check after all tests that the lab is clean again."""
    yield
    lab.fault("vlan-detached", "minisrv", heal=True)
    assert verdicts(lab.scan()[0]) == clean()


@pytest.fixture
def detached(lab: Lab, healed):
    """Detach sigsrv0 from its bridge on minisrv. After the test nothing of a fix is left on the host."""
    lab.fault("vlan-detached", "minisrv")
    yield lab
    assert leftovers(lab) == ""


def test_plan_changes_nothing(detached, tmp_path):
    """--plan prints script, disruption, undo and the permanent fix, and exits with 0.

    Incus's network names the interface already, so there is nothing to change in OpenTofu.
    """
    done = detached.command(*remediate(detached, tmp_path / "journal.sqlite", FINDING, "--plan"))

    assert done.returncode == 0
    for part in ("now:", "then:", "disrupts:", "undo:", "script:", "permanent fix (NixOS)"):
        assert part in done.stdout
    assert "permanent fix (OpenTofu)" not in done.stdout
    assert not attached(detached)


def test_nothing_is_applied_without_a_terminal(detached, tmp_path):
    """There is neither --yes nor a person to ask: the hint says what to do."""
    done = detached.command(*remediate(detached, tmp_path / "journal.sqlite", FINDING))

    assert done.returncode == 2
    assert "--yes applies without asking" in done.stderr
    assert not attached(detached)


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("", 1), ("y", 0)])
def test_terminal_is_asked_before_applying(detached, tmp_path, answer, code):
    """The default answer is no. Yes applies and verifies."""
    argv = remediate(detached, tmp_path / "journal.sqlite", FINDING)

    status, shown = on_terminal(argv, [("[y/N/", answer)], 60 * detached.slowness)

    assert status == code, shown
    assert ("verified" in shown) is (answer == "y")
    assert attached(detached) is (answer == "y")


def test_refusal_of_a_script_is_reported_and_changes_nothing(lab, tmp_path):
    """A person decides about a link in another bridge: exit status 4 with the reason."""
    lab.fault("vlan-wrong-bridge", "minisrv")
    try:
        done = lab.command(*remediate(lab, tmp_path / "journal.sqlite", FINDING, "--yes"))
        assert "master userbr0" in lab.on("minisrv", "ip", "-o", "link", "show", "dev", "sigsrv0")
    finally:
        lab.fault("vlan-wrong-bridge", "minisrv", heal=True)

    assert done.returncode == 4
    assert "refused: sigsrv0 is attached to userbr0" in done.stderr
    assert "rolled back, the host is as it was before" in done.stderr


def test_value_from_a_profile_is_refused(lab, tmp_path):
    """An instance can't blank a text of its profile: exit status 4 with the profile's name, and nothing changed."""
    lab.fault("raw-profile", "minisrv")
    try:
        before = lab.on("minisrv", "incus", "query", "/1.0/instances/svc-b")
        done = lab.command(*remediate(lab, tmp_path / "journal.sqlite", "INST-003@minisrv/default/svc-b", "--yes"))
        after = lab.on("minisrv", "incus", "query", "/1.0/instances/svc-b")
    finally:
        lab.fault("raw-profile", "minisrv", heal=True)

    assert done.returncode == 4, done.stdout + done.stderr
    assert "refused: raw.lxc comes from profile svc: remove it there" in done.stderr
    assert after == before


def test_unwritable_journal_stops_before_the_host_is_changed(detached, tmp_path):
    """Without a journal there is no change."""
    (tmp_path / "sigsrv").write_text("a file, not a folder")

    done = detached.command(
        "sigsrv-remediate", FINDING, "--yes", "--site", str(detached.site), XDG_STATE_HOME=str(tmp_path)
    )

    assert done.returncode == 2
    assert "the journal can't be written" in done.stderr
    assert not attached(detached)


def test_undetermined_finding_is_not_fixed(lab, tmp_path):
    """Unknown is neither pass nor fail: exit status 3 with the reason."""
    argv = remediate(lab, tmp_path / "journal.sqlite", "INST-001@cluster/cluster", "--yes")

    done = lab.command(*argv, "--ssh-config", str(lab.files / "ssh_config.noaccess"))

    assert done.returncode == 3
    assert "could not be determined" in done.stderr


def test_finding_without_a_script_shows_the_manual_fix(lab, tmp_path):
    """The text is the policy's own; exit status 1."""
    lab.fault("acl-empty", "minisrv")
    try:
        done = lab.command(*remediate(lab, tmp_path / "journal.sqlite", "ACL-002@cluster/default/mgmt-base", "--yes"))
    finally:
        lab.fault("acl-empty", "minisrv", heal=True)

    assert done.returncode == 1
    assert "by hand:" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_unknown_finding_names_the_nearest_one(lab, tmp_path):
    """A mistyped resource is a usage error."""
    done = lab.command(*remediate(lab, tmp_path / "journal.sqlite", "NET-001@minisrv/sigsrvbr1"))

    assert done.returncode == 2
    assert 'did you mean "NET-001@minisrv/sigsrvbr0"?' in done.stderr


@pytest.mark.lab("vm")  # the kernel below the namespaces may lack the VLAN filter
def test_undo_restores_the_vlans_of_a_port(lab, tmp_path):
    """The bridges of Incus filter VLANs, and a port that is attached again gets default VLANs."""
    finding, journal = "NET-006@minisrv/userbr0", tmp_path / "journal.sqlite"

    def carried() -> str:
        return lab.on("minisrv", "bridge", "vlan", "show", "dev", "foreign1")

    lab.fault("port-foreign", "minisrv")
    try:
        before = carried()
        assert re.findall(r"\s(\d+)", before) == ["1", "7"]

        done = lab.command(*remediate(lab, journal, finding, "--yes"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.findall(r"\s(\d+)", carried()) == []
        undone = lab.command(*remediate(lab, journal, "--undo", done.stdout.split()[-1], "--yes"))

        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert carried() == before
    finally:
        lab.fault("port-foreign", "minisrv", heal=True)
