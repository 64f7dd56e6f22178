"""Reads typed records (frozen dataclasses) from YAML data, and makes their JSON Schema, from the same type hints.

A field that Python reserves has an underscore at its end (``is_``), which the YAML key does not have. The string below a field is its
description.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import types
import typing
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from sigsrv.model.forms import Comparison, Value, Wanted

T = TypeVar("T")


def key_of(name: str) -> str:
    """Return the YAML key of a field."""
    return name.rstrip("_")


@cache
def hints(kind: type) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)


def read(hint: Any, content: Any) -> Any:
    """Return content as a value of a type. The content must be valid against ``schema``."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (
        Union,
        types.UnionType,
    ):  # of a type and None, which a missing key means: a null that is written is a value
        return read(next(each for each in inner if each is not type(None)), content)
    if hint is Value:
        return _value(content)
    if hint is Wanted and isinstance(content, str):
        return Wanted(is_=content)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        given = hints(hint)
        fields = {key_of(each.name): each.name for each in dataclasses.fields(hint)}
        return hint(**{fields[key]: read(given[fields[key]], item) for key, item in content.items()})
    if origin is tuple:
        items = content if isinstance(content, list) else [content]
        return tuple(read(inner[0], item) for item in items)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: read(inner[1], item) for key, item in content.items()}
    return content


def _value(content: Any) -> Value:
    if isinstance(content, Mapping) and len(content) == 1 and content.keys() <= {"site", "entry", "fact"}:
        return Value(**content)
    return Value(literal=content)


@cache
def descriptions(kind: type) -> Mapping[str, str]:
    """Return the string below each field of a record, of those that it inherits too, by the name of the field."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__[:-1]):
        tree = ast.parse(Path(inspect.getfile(each)).read_text(encoding="utf-8"))
        body = next(
            (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == each.__name__), []
        )
        for field, below in itertools.pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def schema(hint: Any) -> dict[str, Any]:
    """Return the JSON Schema of the YAML for a type. Records are references to ``$defs``, see ``definitions``."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return schema(next(each for each in inner if each is not type(None)))
    if origin is Literal:
        return {"enum": list(inner)}
    if hint is Value:
        return {"$ref": "#/$defs/value"}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return {"$ref": f"#/$defs/{hint.__name__.lower()}"}
    if origin is tuple:
        many: dict[str, Any] = {"minItems": 1, "items": schema(inner[0])}
        return {"if": {"type": "array"}, "then": many, "else": schema(inner[0])}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "minProperties": 1, "additionalProperties": schema(inner[1])}
    names: Mapping[Any, str] = {str: "string", bool: "boolean", int: "integer"}
    return {"type": names[hint]} if hint in names else {}


def _with_default(text: str, required: bool) -> str:
    """Return the description of a key as schemas have it: without a full stop, and with the default of an optional key."""
    text = text.rstrip(".")
    return text if required or re.search(r"; default: [^;]+$", text) else f"{text}; default: none"


def definition(kind: type) -> dict[str, Any]:
    """Return the JSON Schema of one record."""
    texts, given = descriptions(kind), hints(kind)
    fields = dataclasses.fields(kind)
    required = [
        key_of(each.name)
        for each in fields
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    ]
    found: dict[str, Any] = {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()).rstrip("."),
        "additionalProperties": False,
        "properties": {
            key_of(each.name): {
                **schema(given[each.name]),
                "description": _with_default(texts.get(each.name, ""), key_of(each.name) in required),
            }
            for each in fields
        },
    }
    if required:
        found["required"] = required
    if issubclass(kind, Comparison):
        found["oneOf"] = [{"required": [key_of(name)]} for name in kind.operators]
    return {"if": {"type": "string"}, "else": found} if kind is Wanted else found


VALUE_SCHEMA: Mapping[str, Any] = {
    "description": " ".join((Value.__doc__ or "").split()).rstrip("."),
    "if": {"type": "object"},
    "then": {
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {
            name: {"type": "string", "minLength": 1, "description": _with_default(text, required=False)}
            for name, text in descriptions(Value).items()
            if name != "literal"
        },
    },
}


def records_of(hint: Any) -> list[type]:
    """Return the records that a type contains, each once, without ``Value``."""
    found: list[type] = []
    pending = [hint]
    while pending:
        each = pending.pop(0)
        if dataclasses.is_dataclass(each) and isinstance(each, type):
            if each is not Value and each not in found:
                found.append(each)
                pending += hints(each).values()
        else:
            pending += [inner for inner in typing.get_args(each) if inner is not Ellipsis]
    return found
