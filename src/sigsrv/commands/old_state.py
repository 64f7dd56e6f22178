"""Moves the state of root out of /var/lib/sigsrv, where earlier versions had it.

That folder may belong to a service account, which could then decide what root trusts.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from sigsrv.model import data, trusted
from sigsrv.model.errors import UsageError

JOURNAL, RUNS = "journal.sqlite", "runs"
_OLD = Path("/var/lib/sigsrv")


def move(wanted: str) -> None:
    """Move the journal and the runs of root to the state directory, and print one line for each.

    wanted: what the command is about to use, the journal or the runs. If it can't be trusted, a line says so, and it stays. What the state
    directory has already is not replaced. Other accounts, and root with $XDG_STATE_HOME, keep their places. Raises UsageError.
    """
    if os.geteuid() or "XDG_STATE_HOME" in os.environ:
        return
    new = data.state_folder()
    for name, check in ((JOURNAL, _close_journal), (RUNS, trusted.folder)):
        old = _OLD / name
        if not os.path.lexists(old) or os.path.lexists(new / name):
            continue
        try:
            check(old)
        except (UsageError, OSError, sqlite3.Error) as cause:
            if name == wanted:
                reason = cause.message if isinstance(cause, UsageError) else f"{old}: {cause}"
                _note(f"{reason}; it stays there")
                _note(f"to take it over after you checked it: mv {old}* {new}/ && chown -R root: {new}")
            continue
        _move_file(old, trusted.folder(new, make=True) / name)
        _note(f"moved {old} to {new / name}")


def _close_journal(path: Path) -> None:
    """Check a journal, and let SQLite finish a write that was interrupted, for which it needs the file ``-journal`` beside it."""
    trusted.check_private(path)
    beside = path.with_name(f"{path.name}-journal")
    if os.path.lexists(beside):
        trusted.check_private(beside)
    with closing(sqlite3.connect(path, isolation_level=None, timeout=1)) as database:
        database.execute("BEGIN EXCLUSIVE")  # fails if another process uses it
        database.execute("COMMIT")
    beside.unlink(missing_ok=True)  # without a write that was interrupted, it only reserves space


def _move_file(old: Path, new: Path) -> None:
    """Move a file or folder, also to another file system. It is at the new place as a whole or not at all. Raises UsageError."""
    part = new.with_name(f".{new.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.move(old, part)
        part.rename(new)
    except OSError as cause:
        raise UsageError(f"{old}: can't be moved to {new}: {cause.strerror}", "move it by hand") from cause


def _note(line: str) -> None:
    print(f"sigsrv: {line}", file=sys.stderr)
