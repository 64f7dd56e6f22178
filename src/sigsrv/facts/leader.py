"""Whether the database of a cluster has a leader, as one member's daemon shows it.

Without a leader, a daemon still answers ``/1.0``, and nothing that is in the database. A request for the latter ends with one of these
errors, or with none until its time is up. Source: Incus (``LeaderAddress`` of its cluster gateway, ``begin transaction`` of its database
layer) and go-cowsql (``ErrNoAvailableLeader``); seen on Incus 6.0 and 7.0 with the only voter stopped.
"""

from __future__ import annotations

from sigsrv.collect import urls
from sigsrv.collect.evidence import ApiAnswer, Evidence
from sigsrv.model.errors import FailureKind

_NO_LEADER = (
    "RAFT cluster is unavailable",
    "no available cowsql leader",
    "Failed to begin transaction",
)
_STATUSES = (500, 503)


def is_missing(evidence: Evidence) -> bool:
    """Return whether the daemon answers, and none of its answers comes from the database.

    Each request must have ended with one of the errors above, or without an answer in time. Any other failure, such as a missing right,
    says nothing about the leader.
    """
    server = evidence.api.get(urls.SERVER)
    if server is None or server.failure:
        return False
    asked = [answer for url in urls.WANTED if (answer := evidence.api.get(url))]
    return bool(asked) and all(_is_without_leader(answer) for answer in asked)


def _is_without_leader(answer: ApiAnswer) -> bool:
    if answer.failure is None:
        return False
    says_so = answer.status in _STATUSES and any(text in answer.failure.reason for text in _NO_LEADER)
    return says_so or answer.failure.kind is FailureKind.TIMEOUT
