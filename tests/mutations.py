"""Makes wrong versions of a YAML file, the same ones in each run: of its characters, lines, values and structure."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

NUMBER = 560  # mutations of a file, a quarter of each kind

_CHARACTERS = "\0\x01\x1b\x7f\x85\u2028\u202e\ufeff\ufffe\t\n\r \"'`:-,#&*!|>%@?[]{}\\~=<0Aé\U0001f600"
_TEXTS = (
    "!!timestamp x",
    "!!timestamp 2026-01-01",
    "!!python/object/apply:os.system [id]",
    "!!python/name:os.system",
    "!!binary '='",
    "!!set {a, b}",
    "!!omap [a: 1]",
    "!!pairs [a: 1]",
    "!!int x",
    "!!int ''",
    "!!float x",
    "!!bool x",
    "!!null x",
    "!!merge x",
    "!!str [a]",
    "!!seq x",
    "!!map [a]",
    "!own x",
    ".inf",
    "-.inf",
    ".nan",
    "1.0e+999",
    "9" * 30,
    "9" * 5000,
    "-" + "9" * 4000,
    "0x" + "f" * 5000,
    "0b2",
    "1:2:3",
    "1_000",
    "-1",
    "0",
    "1e-320",
    "yes",
    "~",
    "''",
    "' '",
    "=",
    "<<",
    "[]",
    "{}",
    "{<<: 5}",
    "{<<: [5]}",
    "{? [a] : b}",
    "{1: a}",
    "{a: 1, a: 2}",
    "*none",
    "&a [*a]",
    "&a {b: *a}",
    "&a {<<: *a}",
    '"\\0"',
    '"a\\0b"',
    '"\\ud800"',
    '"\\e[31m"',
    '"\\u202e"',
    "'" + "x" * 100_000 + "'",
    "[" * 3000 + "]" * 3000,
    "{a: " * 3000 + "}" * 3000,
    "2026-12-31T23:59:60Z",
    "2026-02-30T00:00:00Z",
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "2026-12-31T23:59:59+99:99",
    "10000-01-01T00:00:00Z",
    "'(['",
    "'[z-a]'",
    "'(?P<x>'",
    "'*{'",
    "'{0}{'",
    "'%s%n'",
    "'../../etc/passwd'",
    "'/'",
    "'-oProxyCommand=x'",
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**12,
    2**63 - 1,
    "",
    " ",
    "x",
    "*",
    "[",
    "{name}",
    "x" * 10_000,
    [],
    {},
    [None],
    [[]],
    {"": ""},
    {"x": {"x": {}}},
    ["a", "a"],
)


def mutations(source: str, seed: int = 0, number: int = NUMBER) -> Iterator[bytes]:
    """Yield wrong versions of a file. Some may be right by chance."""
    kinds = (_characters, _lines, _texts, _structure)
    for index in range(number):
        chance = random.Random(f"{seed} {index}")
        yield kinds[index % len(kinds)](source, chance)


def _characters(source: str, chance: random.Random) -> bytes:
    """Delete, insert or replace a few characters; one in eight versions is not UTF-8."""
    text = list(source)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(text))
        change = chance.randrange(4)
        if change == 0:
            del text[place : place + chance.randint(1, 8)]
        elif change == 1:
            text.insert(place, chance.choice(_CHARACTERS))
        elif change == 2:
            text[place] = chance.choice(_CHARACTERS)
        else:
            other = chance.randrange(len(text))
            text[place], text[other] = text[other], text[place]
    content = "".join(text)
    if chance.randrange(8):
        return content.encode()
    broken = bytearray(content.encode())
    broken[chance.randrange(len(broken))] = chance.randrange(128, 256)
    return chance.choice([bytes(broken), content.encode("utf-16"), content.encode("utf-8-sig")])


def _lines(source: str, chance: random.Random) -> bytes:
    """Delete, repeat, swap, indent or cut lines, or begin a second document."""
    lines = source.splitlines(keepends=True)
    place, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    change = chance.randrange(9)
    if change == 0:
        del lines[place : place + chance.randint(1, 5)]
    elif change == 1:
        lines.insert(other, lines[place])
    elif change == 2:
        lines[place], lines[other] = lines[other], lines[place]
    elif change == 3:
        lines[place] = chance.choice([" ", "  ", "\t", "- ", "? ", ": "]) + lines[place]
    elif change == 4:
        lines[place] = lines[place].lstrip()
    elif change == 5:
        lines[place] = lines[place].rstrip("\n")
    elif change == 6:
        lines = lines[:place]
    elif change == 7:
        lines.insert(place, chance.choice(["---\n", "...\n", "%YAML 9.9\n", "%TAG ! x:\n", "<<: *x\n", "&x\n"]))
    else:
        lines += lines[place:]
    return "".join(lines).encode()


def _texts(source: str, chance: random.Random) -> bytes:
    """Write an odd value in place of a value."""
    values = list(re.finditer(r"(?<=: )[^\s,\[\]{}][^,\n\[\]{}]*|(?<=- )[^\s\[{][^\n]*", source))
    value = chance.choice(values)
    return (source[: value.start()] + chance.choice(_TEXTS) + source[value.end() :]).encode()


def _structure(source: str, chance: random.Random) -> bytes:
    """Delete, rename, wrap or replace a part of the document."""
    content = copy.deepcopy(_parsed(source))
    parents = [each for each in _containers(content) if each]
    parent = chance.choice(parents)
    key: Any = chance.choice(list(parent)) if isinstance(parent, dict) else chance.randrange(len(parent))
    change = chance.randrange(5)
    if change == 0:
        del parent[key]
    elif change == 1:
        parent[key] = [parent[key]]
    elif change == 2:
        parent[key] = {chance.choice(["name", "x", ""]): parent[key]}
    elif change == 3 and isinstance(parent, dict):
        parent[chance.choice([key[:-1], key.upper(), f"{key}s", "x", ""])] = parent.pop(key)
    else:
        parent[key] = copy.deepcopy(chance.choice(_VALUES))
    return yaml.safe_dump(content, sort_keys=False).encode()


@cache
def _parsed(source: str) -> Any:
    return yaml.load(source, Loader=yaml.BaseLoader)


def _containers(content: Any) -> Iterator[Any]:
    if isinstance(content, dict | list):
        yield content
        for each in content.values() if isinstance(content, dict) else content:
            yield from _containers(each)
