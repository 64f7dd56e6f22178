"""Ages of snapshots, backups and volumes. They count from the time of the evidence, never from the clock."""

from __future__ import annotations

from datetime import UTC, datetime

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.model.errors import EvidenceError

HOUR_S = 3600
DAY_S = 24 * HOUR_S
_CLOCKS_DIFFER_S = HOUR_S  # by so much the clocks of two hosts may differ


def collected_of(facts: ClusterFacts, host: str) -> float:
    """Return when the evidence of a host was collected, in seconds since the epoch.

    facts: The cluster or standalone host that the host belongs to.
    host: The name of the host. For any other name, such as the cluster's, the first host counts.
    """
    return (facts.hosts.get(host) or next(iter(facts.hosts.values()))).collected


def age_s(at: float, collected: float, what: str) -> float:
    """Return the seconds from ``at`` to the time of the evidence.

    at: The time in question, in seconds since the epoch.
    collected: The time of the evidence, in seconds since the epoch.
    what: What has this age; the error names it.

    The age may be slightly negative, because clocks differ. Raises EvidenceError if it is more than an hour below zero.
    """
    if at - collected > _CLOCKS_DIFFER_S:
        raise EvidenceError(f"{what} is from {utc(at)}, which is after the evidence was collected")
    return collected - at


def utc(at: float) -> str:
    """Return a time as a person reads it: ``2026-08-29 21:59 UTC``. at: The time in seconds since the epoch."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
