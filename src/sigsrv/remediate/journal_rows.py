"""Checks the rows of the journal before they are used, and turns them into runs and steps.

SQLite stores any type in any column, and a disk or a person may damage a file. A script of the journal runs as root on a host, so
a row that sigsrv did not write in this form is refused as a whole. The check does not replace the rule that nobody else may write
the file: who writes it may write a valid row too.
"""

from __future__ import annotations

import getpass
import json
import math
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Verdict, parse_finding_id
from sigsrv.model.fix import Fix
from sigsrv.model.ids import is_run_id, is_transaction_id
from sigsrv.model.touches import from_rows
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.remote import parse_state

ABANDONED = "abandoned"  # an operator gave up its rollback
END_STATES = frozenset({"verified", "undone", "failed", ABANDONED})
STATES = END_STATES | {"applying", "applied", "confirming", "undoing"}
KEPT = "kept: "  # begins the detail of an undo that left what somebody had changed
INTERRUPTED = "interrupted"  # how a step without an end state is shown
_MAX_TIMEOUT_S = 24 * 3600
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_REMEDIATION = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)
_VERDICTS = frozenset(verdict.value for verdict in Verdict)
_TIMERS = frozenset(timer.value for timer in RollbackTimer)
# What takes the fix back is for the plan alone: an undo has no use for it.
_FIX_TYPES: Mapping[str, type] = {field.name: str for field in fields(Fix) if field.name != "taken_back"} | {
    "timeout_s": int,
    "survives_reboot": bool,
    "permanent": dict,
    "words": list,
    "touches": list,
    "also": list,
    "resets": list,
}


@dataclass(frozen=True)
class StepEntry:
    """Describes one step of the journal.

    states: all its states, in order. at: seconds since the epoch when the first state was written. undoes: the
    transaction that this step undoes. undone_by: the run that undid this step. detail: the latest message. fix: None
    if the journal does not have it. verdicts: of all findings before the step. timer: the kind of its rollback timer.
    improved: ids of the findings that the step improved. state: the old values of the host, as
    ``remote.RemoteFix.old_values`` prints them; None if none were recorded.
    """

    transaction: str
    run: str
    at: float
    who: str
    finding: str
    remediation: str
    host: str
    sha256: str
    states: tuple[str, ...]
    detail: str
    undoes: str = ""
    undone_by: str = ""
    fix: Fix | None = None
    verdicts: Mapping[str, str] | None = None
    timer: str = ""
    improved: tuple[str, ...] = ()
    state: str | None = None

    @property
    def findings(self) -> tuple[str, ...]:
        """Return the ids of all findings that the step fixed."""
        return self.fix.findings if self.fix else (self.finding,)

    @property
    def end(self) -> str:
        """Return how the step ended: ``verified``, ``undone``, ``failed`` or ``abandoned``; ``interrupted`` if it did not end."""
        return self.states[-1] if self.states and self.states[-1] in END_STATES else INTERRUPTED


@dataclass(frozen=True)
class RunEntry:
    """Describes one run of the journal. undoes: the run that it undid, "" if it applied fixes. reason: why, "" if unknown."""

    id: str
    at: float
    who: str
    site: str
    undoes: str
    pid: int
    steps: tuple[StepEntry, ...]
    reason: str = ""

    @property
    def is_alive(self) -> bool:
        """Report whether the process of the run still runs on this machine."""
        if not self.pid or self.who != who():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


@dataclass(frozen=True)
class Approval:
    """The approval of a plan by a second person. plan: its SHA-256. uid, login_uid: see ``persons.Person``. reason: "" for none."""

    at: float
    plan: str
    site: str
    who: str
    uid: int
    login_uid: int
    reason: str = ""


def who() -> str:
    """Return who runs sigsrv and where, as in ``alice@station``; under sudo, the account that called sudo."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname().partition('.')[0]}"


class Row:
    """A row of a table. ``take`` returns a checked value. journal: the file that errors name."""

    def __init__(self, journal: Path, table: str, number: int, values: Mapping[str, Any]) -> None:
        self._where = f"{journal}: table {table}, row {number}"
        self._values = values

    def take(self, column: str, is_valid: Callable[[Any], bool], wanted: str) -> Any:
        """Return the value of a column. wanted: what is valid, for the error. Raises UsageError."""
        value = self._values.get(column)
        if not is_valid(value):
            raise self.refused(column, f"{str(value)[:80]!r} is not {wanted}")
        return value

    def parsed(self, column: str, parse: Callable[[str], Any], wanted: str) -> Any:
        """Return the parsed text of a column. parse: raises an exception if the text is not valid. Raises UsageError."""
        text = self.take(column, lambda value: isinstance(value, str), "a text")
        try:
            return parse(text)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UsageError) as cause:
            raise self.refused(column, f"not {wanted}") from cause

    def refused(self, column: str, reason: str) -> UsageError:
        return UsageError(
            f"{self._where}, column {column}: {reason}",
            "sigsrv did not write this row, so nothing runs; --journal names another file",
        )


def run_of(row: Row, steps: Sequence[StepEntry]) -> RunEntry:
    """Return the run of a row of the table ``run``. Raises UsageError."""
    return RunEntry(
        id=row.take("id", is_run_id, "a run id"),
        at=row.take("at", _is_time, "a time"),
        who=row.take("who", _is_line, "one line of text"),
        site=row.take("site", _is_line, "one line of text"),
        undoes=row.take("undoes", lambda value: value == "" or is_run_id(value), "a run id"),
        pid=row.take("pid", lambda value: isinstance(value, int) and 0 <= value < 2**31, "a process id"),
        steps=tuple(steps),
        reason=row.take("reason", _is_line, "one line of text"),
    )


def approval_of(row: Row) -> Approval:
    """Return the approval of a row of the table ``approval``. Raises UsageError."""
    return Approval(
        at=row.take("at", _is_time, "a time"),
        plan=row.take("plan", _is_sha256, "a SHA-256 hash"),
        site=row.take("site", _is_line, "one line of text"),
        who=row.take("who", _is_line, "one line of text"),
        uid=row.take("uid", lambda value: isinstance(value, int) and 0 <= value < 2**32, "the id of an account"),
        login_uid=row.take(
            "login_uid", lambda value: isinstance(value, int) and -1 <= value < 2**32, "the id of a login, or -1"
        ),
        reason=row.take("reason", _is_line, "one line of text"),
    )


def step_of(kept: Row, events: Sequence[Row], undone_by: Row | None) -> StepEntry:
    """Return the step of a row of the table ``kept`` and of its rows of ``step``, oldest first. Raises UsageError.

    undone_by: the row of ``kept`` of the step that undid it.
    """
    transaction = kept.take("transaction_id", is_transaction_id, "a transaction id")
    for event in events:
        _check_event(event)
    first = events[0]
    details = [event.take("detail", lambda value: isinstance(value, str), "a text") for event in events]
    state = kept.take("state", lambda value: value is None or isinstance(value, str), "a text")
    if state:
        kept.parsed("state", parse_state, "the old values of a fix")
    fix = kept.parsed("fix", _fix, "a fix")
    if fix:
        _check_fix(first, fix)
    return StepEntry(
        transaction=transaction,
        run=kept.take("run_id", is_run_id, "a run id"),
        at=first.take("at", _is_time, "a time"),
        who=first.take("who", _is_line, "one line of text"),
        finding=first.take("finding", _is_finding, "the id of a finding"),
        remediation=first.take("remediation", _is_remediation, "the name of a remediation"),
        host=first.take("host", _is_host, "the name of a host"),
        sha256=first.take("script_sha256", _is_sha256, "a SHA-256 hash"),
        states=tuple(event.take("state", lambda value: value in STATES, "a state of a step") for event in events),
        detail=next((detail for detail in reversed(details) if detail), ""),
        undoes=kept.take("undoes", lambda value: value == "" or is_transaction_id(value), "a transaction id"),
        undone_by=undone_by.take("run_id", is_run_id, "a run id") if undone_by else "",
        fix=fix,
        verdicts=kept.parsed("verdicts", _verdicts, "verdicts by finding"),
        timer=kept.take("net", lambda value: value == "" or value in _TIMERS, "a rollback timer"),
        improved=kept.parsed("mended", _findings, "a list of findings"),
        state=state,
    )


def _check_event(event: Row) -> None:
    """Check the columns that a step takes from its first row, in each of its rows."""
    event.take("at", _is_time, "a time")
    event.take("who", _is_line, "one line of text")
    event.take("finding", _is_finding, "the id of a finding")
    event.take("remediation", _is_remediation, "the name of a remediation")
    event.take("host", _is_host, "the name of a host")
    event.take("script_sha256", _is_sha256, "a SHA-256 hash")


def _check_fix(event: Row, fix: Fix) -> None:
    """Check that the fix of a step is the one of its row. An undo has the hash of the script that undoes."""
    event.take("script_sha256", lambda value: value == fix.sha256, "the hash of the script of the fix")
    event.take("finding", lambda value: value == fix.finding, "the finding of the fix")
    event.take("remediation", lambda value: value == fix.name, "the remediation of the fix")
    event.take("host", lambda value: value == fix.runs_on, "the host of the fix")


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value < 253402300800  # the year 10000


def _is_line(value: object) -> bool:
    return isinstance(value, str) and not _CONTROL.search(value)


def _is_host(value: object) -> bool:
    return _is_line(value) and bool(value) and not str(value).startswith("-") and not re.search(r"[\s/]", str(value))


def _is_remediation(value: object) -> bool:
    return isinstance(value, str) and _REMEDIATION.fullmatch(value) is not None


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_finding(value: object) -> bool:
    if not _is_line(value):
        return False
    try:
        parse_finding_id(str(value))
    except UsageError:
        return False
    return True


def _verdicts(text: str) -> dict[str, str]:
    found = json.loads(text)
    if not all(_is_finding(key) and value in _VERDICTS for key, value in found.items()):
        raise ValueError
    return dict(found)


def _findings(text: str) -> tuple[str, ...]:
    found = json.loads(text)
    if not isinstance(found, list) or not all(_is_finding(each) for each in found):
        raise ValueError
    return tuple(found)


def _fix(text: str) -> Fix | None:
    """Return the fix in a column; None if there is none. Raises ValueError, TypeError or KeyError."""
    if not text:
        return None
    content = json.loads(text)
    known = {key: value for key, value in content.items() if key in _FIX_TYPES}
    if isinstance(known.get("resets"), str):  # version 2 and 3 of the file have one name, or "" for none
        known["resets"] = list(filter(None, [known["resets"]]))
    for key, value in known.items():
        if type(value) is not _FIX_TYPES[key]:
            raise TypeError(key)
    texts = [*known["words"], *known.get("resets", ())]
    if not all(isinstance(each, str) for each in texts) or not 0 < known["timeout_s"] <= _MAX_TIMEOUT_S:
        raise ValueError(text)
    also = tuple(known.get("also", ()))
    if not all(_is_finding(each) for each in also):
        raise ValueError(text)
    return Fix(
        **{
            **known,
            "words": tuple(known["words"]),
            "touches": from_rows(known.get("touches", ())),
            "also": also,
            "resets": tuple(known.get("resets", ())),
        }
    )
