"""Holds a rule against the schema of the facts that it examines.

A rule is a JSON Schema. A name, type or value that no resource can have makes it true for every resource, or for none: it would decide
nothing, and look as if it did. Each function takes the place of what it reads, for the line of a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jsonpointer

from sigsrv.judge import examined
from sigsrv.judge.fact_schema import Fact, Mistake, Place, fact_of, named, odd_value, value_mistakes
from sigsrv.judge.form_schema import form_mistakes
from sigsrv.judge.rule_reach import always, never
from sigsrv.model import incus_keys
from sigsrv.model.policy import Policy

# The keywords that judge only values of one type. Of a value of another type they say nothing, so they are true.
_OBJECT = (
    "properties",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "required",
    "dependentRequired",
    "dependentSchemas",
    "minProperties",
    "maxProperties",
)
_ARRAY = (
    "items",
    "prefixItems",
    "contains",
    "unevaluatedItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minContains",
    "maxContains",
)
_NUMBER = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_STRING = ("pattern", "minLength", "maxLength")
_JUDGES = {
    **dict.fromkeys(_OBJECT, ("object", "objects")),
    **dict.fromkeys(_ARRAY, ("array", "lists")),
    **dict.fromkeys(_NUMBER, ("number", "numbers")),
    **dict.fromkeys(_STRING, ("string", "text")),
}
_SAYS_NULL = frozenset({"type", "const", "enum"})
_NEEDS = {"then": "if", "else": "if", "minContains": "contains", "maxContains": "contains"}


def schema_of(kind: str) -> Fact:
    """Return the schema of a kind of resource. Raises KeyError for a kind that no rule can examine."""
    return fact_of(examined.RECORDS[kind], named(kind))


def mistakes(policy: Policy) -> list[Mistake]:
    """Return the mistakes in ``match``, ``rule``, ``observe`` and the keys of forms; none for a policy with a check."""
    if not policy.is_declared or policy.examines not in examined.KINDS:
        return []
    fact = schema_of(policy.examines)
    found = [*_schema(policy.match, fact, ("match",)), *form_mistakes(policy, fact)]
    if policy.rule is not None:
        found += [*_schema(policy.rule, fact, ("rule",)), *_pointer(policy.observe, fact)]
    return list(dict.fromkeys(found))


def idle(policy: Policy) -> list[Mistake]:
    """Return why a rule without other mistakes decides nothing: it holds for every resource, or for none."""
    if not policy.is_declared or policy.examines not in examined.KINDS:
        return []
    fact, found = schema_of(policy.examines), []
    if policy.rule is not None and always(policy.rule, fact):
        found.append(Mistake(("rule",), f"the rule can never fail: every {policy.examines} complies"))
    if policy.rule is not None and never(policy.rule, fact):
        found.append(Mistake(("rule",), f"the rule can never pass: no {policy.examines} complies"))
    if never(policy.match, fact):
        found.append(Mistake(("match",), f"match selects nothing: no {policy.examines} fits"))
    return found


def example_mistakes(policy: Policy) -> list[Mistake]:
    """Return the facts in the examples of a rule policy that no resource has, or not with this type or value."""
    if policy.rule is None or policy.examines not in examined.KINDS:
        return []
    fact = schema_of(policy.examines)
    return [
        mistake
        for kind in ("compliant", "violating")
        for index, example in enumerate(policy.examples[kind])
        for mistake in value_mistakes(example, fact, ("examples", kind, index))
    ]


def why_wrong(policy: Policy) -> str:
    """Return the first mistake of a policy as a reason; empty if it has none."""
    for each in mistakes(policy):
        return f"the policy is wrong: {'.'.join(map(str, each.place))}: {each.message}; see: sigsrv policies lint"
    return ""


def refusal(policy: Policy) -> Callable[[Mapping[str, Any]], str]:
    """Return a function that returns why the rule can't judge a resource; empty if it can.

    A policy with a mistake judges none. A resource with a value that Incus does not give can't be judged either.
    """
    if reason := why_wrong(policy):
        return lambda _: reason
    fact = schema_of(policy.examines)
    return lambda document: odd_value(document, fact)


def _pointer(pointer: str, fact: Fact) -> Iterator[Mistake]:
    """Yield the mistake in a JSON Pointer to a fact."""
    here = fact
    for token in jsonpointer.JsonPointer(pointer).parts:
        if here.types & {"array"} and re.fullmatch(r"0|[1-9][0-9]*", token) and here.items is not None:
            here = here.items
            continue
        found = here.part(token, ("observe",))
        if isinstance(found, Mistake):
            yield found
            return
        here = found


def _schema(schema: Any, fact: Fact, place: Place) -> Iterator[Mistake]:
    """Yield the mistakes in a JSON Schema for a fact."""
    if not isinstance(schema, Mapping):
        return  # true or false
    for keyword, value in schema.items():
        at = (*place, keyword)
        kind, judged = _JUDGES.get(keyword, ("", ""))
        if kind and not fact.allows({kind}):
            hint = "a configuration value is text: compare it with const, enum or pattern" if kind == "number" else ""
            yield Mistake(at, f'"{keyword}" judges only {judged}, but {fact.label} is {fact.type_text()}', hint)
            continue
        if kind and "null" in fact.types and not _SAYS_NULL & schema.keys():
            wanted = f"add type: {kind}, or type: [{kind}, 'null'] if null complies"
            yield Mistake(at, f'{fact.label} can be null, about which "{keyword}" says nothing', wanted)
        if keyword in _NEEDS and _NEEDS[keyword] not in schema:
            yield Mistake(at, f'"{keyword}" decides nothing without "{_NEEDS[keyword]}"')
        elif keyword == "if" and not {"then", "else"} & schema.keys():
            yield Mistake(at, '"if" decides nothing without "then" or "else"')
        elif keyword in _WALK:
            yield from _WALK[keyword](value, fact, at)
    yield from _rest(schema, fact, place)


def _same(value: Any, fact: Fact, at: Place) -> Iterator[Mistake]:
    """Walk subschemas for the same fact: one, or a list."""
    for index, each in enumerate(value) if isinstance(value, list) else [(None, value)]:
        yield from _schema(each, fact, at if index is None else (*at, index))


def _type(value: Any, fact: Fact, at: Place) -> Iterator[Mistake]:
    for each in [value] if isinstance(value, str) else value:
        if not fact.allows({each}):
            yield Mistake(at, f"{fact.label} is {fact.type_text()}, and never of type {each}")


def _const(value: Any, fact: Fact, at: Place) -> Iterator[Mistake]:
    yield from (Mistake(at, each.message, each.hint) for each in value_mistakes(value, fact, at))


def _enum(value: Any, fact: Fact, at: Place) -> Iterator[Mistake]:
    for index, each in enumerate(value):
        yield from _const(each, fact, (*at, index))


def _pattern(value: Any, fact: Fact, at: Place) -> Iterator[Mistake]:
    matches = _regex(value)
    if matches is None:
        yield Mistake(at, f'"{value}" is not a regular expression')
    elif fact.values is not None and not any(isinstance(each, str) and matches(each) for each in fact.values):
        known = ", ".join(str(each) for each in fact.values if each)
        yield Mistake(at, f"{fact.label} never matches this pattern", f"its values: {known}")


def _regex(value: str) -> Callable[[str], object] | None:
    try:
        return re.compile(value).search
    except re.error:
        return None


def _properties(value: Mapping[str, Any], fact: Fact, at: Place) -> Iterator[Mistake]:
    for name, each in value.items():
        part = fact.part(name, (*at, name))
        if isinstance(part, Mistake):
            yield part
        else:
            yield from _schema(each, part, (*at, name))


def _pattern_properties(value: Mapping[str, Any], fact: Fact, at: Place) -> Iterator[Mistake]:
    names = _names_in(fact)
    for pattern, each in value.items():
        matches = _regex(pattern)
        if matches is None:
            yield Mistake((*at, pattern), f'"{pattern}" is not a regular expression')
            continue
        matching = [name for name in names or () if matches(name)]
        if names is not None and not matching:
            yield Mistake((*at, pattern), f"no name in {fact.label} matches this pattern")
        elif names is None and fact.items is not None:
            yield from _schema(each, fact.items, (*at, pattern))
        else:
            yield from _for_all(each, [fact.part(name, ()) for name in matching], (*at, pattern))


def _names_in(fact: Fact) -> list[str] | None:
    """Return the names that a record or a configuration can have; None for a mapping with names of the site's choice."""
    if fact.facts is not None:
        return list(fact.facts)
    return None if fact.keys is None else incus_keys.samples(fact.keys.entity)


def _for_all(schema: Any, parts: Iterable[Fact | Mistake], at: Place) -> Iterator[Mistake]:
    """Walk a schema for several facts. It has a mistake only if it has one for each of them."""
    found = [list(_schema(schema, part, at)) for part in parts if not isinstance(part, Mistake)]
    if found and all(found):
        yield from found[0]


def _names(value: Any, fact: Fact, at: Place) -> Iterator[Mistake]:
    """Walk ``propertyNames``: a schema for the names of facts, entries or configuration keys."""
    names = tuple(fact.facts) if fact.facts is not None else None
    yield from _schema(value, Fact(f"a name in {fact.label}", frozenset({"string"}), names), at)
    words = [value["const"]] if "const" in value else value.get("enum", []) if isinstance(value, Mapping) else []
    yield from _required(words, fact, at)


def _required(value: list[Any], fact: Fact, at: Place) -> Iterator[Mistake]:
    for index, name in enumerate(value):
        part = fact.part(str(name), (*at, index))
        if isinstance(part, Mistake):
            yield part


def _dependent(value: Mapping[str, Any], fact: Fact, at: Place) -> Iterator[Mistake]:
    """Walk ``dependentRequired`` and ``dependentSchemas``: names, each with names or with a schema for the same fact."""
    yield from _required(list(value), fact, at)
    for name, each in value.items():
        walk = _required if isinstance(each, list) else _schema
        yield from walk(each, fact, (*at, name))


def _items(value: Any, fact: Fact, at: Place) -> Iterator[Mistake]:
    """Walk schemas for the entries of a list or a mapping: one, or a list by position."""
    if fact.items is not None:
        yield from _same(value, fact.items, at)


def _rest(schema: Mapping[str, Any], fact: Fact, place: Place) -> Iterator[Mistake]:
    """Walk what depends on several keywords: empty alternatives and parts, and the schema for all that the schema does not name."""
    for index, each in enumerate(schema.get("anyOf", ())):
        if always(each, fact):
            yield Mistake((*place, "anyOf", index), "this alternative always holds, so the others decide nothing")
    if not {"additionalProperties", "unevaluatedProperties"} & schema.keys():
        for name, each in schema.get("properties", {}).items():
            if each is True or each == {}:
                yield Mistake(
                    (*place, "properties", name), "an empty schema accepts any value, so this decides nothing"
                )
    for keyword in ("additionalProperties", "unevaluatedProperties"):
        if keyword not in schema or not fact.allows({"object"}):
            continue
        at, value = (*place, keyword), schema[keyword]
        if fact.facts is None:
            part = fact.items if fact.keys is None else Fact(f"a value in {fact.label}", frozenset({"string"}))
            yield from _schema(value, part, at) if part else ()
            continue
        rest = sorted(fact.facts.keys() - schema.get("properties", {}).keys())
        if value is False and rest and keyword == "additionalProperties" and "patternProperties" not in schema:
            yield Mistake(
                at, f"{fact.label} always has further facts: {', '.join(rest)}", "name the facts that you mean"
            )
        yield from _for_all(value, [fact.facts[name] for name in rest], at)


_WALK: Mapping[str, Callable[[Any, Fact, Place], Iterator[Mistake]]] = {
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "not", "if", "then", "else"), _same),
    **dict.fromkeys(("items", "prefixItems", "contains", "unevaluatedItems"), _items),
    **dict.fromkeys(("dependentRequired", "dependentSchemas"), _dependent),
    "type": _type,
    "const": _const,
    "enum": _enum,
    "pattern": _pattern,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "propertyNames": _names,
    "required": _required,
}
