"""A policy-as-code compliance scanner and remediator for Incus clusters.

The stable interface for authors of checks is ``from sigsrv import policy, finding_id, Require, HostFacts, ClusterFacts, Site,
each_bridge, each_vlan_interface, each_network``. All other modules may move. The folders are the layers; docs/design.md has their order.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sigsrv.facts.clusters import ClusterFacts
    from sigsrv.facts.hosts import HostFacts
    from sigsrv.judge.require import Require, policy
    from sigsrv.judge.site_resources import each_bridge, each_network, each_vlan_interface
    from sigsrv.model.finding import finding_id
    from sigsrv.model.site import Site

__version__ = "0.1.0"
__all__ = [
    "ClusterFacts",
    "HostFacts",
    "Require",
    "Site",
    "each_bridge",
    "each_network",
    "each_vlan_interface",
    "finding_id",
    "policy",
]

# Imported on first use (PEP 562): no command pays for modules that it does not need.
_FACE = {
    "ClusterFacts": "sigsrv.facts.clusters",
    "HostFacts": "sigsrv.facts.hosts",
    "Require": "sigsrv.judge.require",
    "Site": "sigsrv.model.site",
    "each_bridge": "sigsrv.judge.site_resources",
    "each_network": "sigsrv.judge.site_resources",
    "each_vlan_interface": "sigsrv.judge.site_resources",
    "finding_id": "sigsrv.model.finding",
    "policy": "sigsrv.judge.require",
}


def __getattr__(name: str) -> Any:
    if name in _FACE:
        return getattr(importlib.import_module(_FACE[name]), name)
    raise AttributeError(f"module 'sigsrv' has no attribute {name!r}")
