"""Finds the facts below a path such as ``network.links.sigsrvbr0.mtu``, and turns them into plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sigsrv.authoring.fact_tree import ROOTS
from sigsrv.authoring.fact_types import attributes, is_record, items, records_in
from sigsrv.facts.hosts import HostFacts
from sigsrv.model.errors import EvidenceError, UsageError, nearest

_STEP = re.compile(r"\[\s*(?:\"([^\"]*)\"|'([^']*)'|(\d+))\s*\]|\.?([^.\[\]]+)")
_LABELS = ("resource", "name")  # what a record in a list can be named by, besides its number


@dataclass(frozen=True)
class Unknown:
    """A fact that could not be read."""

    reason: str
    """Why."""


class AbsentError(Exception):
    """A path leads to a key that a mapping or a list does not have on this host."""

    def __init__(self, where: str, word: str, known: Sequence[str]) -> None:
        super().__init__(f'{where} has no "{word}"')
        self.word = word
        self.known = tuple(known)


def steps(path: str) -> tuple[str, ...]:
    """Split a path into its steps. It may be written as in a check: ``facts.network.links["sigsrvbr0"].mtu``."""
    found = []
    end = 0
    for match in _STEP.finditer(path):
        if match.start() != end:
            break
        end = match.end()
        found.append(next(group for group in match.groups() if group is not None))
    if end != len(path) or not found:
        raise UsageError(f'"{path}" is not a path of facts', 'for example network.links or network.links["lo"].mtu')
    return tuple(found[1:] if found[0] == "facts" and len(found) > 1 else found)


def roots_with(words: Sequence[str]) -> frozenset[str]:
    """Return whose facts have a path: ``host``, ``cluster`` or both. Raises UsageError, with the nearest name, if neither has."""
    wrong = {root: _mistake(kind, words) for root, kind in ROOTS.items()}
    right = frozenset(root for root, mistake in wrong.items() if mistake is None)
    if right:
        return right
    deepest = max((mistake for mistake in wrong.values() if mistake), key=lambda each: each[0])[0]
    mistakes = [mistake for mistake in wrong.values() if mistake and mistake[0] == deepest]
    method = next((signature for _, signature, _ in mistakes if signature), "")
    where = ".".join(words[: deepest + 1])
    if method:
        raise UsageError(f"{where} takes arguments: {method}", "call it in a check; docs/facts.md describes it")
    known = {name for _, _, names in mistakes for name in names}
    raise UsageError(f"there is no fact {where}", nearest(words[deepest], known))


def _mistake(kind: type, words: Sequence[str]) -> tuple[int, str, tuple[str, ...]] | None:
    """Return the step that a class does not have: its place, the signature if it is a method, and the names that the class has.

    None if there is no mistake as far as the types show it: what a mapping or a list has, only evidence shows.
    """
    for place, word in enumerate(words):
        known = {each.name: each for each in attributes(kind)}
        if word not in known:
            return place, "", tuple(known)
        if (signature := known[word].signature) is not None:
            return place, f"{word}{signature}", ()
        if not is_record(known[word].hint) or _is_list(known[word].hint):
            return None
        kind = known[word].hint
    return None


def _is_list(kind: type) -> bool:
    return is_record(kind) and hasattr(kind, "__iter__")


def find(value: Any, words: Sequence[str]) -> Any:
    """Return what is at the end of some steps from a value.

    Raises EvidenceError if a fact can't be read, AbsentError if a mapping or list lacks a key, UsageError if a record lacks a fact.
    """
    done: list[str] = []
    rest = list(words)
    while rest:
        where = ".".join(done)
        if is_record(type(value)) and not _is_list(type(value)):
            known = [each.name for each in attributes(type(value)) if each.signature is None]
            if rest[0] not in known:
                raise UsageError(f"{where}: there is no fact {rest[0]}", nearest(rest[0], known))
            value = getattr(value, rest[0])
            taken = 1
        elif (below := _children(value)) is not None:
            # a key may contain dots: the longest one that fits wins
            taken = next((n for n in range(len(rest), 0, -1) if ".".join(rest[:n]) in below), 0)
            if not taken:
                raise AbsentError(where, rest[0], tuple(below))
            value = below[".".join(rest[:taken])]
        elif value is None:
            raise AbsentError(where, rest[0], ())
        else:
            raise UsageError(f"{where} has no facts below it")
        done += rest[:taken]
        rest = rest[taken:]
    return value


def _children(value: Any) -> dict[str, Any] | None:
    """Return what a mapping or a list contains, by key, or by number and by name; None for any other value."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if not isinstance(value, tuple | list) and not _is_list(type(value)):
        return None
    found: dict[str, Any] = {}
    for number, item in enumerate(items(value)):
        record = item[0] if isinstance(item, tuple) and item else item
        for label in (getattr(record, name, None) for name in _LABELS if is_record(type(record))):
            found.setdefault(str(label), item)
        found.setdefault(str(number), item)
    return found


def plain(value: Any, within: tuple[type, ...] = ()) -> Any:
    """Return a value as mappings, lists, numbers, texts, None and ``Unknown``, with all facts of the records in it.

    within: the classes around it. A fact that may contain one of them is left out: it could be the record itself. Of a host inside
    something else only the name is returned.
    """
    if isinstance(value, HostFacts) and within:
        return value.name
    below = (*within, type(value))
    if is_record(type(value)) and not _is_list(type(value)):
        found = {}
        for each in attributes(type(value)):
            if each.signature is None and not any(kind in below for _, kind in records_in(each.hint)):
                found[each.name] = _fact(value, each.name, below)
        return found
    if isinstance(value, Mapping):
        return {str(key): plain(item, below) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return [plain(item, below) for item in sorted(value, key=str)]
    if isinstance(value, tuple | list):
        return [plain(item, below) for item in value]
    if _is_list(type(value)):
        return _listed(value, below)
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _listed(value: Any, below: tuple[type, ...]) -> list[Any]:
    found = []
    try:
        for item in value:
            found.append(plain(item, below))
    except EvidenceError as cause:
        found.append(Unknown(cause.reason))
    return found


def _fact(value: Any, name: str, within: tuple[type, ...]) -> Any:
    try:
        return plain(getattr(value, name), within)
    except EvidenceError as cause:
        return Unknown(cause.reason)


def has_unknown(value: Any) -> bool:
    """Return whether something in plain data could not be read."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return isinstance(value, Unknown)


def as_json(value: Any) -> Any:
    """Return plain data for JSON: a fact that could not be read is ``{"unknown": REASON}``."""
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return {"unknown": value.reason} if isinstance(value, Unknown) else value
