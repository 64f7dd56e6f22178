"""Tests what an operator of sigsrv-remediate decides: step by step, with the site's own tests, and about a rollback that never succeeds."""

from __future__ import annotations

import hashlib
import json
import shlex
import sqlite3
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Lab, clean, verdicts
from tests.e2e.safety import FINDING, attached, leftovers, remediate
from tests.e2e.terminal import on_terminal

pytestmark = pytest.mark.lab

ACL = "ACL-001@cluster/userbr0"
ASKS = "apply? [y/N/s/a/d/w/q/?] "


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


@pytest.fixture
def two_faults(detached):
    """Also take the ACL from the network of the users."""
    detached.fault("acl-detached", "sigsrv")
    yield detached
    detached.fault("acl-detached", "sigsrv", heal=True)


def test_operator_decides_about_each_step(two_faults, tmp_path):
    """The list comes first, in 80 columns. The second question comes after the first step is verified. The rest has its command."""
    lab, journal = two_faults, tmp_path / "journal.sqlite"
    argv = remediate(lab, journal, "NET-001", "ACL-001", "--reason", "ticket 12")

    status, shown = on_terminal(argv, [(ASKS, "d"), (ASKS, "y"), (ASKS, "q")], 120 * lab.slowness)

    assert status == 1, shown
    listed, _, rest = shown.partition(ASKS)
    assert f" 1  {FINDING}\n" in listed
    assert f" 2  {ACL}\n" in listed
    assert "  in all:   changes 2 objects on " in listed
    assert "| #!/bin/sh" not in listed
    assert max(map(len, listed.splitlines())) <= 80
    assert "change:\n  | --- " in rest
    assert "| #!/bin/sh" in rest
    assert f"verified: {FINDING} no longer fails" in rest
    command = next(line for line in rest.splitlines() if line.startswith("  sigsrv-remediate "))
    assert command.endswith(f" {ACL}")
    assert "--reason 'ticket 12'" in command
    assert attached(lab)
    past = lab.command("sigsrv-remediate", "--history", "--journal", str(journal)).stdout
    assert "  reason: ticket 12\n" in past
    assert ACL not in past


def test_finding_is_waived_instead_of_fixed(detached, tmp_path):
    """The waiver has a reason and an end. The next scan shows the finding as waived."""
    waivers = tmp_path / "waivers.yaml"
    argv = remediate(detached, tmp_path / "journal.sqlite", FINDING, "--waivers", str(waivers))
    waivers.write_text("version: 1\nwaivers: []\n")

    answers = [(ASKS, "w"), ("accepted? ", "cable work"), ("when? ", "2d")]
    status, shown = on_terminal(argv, answers, 120 * detached.slowness)

    assert status == 1, shown
    assert f"{FINDING}: waived" in shown
    (entry,) = yaml.safe_load(waivers.read_text())["waivers"]
    assert (entry["policy"], entry["host"], entry["resource"], entry["reason"]) == (
        "NET-001",
        "minisrv",
        "sigsrvbr0",
        "cable work",
    )
    assert not attached(detached)


@pytest.fixture
def own_tests(lab: Lab, tmp_path):
    """Return a function that writes a test of the site, and returns the site file that names it."""
    site = lab.files / "site-with-tests.yaml"

    def write(condition: str) -> Path:
        test = tmp_path / "test_own.py"
        test.write_text(f"def test_port(host):\n    assert {condition}\n")
        site.write_text(lab.site.read_text() + f"verify_with: [{json.dumps(str(test))}]\n")
        return site

    yield write
    site.unlink(missing_ok=True)


HAS_MASTER = 'host.run("ip -o link show dev sigsrv0 | grep -q master").rc == 0'


def test_fix_that_breaks_the_sites_own_test_is_rolled_back(detached, own_tests, tmp_path):
    """No policy is worse: only the test of the site knows."""
    on_minisrv = f'host.backend.hostname != "minisrv" or not {HAS_MASTER}'
    argv = remediate(detached, tmp_path / "journal.sqlite", FINDING, "--yes", "--site", str(own_tests(on_minisrv)))

    done = detached.command(*argv)

    assert done.returncode == 4, done.stdout + done.stderr
    assert "test_own.py: these must pass" in " ".join(done.stdout.split())
    assert "the site's own tests fail: test_own.py::test_port[" in done.stderr
    assert "rolled back, the host is as it was before" in done.stderr
    assert not attached(detached)


def test_fix_is_refused_while_the_sites_own_test_fails(detached, own_tests, tmp_path):
    """It fails already, so it could prove nothing."""
    argv = remediate(detached, tmp_path / "journal.sqlite", FINDING, "--plan", "--site", str(own_tests(HAS_MASTER)))

    done = detached.command(*argv)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "refused: before any change, the site's own tests fail: " in done.stderr


def forget_the_object(journal: Path) -> None:
    """Let both scripts of the step in the journal fail for ever, as those of an object that was renamed did."""
    script = "echo 'Error: Instance not found' >&2\nexit 1\n"
    with sqlite3.connect(journal) as database:
        ((number, content),) = database.execute("SELECT rowid, fix FROM kept").fetchall()
        fix = json.dumps({**json.loads(content), "script": script, "undo": script})
        database.execute("UPDATE kept SET fix = ? WHERE rowid = ?", (fix, number))
        database.execute("UPDATE step SET script_sha256 = ?", (hashlib.sha256(script.encode()).hexdigest(),))


def test_rollback_that_never_succeeds_is_abandoned(detached, tmp_path):
    """It blocks every later fix of the site, and names the command that ends this."""
    lab, journal = detached, tmp_path / "journal.sqlite"
    fixed = lab.command(*remediate(lab, journal, FINDING, "--yes"))
    assert fixed.returncode == 0, fixed.stdout + fixed.stderr
    forget_the_object(journal)
    undone = lab.command(*remediate(lab, journal, "--undo", fixed.stdout.split()[-1], "--yes"))
    assert undone.returncode == 4, undone.stdout + undone.stderr
    assert "STATE UNKNOWN" in undone.stderr
    lab.fault("vlan-detached", "minisrv")
    blocked = lab.command(*remediate(lab, journal, FINDING, "--yes"))
    assert blocked.returncode == 1, blocked.stdout + blocked.stderr
    words = blocked.stderr.split()
    transaction = words[words.index("--abandon") + 1]

    asked = remediate(lab, journal, "--abandon", transaction, "--reason", "it was renamed")
    status, shown = on_terminal(asked, [("[y/N] ", "y")], 120 * lab.slowness)

    assert status == 0, shown
    assert transaction in shown
    assert leftovers(lab) == ""
    past = lab.command("sigsrv-remediate", "--history", "--journal", str(journal)).stdout
    assert f"  abandoned: {FINDING}\n" in past
    assert f"reason: abandons {transaction}: it was renamed" in past
    freed = lab.command(*remediate(lab, journal, FINDING, "--yes"))
    assert freed.returncode == 0, freed.stdout + freed.stderr
    assert attached(lab)


DENIED = "ACL-003@cluster/sigsrvbr0"
KEY = "security.acls.default.ingress.action"


def test_undo_leaves_what_somebody_changed_since(lab, tmp_path):
    """It says so with exit status 1, and prints the command that overwrites it too."""
    journal = tmp_path / "journal.sqlite"

    def value() -> str:
        return lab.on("sigsrv", "incus", "network", "get", "sigsrvbr0", KEY).strip()

    lab.fault("acl-default-allow", "sigsrv")
    try:
        fixed = lab.command(*remediate(lab, journal, DENIED, "--yes"))
        assert fixed.returncode == 0, fixed.stdout + fixed.stderr
        assert value() == "reject"
        lab.on("sigsrv", "incus", "network", "set", "sigsrvbr0", f"{KEY}=drop")

        undone = lab.command(*remediate(lab, journal, "--undo", fixed.stdout.split()[-1], "--yes"))

        assert undone.returncode == 1, undone.stdout + undone.stderr
        assert f"not put back, because somebody changed it since: sigsrvbr0: {KEY} is drop" in undone.stderr
        assert value() == "drop"
        command = next(line for line in undone.stderr.splitlines() if line.startswith("  sigsrv-remediate "))
        assert command.endswith(f"--undo {fixed.stdout.split()[-1]} --force")

        forced = lab.command(*shlex.split(command), "--yes")

        assert forced.returncode == 0, forced.stdout + forced.stderr
        assert value() == "allow"
    finally:
        lab.fault("acl-default-allow", "sigsrv", heal=True)
