"""Reads JSON that a host sent, within limits: nothing in it may cost more memory than a few times its size.

Go, in which Incus is written, never writes what this module refuses: text that is not UTF-8, NaN, or a number of more than 64 bits.
A key that is there twice is accepted, and the last one counts: sigsrv stores and judges only what was parsed.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

LIMIT_VALUES = 2_000_000  # a value takes 2 bytes or more in JSON, and 64 or more in Python
LIMIT_NESTING = 64  # the deepest answer of Incus has 9 levels
_LIMIT_NUMBER = 2**64
_LIMIT_DIGITS = 21  # with a sign
_TOO_LARGE = "a number has more than 64 bits"
_CONTAINERS = (dict, list)
_HALF_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")  # the escape of half a character, also of each half of a whole one
_HALF = re.compile("[\ud800-\udfff]")


def values(document: str) -> int:
    """Return how many values a JSON document has at most. An object counts as three, because it is that much larger in Python."""
    return 1 + sum(map(document.count, ",[{")) + 2 * document.count("{")


def decoded(document: bytes) -> Any:
    """Return the value of a JSON document in UTF-8. Raises ValueError if it is not JSON or exceeds a limit."""
    return parsed(document.decode())


def parsed(document: str) -> Any:
    """Return the value of a JSON document. Raises ValueError if it is not JSON or exceeds a limit.

    Half of a character (a lone surrogate) becomes U+FFFD, as in Go: no file, hash or script could contain it.
    """
    if values(document) > LIMIT_VALUES:
        raise ValueError(f"more than {LIMIT_VALUES} values")
    try:
        found = _JSON.decode(document)
    except RecursionError:
        raise ValueError(f"nested more than {LIMIT_NESTING} levels deep") from None
    _check((found,), 0)
    return _whole(found) if _HALF_ESCAPED.search(document) or _HALF.search(document) else found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > _LIMIT_DIGITS:  # before the conversion, whose time grows faster than the number
        raise ValueError(_TOO_LARGE)
    return int(digits)


# Made once: a journal has a document on each line.
_JSON = json.JSONDecoder(parse_constant=_no_constant, parse_int=_integer)


def _check(items: Any, depth: int) -> None:
    """Raise ValueError if a value is nested too deeply or a number is too large. items: the values at one place."""
    if depth > LIMIT_NESTING:
        raise ValueError(f"nested more than {LIMIT_NESTING} levels deep")
    for item in items:
        if type(item) in _CONTAINERS:
            _check(item.values() if type(item) is dict else item, depth + 1)
        elif (type(item) is int and abs(item) >= _LIMIT_NUMBER) or (type(item) is float and not math.isfinite(item)):
            raise ValueError(_TOO_LARGE)


def _whole(value: Any) -> Any:
    """Return a value without halves of characters."""
    if isinstance(value, dict):
        return {_HALF.sub("\ufffd", key): _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return _HALF.sub("\ufffd", value) if isinstance(value, str) else value
