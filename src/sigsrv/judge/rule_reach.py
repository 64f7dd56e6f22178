"""Decides whether a JSON Schema holds for every value that a fact can have, or for none.

Both answers are certain: a schema of which neither can be shown is taken to decide something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sigsrv.judge.fact_schema import Fact, Mistake, value_mistakes

_RANGES = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)
_NOTHING_BELOW = frozenset({"minLength", "minItems", "minProperties", "minContains"})
_BRANCHES = frozenset({"if", "then", "else"})


def always(schema: Any, fact: Fact) -> bool:
    """Return whether each value of a fact complies."""
    if not isinstance(schema, Mapping):
        return schema is True
    return all(_always(keyword, value, schema, fact) for keyword, value in schema.items())


def _always(keyword: str, value: Any, schema: Mapping[str, Any], fact: Fact) -> bool:
    match keyword:
        case "$comment" | "then" | "else":
            return True  # ``if`` looks at them
        case "type":
            return all(_is_of(each, [value] if isinstance(value, str) else value) for each in fact.types)
        case "enum" | "const":
            allowed = value if keyword == "enum" else [value]
            return fact.values is not None and not fact.is_open and all(each in allowed for each in fact.values)
        case "required":
            return all(fact.always_has(name) for name in value)
        case "properties":
            parts = [(fact.part(name, ()), each) for name, each in value.items()]
            return all(not isinstance(part, Mistake) and always(each, part) for part, each in parts)
        case "items" | "additionalProperties" | "unevaluatedProperties" | "unevaluatedItems":
            return value is True or value == {} or (fact.items is not None and always(value, fact.items))
        case "allOf":
            return all(always(each, fact) for each in value)
        case "anyOf":
            return any(always(each, fact) for each in value)
        case "not":
            return never(value, fact)
        case "if":
            then, otherwise = (always(schema.get(branch, True), fact) for branch in ("then", "else"))
            return (then or never(value, fact)) and (otherwise or always(value, fact))
        case _:
            return keyword in _NOTHING_BELOW and value == 0


def _is_of(kind: str, allowed: list[str]) -> bool:
    return kind in allowed or (kind == "integer" and "number" in allowed)


def never(schema: Any, fact: Fact) -> bool:
    """Return whether no value of a fact complies."""
    if not isinstance(schema, Mapping):
        return schema is False
    if any(low in schema and high in schema and schema[low] > schema[high] for low, high in _RANGES):
        return True
    return any(_never(keyword, value, schema, fact) for keyword, value in schema.items())


def _never(keyword: str, value: Any, schema: Mapping[str, Any], fact: Fact) -> bool:
    match keyword:
        case "type":
            return not fact.allows([value] if isinstance(value, str) else value)
        case "enum" | "const":
            return all(any(value_mistakes(each, fact, ())) for each in (value if keyword == "enum" else [value]))
        case "properties":
            certain = [name for name in value if fact.always_has(name)]
            parts = [(fact.part(name, ()), value[name]) for name in certain]
            return any(not isinstance(part, Mistake) and never(each, part) for part, each in parts)
        case "allOf":
            return any(never(each, fact) for each in value)
        case "anyOf" | "oneOf":
            return all(never(each, fact) for each in value)
        case "not":
            return always(value, fact)
        case "if":
            branch = "then" if always(value, fact) else "else" if never(value, fact) else ""
            return bool(branch) and never(schema.get(branch, True), fact)
        case _:
            return False
