"""Values for the remediation ``restart-incus``."""

from __future__ import annotations

from typing import Any

from sigsrv.facts.hosts import HostFacts
from sigsrv.model.errors import EvidenceError


def restart_fix(facts: HostFacts, refuse: str = "") -> dict[str, Any]:
    """Return what the script must know to restart the daemon of a host: the bridges that Incus then sets up again.

    refuse: why a restart does not help; "" if it may. A network that can't be read refuses too.
    """
    bridges: list[dict[str, str]] = []
    try:
        clustered = facts.incus.server.clustered
        for each in facts.incus.networks:
            if not each.managed or each.type != "bridge" or (clustered and facts.member not in each.locations):
                continue
            network = facts.incus.network_at(each.name, facts.member)
            config = network.config if network else {}
            bridges.append(
                {
                    "name": each.name,
                    "external_interfaces": config.get("bridge.external_interfaces", ""),
                    "ipv4_address": config.get("ipv4.address", ""),
                    "ipv4_routes": config.get("ipv4.routes", ""),
                }
            )
        member = facts.member if clustered else ""
    except EvidenceError as cause:
        return {"member": "", "bridges": [], "refuse": refuse or f"a network could not be read: {cause.reason}"}
    return {"member": member, "bridges": bridges, "refuse": refuse}
