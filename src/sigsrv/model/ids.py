"""The forms of the ids that sigsrv makes. An id names files, folders and systemd units on hosts, so nothing else is accepted as one."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime

# Steps outside a run, and those of journals without runs, make a run with the id of the transaction.
_TRANSACTION = re.compile(r"[0-9a-f]{16}", re.ASCII)
_RUN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}|[0-9a-f]{16}", re.ASCII)


def new_run_id(now: float) -> str:
    """Return a new run id: the time and a random suffix, because two runs may start in the same second."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{os.urandom(2).hex()}"


def new_transaction_id() -> str:
    return os.urandom(8).hex()


def is_run_id(text: object) -> bool:
    return isinstance(text, str) and _RUN.fullmatch(text) is not None


def is_transaction_id(text: object) -> bool:
    return isinstance(text, str) and _TRANSACTION.fullmatch(text) is not None


def run_id(text: str) -> str:
    """Return a run id unchanged. Raises ValueError for any other text."""
    if not is_run_id(text):
        raise ValueError(f"not a run id: {text!r}")
    return text


def transaction_id(text: str) -> str:
    """Return a transaction id unchanged. Raises ValueError for any other text."""
    if not is_transaction_id(text):
        raise ValueError(f"not a transaction id: {text!r}")
    return text
