"""Finds comparisons of forms that can never hold, or that the engine can't make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sigsrv.authoring.fact_paths import Found, NoFact, Scope, is_list, item_of, kinds, words
from sigsrv.model import records
from sigsrv.model.errors import nearest
from sigsrv.model.forms import Comparison, Value

Place = tuple[str | int, ...]
Mistakes = Iterator[tuple[Place, str, str]]

_NUMBERS = frozenset({"at_least", "at_most"})
_EQUAL = frozenset({"is_", "is_not"})
_ON_A_LIST = frozenset({"one_of", "none_of"})
_HAS_ONE = frozenset({"has", "lacks"})
_WRITTEN_ELSEWHERE = object()  # the value is not in the policy file
_BOTH_LISTS = frozenset({"within", "covers"})


def comparison_mistakes(comparison: Comparison, place: Place, scope: Scope) -> Mistakes:
    """Yield the mistakes in a comparison, each with its place, message and hint."""
    name = next(name for name in type(comparison).operators if getattr(comparison, name) is not None)
    given: Value = getattr(comparison, name)
    at = (*place, records.key_of(name))
    try:
        fact = scope.follow(comparison.fact)
    except NoFact as cause:
        yield (*place, "fact"), f"{comparison.fact}: {cause}", cause.hint
        return
    try:
        wanted = type_of(given, scope)
    except NoFact:
        return  # the value has the mistake
    yield from (((*place, key), message, hint) for key, message, hint in _unfit(comparison, name, fact, wanted))
    literal = _WRITTEN_ELSEWHERE if given.site or given.entry or given.fact else given.literal
    yield from ((at, message, hint) for message, hint in _never(comparison.fact, name, fact, literal))


def type_of(value: Value, scope: Scope) -> Found:
    """Return the type of a value. Raises NoFact if it is a path that leads nowhere."""
    for source in ("site", "entry"):
        path = getattr(value, source)
        if path:
            if source not in scope.names:
                raise NoFact("the site file has no entries for resources of this kind", "use site: or a value")
            try:
                return scope.follow(f"{source}.{path}")
            except NoFact as cause:
                raise NoFact(f"{source}: {path}: {cause}", cause.hint) from None
    if value.fact:
        try:
            return scope.follow(value.fact)
        except NoFact as cause:
            raise NoFact(f"{value.fact}: {cause}", cause.hint) from None
    return Found(type(value.literal), may_be_none=value.literal is None)


def _unfit(comparison: Comparison, name: str, fact: Found, wanted: Found) -> Iterator[tuple[str, str, str]]:
    """Yield (key, message, hint) of each side that an operator can't compare."""
    key = records.key_of(name)
    shown, of = words(fact.hint), kinds(fact.hint)
    if name in _NUMBERS:
        if of and "number" not in of:
            hint = "a configuration value is text: use the form keys with above:" if of == {"text"} else ""
            yield key, f"{comparison.fact} is {shown}: {key} compares numbers", hint
        if kinds(wanted.hint) and "number" not in kinds(wanted.hint):
            yield key, f"{key} compares with a number, and this is {words(wanted.hint)}", ""
    elif name in _ON_A_LIST and of and of <= {"list", "record"}:
        yield key, f"{comparison.fact} is {shown}: {key} compares a single value", "lists: has, lacks, within or covers"
    elif name in _HAS_ONE | _BOTH_LISTS and of and not of & {"list", "mapping"}:
        yield key, f"{comparison.fact} is {shown}: {key} compares a list", "single values: is, is_not, one_of, none_of"
    if name in _ON_A_LIST | _BOTH_LISTS and kinds(wanted.hint) and not kinds(wanted.hint) & {"list", "mapping"}:
        yield key, f"{key} compares with a list, and this is {words(wanted.hint)}", "write it in brackets: [a, b]"


def _never(path: str, name: str, fact: Found, literal: Any) -> Iterator[tuple[str, str]]:
    """Yield (message, hint) of each written value that a fact can never have."""
    if name in _NUMBERS:
        return
    if name in _EQUAL | _ON_A_LIST:
        target = fact
    elif is_list(fact.hint) or kinds(fact.hint) == {"mapping"}:
        target = item_of(fact.hint)
    else:
        return
    what = path if target is fact else f"an item of {path}"
    single = [] if literal is _WRITTEN_ELSEWHERE else [literal]
    for item in single if name in _EQUAL | _HAS_ONE else _items(literal):
        if message := _impossible(what, target, item):
            yield message


def _items(literal: Any) -> list[Any]:
    return literal if isinstance(literal, list) else []


def _impossible(what: str, target: Found, item: Any) -> tuple[str, str] | None:
    """Return why a fact never has a value, and a hint; None if it can have it."""
    of = kinds(target.hint)
    if item is None:
        return None if target.may_be_none or not of else (f"{what} is never null", "")
    if not of or (of & {"list", "record", "mapping"} and isinstance(item, list | Mapping)):
        return None
    if not of & kinds(type(item)):
        hint = "write it in quotes" if of == {"text"} and not isinstance(item, list | Mapping) else ""
        return f"{what} is {words(target.hint)}, and never {_shown(item)}", hint
    known = target.values
    if known and item not in known:
        return f"{what} is never {_shown(item)}", nearest(str(item), [str(each) for each in known])
    return None


def _shown(item: Any) -> str:
    return str(item).lower() if isinstance(item, bool) else str(item)
