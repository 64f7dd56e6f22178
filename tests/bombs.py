"""Texts that make a regular expression slow, derived from the expression itself, and the regular expressions of the project.

A pattern is slow if doubling a text makes it take four times as long: two of its parts can match the same characters in many ways, or it
starts again at every character. The texts repeat what the parts of the pattern match, behind each of its beginnings, and end with
something that it refuses.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]  # how Python itself takes a pattern apart
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "checks").glob("*.py")])
METHODS = frozenset({"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"})
_SMALL, _LARGE = 2_000, 8_000
_FAST_S = (
    0.001  # for the small text: a linear pattern takes a tenth of it at most, a quadratic one several times as long
)
_GROWTH = 8  # of the time for four times the size: 4 if linear, 16 if quadratic
_PATIENCE_S = 0.25  # the test waits no longer for one text
_CLASSES = {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a"}
_COMMON = "a1 -.:/\n"


@dataclass(frozen=True)
class Pattern:
    """A regular expression of the project. where: file and line. uses: the methods that it is called with."""

    where: str
    text: Any
    flags: int
    uses: frozenset[str]


class _TooSlowError(Exception):
    pass


def samples(parts: Any) -> list[str]:
    """Return a short text for each part of a parsed pattern; together they match it, in most cases."""
    return ["".join(_sample(kind, argument)) for kind, argument in parts]


def _sample(kind: Any, argument: Any) -> str:
    name = str(kind)
    if name == "LITERAL":
        return chr(argument)
    if name in ("ANY", "NOT_LITERAL"):
        return "a"
    if name == "IN":
        return (
            next(filter(None, (_character(each) for each in argument)), "a") if str(argument[0][0]) != "NEGATE" else "a"
        )
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return "".join(samples(argument[2])) * max(1, argument[0])
    if name == "SUBPATTERN":
        return "".join(samples(argument[3]))
    if name == "ATOMIC_GROUP":
        return "".join(samples(argument))
    if name == "BRANCH":
        return "".join(samples(argument[1][0]))
    return ""


def _character(item: Any) -> str:
    kind, argument = item
    if str(kind) == "LITERAL":
        return chr(argument)
    return chr(argument[0]) if str(kind) == "RANGE" else _CLASSES.get(str(argument), "")


def _all_parts(parts: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each part of a parsed pattern, and those inside it."""
    for kind, argument in parts:
        yield kind, argument
        name = str(kind)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            yield from _all_parts(argument[2])
        elif name == "SUBPATTERN":
            yield from _all_parts(argument[3])
        elif name == "ATOMIC_GROUP":
            yield from _all_parts(argument)
        elif name == "BRANCH":
            for branch in argument[1]:
                yield from _all_parts(branch)


def _pieces(parsed: Any) -> list[str]:
    """Return the samples of a parsed pattern, with those of letters that follow each other joined."""
    found: list[str] = []
    before = ""
    for (kind, _), sample in zip(parsed, samples(parsed), strict=True):
        if before == str(kind) == "LITERAL":
            found[-1] += sample
        else:
            found.append(sample)
        before = str(kind)
    return found


def bombs(pattern: Pattern) -> Iterator[Callable[[int], str]]:
    """Yield functions that make a text of about a given size."""
    text = pattern.text.decode("latin-1") if isinstance(pattern.text, bytes) else pattern.text
    parsed = _parser.parse(text, pattern.flags)
    pieces, every = _pieces(parsed), list(_all_parts(parsed))
    whole = "".join(pieces)
    heads = dict.fromkeys(["", *("".join(pieces[:count]) for count in range(1, len(pieces) + 1)), f"\n{whole}"])
    tails = ("".join(pieces[count:]) for count in range(len(pieces)))
    units = dict.fromkeys(filter(None, [*_COMMON, *(_sample(*each) for each in every), *tails]))
    refused = {
        _character(item)
        for kind, items in every
        if str(kind) == "IN" and str(items[0][0]) == "NEGATE"
        for item in items
    }
    for head in heads:
        for unit in units:
            for end in {"", "\0!", unit[0], *refused}:
                yield lambda size, head=head, unit=unit, end=end: head + unit * (size // len(unit)) + end


def slow_bomb(pattern: Pattern) -> str:
    """Return the use and the beginning of a text that makes a pattern slow; "" if there is none."""
    compiled = re.compile(pattern.text, pattern.flags)
    for use in sorted(pattern.uses):
        call = getattr(compiled, "search" if use in ("sub", "subn", "split", "findall", "finditer") else use)
        for make in bombs(pattern):

            def took(size: int, make: Callable[[int], str] = make, call: Callable[[Any], object] = call) -> float:
                given = make(size).encode("latin-1", "replace") if isinstance(pattern.text, bytes) else make(size)
                return _cpu_s(lambda: call(given))

            if took(_SMALL) <= _FAST_S:  # only a linear pattern is so fast
                continue
            small = min(took(_SMALL) for _ in range(3))
            if small > _FAST_S and min(took(_LARGE) for _ in range(3)) > min(_GROWTH * small, _PATIENCE_S * 0.9):
                return f"{use} {make(40)!r}"
    return ""


def _cpu_s(call: Callable[[], object]) -> float:
    """Return how long a call takes, in seconds of processor time; the longest time that the test waits if it is not done by then."""

    def stop(_: int, __: FrameType | None) -> None:
        raise _TooSlowError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, _PATIENCE_S)
    began = time.thread_time()
    try:
        call()
        return time.thread_time() - began
    except _TooSlowError:
        return _PATIENCE_S
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _module(path: Path) -> dict[str, Any]:
    """Return the global names of a file of the package or of a check."""
    if "checks" in path.parts:
        spec = importlib.util.spec_from_file_location(f"bombs_{path.stem}", path)
        assert spec
        assert spec.loader
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return vars(found)
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return vars(importlib.import_module(".".join(part for part in parts if part != "__init__")))


def _is_call_of_re(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in {*METHODS, "compile"}
    )


def patterns(known: dict[str, tuple[str, Any]]) -> Iterator[Pattern]:
    """Yield each regular expression in the code, also those that are written where they are used.

    known: the use and an example of each pattern that is put together only when the code runs, by ``FILE:FUNCTION``. Raises NameError
    for any other.
    """
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
    named: dict[str, set[str]] = {}  # the methods that are called on a name, in any file
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in METHODS:
                named.setdefault(node.value.id, set()).add(node.attr)
    for path, tree in trees.items():
        if "import re\n" not in path.read_text(encoding="utf-8"):
            continue
        names = _module(path)
        for function, node, target in _calls(tree):
            where = f"{path.relative_to(ROOT)}:{node.lineno}"
            given = f"{path.name}:{function}"
            assert isinstance(node.func, ast.Attribute)
            uses = (
                {node.func.attr} if node.func.attr != "compile" else named.get(target, {"search", "fullmatch", "match"})
            )
            try:
                text = eval(ast.unparse(node.args[0]), names)
            except NameError:
                if given not in known:
                    raise NameError(
                        f"{where}: {given}: the pattern is made when the code runs: add an example of it"
                    ) from None
                uses, text = {known[given][0]}, known[given][1]
            flags = 0
            for each in [*node.args[1:], *(keyword.value for keyword in node.keywords)]:
                with contextlib.suppress(NameError):
                    value = eval(ast.unparse(each), names)
                    flags |= int(value) if isinstance(value, re.RegexFlag) else 0
            yield Pattern(where, text, flags, frozenset(uses))


def _calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call, str]]:
    """Yield each call of ``re`` with the name of its function ("" outside), and the name that its result gets."""
    targets = {
        id(node.value): node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }

    def within(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call, str]]:
        for child in ast.iter_child_nodes(node):
            inner = child.name if isinstance(child, ast.FunctionDef) else function
            if _is_call_of_re(child):
                assert isinstance(child, ast.Call)
                yield inner, child, targets.get(id(child), "")
            yield from within(child, inner)

    yield from within(tree, "")
