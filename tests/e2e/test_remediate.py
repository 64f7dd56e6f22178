"""A remediation on the lab: shown, asked for, applied, proven; or undone, whatever goes wrong."""

from __future__ import annotations

import dataclasses
import os
import pty
import select
import subprocess
import time

import pytest

from sigsrv import scan
from sigsrv.remediate import Ending, Looked, Outcome, Transaction, look, remote
from sigsrv.remediate.journal import Journal
from tests.e2e.conftest import BIN, ROOT, Lab, clean, verdicts

pytestmark = pytest.mark.lab

FINDING = "NET-001@minisrv/sigsrvbr0"
ATTACH = "ip link set dev sigsrv0 master sigsrvbr0\n"


@pytest.fixture
def detached(lab: Lab):
    """sigsrv0 is out of its bridge on minisrv; afterwards the lab is clean again, with nothing left on the host."""
    lab.fault("vlan-detached", "minisrv")
    yield lab
    lab.fault("vlan-detached", "minisrv", heal=True)
    assert verdicts(lab.scan()[0]) == clean()
    assert lab.on("minisrv", "sh", "-c", "ls -A /run/sigsrv 2>/dev/null || true") == ""
    assert lab.on("minisrv", "sh", "-c", "ps -eo args | grep '[u]ndo-once' || true") == ""


def transact(lab: Lab, journal: Journal, **changes: object) -> tuple[Outcome, list[str], Looked]:
    """Remediate the finding in process, with parts of its fix replaced."""
    plan = scan.prepare(scan.Options(site=str(lab.site)))
    looked = look(plan, FINDING)
    assert looked.fix
    looked = dataclasses.replace(looked, fix=dataclasses.replace(looked.fix, **changes))
    told: list[str] = []
    transaction = Transaction(plan, looked, journal, told.append)
    outcome = transaction.run()
    return outcome, journal.states(transaction.id), looked


@pytest.fixture
def journal(tmp_path):
    found = Journal(tmp_path / "journal.sqlite")
    yield found
    found.close()


def is_detached(lab: Lab) -> bool:
    return "master" not in lab.on("minisrv", "ip", "-o", "link", "show", "dev", "sigsrv0")


def test_plan_only_shows(detached):
    """--plan prints script, disruption, undo and the permanent fix, exits with 0 and changes nothing."""
    done = detached.command("sigsrv-remediate", FINDING, "--plan", "--site", str(detached.site))

    assert done.returncode == 0
    for part in ("now:", "then:", "disrupts:", "undo:", "script:", "permanent fix (OpenTofu)", "permanent fix (NixOS)"):
        assert part in done.stdout
    assert is_detached(detached)


def test_without_a_terminal_nothing_is_applied(detached):
    """Neither --yes nor anybody to ask: nothing happens, and the hint says what to do."""
    done = detached.command("sigsrv-remediate", FINDING, "--site", str(detached.site))

    assert done.returncode == 2
    assert "--yes applies without asking" in done.stderr
    assert is_detached(detached)


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("", 1), ("y", 0)])
def test_on_a_terminal_it_asks(detached, answer, code):
    """The default is no; yes applies and verifies."""
    master, slave = pty.openpty()
    argv = [str(BIN / "sigsrv-remediate"), FINDING, "--site", str(detached.site)]
    process = subprocess.Popen(argv, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    seen, answered, end = b"", False, time.monotonic() + 60
    while time.monotonic() < end:
        if not select.select([master], [], [], 0.2)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            chunk = os.read(master, 4096)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
        if not answered and b"[y/N]" in seen:
            os.write(master, answer.encode() + b"\n")
            answered = True
    os.close(master)

    assert process.wait(10) == code, seen.decode()
    assert (b"verified" in seen) is (answer == "y")
    assert is_detached(detached) is (answer != "y")


def test_a_fix_that_refuses_is_told_and_changes_nothing(lab):
    """A link that is in another bridge is a person's to decide: exit 4, the reason, and the host as it was."""
    lab.fault("vlan-wrong-bridge", "minisrv")
    try:
        done = lab.command("sigsrv-remediate", FINDING, "--yes", "--site", str(lab.site))
        assert "master userbr0" in lab.on("minisrv", "ip", "-o", "link", "show", "dev", "sigsrv0")
    finally:
        lab.fault("vlan-wrong-bridge", "minisrv", heal=True)

    assert done.returncode == 4
    assert "refused: sigsrv0 is attached to userbr0" in done.stderr
    assert "undone, it is as it was before" in done.stderr


def test_what_only_a_profile_can_take_away_is_refused(lab):
    """A text that a profile gives can't be blanked on the instance: exit 4, the profile's name, and nothing changed."""
    lab.fault("raw-profile", "minisrv")
    try:
        before = lab.on("minisrv", "incus", "query", "/1.0/instances/svc-b")
        done = lab.command("sigsrv-remediate", "INST-003@minisrv/default/svc-b", "--yes", "--site", str(lab.site))
        after = lab.on("minisrv", "incus", "query", "/1.0/instances/svc-b")
    finally:
        lab.fault("raw-profile", "minisrv", heal=True)

    assert done.returncode == 4, done.stdout + done.stderr
    assert "refused: raw.lxc comes from profile svc: take it out there" in done.stderr
    assert after == before


def test_a_script_that_fails_half_way_is_undone(detached, journal):
    """What it had changed before it failed is put back from what it kept."""
    looked = look(scan.prepare(scan.Options(site=str(detached.site))), FINDING)
    assert looked.fix
    broken = looked.fix.script.replace('ip link set dev "$interface" up\n', "exit 7\n")

    outcome, states, _ = transact(detached, journal, script=broken)

    assert outcome.ending is Ending.UNDONE
    assert "ended with 7" in outcome.reason
    assert states == ["applying", "undoing", "undone"]
    assert is_detached(detached)


def test_a_script_that_lies_is_undone(detached, journal):
    """Exit status 0 proves nothing: fresh facts do."""
    outcome, states, _ = transact(detached, journal, script="echo all is well\n", undo="true\n", disruption="none")

    assert outcome.ending is Ending.UNDONE
    assert f"{FINDING} is still fail" in outcome.reason
    assert states == ["applying", "applied", "undoing", "undone"]


def test_a_fix_that_makes_another_policy_fail_is_undone(detached, journal):
    """The finding is gone, another host's or policy's got worse: back to the old state."""
    outcome, _, _ = transact(
        detached,
        journal,
        script=ATTACH + "ip link set dev incus0 nomaster\n",
        undo="ip link set dev incus0 master incusbr0\nip link set dev sigsrv0 nomaster\n",
    )

    assert outcome.ending is Ending.UNDONE
    assert "NET-001@minisrv/incusbr0 fail" in outcome.reason
    assert is_detached(detached)


def test_a_fix_that_cuts_the_line_is_undone_by_the_host_itself(detached, journal, monkeypatch):
    """The host's only way in goes down with the fix: within the time given the host is back, in its old state."""
    monkeypatch.setattr(remote, "CONFIRM_S", 6)
    monkeypatch.setattr("sigsrv.remediate.CONFIRM_S", 6)
    began = time.monotonic()

    outcome, states, _ = transact(
        detached,
        journal,
        script=ATTACH + "ip link set dev eth0 down\n",
        undo="ip link set dev eth0 up\nip link set dev sigsrv0 nomaster\n",
        timeout_s=5,
    )

    assert outcome.ending is Ending.UNDONE, outcome.reason
    assert states[-1] == "undone"
    assert is_detached(detached)
    assert time.monotonic() - began < 60


def test_an_undo_that_fails_is_said(detached, journal):
    """Where neither the new nor the old state can be shown, that is what is said."""
    outcome, states, _ = transact(detached, journal, script="exit 1\n", undo="exit 1\n", disruption="none")

    assert outcome.ending is Ending.UNKNOWN
    assert states[-1] == "failed"
    detached.on("minisrv", "sh", "-c", "rm -r /run/sigsrv/*")


def test_a_journal_that_can_t_be_written_stops_before_the_host_is_touched(detached, tmp_path):
    """No journal, no change."""
    (tmp_path / "sigsrv").write_text("a file, no folder")

    done = detached.command(
        "sigsrv-remediate", FINDING, "--yes", "--site", str(detached.site), XDG_STATE_HOME=str(tmp_path)
    )

    assert done.returncode == 2
    assert "the journal can't be written" in done.stderr
    assert is_detached(detached)


def test_a_finding_that_could_not_be_determined_is_not_put_right(lab):
    """Unknown is neither right nor wrong: exit 3, and why."""
    argv = ["sigsrv-remediate", "INST-001@cluster/cluster", "--yes", "--site", str(lab.site)]

    done = lab.command(*argv, "--ssh-config", str(lab.files / "ssh_config.noaccess"))

    assert done.returncode == 3
    assert "could not be determined" in done.stderr


def test_a_finding_for_a_person_says_what_to_do(lab):
    """Without a script the policy's own words are shown; exit 1."""
    lab.fault("project-features", "sigsrv")
    try:
        done = lab.command("sigsrv-remediate", "PROJ-002@cluster/user-bob", "--yes", "--site", str(lab.site))
    finally:
        lab.fault("project-features", "sigsrv", heal=True)

    assert done.returncode == 1
    assert "by hand:" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_a_finding_that_does_not_exist_names_the_nearest(lab):
    """A mistyped resource is wrong use."""
    done = lab.command("sigsrv-remediate", "NET-001@minisrv/sigsrvbr1", "--site", str(lab.site))

    assert done.returncode == 2
    assert 'did you mean "NET-001@minisrv/sigsrvbr0"?' in done.stderr
