"""Recognizes that a host refused a command because the account has no right to run it, from what the command printed."""

from __future__ import annotations

import re
from itertools import takewhile

# In small letters. sudo(8) and sudo-rs say it in several ways. sigsrv sets LC_ALL=C for its probes.
_REFUSED = (
    "permission denied",
    "not permitted",
    "password is required",
    "not allowed to execute",
    "not in the sudoers file",
    "terminal is required",
    "must have a tty",
    "authentication is required",
    "i'm afraid i can't do that",
    "account validation failure",
    "must be owned by uid 0 and have the setuid bit set",  # this sudo can't become root
    "effective uid is not 0",
    '"no new privileges" flag',
)
_SUDO = "sudo: "
_COMMAND = re.compile("execute '.*'")
_ACCOUNT = re.compile(
    r"(?:user |sorry )?([a-z_][a-z0-9_.-]{0,31}\$?)(?: is not (?:allowed to execute|in the sudoers file)|\. I'm afraid)"
)


def last_message(output: str) -> str:
    """Return the last line of an error output. If sudo wrote it, also the lines of sudo before it: the first one has the cause.

    >>> last_message("Welcome\\nsudo: account validation failure, is your account locked?\\nsudo: a password is required")
    'sudo: account validation failure, is your account locked? sudo: a password is required'
    """
    lines = [line.strip() for line in output.strip().splitlines()]
    if not lines or not lines[-1].startswith(_SUDO):
        return lines[-1] if lines else ""
    written = list(takewhile(lambda line: line.startswith(_SUDO), reversed(lines)))
    return " ".join(reversed(written))


def is_refused(stderr: str) -> bool:
    """Return whether an error output says that the account may not run the command."""
    lower = stderr.lower()
    return any(words in lower for words in _REFUSED)


def refusal_message(stderr: str) -> str:
    """Return an error output as one line without the refused command, so that it is the same for all commands that are refused.

    >>> refusal_message("Sorry, user audit is not allowed to execute '/usr/sbin/nft' as root on minisrv.")
    'Sorry, user audit is not allowed to execute it as root on minisrv.'
    """
    return _COMMAND.sub("execute it", " ".join(stderr.split()))[:160]


def refused_account(stderr: str) -> str:
    """Return the name of the account that sudo refuses, if its message has one; else "".

    >>> refused_account("Sorry, user audit is not allowed to execute '/usr/sbin/nft' as root on minisrv.")
    'audit'
    """
    found = _ACCOUNT.search(stderr)
    return found[1] if found else ""
