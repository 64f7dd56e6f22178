"""Reads YAML with line numbers and validates it against a JSON Schema. Each error names its file and line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import yaml
from jsonschema.exceptions import ValidationError

from sigsrv.model import data, textfile, yamlnodes
from sigsrv.model.errors import UsageError, nearest

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's loader, if PyYAML was built with it


class _Loader(_Base):  # type: ignore[misc]
    """A safe loader that keeps a time as text: JSON Schema has no times, and PyYAML would lose the time zone of the text."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in rows if tag != "tag:yaml.org,2002:timestamp"]
        for first, rows in _Base.yaml_implicit_resolvers.items()
    }


_Path = tuple[str | int, ...]
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SHOWN = 80  # characters of a wrong value that an error shows
_MESSAGE = 500  # characters of a whole error


class YamlDocument:
    """A YAML document with the line of each node."""

    def __init__(self, path: Path, data: Any, lines: Mapping[_Path, int]) -> None:
        self.path = path
        self.data = data
        self._lines = lines

    def where(self, place: Iterable[str | int] = ()) -> str:
        """Return ``FILE:LINE`` of a place in the document, or of the nearest node that contains the place."""
        at = tuple(place)
        while at and at not in self._lines:
            at = at[:-1]
        return f"{self.path}:{self._lines.get(at, 1)}"

    def error(self, place: Iterable[str | int], message: str, hint: str = "") -> UsageError:
        """Return the error of a place, ``FILE:LINE: a.b[0]: message``."""
        at = tuple(place)
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" for part in at).lstrip(".")
        return UsageError(f"{self.where(at)}: {name + ': ' if name else ''}{_shown(message, _MESSAGE)}", hint)


def load(path: Path, before: str = "") -> YamlDocument:
    """Read one YAML document.

    before: a top-level key, such as ``examples:``. If it is the last key, only the text before it is read.
    Raises UsageError: no such file, not YAML, not of plain values, too large, a duplicate key, a key that is not a string.
    """
    source = textfile.read(path)
    return parse(_head(source, before) if before else source, path)


def load_all(path: Path) -> list[YamlDocument]:
    """Read all YAML documents of a file. Raises as ``load``."""
    return _documents(textfile.read(path), path)


def _head(source: str, key: str) -> str:
    head, _, rest = source.partition(f"\n{key}")
    is_last = not any(line[:1].strip("# ") for line in rest.splitlines()[1:])
    return f"{head}\n" if is_last else source


def parse(source: str, path: Path) -> YamlDocument:
    """Read one YAML document from its text. path: the file that errors name. Raises as ``load``."""
    found = _documents(source, path)
    if len(found) > 1:
        raise UsageError(f"{found[1].where()}: a second document: only one is allowed", "remove the line ---")
    return found[0] if found else YamlDocument(path, None, {})


def _documents(source: str, path: Path) -> list[YamlDocument]:
    found = []
    try:
        yamlnodes.check_text(source, path, _Base)
        loader = _Loader(source)
        while loader.check_node():
            node = loader.get_node()
            yamlnodes.check_nodes(node, path, loader.construct_object)
            lines: dict[_Path, int] = {}
            _record_lines(node, (), lines)
            found.append(YamlDocument(path, loader.construct_document(node), lines))
        return found
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise UsageError(f"{path}:{line}: not YAML: {getattr(cause, 'problem', None) or cause}") from cause


def _record_lines(node: yaml.Node, place: _Path, lines: dict[_Path, int]) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*place, key.value)] = key.start_mark.line + 1
            _record_lines(value, (*place, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _record_lines(item, (*place, index), lines)


def check_characters(document: YamlDocument) -> None:
    """Raise UsageError for a text with a control character: no name, path or address has one. Newlines and tabs are allowed."""
    _check_characters(document, document.data, ())


def _check_characters(document: YamlDocument, content: Any, place: _Path) -> None:
    if isinstance(content, str) and (found := _CONTROL.search(content)):
        raise document.error(place, f"contains the control character {found[0]!r}", "remove it")
    if isinstance(content, Mapping):
        for key, value in content.items():
            _check_characters(document, key, (*place, key))
            _check_characters(document, value, (*place, key))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            _check_characters(document, value, (*place, index))


@cache
def schema(kind: str) -> Mapping[str, Any]:
    """Return the JSON Schema for a kind of file (``policies/schema``): site, policy, waivers, remediation, ..."""
    found = json.loads(data.schema(kind).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def validate(document: YamlDocument, schema: Mapping[str, Any]) -> None:
    """Validate a document against a JSON Schema.

    Raises UsageError for the first error: place, what is wrong, what is allowed.
    """
    errors = _errors(document, schema)
    if errors:
        raise _explained(document, errors[0])


def mistakes(document: YamlDocument, schema: Mapping[str, Any]) -> list[UsageError]:
    """Return the errors of a document against a JSON Schema, each with its place, what is wrong and what is allowed.

    An unknown version of the format comes first, because it explains the other errors.
    """
    found = (_explained(document, error) for error in _errors(document, schema))
    return list({each.message: each for each in found}.values())  # two missing keys give two equal errors


def _errors(document: YamlDocument, schema: Mapping[str, Any]) -> list[ValidationError]:
    version = document.data.get("version") if isinstance(document.data, Mapping) else None
    return sorted(_validator(version if isinstance(version, int) else 0)(schema).iter_errors(document.data), key=_order)


@cache
def _validator(version: int) -> Any:
    """Return a validator class for a version of a format.

    Its keyword ``since`` names the first version that has a key or a form of a value.
    """

    def since(_validator: Any, first: int, _instance: Any, _schema: Any) -> Iterator[ValidationError]:
        if 0 < version < first:
            yield ValidationError(f"is new in version {first}, and this file has version {version}")

    extend: Any = jsonschema.validators.extend
    return extend(jsonschema.Draft202012Validator, {"since": since})


def _order(error: ValidationError) -> tuple[bool, list[str]]:
    return not _is_of_version(error), [str(part) for part in error.absolute_path]


def _is_of_version(error: ValidationError) -> bool:
    return error.validator in ("const", "enum") and list(error.absolute_path) == ["version"]


def _explained(document: YamlDocument, error: ValidationError) -> UsageError:
    place = list(error.absolute_path)
    schema: Any = error.schema
    wanted: Any = error.validator_value
    if _is_of_version(error):
        read = " and ".join(map(str, wanted if isinstance(wanted, list) else [wanted]))
        message = f"{_shown(repr(error.instance))} is not a version that this sigsrv reads: it reads version {read}"
        return document.error(place, message, "upgrade sigsrv if a newer one wrote this file")
    if error.validator == "since":
        return document.error(place, error.message, f'write "version: {wanted}": that changes no other line')
    if error.validator == "oneOf":
        names = [name for each in wanted for name in each["required"]]
        found = [name for name in names if isinstance(error.instance, Mapping) and name in error.instance]
        return document.error(
            place, f"exactly one of {', '.join(names)} is required; found: {' and '.join(found) or 'none'}"
        )
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = set(schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in known)
        return document.error([*place, unknown], f'unknown key "{_shown(unknown)}"', nearest(unknown, known))
    if error.validator == "enum":
        allowed = ", ".join(str(value) for value in wanted)
        close = nearest(str(error.instance), map(str, wanted))
        hint = f"{close} allowed: {allowed}" if close.startswith("did you mean") else f"allowed: {allowed}"
        return document.error(place, f'"{_shown(str(error.instance))}" is not allowed', hint)
    if error.validator == "required" and isinstance(error.instance, Mapping):
        missing = ", ".join(f'"{key}"' for key in wanted if key not in error.instance)
        return document.error(place, f"{missing} {'are' if ',' in missing else 'is'} missing")
    if error.validator == "type":
        name = wanted if isinstance(wanted, str) else " or ".join(wanted)
        is_text = isinstance(error.instance, str | list | dict)
        shown = _shown(repr(error.instance) if is_text else json.dumps(error.instance))
        as_text = schema.get("description") if ":" in schema.get("pattern", "") else ""  # YAML reads 22:00 as 1320
        hint = (
            "" if is_text or name not in ("string", "object") else f"a text needs quotes: {as_text or _quoted(shown)}"
        )
        return document.error(place, f"{shown} is not of type {name}", hint)
    message = error.message.replace(repr(error.instance), _shown(repr(error.instance)))
    return document.error(place, message, str(schema.get("description", "")))


def _quoted(text: str) -> str:
    return f'"{text}"'


def _shown(text: str, limit: int = _SHOWN) -> str:
    """Return a text as errors show it: not the whole of a long one."""
    return text if len(text) <= limit else f"{text[:limit]}..."
