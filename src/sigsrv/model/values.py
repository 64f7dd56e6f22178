"""Parses configuration values as Incus does: booleans, lists, sizes. An unset key has its default value.

Source: Incus, shared/util/boolean.go, shared/units/units.go.
"""

from __future__ import annotations

import re
from typing import Any

from sigsrv.model.errors import EvidenceError

TRUE = frozenset({"true", "1", "yes", "on"})
FALSE = frozenset({"false", "0", "no", "off"})
_POWERS = "kMGTPE"
_DIGITS = 19  # of the largest number that Incus can store, 2^63 - 1
_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{letter}B": 1000**power for power, letter in enumerate(_POWERS, 1)}
_UNITS |= {f"{letter.upper()}iB": 1024**power for power, letter in enumerate(_POWERS, 1)}


def boolean(value: Any, default: bool, where: str) -> bool:
    """Return the value of a boolean key; the default for None and "". where: names the value in the error.

    Raises EvidenceError if Incus does not accept the value as a boolean.
    """
    if value is None or value == "":
        return default
    word = str(value).lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise EvidenceError(f"{where}: {value!r} is not a boolean")


def is_true(value: str) -> bool:
    """Return whether a value is true. For keys that also accept other words (``boot.autostart=last-state``)."""
    return value.lower() in TRUE


def split_list(value: Any) -> tuple[str, ...]:
    """Return the entries of a comma-separated list of Incus, without blanks and empty entries."""
    return tuple(word for word in (part.strip() for part in str(value or "").split(",")) if word)


def seconds(value: Any, default: int, where: str) -> int:
    """Return a number of seconds; the default if unset. where: names the value in the error. Raises EvidenceError."""
    if value in (None, ""):
        return default
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > _DIGITS:
        raise EvidenceError(f"{where}: {value!r} is not a number of seconds")
    return int(value)


class Size(int):
    """A number of bytes. As text it is in GiB, rounded down: never more than there is."""

    def __str__(self) -> str:
        return f"{self * 100 // 1024**3 / 100:.2f} GiB"


def size_bytes(value: str | int) -> int:
    """Return a size of Incus in bytes: ``5GiB`` is 5 * 1024^3, ``5GB`` is 5 * 1000^3, a bare number is bytes.

    Raises ValueError. Source: Incus, shared/units/units.go (ParseByteSizeString).
    """
    match = re.fullmatch(rf"([0-9]{{1,{_DIGITS}}})([A-Za-z]*)", str(value))
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{value!r} is not a size")
    return int(match[1]) * _UNITS[match[2]]
