"""Follows the paths of forms through the types of the facts and of the site file, without any value.

``judge.form_values.Subject.look_up`` follows the same paths through values.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Any, Literal, Union

from sigsrv.authoring.fact_types import attributes, is_record
from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.config import Keys, Values
from sigsrv.facts.host_pools import PoolFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge import examined
from sigsrv.judge.fact_schema import named
from sigsrv.judge.form_keys import fits
from sigsrv.model import incus_keys
from sigsrv.model.errors import nearest
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site, SiteAcl, SitePool, SiteProject
from sigsrv.model.site_bridges import SiteBridge

# For each kind of resource: the class of its facts, and that of its entry in the site file; see judge.examined and judge.form_subjects.
FACTS: Mapping[str, type] = {**examined.RECORDS, "host": HostFacts, "cluster": ClusterFacts, "pool": PoolFacts}
ENTRIES: Mapping[str, type] = {
    "bridge": SiteBridge,
    "network": SiteBridge,
    "pool": SitePool,
    "acl": SiteAcl,
    "project": SiteProject,
    "instance": SiteProject,
    "volume": SiteProject,
    "certificate": str,
}
EACH: Mapping[str, type] = {"bridges": SiteBridge, "pools": SitePool, "projects": SiteProject}


class NoFact(Exception):
    """A path leads to no fact. hint: the nearest name."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Found:
    """What a path leads to."""

    hint: Any
    """The type of the value, without None."""
    may_be_none: bool = False
    """Whether there may be no value."""
    entity: str = ""
    """If it is a configuration, the entity of Incus whose keys it has: ``instance`` ..."""
    values: tuple[Any, ...] = ()
    """All values that it has; empty if they are not known."""


@dataclass(frozen=True)
class Scope:
    """Where the paths of a policy begin."""

    facts: Found
    names: Mapping[str, Found]
    """What a path may begin with instead of a fact: ``site``, ``entry``, ``scope``, the names of joins."""

    def follow(self, path: str) -> Found:
        """Return what a path leads to. Raises NoFact."""
        first, _, rest = path.partition(".")
        here = self.names.get(first) or _attribute(self.facts, first, self.names)
        while rest:
            here, rest = _step(here, rest)
        return here


def scope_of(policy: Policy) -> Scope:
    """Return where the paths of a policy begin, without the names of its joins. Raises KeyError for a kind that no form can examine."""
    each = policy.forms.joined.each if policy.forms.joined else ""
    whole = Found(HostFacts if policy.on_hosts else ClusterFacts)
    names = {"site": Found(Site), "scope": whole}
    if each:
        return Scope(whole, {**names, "entry": Found(EACH[each])})
    if policy.examines in ENTRIES:
        names["entry"] = Found(ENTRIES[policy.examines], may_be_none=True)
    return Scope(Found(FACTS[policy.examines]), names)


def _step(here: Found, rest: str) -> tuple[Found, str]:
    """Return what the next part of a path leads to, and the parts after it."""
    kind = typing.get_origin(here.hint) or here.hint
    first, _, after = rest.partition(".")
    if not _is_mapping(kind):
        return _attribute(here, first), after
    inner = _plain(typing.get_args(here.hint)[1])
    if kinds(inner.hint) <= {"text"}:  # a configuration key has dots of its own
        if here.entity:
            require_key(here.entity, rest)
        return Found(inner.hint, may_be_none=True), ""
    return replace(inner, may_be_none=True), after


def require_key(entity: str, key: str) -> None:
    """Raise NoFact if Incus has no such configuration key of an entity. ``*`` in a key stands for any text."""
    matching = [each for each in incus_keys.samples(entity) if fits(each, key)] if "*" in key else ()
    if not matching and not incus_keys.known(entity, key):
        raise NoFact(f'{named(entity)} has no configuration key "{key}"', incus_keys.hint(key, entity))


def _attribute(here: Found, name: str, more: Collection[str] = ()) -> Found:
    known = {each.name: each for kind in _members(here.hint) for each in attributes(kind)}
    facts = [key for key, each in known.items() if each.signature is None]
    owner = " or ".join(kind.__name__ for kind in _members(here.hint))
    if not owner:
        raise NoFact(f'{words(here.hint)} has no "{name}"')
    if name not in known:
        raise NoFact(f'{owner} has no fact "{name}"', nearest(name, [*facts, *more]))
    if known[name].signature is not None:
        raise NoFact(f"{owner}.{name} needs arguments: a path can't give them", nearest(name, [*facts, *more]))
    found = next(
        _plain(_annotated(kind, name)) for kind in _members(here.hint) if hasattr(kind, name) or name in _hints(kind)
    )
    return replace(found, may_be_none=here.may_be_none or found.may_be_none)


def _annotated(kind: type, name: str) -> Any:
    """Return the type of a fact with the marks of ``Annotated``."""
    member = inspect.getattr_static(kind, name, None)
    function = getattr(member, "fget", None) or getattr(member, "func", None)
    return _hints(function)["return"] if function else _hints(kind)[name]


def _hints(of: Any) -> Mapping[str, Any]:
    return typing.get_type_hints(of, include_extras=True)


def _plain(hint: Any) -> Found:
    """Return a type without ``Annotated`` and None, and what they say of it."""
    if typing.get_origin(hint) is Annotated:
        inner, *marks = typing.get_args(hint)
        entity = next((mark.entity for mark in marks if isinstance(mark, Keys)), "")
        known = next((mark.known for mark in marks if isinstance(mark, Values)), ())
        found = _plain(inner)
        return replace(found, entity=entity, values=known or found.values)
    if typing.get_origin(hint) is Literal:
        return Found(hint, values=typing.get_args(hint))
    if typing.get_origin(hint) not in (Union, types.UnionType):
        return Found(hint)
    inner_types = [each for each in typing.get_args(hint) if each is not types.NoneType]
    is_optional = len(inner_types) < len(typing.get_args(hint))
    if len(inner_types) == 1:
        return replace(_plain(inner_types[0]), may_be_none=is_optional)
    return Found(Union[tuple(inner_types)], is_optional)  # noqa: UP007  its members are known only now


def _members(hint: Any) -> list[type]:
    """Return the classes of facts that a type stands for: none for a text or a list."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    return [each for each in options if isinstance(each, type) and (dataclasses.is_dataclass(each) or is_record(each))]


def _is_mapping(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Mapping)


def is_list(hint: Any) -> bool:
    """Return whether a type is a list, a tuple of any length or a set."""
    kind = typing.get_origin(hint) or hint
    return isinstance(kind, type) and issubclass(kind, Collection) and not issubclass(kind, str | bytes | Mapping)


def item_of(hint: Any) -> Found:
    """Return the type of the items of a list, or of the names of a mapping."""
    inner = typing.get_args(hint)
    return _plain(inner[0]) if inner else Found(Any)


def joined_as(hint: Any) -> Found | None:
    """Return the facts that a join finds by name in a mapping, or in a list of records with a name; None if it can't."""
    kind = typing.get_origin(hint) or hint
    if _is_mapping(kind):
        return replace(_plain(typing.get_args(hint)[1]), may_be_none=True)
    item = item_of(hint) if is_list(hint) else Found(str)
    members = _members(item.hint)
    named = [kind for kind in members if "name" in {each.name for each in attributes(kind)}]
    return Found(item.hint, may_be_none=True) if members and named == members else None


def kinds(hint: Any) -> frozenset[str]:
    """Return the kinds of values of a type: ``text``, ``number``, ``boolean``, ``list``, ``mapping``, ``record``; empty if any."""
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return frozenset().union(*(kinds(each) for each in typing.get_args(hint) if each is not types.NoneType))
    if origin is Annotated:
        return kinds(typing.get_args(hint)[0])
    if origin is Literal:
        return frozenset({"text"})
    plain = origin or hint
    if not isinstance(plain, type) or plain is object:
        return frozenset()
    tested: tuple[tuple[Any, str], ...] = (
        (bool, "boolean"),
        (int | float, "number"),
        (str | Enum, "text"),
        (Mapping, "mapping"),
        (Collection, "list"),
    )
    return frozenset({next((name for classes, name in tested if issubclass(plain, classes)), "record")})


def words(hint: Any) -> str:
    """Return a type in words: ``a text``."""
    names = {"boolean": "true or false", "list": "a list", "mapping": "a mapping", "record": "a record of facts"}
    return " or ".join(names.get(each, f"a {each}") for each in sorted(kinds(hint))) or "any value"
