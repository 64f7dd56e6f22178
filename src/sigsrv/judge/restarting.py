"""Values for the remediation ``restart-incus``."""

from __future__ import annotations

from typing import Any

from sigsrv.facts.hosts import HostFacts
from sigsrv.model.errors import EvidenceError


def restart_fix(facts: HostFacts, refuse: str = "") -> dict[str, Any]:
    """Return what the script must know to restart the daemon of a host: the bridges that Incus then sets up again.

    refuse: why a restart does not help; "" if it may. A network that can't be read refuses too.
    """
    try:
        clustered = facts.incus.server.clustered
        bridges = [
            each.name
            for each in facts.incus.networks
            if each.managed and each.type == "bridge" and (not clustered or facts.member in each.locations)
        ]
        member = facts.member if clustered else ""
    except EvidenceError as cause:
        return {"member": "", "bridges": [], "refuse": refuse or f"a network could not be read: {cause.reason}"}
    return {"member": member, "bridges": bridges, "refuse": refuse}
