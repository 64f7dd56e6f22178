"""Bounds what a YAML file may contain, before anything walks through it.

A few lines of YAML can stand for billions of values (aliases of aliases), and ten thousand brackets overflow the stack of libyaml.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from sigsrv.model.errors import UsageError

MAX_DEPTH = 64  # levels; shipped files have 11 at most
MAX_VALUES = 100_000  # of one document, each alias counted with all that it stands for
_MAX_INTEGER = 2**63 - 1  # the largest number of Incus
_SHOWN = 40  # characters of a wrong value that an error shows

# Characters that YAML does not allow. libyaml reports them without a line.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PREFIX = "tag:yaml.org,2002:"
_TEXT, _MERGE = f"{_PREFIX}str", f"{_PREFIX}merge"
_SCALARS = frozenset({_TEXT, *(f"{_PREFIX}{name}" for name in ("null", "bool", "int", "float"))})
_COLLECTIONS = frozenset({f"{_PREFIX}map", f"{_PREFIX}seq"})
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


def check_text(source: str, path: Path, loader: type) -> None:
    """Raise UsageError if the text of a file is no YAML text, or nested too deeply, or has too many values.

    Reads only the events of the parser, which take no stack. Raises YAMLError for text that is not YAML.
    """
    if found := _UNPRINTABLE.search(source):
        line = source.count("\n", 0, found.start()) + 1
        raise UsageError(f"{path}:{line}: not YAML: the character {found[0]!r} is not allowed", "remove it")
    depth = values = 0
    for event in yaml.parse(source, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            values += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            values += 1
        elif isinstance(event, yaml.DocumentStartEvent):
            values = 0
        if depth > MAX_DEPTH:
            raise _too_deep(path, event)
        if values > MAX_VALUES:
            raise UsageError(f"{_place(path, event)}: more than {MAX_VALUES:,} values", "split the file, or shorten it")


def check_nodes(root: yaml.Node, path: Path, construct: Callable[[yaml.Node], Any]) -> None:
    """Raise UsageError for a document that is not of plain values, or that its aliases make too large.

    Visits each node once, also if many aliases refer to it. construct: returns the value of a scalar.
    """
    sizes: dict[int, tuple[int, int]] = {}  # id of a node -> number of its values, number of levels below it
    above: set[int] = set()
    stack = [root]
    while stack:
        node = stack[-1]
        if id(node) in sizes:  # visited already, through another alias
            stack.pop()
            continue
        children = list(_children(node))
        if id(node) in above:  # all its children are visited
            stack.pop()
            above.discard(id(node))
            sizes[id(node)] = _size(node, path, [sizes[id(child)] for child in children])
        else:
            _check_node(node, path, construct)
            above.add(id(node))
            if any(id(child) in above for child in children):
                raise UsageError(f"{_place(path, node)}: an alias refers to the node that contains it")
            stack += children


def _size(node: yaml.Node, path: Path, children: list[tuple[int, int]]) -> tuple[int, int]:
    values = 1 + sum(each[0] for each in children)
    levels = max((each[1] + 1 for each in children), default=0)
    if levels > MAX_DEPTH:
        raise _too_deep(path, node)
    if values > MAX_VALUES:
        message = f"its aliases make more than {MAX_VALUES:,} values of it"
        raise UsageError(f"{_place(path, node)}: {message}", "use fewer aliases")
    return values, levels


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _check_node(node: yaml.Node, path: Path, construct: Callable[[yaml.Node], Any]) -> None:
    if isinstance(node, yaml.ScalarNode):
        if node.tag != _TEXT:
            _check_scalar(node, path, construct)
    elif node.tag not in _COLLECTIONS:
        raise _unknown_tag(node, path)
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, path)


def _check_keys(node: yaml.MappingNode, path: Path) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UsageError(f"{_place(path, key)}: a list or a mapping can't be a key", "use a text as the key")
        if key.tag not in (_TEXT, _MERGE):
            raise UsageError(f"{_place(path, key)}: the key {key.value!r} is not a string", "put it in quotes")
        if key.value in seen:
            raise UsageError(f"{_place(path, key)}: duplicate key {key.value!r}")
        seen.add(key.value)


def _check_scalar(node: yaml.ScalarNode, path: Path, construct: Callable[[yaml.Node], Any]) -> None:
    """Raise UsageError for a scalar that is not what its tag says, and for a number that cannot be compared."""
    if node.tag == _MERGE:
        return  # as a key; the constructor refuses it as a value
    if node.tag not in _SCALARS:
        raise _unknown_tag(node, path)
    try:
        value = construct(node)
    except (ValueError, LookupError) as cause:  # !!int x, !!bool x, more than 4300 digits
        raise _wrong_value(node, path) from cause
    if value is None and node.value not in _NULLS:
        raise _wrong_value(node, path)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{_place(path, node)}: {node.value} is not a number", "write a number with digits")
    if isinstance(value, int) and abs(value) > _MAX_INTEGER:
        raise UsageError(
            f"{_place(path, node)}: {_shown(node)} is larger than {_MAX_INTEGER}", "write a smaller number"
        )


def _wrong_value(node: yaml.ScalarNode, path: Path) -> UsageError:
    return UsageError(f"{_place(path, node)}: {_shown(node)!r} is not a value of {_tag_name(node)}", "remove the tag")


def _shown(node: yaml.ScalarNode) -> str:
    return node.value if len(node.value) <= _SHOWN else f"{node.value[:_SHOWN]}..."


def _unknown_tag(node: yaml.Node, path: Path) -> UsageError:
    if node.tag == f"{_PREFIX}value":
        return UsageError(f"{_place(path, node)}: {node.value!r} has a meaning of its own in YAML", "put it in quotes")
    hint = "remove it: sigsrv reads text, numbers, true, false, null, lists and mappings"
    return UsageError(f"{_place(path, node)}: the tag {_tag_name(node)} is not supported", hint)


def _tag_name(node: yaml.Node) -> str:
    tag = str(node.tag)
    return f"!!{tag.removeprefix(_PREFIX)}" if tag.startswith(_PREFIX) else tag


def _too_deep(path: Path, found: yaml.Node | yaml.Event) -> UsageError:
    return UsageError(f"{_place(path, found)}: nested more than {MAX_DEPTH} levels deep", "remove the extra levels")


def _place(path: Path, found: yaml.Node | yaml.Event) -> str:
    return f"{path}:{found.start_mark.line + 1 if found.start_mark else 1}"
