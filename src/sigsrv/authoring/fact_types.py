"""What the classes of facts say about themselves: their attributes, with type, docstring and the string below each field."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from sigsrv.collect.evidence import Evidence
from sigsrv.model.errors import EvidenceError

_NAMES = {Mapping: "mapping", dict: "mapping", tuple: "tuple", list: "list", frozenset: "set", set: "set"}
_ATTRIBUTES: dict[type, tuple[Attribute, ...]] = {}  # of the classes that were asked for


@dataclass(frozen=True)
class Attribute:
    """A public attribute of a class of facts."""

    name: str
    """The attribute's name."""
    hint: Any
    """The type of its value; for a method, of the value that it returns."""
    text: str
    """Its docstring; empty if it has none."""
    signature: str | None = None
    """The parameters of a method, for example ``(name: str)``; None for a fact that takes none."""


def is_record(hint: Any) -> bool:
    """Return whether a type is a class of facts, which has facts of its own."""
    return isinstance(hint, type) and hint.__module__.startswith("sigsrv.facts.") and not issubclass(hint, Exception)


def is_view(hint: Any) -> bool:
    """Return whether a type is a class that computes its facts from evidence."""
    return is_record(hint) and (hint.__name__.endswith("Facts") or not dataclasses.is_dataclass(hint))


@cache
def _field_texts(path: str) -> Mapping[str, Mapping[str, str]]:
    """Return the string below each field of each class in a file of Python."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ClassDef):
            continue
        for field, below in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                found.setdefault(node.name, {})[field.target.id] = inspect.cleandoc(below.value.value)
    return found


def attributes(kind: type) -> tuple[Attribute, ...]:
    """Return the public attributes of a class of facts: fields, then properties and methods, in the order of the code."""
    if kind not in _ATTRIBUTES:
        _ATTRIBUTES[kind] = (*_fields(kind), *_computed(kind))
    return _ATTRIBUTES[kind]


def _fields(kind: type) -> list[Attribute]:
    texts = _field_texts(inspect.getfile(kind)).get(kind.__name__, {})
    if not dataclasses.is_dataclass(kind):
        return []
    hints = typing.get_type_hints(kind)
    return [
        Attribute(each.name, hints[each.name], texts.get(each.name, ""))
        for each in dataclasses.fields(kind)
        if not each.name.startswith("_") and hints[each.name] is not Evidence
    ]


def _computed(kind: type) -> list[Attribute]:
    found = []
    for name, value in vars(kind).items():
        if name.startswith("_"):
            continue
        function = (
            value.fget if isinstance(value, property) else value.func if isinstance(value, cached_property) else value
        )
        if inspect.isfunction(function):
            hint = typing.get_type_hints(function).get("return")
            signature = None if function is not value else _signature(function)
            found.append(Attribute(name, hint, inspect.getdoc(function) or "", signature))
    return found


def _signature(function: types.FunctionType) -> str:
    given = list(inspect.signature(function).parameters.values())[1:]
    star = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
    default = {True: "", False: " = ..."}
    words = [f"{star.get(p.kind.name, '')}{p.name}: {p.annotation}{default[p.default is p.empty]}" for p in given]
    return f"({', '.join(words)})"


def call_of(attribute: Attribute) -> str:
    """Return the name of a fact as a path has it: of a method with the names of its parameters, ``bridge(name)``."""
    names = re.findall(r"(?:^\(|, )(\**\w+):", attribute.signature or "")
    return attribute.name if attribute.signature is None else f"{attribute.name}({', '.join(names)})"


def yielded_by(kind: Any) -> Any:
    """Return the type of what a class of facts yields when it is iterated; None if it can't be."""
    method = vars(kind).get("__iter__") if is_record(kind) else None
    return typing.get_args(typing.get_type_hints(method)["return"])[0] if method else None


def readable(hint: Any) -> str:
    """Return a type in words, for example ``tuple of Link or None``."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in (None, type(None)):
        return "None"
    if isinstance(hint, TypeVar) or hint is Any:
        return "any"
    if origin is Literal:
        return "str"
    if origin in (Union, types.UnionType):
        return " or ".join(readable(each) for each in inner)
    if origin is None or not inner:
        return str(getattr(hint, "__name__", hint))
    name = next((name for kind, name in _NAMES.items() if origin is kind), str(getattr(origin, "__name__", origin)))
    if name == "Callable":
        return "function"
    if name == "mapping" or issubclass(origin, Mapping):
        return f"mapping of {readable(inner[0])} to {readable(inner[1])}"
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"({', '.join(readable(each) for each in inner)})"
    return f"{name} of {readable(inner[0])}"


def records_in(hint: Any) -> list[tuple[str, type]]:
    """Return the classes of facts in a type, each with the steps that lead to it: ``.<name>`` in a mapping, ``.<n>`` in a list."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if is_record(hint):
        return [("", hint)]
    if origin in (Union, types.UnionType):
        return [found for each in inner for found in records_in(each)]
    if origin is None or not isinstance(origin, type):
        return []
    if issubclass(origin, Mapping):
        return [(f".<name>{steps}", kind) for steps, kind in records_in(inner[1])]
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        return [(f".{n}{steps}", kind) for n, each in enumerate(inner) for steps, kind in records_in(each)]
    return [(f".<n>{steps}", kind) for each in inner[:1] for steps, kind in records_in(each)]


def shown(value: Any) -> str:
    """Return a value as Python writes it, the same in each run: sets are sorted."""
    if isinstance(value, EvidenceError):
        return value.reason
    if is_view(type(value)):
        return f"{type(value).__name__}({getattr(value, 'name', '')!r})"
    if is_record(type(value)) and "__str__" in vars(type(value)):
        return str(value)
    if is_record(type(value)) and isinstance(value, Iterable):
        return f"{type(value).__name__}{shown(items(value))}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [each.name for each in dataclasses.fields(value) if not each.name.startswith("_")]
        return f"{type(value).__name__}({', '.join(f'{name}={shown(getattr(value, name))}' for name in fields)})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{shown(key)}: {shown(item)}' for key, item in value.items())}}}"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(shown(item) for item in value))}}}"
    if isinstance(value, tuple | list):
        return f"({', '.join(shown(item) for item in value)}{',' if len(value) == 1 else ''})"
    if isinstance(value, str | int | float | bool | None):
        return repr(value)
    return str(value)


def items(value: Iterable[Any]) -> tuple[Any, ...]:
    """Return what an iterable yields, without the EvidenceError with which it may end."""
    found: list[Any] = []
    with suppress(EvidenceError):
        found += value
    return tuple(found)


def sentence(text: str) -> str:
    """Return the first sentence of what a fact is."""
    found = re.match(r"(.+?\.)(?=\s+[A-Z`\"]|$)", text, re.DOTALL)
    return found[1] if found else text


def described(text: str) -> str:
    """Return what a docstring says about a fact, as one paragraph.

    Left out are ``Return``, the sources, and the plain remark that a fact raises EvidenceError, which is true for all of them.
    """
    parts = [" ".join(part.split()) for part in text.split("\n\n")]
    sentence = " ".join(part for part in parts if not part.startswith("Source:"))
    sentence = re.sub(r"(?<!\s)\s*Source: .*$", "", sentence)
    sentence = re.sub(r"(?<!\s)\s*Raises EvidenceError\.", "", sentence).replace("``", "`")
    sentence, returns = re.subn(r"^Return ", "", sentence)
    return sentence[:1].upper() + sentence[1:] if returns else sentence
