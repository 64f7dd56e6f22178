"""The document of a drafted site file: its content, its comments and its text.

Names come from hosts, so they are hostile text. A scalar takes one line, and is quoted if a reader of YAML 1.1 or 1.2 could read
it as another type. A comment is one line without hidden characters. So no name can break out of its line, entry or comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigsrv.report import phrases

_COMMENT_CHARACTERS = 200
_FLOW_CHARACTERS = 100  # an entry without comments takes one line up to this length
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+-]*|\d+\.\d+\.\d+(\.\d+)?(/\d+)?", re.ASCII)
_OTHER_TYPES = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_ESCAPES = {'"': '\\"', "\\": "\\\\"}


@dataclass(frozen=True)
class Field:
    """A key and its value.

    commented: written as a comment, because a person must decide. note: comment on the same line.
    """

    key: str
    value: Any
    note: str = ""
    commented: bool = False


@dataclass(frozen=True)
class Entry:
    """An entry of a list section: a mapping of fields, or one name.

    names: the names that findings use for it. notes: comment lines above it.
    """

    names: tuple[str, ...]
    content: tuple[Field, ...] | str
    notes: tuple[str, ...] = ()
    commented: bool = False

    @property
    def fields(self) -> tuple[Field, ...]:
        return () if isinstance(self.content, str) else self.content

    @property
    def data(self) -> Any:
        """Return the part that is not commented out."""
        return self.content if isinstance(self.content, str) else _data(self.content)


@dataclass(frozen=True)
class Section:
    """A top-level key: a list (entries), a mapping (fields) or a scalar (value). With none of them: only comments."""

    key: str
    notes: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    fields: tuple[Field, ...] = ()
    value: str | int | None = None

    @property
    def data(self) -> Any:
        """Return the part that is not commented out; None if there is none."""
        if self.value is not None:
            return self.value
        return [entry.data for entry in self.entries if not entry.commented] or _data(self.fields) or None


def _data(fields: Iterable[Field]) -> dict[str, Any]:
    return {field.key: field.value for field in fields if not field.commented}


Marks = Mapping[tuple[str, str], Sequence[str]]  # comments of an entry, by section key and first name of the entry


@dataclass(frozen=True)
class Document:
    """A draft. unread: facts that could not be read, one line each."""

    sections: tuple[Section, ...]
    unread: tuple[str, ...] = ()

    @property
    def data(self) -> dict[str, Any]:
        """Return what a YAML reader gets from the text."""
        return {section.key: section.data for section in self.sections if section.data is not None}

    @property
    def written(self) -> int:
        """Return the number of entries that are not commented out."""
        return sum(not entry.commented for section in self.sections for entry in section.entries)

    @property
    def commented(self) -> int:
        """Return the number of entries and keys that are commented out."""
        entries = [entry for section in self.sections for entry in section.entries]
        fields = [field for section in self.sections for field in section.fields]
        fields += [field for entry in entries if not entry.commented for field in entry.fields]
        return sum(entry.commented for entry in entries) + sum(field.commented for field in fields)

    def text(self, head: Iterable[str], marks: Marks, tail: Iterable[str]) -> str:
        """Return the text of the file. head, tail: comment lines above and below."""
        lines = [comment(line) for line in head]
        for section in self.sections:
            if rows := list(_section(section, marks)):
                lines += ["", *rows] if section.value is None else rows
        if below := [comment(line) for line in tail]:
            lines += ["", *below]
        return "\n".join(lines) + "\n"


def comment(text: str) -> str:
    """Return a comment line that host text can't break out of."""
    shown = phrases.visible(text)
    return f"# {shown if len(shown) <= _COMMENT_CHARACTERS else shown[: _COMMENT_CHARACTERS - 1] + '…'}".rstrip()


def scalar(value: str | float | bool) -> str:
    r"""Return a scalar on one line, which every YAML reader reads with the right type.

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
    """Return a character for a double-quoted YAML scalar; hidden characters become numeric escapes."""
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"


def flow(value: Any) -> str:
    """Return a value in flow style, on one line."""
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
        for line, commented in _entry(entry):
            yield _line(f"  {line}", entry.commented or commented)
    for field in section.fields:
        yield _line(f"  {_field(field)}", field.commented)


def _entry(entry: Entry) -> Iterator[tuple[str, bool]]:
    """Yield the lines of an entry, each with whether it is commented out."""
    if isinstance(entry.content, str):
        yield f"- {scalar(entry.content)}", False
        return
    whole = flow(_data(entry.content))
    if len(whole) <= _FLOW_CHARACTERS and not any(field.note or field.commented for field in entry.content):
        yield f"- {whole}", False
        return
    for index, field in enumerate(entry.content):
        yield f"{'  ' if index else '- '}{_field(field)}", field.commented


def _field(field: Field) -> str:
    note = f"   {comment(field.note)}" if field.note else ""
    return f"{scalar(field.key)}: {flow(field.value)}{note}"


def _line(text: str, commented: bool) -> str:
    """Return a line, commented out on request. Removing the first two characters uncomments it."""
    return f"# {text}" if commented else text
