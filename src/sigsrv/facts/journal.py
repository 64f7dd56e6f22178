"""What systemd's journal of one host has of Incus, and the units that have failed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sigsrv.collect.evidence import Answer, Evidence
from sigsrv.facts.parsing import command_failed, mapping, parsed, parsing, probe, text
from sigsrv.model.errors import EvidenceError, FailureKind

# incusd writes its own level in the text; to the journal all of it is information.
_LEVEL = re.compile(r"\blevel=\"?(error|fatal|panic)\b")
_ERR = 3  # syslog(3): emerg 0, alert 1, crit 2, err 3
_NOTHING = "-- No entries --"


@dataclass(frozen=True)
class Entry:
    """One entry of the journal. priority: as in syslog(3), None where it has none."""

    priority: int | None
    message: str

    @property
    def is_error(self) -> bool:
        return (self.priority is not None and self.priority <= _ERR) or bool(_LEVEL.search(self.message))


def entries(document: str, host: str = "") -> tuple[Entry, ...]:
    """document: ``journalctl -o json``, an object a line; nothing where there is no entry. Source: systemd's JOURNAL_EXPORT_FORMATS.

    Raises EvidenceError where a line is anything else.
    """
    with parsing("journalctl", host):
        return tuple(_entry(parsed(line)) for line in document.splitlines() if line and line != _NOTHING)


def _entry(row: Any) -> Entry:
    fields = mapping(row, "entry")
    if not {"PRIORITY", "MESSAGE"} & set(fields):
        raise ValueError("an entry without PRIORITY and MESSAGE")
    priority = fields.get("PRIORITY")
    if priority is not None and not re.fullmatch("[0-7]", text(priority, "PRIORITY")):
        raise ValueError(f"PRIORITY {priority!r}")
    return Entry(None if priority is None else int(priority), _message(fields.get("MESSAGE", "")))


def _message(value: Any) -> str:
    """A text; a list of bytes where it is not UTF-8; a list of either where an entry has several. null: left out as too long."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise ValueError(f"MESSAGE: {str(value)[:40]}: not a text")
    if all(isinstance(item, int) and not isinstance(item, bool) for item in value):
        return bytes(value).decode("utf-8", "replace")
    return "\n".join(_message(item) for item in value)


def failed_units(document: str, host: str = "") -> tuple[str, ...]:
    """Their names. document: ``systemctl list-units --failed --plain --no-legend``: a line a unit, none where none failed."""
    with parsing("systemctl list-units --failed", host):
        found = []
        for line in document.splitlines():
            columns = line.split()
            if len(columns) < 4 or columns[2] != "failed" or "." not in columns[0]:
                raise ValueError(f"not a unit that failed: {line[:80]!r}")
            found.append(columns[0])
        return tuple(found)


@dataclass(frozen=True)
class JournalFacts:
    """What one host's systemd has on record. Each view raises EvidenceError where it could not be read."""

    evidence: Evidence

    def _answer(self, name: str) -> Answer:
        """What journalctl answered. What it tells beside that is that it may not see all: then nothing is known."""
        answer = probe(self.evidence, name)
        if answer.rc != 0:
            raise command_failed(self.evidence.host, name, answer)
        if answer.stderr:
            said = " ".join(answer.stderr.split())[:160]
            raise EvidenceError(f"{self.evidence.host}: journalctl: {said}", FailureKind.DENIED, self.evidence.host)
        return answer

    @cached_property
    def newest(self) -> float:
        """When the newest entry of the whole journal was written, in seconds since the epoch, by the host's clock.

        Raises EvidenceError where there is none: a journal that is not kept has no errors either.
        """
        host = self.evidence.host
        with parsing("journalctl -n 1", host):
            lines = self._answer("journal-newest").stdout.splitlines()
            if len(lines) != 1 or lines == [_NOTHING]:
                raise ValueError("the journal is empty: nothing is kept, or it was not found")
            row: Mapping[str, Any] = mapping(parsed(lines[0]), "entry")
            return int(text(row["__REALTIME_TIMESTAMP"], "__REALTIME_TIMESTAMP")) / 1e6

    @cached_property
    def of_incus(self) -> tuple[Entry, ...]:
        """The entries of incus.service, of the hours that the site names."""
        return entries(self._answer("journal").stdout, self.evidence.host)

    @cached_property
    def failed_units(self) -> tuple[str, ...]:
        answer = probe(self.evidence, "failed-units")
        if answer.rc != 0:
            raise command_failed(self.evidence.host, "failed-units", answer)
        return failed_units(answer.stdout, self.evidence.host)
