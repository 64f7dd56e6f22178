"""Damages the answers in saved evidence: a whole answer, or one part of it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from sigsrv.collect.evidence import Answer, ApiAnswer, Failure
from sigsrv.model.errors import FailureKind

AnyAnswer = Answer | ApiAnswer
_UNREADABLE = "?"
_CUT = Failure(FailureKind.GARBLED, "knock-out: the answer is cut off")
_Path = tuple[str | int, ...]


def _absent(answer: AnyAnswer) -> None:
    """Take the answer away, as if sigsrv had not asked."""


def _failed(answer: AnyAnswer) -> AnyAnswer:
    """Make the command of a probe end with exit status 1 after its output."""
    return dataclasses.replace(answer, rc=1) if isinstance(answer, Answer) and answer.rc == 0 else answer


def _corrupt(answer: AnyAnswer) -> AnyAnswer:
    """Make each letter and digit of an output, or each value of an API answer, unreadable."""
    if isinstance(answer, Answer):
        return dataclasses.replace(answer, stdout=_garbled(answer.stdout))
    return dataclasses.replace(answer, metadata=_unreadable(answer.metadata))


def _garbled(text: str) -> str:
    return re.sub(r"\w", _UNREADABLE, text)


def _unreadable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _unreadable(item) for key, item in value.items()}
    return [_unreadable(item) for item in value] if isinstance(value, list) else _UNREADABLE


def _empty(answer: AnyAnswer) -> AnyAnswer:
    """Empty an output, or the list or object of an API answer."""
    if isinstance(answer, Answer):
        return dataclasses.replace(answer, stdout="")
    return dataclasses.replace(answer, metadata=type(answer.metadata)() if answer.metadata is not None else None)


def _cut(answer: AnyAnswer) -> AnyAnswer:
    """Keep the first half of an output. An API answer has its length and is JSON: what is left of it is a failure."""
    if isinstance(answer, Answer):
        return dataclasses.replace(answer, stdout=answer.stdout[: len(answer.stdout) // 2])
    return ApiAnswer(failure=_CUT)


# The damage of a whole answer, by name. The most effective one comes first.
WHOLE: Mapping[str, Callable[[AnyAnswer], AnyAnswer | None]] = {
    "absent": _absent,
    "corrupt": _corrupt,
    "empty": _empty,
    "cut": _cut,
    "failed": _failed,
}


def parts_of(answer: AnyAnswer) -> Iterator[tuple[str, Callable[[], AnyAnswer]]]:
    """Yield each damage of a part: its name, and a function that makes the damaged answer.

    The parts of JSON are its rows, keys and values; each is removed, made unreadable, and given another type. The parts of other text are
    its lines; each is removed, and made unreadable.
    """
    if answer.failure:
        return
    if isinstance(answer, ApiAnswer):
        for label, make in _nodes(answer.metadata):
            yield label, partial(_with_metadata, answer, make)
        return
    try:
        content = json.loads(answer.stdout)
    except ValueError:
        content = None
    if isinstance(content, dict | list):
        for label, make in _nodes(content):
            yield label, partial(_with_document, answer, make)
    else:
        lines = answer.stdout.splitlines(keepends=True)
        for index, line in enumerate(lines):
            yield f"line {index + 1} removed", partial(_with_lines, answer, lines, index, "")
            yield f"line {index + 1} unreadable", partial(_with_lines, answer, lines, index, _garbled(line))


def _with_metadata(answer: ApiAnswer, make: Callable[[], Any]) -> AnyAnswer:
    return dataclasses.replace(answer, metadata=make())


def _with_document(answer: Answer, make: Callable[[], Any]) -> AnyAnswer:
    return dataclasses.replace(answer, stdout=json.dumps(make()))


def _with_lines(answer: Answer, lines: list[str], index: int, other: str) -> AnyAnswer:
    return dataclasses.replace(answer, stdout="".join([*lines[:index], other, *lines[index + 1 :]]))


def _nodes(content: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the damages of each node of a JSON document, the nodes near its root first."""
    level: list[tuple[_Path, Any]] = [((), content)]
    while level:
        below = []
        for path, value in level:
            keys: list[str | int] = list(value) if isinstance(value, Mapping) else list(range(len(value)))
            for key in keys:
                place = (*path, key)
                name, node = "/".join(map(str, place)), value[key]
                yield f"{name} removed", partial(_changed, content, place, None)
                if isinstance(node, str) and node != _garbled(node):
                    yield f"{name} unreadable", partial(_changed, content, place, [_garbled(node)])
                yield f"{name} of another type", partial(_changed, content, place, [_other_type(node)])
                if isinstance(node, Mapping | list):
                    below.append((place, node))
        level = below


def _other_type(value: Any) -> Any:
    return 7 if isinstance(value, str) else _UNREADABLE


def _changed(content: Any, path: _Path, new: list[Any] | None) -> Any:
    """Return a document in which the node at a path is removed (None) or replaced (a list of one value). Shares all other nodes."""
    key, rest = path[0], path[1:]
    below = [_changed(content[key], rest, new)] if rest else new
    if isinstance(content, Mapping):
        return {
            name: below[0] if name == key and below else item for name, item in content.items() if name != key or below
        }
    assert isinstance(key, int)
    return [*content[:key], *(below or []), *content[key + 1 :]]
