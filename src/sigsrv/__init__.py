"""A policy-as-code compliance scanner and remediator for Incus clusters.

The face for authors of checks, which stays: ``from sigsrv import policy, finding_id, Require, HostFacts, ClusterFacts, Site``.
All else is the engine's own, and may move. The folders are the layers; docs/design.md has their order.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sigsrv.facts.clusters import ClusterFacts
    from sigsrv.facts.hosts import HostFacts
    from sigsrv.judge.require import Require, policy
    from sigsrv.model.finding import finding_id
    from sigsrv.model.site import Site

__version__ = "0.1.0"
__all__ = ["ClusterFacts", "HostFacts", "Require", "Site", "finding_id", "policy"]

# Imported when it is asked for (PEP 562): else each command would pay for all of it.
_FACE = {
    "ClusterFacts": "sigsrv.facts.clusters",
    "HostFacts": "sigsrv.facts.hosts",
    "Require": "sigsrv.judge.require",
    "Site": "sigsrv.model.site",
    "finding_id": "sigsrv.model.finding",
    "policy": "sigsrv.judge.require",
}


def __getattr__(name: str) -> Any:
    if name in _FACE:
        return getattr(importlib.import_module(_FACE[name]), name)
    raise AttributeError(f"module 'sigsrv' has no attribute {name!r}")
