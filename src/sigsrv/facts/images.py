"""The images in a daemon's image store.

Source: Incus REST API, doc/rest-api.yaml (Image).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sigsrv.facts.parsing import boolean_of, mapping, moment, text
from sigsrv.facts.trust import short
from sigsrv.model.addresses import url_origin


@dataclass(frozen=True)
class Image:
    """An image of a project."""

    fingerprint: str
    """The image's SHA-256, in hexadecimal."""
    project: str
    """The project that has the image."""
    description: str
    """The publisher's description; empty if there is none."""
    created: float | None
    """When its publisher built the image, in seconds since the epoch; None if Incus does not know."""
    uploaded: float | None
    """When this server got the image, in seconds since the epoch; None if Incus does not know."""
    last_used: float | None
    """When an instance was last created from it, in seconds since the epoch; None if Incus does not know or it was never used."""
    cached: bool
    """Whether Incus itself downloaded the image to create an instance, and may delete it again."""
    auto_update: bool
    """Whether Incus updates the image automatically."""
    public: bool
    """Whether clients without a trusted certificate may download the image."""
    server: str | None
    """The address of the server that the updates come from; None for an image made here or copied without updates."""

    @property
    def url(self) -> str:
        """Return the address of the image in the Incus API. Half of a character, which no project has, becomes a question mark."""
        project = quote(self.project, safe="", errors="replace")
        return f"/1.0/images/{quote(self.fingerprint, safe='', errors='replace')}?project={project}"

    @property
    def origin(self) -> str | None:
        """Return the address of the server with its port and without a slash at its end; None if there is none or it is malformed."""
        return None if self.server is None else url_origin(self.server)

    @property
    def resource(self) -> str:
        """Return the image's name in findings: ``PROJECT/FINGERPRINT``, with the first 12 digits of the fingerprint."""
        return f"{self.project}/{short(self.fingerprint)}"


def image(row: Mapping[str, Any]) -> Image:
    """Read an image from its row. Raises KeyError or ValueError if a key is missing or has another type."""
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
