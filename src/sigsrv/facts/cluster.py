"""facts.cluster: what the cluster tells of itself: its members and its warnings, each from its row in an answer.

Room: facts. May import errors and collect. A function that takes a row raises KeyError, TypeError or ValueError where something is
missing or of another shape; ``incus`` makes that an EvidenceError. Source: Incus REST API, doc/rest-api.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.facts.reading import moment, text, texts
from sigsrv.facts.resources import Config, config_of

_AWAY_ON_PURPOSE = frozenset({"Evacuated", "Evacuating", "Restoring"})


@dataclass(frozen=True)
class Member:
    """A cluster member, as the daemon asked sees it. status: ``Online``, ``Offline``, ``Evacuated``, ``Blocked``.

    roles: ``database`` has a vote in the database, ``database-leader`` leads it, ``database-standby`` has a copy.
    """

    name: str
    status: str
    message: str
    roles: tuple[str, ...]
    config: Config

    @property
    def is_evacuated(self) -> bool:
        """Whether it is out of service on purpose: Incus has stopped its networks, and its instances or moved them."""
        return self.status in _AWAY_ON_PURPOSE


@dataclass(frozen=True)
class Warning:
    """A warning of Incus. status: ``new``, ``acknowledged``, ``resolved``. last_seen: seconds since the epoch, None: not known."""

    type: str
    status: str
    location: str
    entity_url: str
    message: str
    severity: str
    count: int
    last_seen: float | None


def member(row: Mapping[str, Any]) -> Member:
    """A cluster member from its row."""
    name = text(row["server_name"], "server_name")
    return Member(
        name=name,
        status=text(row["status"], f"{name}: status"),
        message=str(row["message"]),
        roles=texts(row["roles"], f"{name}: roles"),
        config=config_of(row["config"] or {}, f"{name}: config"),
    )


def warning(row: Mapping[str, Any]) -> Warning:
    """A warning from its row."""
    kind = text(row["type"], "type")
    count = row["count"]
    if isinstance(count, bool) or not isinstance(count, int):
        raise ValueError(f"{kind}: {count!r} is no count")
    return Warning(
        type=kind,
        status=text(row["status"], f"{kind}: status"),
        location=str(row["location"]),
        entity_url=str(row["entity_url"]),
        message=str(row["last_message"]),
        severity=text(row["severity"], f"{kind}: severity"),
        count=count,
        last_seen=moment(row["last_seen_at"], f"{kind}: last_seen_at"),
    )
