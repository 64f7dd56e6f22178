"""Configuration values as Incus parses them: booleans, lists, sizes. An unset key is its default.

Source: Incus, shared/util/boolean.go, shared/units/units.go.
"""

from __future__ import annotations

import re
from typing import Any

from sigsrv.model.errors import EvidenceError

TRUE = frozenset({"true", "1", "yes", "on"})
FALSE = frozenset({"false", "0", "no", "off"})
_POWERS = "kMGTPE"
_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{letter}B": 1000**power for power, letter in enumerate(_POWERS, 1)}
_UNITS |= {f"{letter.upper()}iB": 1024**power for power, letter in enumerate(_POWERS, 1)}


def boolean(value: Any, default: bool, where: str) -> bool:
    """A boolean key's value; None and "" are the default. Raises EvidenceError where it is no boolean of Incus."""
    if value is None or value == "":
        return default
    word = str(value).lower()
    if word not in TRUE | FALSE:
        raise EvidenceError(f"{where}: {value!r} is no boolean")
    return word in TRUE


def is_true(value: str) -> bool:
    """Whether a value is true, of a key that takes other words than booleans as well (``boot.autostart=last-state``)."""
    return value.lower() in TRUE


def split_list(value: Any) -> tuple[str, ...]:
    """A list, which Incus writes with commas; blanks and empty entries dropped."""
    return tuple(word for word in (part.strip() for part in str(value or "").split(",")) if word)


def seconds(value: Any, default: int, where: str) -> int:
    """A number of seconds; the default where it is unset. where: names the value in EvidenceError."""
    if value in (None, ""):
        return default
    if not isinstance(value, str) or not value.isascii() or not value.isdigit():
        raise EvidenceError(f"{where}: {value!r} is no number of seconds")
    return int(value)


def size_bytes(value: str | int) -> int:
    """A size as Incus writes it: ``5GiB`` is 1024^3, ``5GB`` 1000^3, a bare number bytes. Raises ValueError.

    Source: Incus, shared/units/units.go (ParseByteSizeString).
    """
    match = re.fullmatch(r"([0-9]+)([A-Za-z]*)", str(value))
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{value!r} is no size")
    return int(match[1]) * _UNITS[match[2]]
