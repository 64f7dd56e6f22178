"""What a daemon is doing; of it, the tokens that are open.

Source: Incus REST API, doc/rest-api.yaml (Operation): a mapping of states to lists.
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
    """A token that somebody may still use. created: seconds since the epoch; location: the member that gave it.

    purpose: for whom or what it is, as far as Incus says. Its secret is never in evidence.
    """

    id: str
    created: float
    location: str
    purpose: str


def open_tokens(answer: Any) -> tuple[Token, ...]:
    """The tokens among the operations, those that are used up or revoked left out.

    Raises KeyError or ValueError where something is missing or of another shape.
    """
    found = []
    for state, listed in mapping(answer, "answer").items():
        for row in rows(listed, f"operations {state}"):
            kind = text(row["class"], "class")
            if kind not in _CLASSES:
                raise ValueError(f"{kind!r} is no class of an operation")
            if kind == "token" and text(row["status"], "status") not in _ENDED:
                found.append(_token(row))
    return tuple(found)


def _token(row: Mapping[str, Any]) -> Token:
    identity = text(row["id"], "id")
    created = moment(row["created_at"], f"token {identity}: created_at")
    if created is None:
        raise ValueError(f"token {identity}: created_at is not known")
    return Token(identity, created, string(row["location"], f"token {identity}: location"), _purpose(row))


def _purpose(row: Mapping[str, Any]) -> str:
    """What is said of a token: a client's name, the name of a member that may join, or the image that it opens."""
    said = row["metadata"] if isinstance(row["metadata"], Mapping) else {}
    request = said.get("request")
    if isinstance(request, Mapping) and request.get("name"):
        return f"client {request['name']}"
    if said.get("serverName"):
        return f"member {said['serverName']}"
    touched = row["resources"] if isinstance(row["resources"], Mapping) else {}
    return f"access to {', '.join(sorted(touched))}" if touched else "no purpose told"
