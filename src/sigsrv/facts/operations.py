"""The open tokens among a daemon's operations.

Source: Incus REST API, doc/rest-api.yaml (Operation): a mapping from state to a list of operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.facts.parsing import mapping, moment, rows, string, text

_CLASSES = frozenset({"task", "token", "websocket"})
_ENDED = frozenset({"Success", "Failure", "Cancelled"})


@dataclass(frozen=True)
class Token:
    """A token that can still be used. Its secret is never in evidence."""

    id: str
    """The id of the token's operation."""
    created: float
    """When the token was issued, in seconds since the epoch."""
    location: str
    """The member that issued the token; ``none`` or empty on a server in no cluster."""
    purpose: str
    """What the token gives access to, as far as Incus says: ``client NAME``, ``member NAME`` or ``access to images``."""


def open_tokens(answer: Any) -> tuple[Token, ...]:
    """Return the tokens among the operations, without those that were used or revoked.

    Raises KeyError or ValueError if a key is missing or has another type.
    """
    found = []
    for state, listed in mapping(answer, "answer").items():
        for row in rows(listed, f"operations {state}"):
            kind = text(row["class"], "class")
            if kind not in _CLASSES:
                raise ValueError(f"{kind!r} is not a class of operations")
            if kind == "token" and text(row["status"], "status") not in _ENDED:
                found.append(_token(row))
    return tuple(found)


def _token(row: Mapping[str, Any]) -> Token:
    identity = text(row["id"], "id")
    created = moment(row["created_at"], f"token {identity}: created_at")
    if created is None:
        raise ValueError(f"token {identity}: created_at is unknown")
    return Token(identity, created, string(row["location"], f"token {identity}: location"), _purpose(row))


def _purpose(row: Mapping[str, Any]) -> str:
    """Return what Incus says about a token: a client's name, the name of a member that may join, or the resources it opens."""
    reported = row["metadata"] if isinstance(row["metadata"], Mapping) else {}
    request = reported.get("request")
    if isinstance(request, Mapping) and request.get("name"):
        return f"client {request['name']}"
    if reported.get("serverName"):
        return f"member {reported['serverName']}"
    touched = row["resources"] if isinstance(row["resources"], Mapping) else {}
    return f"access to {', '.join(sorted(touched))}" if touched else "no purpose given"
