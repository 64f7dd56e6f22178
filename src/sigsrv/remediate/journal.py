"""Records who applied what, when and how it ended, and the data that an undo needs.

Entries are written before and after each step. A run is one call of the command. It has steps, and each step goes
through states. SQLite runs with ``synchronous=EXTRA``: when ``write`` returns, the entry is on the disk
(https://sqlite.org/pragma.html#pragma_synchronous). The file reserves space for the entries that end a step, so a
disk that fills up in the middle of a step does not prevent them.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

from sigsrv.model import data, trusted
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding
from sigsrv.model.fix import Fix
from sigsrv.remediate.journal_rows import (
    INTERRUPTED,
    Approval,
    Row,
    RunEntry,
    StepEntry,
    approval_of,
    run_of,
    step_of,
    who,
)

# Of the file, in its user_version. Files of version 0 and 1 have no runs, those of version 2 no reasons, those of version 3 no approvals.
VERSION = 4
_BESIDE = ("-journal", "-wal", "-shm")  # files that SQLite reads with the database (https://sqlite.org/tempfiles.html)
_ROW_BYTES, _RESERVED_ROWS = 3000, 256  # one row fills a page of 4096 bytes: 1 MiB in all
_DAY_S = 24 * 3600.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS step (
  id INTEGER PRIMARY KEY, transaction_id TEXT NOT NULL, at REAL NOT NULL, who TEXT NOT NULL, finding TEXT NOT NULL,
  remediation TEXT NOT NULL, host TEXT NOT NULL, script_sha256 TEXT NOT NULL, state TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS run (
  id TEXT PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, site TEXT NOT NULL, undoes TEXT NOT NULL, pid INTEGER NOT NULL,
  reason TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS kept (
  transaction_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, undoes TEXT NOT NULL, fix TEXT NOT NULL, verdicts TEXT NOT NULL,
  net TEXT NOT NULL, mended TEXT NOT NULL DEFAULT '[]', state TEXT
);
CREATE TABLE IF NOT EXISTS approval (
  id INTEGER PRIMARY KEY, at REAL NOT NULL, plan TEXT NOT NULL, site TEXT NOT NULL, who TEXT NOT NULL, uid INTEGER NOT NULL,
  login_uid INTEGER NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS reserve (id INTEGER PRIMARY KEY, room BLOB NOT NULL);
"""
# In a file without runs, each transaction becomes a run of its own. It can't be undone: the old values were not recorded.
_MIGRATE = """
INSERT OR IGNORE INTO run (id, at, who, site, undoes, pid)
  SELECT transaction_id, MIN(at), who, '', '', 0 FROM step GROUP BY transaction_id;
INSERT OR IGNORE INTO kept (transaction_id, run_id, undoes, fix, verdicts, net)
  SELECT DISTINCT transaction_id, transaction_id, '', '', '{}', '' FROM step;
"""


class Journal:
    """Reads and writes the journal file (SQLite, mode 0600). Each entry is on the disk before ``write`` returns.

    Raises UsageError if the file can't be written, or if other accounts may write it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or data.state_folder() / "journal.sqlite"
        self._run = ""
        try:
            os.close(trusted.open_private(self.path))
            for suffix in _BESIDE:
                with suppress(FileNotFoundError):
                    trusted.check_private(self.path.with_name(f"{self.path.name}{suffix}"))
            self._database = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        except (OSError, sqlite3.Error) as cause:
            raise self._refused(cause) from cause
        try:
            self._open()
        except sqlite3.Error as cause:
            self._database.close()
            raise self._refused(cause) from cause
        except BaseException:
            self._database.close()
            raise

    def _open(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise UsageError(
                f"{self.path}: the journal has version {version}, written by a newer sigsrv; supported: {VERSION}",
                "update sigsrv, or name another file with --journal",
            )
        self._database.execute(
            "PRAGMA journal_mode = PERSIST"
        )  # SQLite's rollback journal keeps its size, so its space stays reserved too
        self._database.execute("PRAGMA synchronous = EXTRA")
        self._database.execute(
            "PRAGMA secure_delete = OFF"
        )  # with it, freeing the reserve would take as much space in the rollback journal
        if version < VERSION:  # a current file is not written, so the history can be read on a full disk
            with _Transaction(self._database):
                for statement in filter(str.strip, (_SCHEMA + (_MIGRATE if version < 2 else "")).split(";")):
                    self._database.execute(statement)
                if "reason" not in {row[1] for row in self._database.execute("PRAGMA table_info(run)")}:
                    self._database.execute("ALTER TABLE run ADD COLUMN reason TEXT NOT NULL DEFAULT ''")
                self._database.execute(f"PRAGMA user_version = {VERSION}")

    def _reserve(self) -> None:
        """Reserve the space that ``_change`` frees when the disk is full.

        Raises UsageError if the disk lacks the space.
        """
        try:
            if self._database.execute("SELECT COUNT(*) FROM reserve").fetchone()[0]:
                return
            with _Transaction(self._database):
                rows = [(size,) for size in [_ROW_BYTES] * _RESERVED_ROWS]
                self._database.executemany("INSERT INTO reserve (room) VALUES (zeroblob(?))", rows)
            with _Transaction(
                self._database
            ):  # rewrites each page in place: the old content goes to the rollback journal, which keeps its size
                self._database.execute("UPDATE reserve SET room = randomblob(?)", (_ROW_BYTES,))
        except sqlite3.Error as cause:
            raise self._refused(cause) from cause

    def _refused(self, cause: Exception) -> UsageError:
        return UsageError(
            f"{self.path}: the journal can't be written: {cause}",
            "nothing is applied without a journal; --journal names another file",
        )

    def _change(self, *statements: tuple[str, tuple[Any, ...]]) -> None:
        """Write all statements or none. If the disk is full, use the reserved space. Raises UsageError."""
        for has_room in (True, False):
            try:
                if not has_room:  # separately: pages that are free at the start of a transaction are not copied first
                    with _Transaction(self._database):
                        self._database.execute("DELETE FROM reserve")
                with _Transaction(self._database):
                    for statement, values in statements:
                        self._database.execute(statement, values)
            except sqlite3.Error as cause:
                if has_room and "full" in str(cause):
                    continue
                raise self._refused(cause) from cause
            return

    def begin_run(self, run: str, site: str, undoes: str = "", reason: str = "") -> None:
        """Record the start of a run. The steps that follow belong to it.

        undoes: the run that it is about to undo. reason: why the operator does it, "" if no reason was given.
        """
        self._reserve()
        self._run = run
        self._change(
            (
                "INSERT INTO run (id, at, who, site, undoes, pid, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run, time.time(), who(), site, undoes, os.getpid(), reason),
            )
        )

    def approve(self, approval: Approval) -> None:
        """Record the approval of a plan."""
        self._change(
            (
                "INSERT INTO approval (at, plan, site, who, uid, login_uid, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
                astuple(approval),
            )
        )

    def approvals(self) -> list[Approval]:
        """Return all approvals, newest first. Raises UsageError as ``history``."""
        try:
            return [approval_of(row) for row, _ in self._rows("approval", "1 ORDER BY at DESC, id DESC")]
        except sqlite3.Error as cause:
            raise self._unreadable(cause) from cause

    def _unreadable(self, cause: Exception) -> UsageError:
        return UsageError(f"{self.path}: the journal can't be read: {cause}", "--journal names another file")

    def write(self, transaction: str, fix: Fix, state: str, detail: str = "") -> None:
        """Record the new state of a step: ``applied``, ``verified``, ``undoing``, ``undone``, ``failed`` or ``abandoned``."""
        self._change(_event(transaction, fix, state, detail))

    def begin_step(
        self, transaction: str, fix: Fix, before: Iterable[Finding], undoes: str = "", timer: str = "shell"
    ) -> None:
        """Record the start of a step with all data that ends or undoes it. before: the findings at that time.

        undoes: the transaction that this step undoes. timer: the kind of rollback timer. A step outside a run becomes
        a run of its own.
        """
        self._reserve()
        run = self._run or transaction
        content = json.dumps(
            {**asdict(fix), "touches": [astuple(each) for each in fix.touches], "permanent": {}, "taken_back": ()}
        )
        verdicts = json.dumps({finding.id: finding.verdict.value for finding in before})
        self._change(
            (
                "INSERT OR IGNORE INTO run (id, at, who, site, undoes, pid) VALUES (?, ?, ?, '', '', ?)",
                (run, time.time(), who(), os.getpid()),
            ),
            (
                "INSERT INTO kept (transaction_id, run_id, undoes, fix, verdicts, net) VALUES (?, ?, ?, ?, ?, ?)",
                (transaction, run, undoes, content, verdicts, timer),
            ),
            _event(transaction, fix, "applying", ""),
        )

    def record_old_values(self, transaction: str, fix: Fix, state: str, improved: Iterable[str]) -> None:
        """Record the old values of the host, and that the step is about to be confirmed.

        improved: ids of the findings that got better.
        """
        self._change(
            (
                "UPDATE kept SET state = ?, mended = ? WHERE transaction_id = ?",
                (state, json.dumps(sorted(improved)), transaction),
            ),
            _event(transaction, fix, "confirming", ""),
        )

    def states(self, transaction: str) -> list[str]:
        """Return the states of a transaction, in order."""
        rows = self._database.execute("SELECT state FROM step WHERE transaction_id = ? ORDER BY id", (transaction,))
        return [str(state) for (state,) in rows]

    def history(self, run: str | None = None) -> list[RunEntry]:
        """Return all runs, newest first, or only the named run.

        Raises UsageError if the file can't be read, or if a row is not one that sigsrv wrote.
        """
        try:
            rows = self._rows("run", "? IS NULL OR id = ? ORDER BY at DESC, id", run, run)
            return [run_of(row, self._steps(values["id"])) for row, values in rows]
        except sqlite3.Error as cause:
            raise self._unreadable(cause) from cause

    def _rows(self, table: str, condition: str, *values: Any) -> list[tuple[Row, dict[str, Any]]]:
        """Return the rows of a table, to be checked, each with its unchecked values."""
        found = self._database.execute(f"SELECT rowid AS number, * FROM {table} WHERE {condition}", values)  # noqa: S608  constants
        names = [column[0] for column in found.description]
        rows = [dict(zip(names, row, strict=True)) for row in found]
        return [(Row(self.path, table, row["number"], row), row) for row in rows]

    def _steps(self, run: Any) -> list[StepEntry]:
        found = []
        for kept, values in self._rows("kept", "run_id = ? ORDER BY rowid", run):
            transaction = values["transaction_id"]
            events = [row for row, _ in self._rows("step", "transaction_id = ? ORDER BY id", transaction)]
            undone = self._rows(
                "kept",
                "undoes = ? AND transaction_id IN (SELECT transaction_id FROM step WHERE state = 'verified')",
                transaction,
            )
            if events:
                found.append(step_of(kept, events, undone[0][0] if undone else None))
        return found

    def interrupted_steps(self) -> list[StepEntry]:
        """Return the steps that did not end, oldest first. Their process was killed, for example."""
        found = [step for run in self.history() for step in run.steps if step.end == INTERRUPTED and step.fix]
        return sorted(found, key=lambda step: step.at)

    def fixes_within_a_day(self, finding: str, now: float) -> int:
        """Count how often a finding was fixed within the last 24 hours.

        Fixes that a run undid on request do not count.
        """
        (count,) = self._database.execute(
            "SELECT COUNT(*) FROM step JOIN kept USING (transaction_id) WHERE step.state = 'verified' AND (finding = ?1 OR EXISTS"
            " (SELECT 1 FROM json_each(CASE WHEN json_valid(kept.fix) THEN kept.fix ELSE '{}' END, '$.also') WHERE value = ?1))"
            " AND kept.undoes = '' AND step.at > ?2 AND transaction_id NOT IN (SELECT done.undoes FROM kept AS done"
            " JOIN step AS proof ON proof.transaction_id = done.transaction_id WHERE proof.state = 'verified')",
            (finding, now - _DAY_S),
        ).fetchone()
        return int(count)

    def close(self) -> None:
        self._database.close()


class _Transaction:
    """Commits all statements of the block, or none. Committed statements are on the disk."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._database.execute("COMMIT")
                return
            except sqlite3.Error:
                self._roll_back()
                raise
        self._roll_back()

    def _roll_back(self) -> None:
        if self._database.in_transaction:  # SQLite rolls back by itself when the disk is full
            self._database.execute("ROLLBACK")


def _event(transaction: str, fix: Fix, state: str, detail: str) -> tuple[str, tuple[Any, ...]]:
    return (
        "INSERT INTO step (transaction_id, at, who, finding, remediation, host, script_sha256, state, detail)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (transaction, time.time(), who(), fix.finding, fix.name, fix.runs_on, fix.sha256, state, detail),
    )
