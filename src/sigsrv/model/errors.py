"""What goes wrong, by who can put it right.

SigsrvError
├── UsageError      the user's: wrong option, site or policy file     exit 2
└── EvidenceError   the host's: a fact that could not be determined   verdict "error", exit 3
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum

_SHOWN = 20  # of the words that a hint names


class FailureKind(StrEnum):
    """Why a probe or a request gave no answer that can be judged."""

    UNREACHABLE = "unreachable"  # no way to the host
    DOWN = "down"  # the host answers, the Incus daemon does not
    SILENT = "silent"  # the daemon takes the connection and says nothing
    DENIED = "denied"  # the account lacks the right
    TIMEOUT = "timeout"
    TOO_LARGE = "too-large"
    MISSING = "missing"  # the command is not on the host
    GARBLED = "garbled"  # an answer that does not parse
    ABSENT = "absent"  # this evidence never asked
    WRONG_MEMBER = "another"  # another member of the cluster answers there; the error's host is the member that should


class SigsrvError(Exception):
    """The base of all errors of the project."""


class UsageError(SigsrvError):
    """Something that the user can put right; shown as one line and a hint, never as a traceback."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class EvidenceError(SigsrvError):
    """A fact that could not be determined; only ``evaluate`` makes it the verdict ``error``.

    host: the host that could not tell, where it is known; ``because`` is derived from it and from ``kind``.
    """

    def __init__(self, reason: str, kind: FailureKind = FailureKind.GARBLED, host: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind
        self.host = host


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the known word nearest to a wrong one, else all of them, or the first where they are many."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"known: {', '.join(known[:_SHOWN]) or 'none'}{more}"
