"""The DNS zones of networks, and the servers that may transfer them.

Source: Incus REST API, doc/rest-api.yaml (NetworkZone); doc/howto/network_zones.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.collect import urls
from sigsrv.collect.redact import REDACTED
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.parsing import api, mapping, parsing, rows, string, text
from sigsrv.facts.reading import guard


@dataclass(frozen=True)
class NetworkZone:
    """A DNS zone that Incus fills with the names of guests."""

    name: str
    """The domain, for example ``lab.example``."""
    project: str
    """The project that has the zone."""
    peers: Mapping[str, str]
    """The servers that may transfer the zone: name -> address; empty for one without an address."""

    @property
    def resource(self) -> str:
        """Return ``PROJECT/ZONE``."""
        return f"{self.project}/{self.name}"


def zones_of(incus: IncusFacts) -> tuple[NetworkZone, ...]:
    """Return the zones of all projects. Raises EvidenceError, also if the daemon is too old to list them."""
    guard(lambda: incus.warnings)  # a restricted client gets a shorter list and no error
    with parsing(f"Incus API {urls.ZONES}", incus.evidence.host):
        return tuple(_zone(row) for row in rows(api(incus.evidence, urls.ZONES), "answer"))


def _zone(row: Mapping[str, Any]) -> NetworkZone:
    name = text(row["name"], "name")
    config = mapping(row["config"], f"zone {name}: config")
    peers = {key.split(".")[1]: "" for key in config if key.startswith("peers.") and key.count(".") == 2}
    for peer in peers:
        peers[peer] = string(config.get(f"peers.{peer}.address", ""), f"zone {name}: address of {peer}")
        if peers[peer] == REDACTED:
            raise ValueError(f"zone {name}: the evidence does not have the address of {peer}")
    return NetworkZone(name, text(row["project"], f"zone {name}: project"), peers)
