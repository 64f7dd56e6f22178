"""Values, comparisons and texts of the forms, for one resource."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sigsrv.model.errors import EvidenceError
from sigsrv.model.forms import Clause, Comparison, Value

PLACE = re.compile(r"\{([a-z_][a-z0-9_.\-]*)\}")


class Subject(NamedTuple):
    """One resource that a policy with forms judges."""

    host: str
    """The host of the finding."""
    resource: str
    """The resource of the finding."""
    facts: Any
    """The facts of the resource, where paths begin."""
    names: Mapping[str, Any]
    """What paths may begin with instead: ``site``, ``entry``, ``scope`` (the host or the cluster), and the names of a join."""

    def look_up(self, path: str) -> Any:
        """Return the value of a path. Raises EvidenceError if a fact could not be read, or if there is no such fact."""
        first, _, rest = path.partition(".")
        value = self.names[first] if first in self.names else _step(self.facts, first, path)
        while rest and value is not None:
            if isinstance(value, dict | Mapping) and isinstance(next(iter(value.values()), ""), str):
                return value.get(rest)  # a configuration, whose keys have dots
            first, _, rest = rest.partition(".")
            value = _step(value, first, path)
        return value

    def value(self, given: Value) -> Any:
        """Return what a value of a form stands for."""
        if given.site:
            return self.look_up(f"site.{given.site}")
        if given.entry:
            return self.look_up(f"entry.{given.entry}")
        return self.look_up(given.fact) if given.fact else given.literal

    def text(self, template: str, **more: str) -> str:
        """Return a text with the values of its ``{PATH}``."""
        if "{" not in template:
            return template
        found = [
            part if not is_path else more[part] if part in more else shown(self.look_up(part))
            for is_path, part in parts(template)
        ]
        return "".join(found)


@cache
def parts(template: str) -> tuple[tuple[bool, str], ...]:
    """Return the parts of a template: texts, and the names in braces (True): paths of facts, or keys of a device."""
    return tuple((number % 2 == 1, part) for number, part in enumerate(PLACE.split(template)))


def _step(value: Any, name: str, path: str) -> Any:
    kind: type = type(value)
    if name in attributes(kind):
        return getattr(value, name)
    if isinstance(value, dict | Mapping):
        return value.get(name)
    raise EvidenceError(f"there is no fact {path}: {type(value).__name__} has no {name}")


@cache
def attributes(kind: type) -> frozenset[str]:
    """Return the names of the facts of a class: its fields and its properties."""
    fields = {each.name for each in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    computed = {name for each in kind.__mro__ for name, value in vars(each).items() if hasattr(value, "__get__")}
    methods = {name for name in computed if callable(getattr(kind, name))}
    return frozenset(name for name in fields | (computed - methods) if not name.startswith("_"))


def shown(value: Any) -> str:
    """Return a value as a finding shows it. Numbers have at most two decimals; equal lists give equal texts."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in sorted(value.items())) or "none"
    if isinstance(value, Collection) and not isinstance(value, str):
        return ", ".join(sorted(str(item) for item in value)) or "none"
    return str(value)


def holds(comparison: Comparison, subject: Subject) -> bool:
    """Return whether a comparison holds. Raises EvidenceError if a value is unknown or can't be compared."""
    return not wrong_items(comparison, subject)


def all_hold(comparisons: Sequence[Comparison], subject: Subject) -> bool:
    """Return whether each comparison holds."""
    return not comparisons or all(holds(each, subject) for each in comparisons)


def wrong_items(comparison: Comparison, subject: Subject) -> list[Any]:
    """Return what violates a comparison: the items of a list, or the fact itself. Raises EvidenceError as ``holds``."""
    found = subject.look_up(comparison.fact)
    wrong: list[Any] = []
    for name, given in comparison.given:
        wanted = subject.value(given)
        try:
            wrong += _OPERATORS[name](found, wanted)
        except TypeError as cause:
            raise EvidenceError(f"{comparison.fact}: {found!r} can't be compared with {wanted!r}") from cause
    return wrong


def _unless(is_right: bool, found: Any) -> Sequence[Any]:
    return () if is_right else (found,)


def _plain(value: Any) -> Any:
    """Return a list for a list of any type: a policy file has no tuples and sets."""
    return sorted(value) if isinstance(value, set | frozenset) else list(value) if isinstance(value, tuple) else value


def _each(items: Any) -> Collection[Any]:
    if items is None:
        return ()
    if isinstance(items, str) or not isinstance(items, Collection):
        raise TypeError("not a list")
    return items


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    return value


_OPERATORS: Mapping[str, Callable[[Any, Any], Sequence[Any]]] = {
    "is_": lambda found, wanted: _unless(_plain(found) == _plain(wanted), found),
    "is_not": lambda found, wanted: _unless(_plain(found) != _plain(wanted), found),
    "one_of": lambda found, wanted: _unless(found in _each(wanted), found),
    "none_of": lambda found, wanted: _unless(found not in _each(wanted), found),
    "at_least": lambda found, wanted: _unless(_number(found) >= _number(wanted), found),
    "at_most": lambda found, wanted: _unless(_number(found) <= _number(wanted), found),
    "has": lambda found, wanted: _unless(wanted in _each(found), wanted),
    "lacks": lambda found, wanted: _unless(wanted not in _each(found), wanted),
    "within": lambda found, wanted: [each for each in _each(found) if each not in _each(wanted)],
    "covers": lambda found, wanted: [each for each in _each(wanted) if each not in _each(found)],
}


def wanted_text(clause: Clause, subject: Subject) -> str:
    """Return what a clause expects, in words."""
    words = {
        "is_": "{what} is {value}",
        "is_not": "{what} is not {value}",
        "one_of": "{what} is one of {value}",
        "none_of": "{what} is none of {value}",
        "at_least": "at least {value} {what}",
        "at_most": "at most {value} {what}",
        "has": "{what} has {value}",
        "lacks": "{what} does not have {value}",
        "within": "{what} only has {value}",
        "covers": "{what} has {value}",
    }
    name, given = clause.given[0]
    value = shown(subject.value(given))
    return words[name].format(what=clause.unit or clause.fact, value=value)


def observed_text(clause: Clause, subject: Subject, wrong: Collection[Any]) -> str:
    """Return what a finding shows of a clause. wrong: the items that violate it; empty if it holds."""
    template = (clause.fault or clause.text) if wrong else clause.text
    if template:
        return subject.text(template, wrong=shown(wrong) if wrong else "")
    value = shown(subject.look_up(clause.fact))
    return f"{value} {clause.unit}" if clause.unit else f"{clause.fact} is {value}"
