"""Tests that the first run of root moves the files of earlier versions, if it can trust them, and that an old journal is still used.

``tests/evidence/journal/runs.sql`` is a journal that the first version with runs wrote: one fix, verified.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from sigsrv.commands import main, old_state, remediate
from sigsrv.model import data
from sigsrv.remediate.journal import VERSION, Journal
from sigsrv.remediate.transaction import EndState
from tests.called import ROOT
from tests.run_world import two_files
from tests.test_remediate_journal import WITHOUT_RUNS

OTHER = 4_000_003  # no account of any machine
RUN = "20261126T071301Z-5e1f"
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root had its state in /var/lib/sigsrv")


def write_journal(path, script: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)
    path.chmod(0o600)


def recorded_journal() -> str:
    return (ROOT / "tests" / "evidence" / "journal" / "runs.sql").read_text(encoding="utf-8")


@pytest.fixture
def old(tmp_path, monkeypatch):
    """Provide the old folder with a journal and a run, for an account that has no $XDG_STATE_HOME."""
    folder = tmp_path / "var" / "sigsrv"
    (folder / "runs" / RUN).mkdir(parents=True)
    (folder / "runs" / RUN / "findings.json").write_text("{}")
    (folder / "runs" / "latest").symlink_to(RUN)
    write_journal(folder / old_state.JOURNAL, recorded_journal())
    (folder / f"{old_state.JOURNAL}-journal").write_bytes(bytes(512))  # SQLite keeps it, with its header zeroed
    (folder / f"{old_state.JOURNAL}-journal").chmod(0o600)
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(old_state, "_OLD", folder)
    monkeypatch.setattr(data, "_home", lambda: tmp_path / "root")
    return folder


def notes(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


@root
def test_first_run_moves_the_files_and_says_so(old, tmp_path, capsys):
    """Each is one line. The second run has nothing to move."""
    new = tmp_path / "root" / ".local" / "state" / "sigsrv"

    assert remediate.main(["--history"]) == 0

    out, err = capsys.readouterr()
    assert err.splitlines() == [
        f"sigsrv: moved {old}/journal.sqlite to {new}/journal.sqlite",
        f"sigsrv: moved {old}/runs to {new}/runs",
    ]
    assert RUN in out
    assert (new / "runs" / "latest" / "findings.json").read_text() == "{}"
    assert new.stat().st_mode & 0o777 == 0o700
    assert list(old.iterdir()) == []
    assert remediate.main(["--history"]) == 0
    assert notes(capsys) == []


@root
def test_scan_moves_them_too(old, tmp_path, capsys):
    """Whichever command comes first."""
    main.main(["scan", "--evidence", "demo", "--report-dir", str(tmp_path / "out")])

    assert [line.split()[1] for line in notes(capsys)] == ["moved", "moved"]


@root
@pytest.mark.parametrize("wrong", ["", "journal.sqlite", "runs"])
def test_files_of_another_account_stay_where_they_are(old, tmp_path, capsys, wrong):
    """The line names owner and mode, and how to take them over. A forged journal would otherwise become that of root."""
    os.chown(old / wrong, OTHER, OTHER)

    remediate.main(["--history"])

    found = notes(capsys)
    if wrong != "runs":  # the history does not use the runs
        assert f"belongs to another account (owner unknown (uid {OTHER}), mode 0" in found[0]
        assert found[0].startswith(f"sigsrv: {old}/journal.sqlite is not trusted: ")
        assert f"mv {old}/journal.sqlite* {tmp_path}/root/.local/state/sigsrv/" in found[1]
        assert (old / "journal.sqlite").exists()
    assert (old / "runs").exists() is (wrong in ("", "runs"))
    assert not any("Traceback" in line for line in found)


@root
def test_journal_that_is_a_link_stays(old, tmp_path, capsys):
    """It may lead to any file of root."""
    (old / "journal.sqlite").rename(tmp_path / "elsewhere")
    (old / "journal.sqlite").symlink_to(tmp_path / "elsewhere")

    remediate.main(["--history"])

    assert "journal.sqlite is not trusted: it is a link" in notes(capsys)[0]
    assert (tmp_path / "elsewhere").exists()


@root
def test_journal_in_use_stays(old, capsys):
    """Another process of an earlier version writes it."""
    with closing(sqlite3.connect(old / "journal.sqlite", isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        remediate.main(["--history"])

    assert "journal.sqlite: database is locked; it stays there" in notes(capsys)[0]
    assert (old / "journal.sqlite").exists()


@root
def test_interrupted_write_of_the_journal_is_finished_before_it_moves(old, tmp_path, capsys):
    """SQLite keeps what it needs for that in a second file. Without it, the moved journal would be damaged."""
    path = old / "journal.sqlite"
    before = path.read_bytes()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE run SET who = ?", ("x" * 100_000,))
        database.execute("INSERT INTO reserve (room) VALUES (randomblob(1000000))")
        half, hot = path.read_bytes(), path.with_name("journal.sqlite-journal").read_bytes()
        database.execute("ROLLBACK")
    assert half != before
    path.write_bytes(half)
    path.with_name("journal.sqlite-journal").write_bytes(hot)
    path.with_name("journal.sqlite-journal").chmod(0o600)

    assert remediate.main(["--history"]) == 0

    assert "root@station" in capsys.readouterr().out
    assert not (old / "journal.sqlite-journal").exists()


@root
def test_file_that_is_there_already_is_not_replaced(old, tmp_path, capsys):
    """Root has used the new version before."""
    new = Journal()
    new.close()

    remediate.main(["--history"])

    assert [line.split()[2] for line in notes(capsys)] == [f"{old}/runs"]
    assert (old / "journal.sqlite").exists()


def test_accounts_with_a_state_directory_of_their_own_keep_it(old, tmp_path, capsys, monkeypatch):
    """The service account has XDG_STATE_HOME=/var/lib, so its files are already where they belong."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "var"))

    assert remediate.main(["--history"]) == 0

    out, err = capsys.readouterr()
    assert (RUN in out, err) == (True, "")
    assert (old / "journal.sqlite").exists()


def test_state_directory_is_that_of_the_account_and_not_of_its_environment(monkeypatch):
    """sudo may keep $HOME of the caller, whose files root must not use. A relative $XDG_STATE_HOME does not count."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    found = data.state_folder()

    assert found.is_absolute()
    assert found.parts[-3:] == (".local", "state", "sigsrv")
    assert not str(found).startswith("/home/somebody")


@pytest.fixture
def world(tmp_path, monkeypatch):
    with two_files(tmp_path, monkeypatch) as found:
        yield found


def test_run_of_an_old_journal_is_undone(world, tmp_path):
    """It has the scripts and the old values of its time."""
    path = tmp_path / "old-journal.sqlite"
    write_journal(path, recorded_journal())
    world.files["a"].write_text("new\n")
    world.journal.close()
    world.journal = Journal(path)

    (done,) = world.undo(RUN)

    assert done.outcome.end_state is EndState.VERIFIED, done.outcome.reason
    assert world.state()[0] == "old"
    assert world.journal.history(RUN)[0].steps[0].undone_by


@pytest.mark.parametrize("version", [0, 1])
def test_history_of_a_journal_without_runs_is_shown(old, capsys, monkeypatch, version):
    """Versions 0 and 1 recorded no old values, so each step is a run that can't be undone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(old.parent))
    (old / "journal.sqlite").unlink()
    write_journal(old / "journal.sqlite", f"{WITHOUT_RUNS}PRAGMA user_version = {version};")

    assert remediate.main(["--history"]) == 0
    assert "verified: NET-001@minisrv/br0" in capsys.readouterr().out
    site = ["--site", "src/sigsrv/demo/site.yaml"]
    assert remediate.main(["--undo", "c" * 16, *site]) == 2
    assert "has no run" in capsys.readouterr().err
    with closing(sqlite3.connect(old / "journal.sqlite")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
