"""The schema of the facts that a rule can examine, derived from the types of their classes.

Nothing here is a second list: a field that a class of facts gets is a fact of the schema at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union

from sigsrv.facts.config import Keys, Values
from sigsrv.model import incus_keys
from sigsrv.model.errors import nearest

Place = tuple[str | int, ...]
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}
_ARRAYS = (tuple, frozenset)
_ALMOST = 0.75  # one letter of four; a new driver such as nfs is not like zfs
BOOLEAN_TEXTS = ("false", "true")


@dataclass(frozen=True)
class Mistake:
    """A mistake in a rule or in an example. place: where it is, as keys and indexes from the root of the policy."""

    place: Place
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Fact:
    """The type of a fact: what JSON values it can have."""

    label: str
    """How messages call it: ``an instance``, ``expanded_config``."""
    types: frozenset[str]
    """The types of JSON Schema: ``string``, ``integer``, ``number``, ``boolean``, ``null``, ``object``, ``array``."""
    values: tuple[Any, ...] | None = None
    """All values that it can have; None if that is not known."""
    is_open: bool = False
    """Whether the evidence may have another value than ``values``. A resource with such a value can't be judged."""
    usual: tuple[str, ...] = ()
    """The values that it usually has, of a set that may grow. A value that is almost one of them is mistyped."""
    facts: Mapping[str, Fact] | None = None
    """The facts of a record by name. It always has all of them."""
    items: Fact | None = None
    """What the entries of a list, or of a mapping by name, are."""
    keys: Keys | None = None
    """The configuration keys of a mapping that is a configuration."""

    def allows(self, kinds: Iterable[str]) -> bool:
        """Return whether it can have one of some types of JSON Schema. An integer is also a number."""
        wanted = set(kinds)
        own = self.types | ({"number"} if "integer" in self.types else set())
        return bool(own & wanted) or ("number" in own and "integer" in wanted)

    def part(self, name: str, place: Place) -> Fact | Mistake:
        """Return the type of a fact, an entry or a configuration key by its name; a Mistake if there is none of that name."""
        if self.facts is not None:
            if name in self.facts:
                return self.facts[name]
            return Mistake(place, f'{self.label} has no fact "{name}"', self._hint(name))
        if self.keys is not None:
            if not incus_keys.known(self.keys.entity, name):
                owner = named(self.keys.entity)
                return Mistake(
                    place, f'{owner} has no configuration key "{name}"', incus_keys.hint(name, self.keys.entity)
                )
            return Fact(name, frozenset({"string"}), self._values_of(name))
        if self.items is not None and "object" in self.types:
            return self.items
        return Mistake(place, f'{self.label} is {self.type_text()}, so it has no "{name}"')

    def _hint(self, name: str) -> str:
        """Return where an unknown fact of a record is, if it is a configuration key, else the nearest fact."""
        facts = self.facts or {}
        for fact in facts.values():
            if fact.keys is not None and incus_keys.known(fact.keys.entity, name):
                return f'it is a key of {fact.label}: put it in the properties of "{fact.label}"'
        return nearest(name, facts)

    def _values_of(self, key: str) -> tuple[str, ...] | None:
        """Return all values of a configuration key, if they are known."""
        if self.keys is None:
            return None
        if key in self.keys.booleans:
            return BOOLEAN_TEXTS
        return incus_keys.DEVICE_TYPES if (self.keys.entity, key) == ("device", "type") else None

    def always_has(self, name: str) -> bool:
        """Return whether each resource has a fact or a configuration key: it is never unset."""
        if self.types != {"object"}:
            return False
        filled_in = self.keys is not None and self.keys.filled_in and name in self.keys.booleans
        return filled_in or (self.facts is not None and name in self.facts)

    def type_text(self) -> str:
        """Return the types in words: ``text or null``."""
        words = {
            "string": "text",
            "object": "an object",
            "array": "a list",
            "integer": "an integer",
            "number": "a number",
        }
        return " or ".join(
            words.get(each, each) for each in sorted(self.types, key=lambda each: (each == "null", each))
        )


def named(kind: str) -> str:
    """Return a kind of resource with its article: ``an instance``."""
    word = kind.upper() if kind == "acl" else kind
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {word}"


@cache
def fact_of(hint: Any, label: str) -> Fact:
    """Return the type of the facts of a class, or of one field from its type hint. Raises TypeError for a type that JSON does not have."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _marked(fact_of(inner[0], label), inner[1:])
    if hint in _SCALARS:
        return Fact(label, frozenset({_SCALARS[hint]}), (False, True) if hint is bool else None)
    if origin is Literal:
        return Fact(label, frozenset({"string"}), inner)
    if origin in (Union, types.UnionType):
        return _union([fact_of(each, label) for each in inner])
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint, include_extras=True)
        facts = {each.name: fact_of(hints[each.name], each.name) for each in dataclasses.fields(hint)}
        return Fact(label, frozenset({"object"}), facts=facts)
    if origin is not None and issubclass(origin, Mapping):
        return Fact(label, frozenset({"object"}), items=fact_of(inner[1], f"an entry of {label}"))
    if origin in _ARRAYS and (origin is not tuple or inner[-1] is Ellipsis):
        return Fact(label, frozenset({"array"}), items=fact_of(inner[0], f"an entry of {label}"))
    raise TypeError(f"{label}: a rule can't examine {hint}")


def _marked(fact: Fact, marks: tuple[Any, ...]) -> Fact:
    """Return a type with what ``Annotated`` says of it."""
    for mark in marks:
        if isinstance(mark, Keys):
            fact = dataclasses.replace(fact, keys=mark)
        elif isinstance(mark, Values):
            known = {"usual": mark.known} if mark.may_grow else {"values": mark.known, "is_open": True}
            fact = dataclasses.replace(fact, **known)
    return fact


def _union(members: list[Fact]) -> Fact:
    """Return the type of a value that has one of several types. At most one of them is more than a plain type."""
    whole = next((each for each in members if each.facts or each.items or each.values), members[0])
    values = whole.values
    if values is not None and any("null" in each.types for each in members):
        values = (*values, None)
    return dataclasses.replace(whole, types=frozenset().union(*(each.types for each in members)), values=values)


def type_of(value: Any) -> str:
    """Return the type of a JSON value, as JSON Schema calls it."""
    if isinstance(value, float) and value.is_integer():
        return "integer"
    if isinstance(value, Mapping):
        return "object"
    return _SCALARS.get(type(value), "array")


def value_mistakes(value: Any, fact: Fact, place: Place) -> Iterator[Mistake]:
    """Yield what makes it impossible that a fact has a value, or a part of it: unknown names, wrong types, values out of the set."""
    kind = type_of(value)
    if kind not in fact.types and (kind, "number" in fact.types) != ("integer", True):
        hint = (
            f'write "{str(value).lower()}", in quotes'
            if fact.types == {"string"} and kind not in ("object", "array")
            else ""
        )
        yield Mistake(
            place, f"{fact.label} is {fact.type_text()}, and never {_shown(value)}", hint if value is not None else ""
        )
    elif fact.values is not None and value not in fact.values:
        known = [str(each) for each in fact.values if each not in ("", None)]
        yield Mistake(place, f"{fact.label} is never {_shown(value)}", nearest(str(value), known))
    elif kind == "string" and (meant := _mistyped(value, fact.usual)):
        yield Mistake(place, f'{fact.label} is never "{value}"', f'did you mean "{meant}"?')
    elif kind == "object":
        for name, item in value.items():
            part = fact.part(str(name), (*place, name))
            yield from [part] if isinstance(part, Mistake) else value_mistakes(item, part, (*place, name))
    elif kind == "array" and fact.items is not None:
        for index, item in enumerate(value):
            yield from value_mistakes(item, fact.items, (*place, index))


def _mistyped(value: str, usual: tuple[str, ...]) -> str:
    """Return the usual value that was probably meant; empty if the value is a usual one, or is like none of them."""
    by_lower = {each.lower(): each for each in usual}
    close = difflib.get_close_matches(value.lower(), by_lower, n=1, cutoff=_ALMOST)
    return by_lower[close[0]] if close and value not in usual else ""


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def odd_value(document: Mapping[str, Any], fact: Fact) -> str:
    """Return which fact of a resource, or of a record in it, has a value that Incus does not give it; empty if none has."""
    for name, part in (fact.facts or {}).items():
        value = document[name]
        if part.is_open and part.values is not None and value not in part.values:
            return f"{name} is {value!r}, which is none of {', '.join(str(each) for each in part.values if each)}"
        if part.facts is not None and value is not None and (found := odd_value(value, part)):
            return found
    return ""
