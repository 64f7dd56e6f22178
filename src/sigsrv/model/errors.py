"""Defines the errors, by who can fix the cause.

SigsrvError
├── UsageError      the user: wrong option, site file or policy file     exit 2
└── EvidenceError   the host: a fact could not be determined             verdict "error", exit 3
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum

_SHOWN = 20  # a hint lists at most this many known words
_LONGEST = 2000  # characters of a reason


class FailureKind(StrEnum):
    """Why a probe or a request returned nothing that can be evaluated."""

    UNREACHABLE = "unreachable"  # no connection to the host
    DOWN = "down"  # the host answers, the Incus daemon does not
    SILENT = "silent"  # the daemon accepts the connection but does not answer
    DENIED = "denied"  # the account has no permission
    TIMEOUT = "timeout"
    TOO_LARGE = "too-large"
    MISSING = "missing"  # command not found on the host
    GARBLED = "garbled"  # the answer can't be parsed
    ABSENT = "absent"  # this evidence does not contain the probe or URL
    NO_LOGIN = "no-login"  # the site file says that sigsrv must not log in to the host, so no probe ran
    WRONG_MEMBER = "another"  # another member of the cluster answers; the error's host is the expected member


class SigsrvError(Exception):
    """Base class of all errors of the project."""


class UsageError(SigsrvError):
    """An error that the user can fix. Shown as one line and a hint, never as a traceback."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class EvidenceError(SigsrvError):
    """A fact could not be determined. Only ``evaluate`` turns it into the verdict ``error``.

    host: the host that could not provide the fact, if known. source: the probe or the URL without an answer; "" if there is an answer, but
    it does not say what is needed. ``because`` of the finding is derived from these and from ``kind``.
    """

    def __init__(self, reason: str, kind: FailureKind = FailureKind.GARBLED, host: str = "", source: str = "") -> None:
        reason = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]} ..."  # it may quote what a host sent
        super().__init__(reason)
        self.reason = reason
        self.kind = kind
        self.host = host
        self.source = source


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint with the known word that is closest to a mistyped one.

    If none is close, list the known words, at most 20 of them.
    """
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"known: {', '.join(known[:_SHOWN]) or 'none'}{more}"
