"""The members and warnings of a cluster, each read from its row in an API answer.

A function that takes a row raises KeyError, TypeError or ValueError if a key is missing or has another type; ``incus`` turns that
into an EvidenceError. Source: Incus REST API, doc/rest-api.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qs, unquote, urlsplit

from sigsrv.facts.config import MemberConfig, Values
from sigsrv.facts.parsing import integer, moment, string, text, texts
from sigsrv.facts.resources import config_of

MemberStatus = Annotated[
    str, Values(("Online", "Offline", "Evacuated", "Evacuating", "Restoring", "Blocked"), may_grow=True)
]
MemberRole = Annotated[
    str,
    Values(
        ("database", "database-client", "database-leader", "database-standby", "event-hub", "ovn-chassis"),
        may_grow=True,
    ),
]
_AWAY_ON_PURPOSE = frozenset({"Evacuated", "Evacuating", "Restoring"})


@dataclass(frozen=True)
class Member:
    """A cluster member, as the daemon that answered sees it."""

    name: str
    """The member's name in the cluster."""
    status: MemberStatus
    """The status that Incus shows, for example ``Online``, ``Offline``, ``Evacuated`` or ``Blocked``."""
    message: str
    """What Incus says about the status."""
    roles: tuple[MemberRole, ...]
    """The roles: ``database`` has a vote in the database, ``database-leader`` leads it, ``database-standby`` has a copy."""
    config: MemberConfig
    """The member's configuration keys, as written."""

    @property
    def is_evacuated(self) -> bool:
        """Return whether the member is out of service on purpose: Incus stopped its networks, and stopped or moved its instances."""
        return self.status in _AWAY_ON_PURPOSE


@dataclass(frozen=True)
class Warning:
    """A warning of Incus."""

    uuid: str
    """Its id, which commands about it need; empty in an answer that has none."""
    type: str
    """The type in Incus's words."""
    status: str
    """``new``, ``acknowledged`` or ``resolved``."""
    location: str
    """The member that saw the problem; empty if no member did, ``none`` on a server in no cluster."""
    entity_url: str
    """The API path of the resource that the warning is about; empty if there is none."""
    message: str
    """The text of the last occurrence."""
    count: int
    """How many times the problem occurred."""
    last_seen: float | None
    """When the problem last occurred, in seconds since the epoch; None if Incus does not know."""

    def place(self, cluster: str) -> str:
        """Return the member that saw the problem; ``cluster``, the name of the cluster or of the standalone host, if no member did."""
        return cluster if self.location in ("", "none") else self.location

    @property
    def pool(self) -> str | None:
        """Return the storage pool that the warning is about; None if it is not about a pool."""
        return self._entity("storage-pools")

    @property
    def network(self) -> str | None:
        """Return the network of project default that the warning is about; None if it is not about one."""
        of_default = parse_qs(urlsplit(self.entity_url).query).get("project", ["default"]) == ["default"]
        return self._entity("networks") if of_default else None

    def _entity(self, kind: str) -> str | None:
        prefix, path = f"/1.0/{kind}/", urlsplit(self.entity_url).path
        return unquote(path.removeprefix(prefix)) or None if path.startswith(prefix) else None


def member(row: Mapping[str, Any]) -> Member:
    """Read a cluster member from its row."""
    name = text(row["server_name"], "server_name")
    return Member(
        name=name,
        status=text(row["status"], f"{name}: status"),
        message=string(row["message"], f"{name}: message"),
        roles=texts(row["roles"], f"{name}: roles"),
        config=config_of(row["config"], f"{name}: config"),
    )


def warning(row: Mapping[str, Any]) -> Warning:
    """Read a warning from its row."""
    kind = text(row["type"], "type")
    return Warning(
        uuid=string(row.get("uuid", ""), f"{kind}: uuid"),
        type=kind,
        status=text(row["status"], f"{kind}: status"),
        location=string(row["location"], f"{kind}: location"),
        entity_url=urlsplit(string(row["entity_url"], f"{kind}: entity_url")).geturl(),
        message=string(row["last_message"], f"{kind}: last_message"),
        count=integer(row["count"], f"{kind}: count"),
        last_seen=moment(row["last_seen_at"], f"{kind}: last_seen_at"),
    )
