"""remediate.journal: who applied what, when, and how it ended; written before and after each step.

Room: remediate. May import data and errors.
"""

from __future__ import annotations

import getpass
import hashlib
import sqlite3
import time
from pathlib import Path

from sigsrv import data
from sigsrv.errors import UsageError
from sigsrv.remediation import Fix

_SCHEMA = """
CREATE TABLE IF NOT EXISTS step (
  id INTEGER PRIMARY KEY, transaction_id TEXT NOT NULL, at REAL NOT NULL, who TEXT NOT NULL, finding TEXT NOT NULL,
  remediation TEXT NOT NULL, host TEXT NOT NULL, script_sha256 TEXT NOT NULL, state TEXT NOT NULL, detail TEXT NOT NULL
)
"""


class Journal:
    """The journal file (SQLite, 0600). Each entry is on disk before ``write`` returns. Raises UsageError where it can't be written."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or data.state_folder() / "journal.sqlite"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch(mode=0o600)
            self._database = sqlite3.connect(self.path, isolation_level=None)
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as cause:
            raise self._refused(cause) from cause

    def _refused(self, cause: Exception) -> UsageError:
        return UsageError(f"{self.path}: the journal can't be written: {cause}", "nothing is applied without a journal")

    def write(self, transaction: str, fix: Fix, state: str, detail: str = "") -> None:
        """Record a step of a transaction. state: ``applying``, ``applied``, ``verified``, ``undoing``, ``undone``, ``failed``."""
        script = hashlib.sha256(fix.script.encode()).hexdigest()
        row = (transaction, time.time(), getpass.getuser(), fix.finding, fix.name, fix.runs_on, script, state, detail)
        try:
            self._database.execute(
                "INSERT INTO step (transaction_id, at, who, finding, remediation, host, script_sha256, state, detail)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        except sqlite3.Error as cause:
            raise self._refused(cause) from cause

    def states(self, transaction: str) -> list[str]:
        """The states that a transaction went through, in order."""
        rows = self._database.execute("SELECT state FROM step WHERE transaction_id = ? ORDER BY id", (transaction,))
        return [str(state) for (state,) in rows]

    def close(self) -> None:
        self._database.close()
