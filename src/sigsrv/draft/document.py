"""A site file that is being drafted: what stands in it, what a person must know beside it, and its text.

Names come from hosts: they are hostile text. A scalar is written on one line, quoted where any reader of YAML (1.1 or 1.2) could take it
for something else; a comment is one line without a hidden character. So no name can end its line, its entry or its comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigsrv.report import phrases

_COMMENT_CHARACTERS = 200
_FLOW_CHARACTERS = 100  # an entry without comments that is no longer than this stands on one line
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+-]*|\d+\.\d+\.\d+(\.\d+)?(/\d+)?", re.ASCII)
_OTHER_TYPES = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_ESCAPES = {'"': '\\"', "\\": "\\\\"}


@dataclass(frozen=True)
class Field:
    """A key with its value. off: written as a comment, for a person decides whether it is right. note: said beside it."""

    key: str
    value: Any
    note: str = ""
    off: bool = False


@dataclass(frozen=True)
class Entry:
    """One entry of a section that is a list: a mapping of fields, or one name. names: those that a finding may have for it."""

    names: tuple[str, ...]
    content: tuple[Field, ...] | str
    notes: tuple[str, ...] = ()
    off: bool = False

    @property
    def fields(self) -> tuple[Field, ...]:
        return () if isinstance(self.content, str) else self.content

    @property
    def data(self) -> Any:
        """What of it is not commented out."""
        return self.content if isinstance(self.content, str) else _data(self.content)


@dataclass(frozen=True)
class Section:
    """A key at the top of the file: entries where it is a list, fields where it is a mapping, else a value; none: comments only."""

    key: str
    notes: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    fields: tuple[Field, ...] = ()
    value: str | int | None = None

    @property
    def data(self) -> Any:
        """What of it is not commented out; None where that is nothing."""
        if self.value is not None:
            return self.value
        return [entry.data for entry in self.entries if not entry.off] or _data(self.fields) or None


def _data(fields: Iterable[Field]) -> dict[str, Any]:
    return {field.key: field.value for field in fields if not field.off}


Marks = Mapping[tuple[str, str], Sequence[str]]  # what is said of an entry, by its section's key and its first name


@dataclass(frozen=True)
class Document:
    """A draft. unread: what of it could not be read, a line each."""

    sections: tuple[Section, ...]
    unread: tuple[str, ...] = ()

    @property
    def data(self) -> dict[str, Any]:
        """What a reader of YAML finds in the text."""
        return {section.key: section.data for section in self.sections if section.data is not None}

    @property
    def written(self) -> int:
        """How many entries stand in it."""
        return sum(not entry.off for section in self.sections for entry in section.entries)

    @property
    def waiting(self) -> int:
        """How many entries and keys are commented out."""
        entries = [entry for section in self.sections for entry in section.entries]
        fields = [field for section in self.sections for field in section.fields]
        fields += [field for entry in entries if not entry.off for field in entry.fields]
        return sum(entry.off for entry in entries) + sum(field.off for field in fields)

    def text(self, head: Iterable[str], marks: Marks, tail: Iterable[str]) -> str:
        """The file. head, tail: lines of comment above and below."""
        lines = [comment(line) for line in head]
        for section in self.sections:
            if rows := list(_section(section, marks)):
                lines += ["", *rows] if section.value is None else rows
        if below := [comment(line) for line in tail]:
            lines += ["", *below]
        return "\n".join(lines) + "\n"


def comment(text: str) -> str:
    """A line of comment that host text can't leave."""
    shown = phrases.visible(text)
    return f"# {shown if len(shown) <= _COMMENT_CHARACTERS else shown[: _COMMENT_CHARACTERS - 1] + '…'}".rstrip()


def scalar(value: str | float | bool) -> str:
    r"""A scalar on one line, which every reader takes for what it is.

    >>> scalar("userbr0"), scalar("yes"), scalar("a: b # c\n- d"), scalar(20), scalar(True)
    ('userbr0', '"yes"', '"a: b # c\\n- d"', '20', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _OTHER_TYPES:
        return value
    return f'"{"".join(_character(each) for each in value)}"'


def _character(character: str) -> str:
    """A character between YAML's double quotes: what does not show by its number."""
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{scalar(key)}: {flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(flow(item) for item in value)}]"
    return scalar(value)


def _section(section: Section, marks: Marks) -> Iterator[str]:
    yield from (comment(note) for note in section.notes)
    if section.value is not None:
        yield f"{section.key}: {scalar(section.value)}"
        return
    if not section.entries and not section.fields:
        return
    all_off = section.data is None
    yield _line(f"{section.key}:", all_off)
    for entry in section.entries:
        yield from ("  " + comment(line) for line in (*entry.notes, *marks.get((section.key, entry.names[0]), ())))
        for line, off in _entry(entry):
            yield _line(f"  {line}", entry.off or off)
    for field in section.fields:
        yield _line(f"  {_field(field)}", field.off)


def _entry(entry: Entry) -> Iterator[tuple[str, bool]]:
    """The lines of an entry, each with whether it is commented out."""
    if isinstance(entry.content, str):
        yield f"- {scalar(entry.content)}", False
        return
    whole = flow(_data(entry.content))
    if len(whole) <= _FLOW_CHARACTERS and not any(field.note or field.off for field in entry.content):
        yield f"- {whole}", False
        return
    for index, field in enumerate(entry.content):
        yield f"{'  ' if index else '- '}{_field(field)}", field.off


def _field(field: Field) -> str:
    note = f"   {comment(field.note)}" if field.note else ""
    return f"{scalar(field.key)}: {flow(field.value)}{note}"


def _line(text: str, off: bool) -> str:
    """A line, or that line as a comment: without its first two characters it is the line again."""
    return f"# {text}" if off else text
