"""Incus's entries in one host's systemd journal, and the failed units."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.collect.evidence import Answer, Evidence
from sigsrv.facts.parsing import command_failed, mapping, number, parsed, parsing, probe, text
from sigsrv.facts.reading import fact
from sigsrv.model.errors import EvidenceError, FailureKind

# incusd writes its level in the message; every entry has the journal's priority "info".
_LEVEL = re.compile(r"\blevel=\"?(error|fatal|panic)\b")
_ERR = 3  # syslog(3): emerg 0, alert 1, crit 2, err 3
_PRIORITIES = frozenset("01234567")
_NOTHING = "-- No entries --"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the journal."""

    priority: int | None
    """The priority as in syslog(3), 0 (emergency) to 7 (debug); None if the entry has none."""
    message: str
    """The text; empty if the entry has none."""

    @property
    def is_error(self) -> bool:
        """Return whether the priority is error or more severe, or incusd's own level in the text is error, fatal or panic."""
        return (self.priority is not None and self.priority <= _ERR) or bool(_LEVEL.search(self.message))


def entries(document: str, host: str = "") -> tuple[Entry, ...]:
    """Return the entries of a journal.

    document: the output of ``journalctl -o json``: one object per line, empty if there is no entry. Raises EvidenceError if a line
    is malformed. Source: systemd's JOURNAL_EXPORT_FORMATS.
    """
    with parsing("journalctl", host):
        return tuple(_entry(parsed(line)) for line in document.splitlines() if line and line != _NOTHING)


def _entry(row: Any) -> Entry:
    fields = mapping(row, "entry")
    if not {"PRIORITY", "MESSAGE"} & set(fields):
        raise ValueError("an entry without PRIORITY and MESSAGE")
    priority = fields.get("PRIORITY")
    if priority is not None and text(priority, "PRIORITY") not in _PRIORITIES:
        raise ValueError(f"PRIORITY {priority[:40]!r}")
    return Entry(None if priority is None else int(priority), _message(fields.get("MESSAGE", "")))


def _message(value: Any) -> str:
    """Read a MESSAGE: text; a list of bytes if it is not UTF-8; a list of either if the entry has several.

    journalctl writes null instead of a text that is too long; that raises ValueError.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise ValueError(f"MESSAGE: {str(value)[:40]}: not a text")
    if all(isinstance(item, int) and not isinstance(item, bool) for item in value):
        return bytes(value).decode("utf-8", "replace")
    return "\n".join(_message(item) for item in value)


def failed_units(document: str, host: str = "") -> tuple[str, ...]:
    """Return the names of the failed units.

    document: the output of ``systemctl list-units --failed --plain --no-legend``: one line per unit, empty if none failed.
    Raises EvidenceError if a line is malformed.
    """
    with parsing("systemctl list-units --failed", host):
        found = []
        for line in document.splitlines():
            columns = line.split()
            if len(columns) < 4 or columns[2] != "failed" or "." not in columns[0]:
                raise ValueError(f"not a failed unit: {line[:80]!r}")
            found.append(columns[0])
        return tuple(found)


@dataclass(frozen=True)
class JournalFacts:
    """The systemd journal and the failed units of one host. Each fact raises EvidenceError if it can't be read."""

    evidence: Evidence
    """The evidence of the host."""

    def _answer(self, name: str) -> Answer:
        """Return journalctl's answer. Its error output means that it can't read everything, so the answer is refused then."""
        answer = probe(self.evidence, name)
        if answer.rc != 0:
            raise command_failed(self.evidence.host, name, answer)
        if answer.stderr:
            reported = " ".join(answer.stderr.split())[:160]
            raise EvidenceError(f"{self.evidence.host}: journalctl: {reported}", FailureKind.DENIED, self.evidence.host)
        return answer

    @fact
    def newest(self) -> float:
        """Return when the newest entry of the whole journal was written, in seconds since the epoch, by the host's clock.

        Raises EvidenceError if the journal is empty: a journal that is not kept contains no errors either.
        """
        host = self.evidence.host
        with parsing("journalctl -n 1", host):
            lines = self._answer("journal-newest").stdout.splitlines()
            if len(lines) != 1 or lines == [_NOTHING]:
                raise ValueError("the journal is empty: the host keeps none, or journalctl did not find it")
            row: Mapping[str, Any] = mapping(parsed(lines[0]), "entry")
            return number(text(row["__REALTIME_TIMESTAMP"], "__REALTIME_TIMESTAMP"), "__REALTIME_TIMESTAMP") / 1e6

    @fact
    def of_incus(self) -> tuple[Entry, ...]:
        """Return the entries of incus.service within the hours that the site file sets (``journal_hours``)."""
        return entries(self._answer("journal").stdout, self.evidence.host)

    @property
    def hours_since_newest(self) -> float:
        """Return how many hours before the end of the collection the newest entry of the whole journal was written."""
        return (self.evidence.collected - self.newest) / 3600

    @property
    def errors_of_incus(self) -> tuple[str, ...]:
        """Return the messages of the errors of incus.service, in the order of the journal, see ``of_incus``."""
        return tuple(" ".join(entry.message.split())[:200] for entry in self.of_incus if entry.is_error)

    @property
    def error_count(self) -> int:
        """Return the number of the errors of incus.service, see ``of_incus``."""
        return len(self.errors_of_incus)

    @property
    def last_error(self) -> str | None:
        """Return the message of the last error of incus.service, see ``of_incus``; None if there is none."""
        return self.errors_of_incus[-1] if self.errors_of_incus else None

    @fact
    def failed_units(self) -> tuple[str, ...]:
        """Return the names of the failed systemd units."""
        answer = probe(self.evidence, "failed-units")
        if answer.rc != 0:
            raise command_failed(self.evidence.host, "failed-units", answer)
        return failed_units(answer.stdout, self.evidence.host)
