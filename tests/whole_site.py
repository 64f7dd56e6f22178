"""Provides the example document with a site file that says something for every policy, also for those that it may leave out."""

from __future__ import annotations

from typing import Any

from sigsrv.authoring import document

# Keys of the site file without which a policy has nothing to examine.
OPTIONAL = {
    "zones": [{"name": "lab.example", "peers": {"ns1": "10.1.2.3"}}],
    "redundant": [{"name": "routers", "instances": ["default/web", "user-john/vm"]}],
}


def whole_document() -> dict[str, Any]:
    """Return the example document with the optional keys."""
    content = document.document()
    content["site"] |= OPTIONAL
    return content
