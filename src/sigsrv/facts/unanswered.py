"""What a scan asked of a host and got no answer to. It decides the state of the host in a run, and HOST-011."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from sigsrv.collect.evidence import EXPIRED, Evidence
from sigsrv.collect.urls import EXTRA_PATHS, MEMBERS, SERVER, path
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.parsing import refusal
from sigsrv.model.errors import EvidenceError, FailureKind

REFUSED = "refused"


@dataclass(frozen=True)
class Unanswered:
    """A probe or a request to the Incus API that a host did not answer."""

    name: str
    """The id of the probe, or the URL."""
    kind: str
    """Why there is no answer, in one word. ``refused``: sudo or the command itself said that the account has no right."""
    reason: str
    """Why there is no answer, for a person."""
    command: str
    """The command of the probe; empty for a request."""
    refused_by_daemon: bool
    """Whether the daemon itself refused the request, because it does not trust the client; not sudo, and not the socket."""

    @property
    def was_asked(self) -> bool:
        """Return whether it was asked. If not, something before it took all the time of the host."""
        return not (self.kind == FailureKind.TIMEOUT and EXPIRED in self.reason)


def unanswered(evidence: Evidence) -> tuple[Unanswered, ...]:
    """Return what a host did not answer: probes, then requests, in the order in which they were asked.

    A command that sudo, or the program itself, refuses to run for the account is no answer either.
    """
    return (*_probes(evidence), *_requests(evidence))


def _probes(evidence: Evidence) -> Iterator[Unanswered]:
    for name, answer in evidence.probes.items():
        if answer.failure and answer.failure.kind is FailureKind.NO_LOGIN:
            continue  # nobody asked
        if answer.failure:
            yield Unanswered(name, answer.failure.kind.value, answer.failure.reason, answer.command, False)
        elif refused := refusal(answer):
            yield Unanswered(name, REFUSED, refused, answer.command, False)


def _requests(evidence: Evidence) -> Iterator[Unanswered]:
    server = None
    with suppress(EvidenceError):
        server = IncusFacts(evidence).server
    if server and not server.trusted:
        reason = "the daemon does not trust the client certificate: it shows a part only"
        yield Unanswered(SERVER, FailureKind.DENIED.value, reason, "", True)
    for url, answer in evidence.api.items():
        # A daemon in no cluster refuses to list the members of its cluster.
        if answer.failure and not (url == MEMBERS and server and not server.clustered) and path(url) not in EXTRA_PATHS:
            kind = answer.failure.kind
            by_daemon = kind is FailureKind.DENIED and answer.status is not None
            yield Unanswered(url, kind.value, answer.failure.reason, "", by_daemon)
