"""Tests the journal: runs, steps and old values.

An entry is on the disk before anything happens, and space for the end of a step is reserved.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import subprocess
import time

import pytest

from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Verdict
from sigsrv.model.fix import fix_for
from sigsrv.remediate.journal import VERSION, Journal
from tests.test_remediation import REMEDIATIONS, finding

FAILING = finding("attach-vlan")
FIX = fix_for(FAILING, REMEDIATIONS, "sigsrv")

# A journal of a version without runs.
WITHOUT_RUNS = f"""
CREATE TABLE step (
  id INTEGER PRIMARY KEY, transaction_id TEXT NOT NULL, at REAL NOT NULL, who TEXT NOT NULL, finding TEXT NOT NULL,
  remediation TEXT NOT NULL, host TEXT NOT NULL, script_sha256 TEXT NOT NULL, state TEXT NOT NULL, detail TEXT NOT NULL
);
INSERT INTO step VALUES
  (1, 'aaaaaaaaaaaaaaaa', 100.0, 'root', 'NET-001@minisrv/br0', 'attach-vlan', 'minisrv', '{"f" * 64}', 'applying', ''),
  (2, 'aaaaaaaaaaaaaaaa', 101.0, 'root', 'NET-001@minisrv/br0', 'attach-vlan', 'minisrv', '{"f" * 64}', 'verified', ''),
  (3, 'bbbbbbbbbbbbbbbb', 200.0, 'root', 'NET-005@minisrv/br0', 'raise-links', 'minisrv', '{"e" * 64}', 'undone', 'why');
"""


def run(number: int) -> str:
    """Return the id of a run."""
    return f"20260101T000000Z-{number:04x}"


def transaction(number: int) -> str:
    """Return the id of a transaction."""
    return f"{number:016x}"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "journal.sqlite"


@pytest.fixture
def journal(path):
    found = Journal(path)
    yield found
    found.close()


def record_verified_step(journal: Journal, transaction: str, undoes: str = "", state: str = "b2xk b2xk\n") -> None:
    journal.begin_step(transaction, FIX, [FAILING], undoes)
    journal.write(transaction, FIX, "applied", "said")
    journal.record_old_values(transaction, FIX, state, ["NET-001@minisrv/br0"])
    journal.write(transaction, FIX, "verified")


def test_step_has_the_data_that_its_undo_needs(journal):
    """It has the fix with both scripts, the verdicts before, the improved findings and the old values."""
    journal.begin_run(run(1), "site")
    record_verified_step(journal, transaction(1))

    (found,) = journal.history()
    (step,) = found.steps

    assert (found.id, found.site, found.undoes, found.pid) == (run(1), "site", "", os.getpid())
    assert (step.fix.script, step.fix.undo, step.fix.words) == (FIX.script, FIX.undo, FIX.words)
    assert step.states == ("applying", "applied", "confirming", "verified")
    assert (step.end, step.sha256, step.timer) == ("verified", FIX.sha256, "shell")
    assert step.verdicts == {"NET-001@minisrv/br0": Verdict.FAIL}
    assert (step.improved, step.state) == (("NET-001@minisrv/br0",), "b2xk b2xk\n")


def test_step_that_fixed_several_findings_counts_for_each(journal):
    """History, undo and the number of fixes within a day know all of them."""
    others = ("NET-002@minisrv/br0", "NET-003@minisrv/br0")
    fix = dataclasses.replace(FIX, also=others)
    journal.begin_run(run(1), "site")
    journal.begin_step(transaction(1), fix, [FAILING])
    journal.write(transaction(1), fix, "verified")

    ((step,),) = [found.steps for found in journal.history()]

    assert step.findings == (FIX.finding, *others)
    assert [journal.fixes_within_a_day(each, time.time()) for each in (*step.findings, "NET-004@minisrv/br0")] == [
        1,
        1,
        1,
        0,
    ]


@pytest.mark.parametrize("also", ["text", [1], ["no id"]])
def test_step_with_other_findings_that_are_none_is_refused(journal, path, also):
    """sigsrv did not write it."""
    record_verified_step(journal, transaction(1))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE kept SET fix = json_set(fix, '$.also', json(?))", (json.dumps(also),))

    with pytest.raises(UsageError, match="not a fix"):
        journal.history()


def test_only_the_owner_can_read_the_journal(journal, path):
    """Old values may be secret."""
    assert path.stat().st_mode & 0o777 == 0o600


def test_journal_without_runs_is_migrated(path):
    """Each transaction becomes a run. Data that was not recorded stays empty. A second migration changes nothing."""
    path.parent.mkdir()
    database = sqlite3.connect(path)
    database.executescript(WITHOUT_RUNS)
    database.close()

    for _ in range(2):
        journal = Journal(path)
        runs = journal.history()
        assert [(run.id, run.at, [(step.finding, step.end, step.fix) for step in run.steps]) for run in runs] == [
            ("b" * 16, 200.0, [("NET-005@minisrv/br0", "undone", None)]),
            ("a" * 16, 100.0, [("NET-001@minisrv/br0", "verified", None)]),
        ]
        assert journal.interrupted_steps() == []
        journal.close()
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_journal_without_reasons_is_migrated(path):
    """The runs of version 2 stay as they are. New runs have their reason."""
    journal = Journal(path)
    journal.begin_run(run(1), "site")
    record_verified_step(journal, transaction(1))
    journal._database.execute("ALTER TABLE run DROP COLUMN reason")
    journal._database.execute("PRAGMA user_version = 2")
    journal.close()

    journal = Journal(path)
    journal.begin_run(run(2), "site", reason="ticket 12")

    assert {each.id: (each.reason, len(each.steps)) for each in journal.history()} == {
        run(1): ("", 1),
        run(2): ("ticket 12", 0),
    }
    journal.close()


def test_journal_of_a_newer_version_is_not_written(path):
    """sigsrv does not write to a format that it does not know."""
    Journal(path).close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()

    with pytest.raises(UsageError, match="written by a newer sigsrv"):
        Journal(path)


@pytest.mark.parametrize("content", [b"nonsense " * 200, b"SQLite format 3\0" + b"\xff" * 4096])
def test_file_that_is_not_a_journal_is_an_error(path, content):
    """The message is one line, and the hint names the option for another file."""
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(UsageError, match="the journal can't be written") as output:
        Journal(path)
    assert "--journal names another file" in output.value.hint
    assert path.read_bytes() == content


def test_interrupted_step_is_found(journal):
    """It has no end state, because its process was killed."""
    journal.begin_run(run(1), "site")
    record_verified_step(journal, transaction(1))
    journal.begin_step(transaction(2), FIX, [FAILING])

    assert [step.transaction for step in journal.interrupted_steps()] == [transaction(2)]
    journal.write(transaction(2), FIX, "undone")
    assert journal.interrupted_steps() == []


def test_undone_step_names_the_run_that_undid_it(journal):
    """Only a verified undo counts."""
    journal.begin_run(run(1), "site")
    record_verified_step(journal, transaction(1))
    journal.begin_run(run(2), "site", run(1))
    journal.begin_step(transaction(2), FIX, [FAILING], transaction(1))
    assert journal.history(run(1))[0].steps[0].undone_by == ""
    journal.write(transaction(2), FIX, "verified")

    assert journal.history(run(1))[0].steps[0].undone_by == run(2)
    assert journal.history(run(2))[0].undoes == run(1)


def test_fixes_within_a_day_are_counted_without_the_undone_ones(journal):
    """sigsrv itself reverted an undone fix, and an undo is not a fix."""
    journal.begin_run(run(1), "site")
    for number in range(3):
        record_verified_step(journal, transaction(number))
    journal.begin_step(transaction(7), FIX, [FAILING])
    now = time.time()
    assert journal.fixes_within_a_day(FAILING.id, now) == 3
    assert journal.fixes_within_a_day("NET-002@a/b", now) == 0
    assert journal.fixes_within_a_day(FAILING.id, now + 24 * 3600 + 1) == 0

    journal.begin_run(run(2), "site", run(1))
    record_verified_step(journal, transaction(8), undoes=transaction(0))
    assert journal.fixes_within_a_day(FAILING.id, now) == 2


def test_run_of_a_dead_process_is_not_alive(journal):
    """The process is known by its number, on this machine only."""
    journal.begin_run(run(1), "site")
    assert journal.history()[0].is_alive
    process = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    journal._database.execute("UPDATE run SET pid = ?", (int(process.stdout),))
    assert not journal.history()[0].is_alive
    journal._database.execute("UPDATE run SET pid = ?, who = 'alice@elsewhere'", (os.getpid(),))
    assert not journal.history()[0].is_alive


@pytest.fixture
def small_disk(tmp_path):
    """Provide a file system of 8 MiB, mounted for the tests only. Skips the test if mounting needs more rights."""
    folder = tmp_path / "disk"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "none", str(folder)]
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs takes root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder) -> None:
    """Fill the file system to the last byte."""
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (65536, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def test_full_disk_prevents_a_run(small_disk):
    """It stops before sigsrv touches a host."""
    fill(small_disk)

    with pytest.raises(UsageError, match="can't be written"):
        Journal(small_disk / "journal.sqlite")


def test_end_of_a_step_is_recorded_on_a_disk_that_fills_up(small_disk):
    """The reserved space takes the result and the old values. The next step starts only when there is space again."""
    journal = Journal(small_disk / "journal.sqlite")
    journal.begin_run(run(1), "site")
    journal.begin_step(transaction(1), FIX, [FAILING])
    fill(small_disk)

    journal.write(transaction(1), FIX, "applied", "x" * 2000)
    journal.record_old_values(transaction(1), FIX, "b2xk " + "A" * 400_000 + "\n", [FAILING.id])
    journal.write(transaction(1), FIX, "verified")

    with pytest.raises(UsageError, match="full"):
        journal.begin_step(transaction(2), FIX, [FAILING])
    journal.close()
    again = Journal(small_disk / "journal.sqlite")
    assert again.history()[0].steps[0].end == "verified"
    (small_disk / "filler").unlink()
    again.begin_step(transaction(2), FIX, [FAILING])
    again.close()


@pytest.mark.parametrize(("kept", "resets"), [('"br0"', ("br0",)), ('""', ()), ('["br0", "br1"]', ("br0", "br1"))])
def test_step_of_an_earlier_version_resets_one_network(journal, path, kept, resets):
    """Its fix has one name, or an empty text for none."""
    record_verified_step(journal, transaction(1))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE kept SET fix = json_set(fix, '$.resets', json(?))", (kept,))

    ((step,),) = [found.steps for found in journal.history()]

    assert step.fix.resets == resets
