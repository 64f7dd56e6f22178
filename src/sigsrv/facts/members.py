"""What the cluster tells of itself: its members and its warnings, each from its row in an answer.

A function that takes a row raises KeyError, TypeError or ValueError where something is missing or of another shape; ``incus``
makes that an EvidenceError. Source: Incus REST API, doc/rest-api.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sigsrv.facts.parsing import integer, moment, string, text, texts
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
    """A warning of Incus. status: ``new``, ``acknowledged``, ``resolved``. last_seen: seconds since the epoch, None: not known.

    location: the member that has seen it; "" for none of them, ``none`` on a server that is in no cluster.
    """

    type: str
    status: str
    location: str
    entity_url: str
    message: str
    severity: str
    count: int
    last_seen: float | None

    @property
    def pool(self) -> str | None:
        """The storage pool that it is about; None where it does not name one."""
        return self._entity("storage-pools")

    @property
    def network(self) -> str | None:
        """The network that it is about, of project default; None where it does not name one."""
        of_default = parse_qs(urlsplit(self.entity_url).query).get("project", ["default"]) == ["default"]
        return self._entity("networks") if of_default else None

    def _entity(self, kind: str) -> str | None:
        prefix, path = f"/1.0/{kind}/", urlsplit(self.entity_url).path
        return unquote(path.removeprefix(prefix)) or None if path.startswith(prefix) else None


def member(row: Mapping[str, Any]) -> Member:
    """A cluster member from its row."""
    name = text(row["server_name"], "server_name")
    return Member(
        name=name,
        status=text(row["status"], f"{name}: status"),
        message=string(row["message"], f"{name}: message"),
        roles=texts(row["roles"], f"{name}: roles"),
        config=config_of(row["config"], f"{name}: config"),
    )


def warning(row: Mapping[str, Any]) -> Warning:
    """A warning from its row."""
    kind = text(row["type"], "type")
    return Warning(
        type=kind,
        status=text(row["status"], f"{kind}: status"),
        location=string(row["location"], f"{kind}: location"),
        entity_url=string(row["entity_url"], f"{kind}: entity_url"),
        message=string(row["last_message"], f"{kind}: last_message"),
        severity=text(row["severity"], f"{kind}: severity"),
        count=integer(row["count"], f"{kind}: count"),
        last_seen=moment(row["last_seen_at"], f"{kind}: last_seen_at"),
    )
