"""The images that a daemon keeps.

Source: Incus REST API, doc/rest-api.yaml (Image).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.facts.parsing import boolean_of, mapping, moment, text
from sigsrv.facts.trust import short


@dataclass(frozen=True)
class Image:
    """An image of a project. Times are seconds since the epoch, None where they are not known.

    created: when its publisher built it; uploaded: when it came here. server: where its updates come from, None for one that was made
    here or copied without updates.
    """

    fingerprint: str
    project: str
    description: str
    created: float | None
    uploaded: float | None
    last_used: float | None
    cached: bool
    auto_update: bool
    public: bool
    server: str | None

    @property
    def resource(self) -> str:
        return f"{self.project}/{short(self.fingerprint)}"


def image(row: Mapping[str, Any]) -> Image:
    """An image from its row. Raises KeyError or ValueError where something is missing or of another shape."""
    fingerprint = text(row["fingerprint"], "fingerprint")
    where = f"image {short(fingerprint)}"
    source = row.get("update_source")
    return Image(
        fingerprint=fingerprint,
        project=text(row["project"], f"{where}: project"),
        description=str(mapping(row["properties"] or {}, f"{where}: properties").get("description", "")),
        created=moment(row["created_at"], f"{where}: created_at"),
        uploaded=moment(row["uploaded_at"], f"{where}: uploaded_at"),
        last_used=moment(row["last_used_at"], f"{where}: last_used_at"),
        cached=boolean_of(row["cached"], f"{where}: cached"),
        auto_update=boolean_of(row["auto_update"], f"{where}: auto_update"),
        public=boolean_of(row["public"], f"{where}: public"),
        server=_server(source, where) if source is not None else None,
    )


def _server(source: Any, where: str) -> str:
    return text(mapping(source, f"{where}: update_source")["server"], f"{where}: update_source: server")
