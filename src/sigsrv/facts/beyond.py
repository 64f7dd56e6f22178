"""What a daemon has that no policy judges: what sigsrv does not know of a newer Incus, and ways in that have no policy yet.

Each run says so once, see ``scan.notices``. No verdict depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.collect import urls
from sigsrv.collect.evidence import Evidence
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.parsing import api, mapping, parsing, rows, text, texts
from sigsrv.facts.reading import guard
from sigsrv.model import incus_keys
from sigsrv.model.errors import EvidenceError

# The URL of each list below a network or a pool, and of each list of its own, with what its rows are and which key names them.
ZONE = "network zone"
_BELOW = {
    "forwards": ("network forward", "listen_address"),
    "load-balancers": ("network load balancer", "listen_address"),
    "peers": ("network peer", "name"),
    "buckets": ("storage bucket", "name"),
}


@dataclass(frozen=True)
class WayIn:
    """Something that lets others reach a guest or its data, and that no policy judges."""

    kind: str
    """``network forward``, ``network load balancer``, ``network peer``, ``network zone`` or ``storage bucket``."""
    place: str
    """The network or the pool that has it; empty for a zone."""
    name: str
    """Its address or its name."""

    def __str__(self) -> str:
        return f"{self.kind} {self.place}{'/' if self.place else ''}{self.name}"


def unknown_extensions(incus: IncusFacts) -> frozenset[str]:
    """Return the API extensions that no known version of Incus has. Raises EvidenceError if the list could not be read."""
    return guard(lambda: incus.extensions) - incus_keys.extensions()


def unknown_keys(evidence: Evidence) -> tuple[str, ...]:
    """Return the configuration keys that the daemon describes and no known version of Incus has, as ``ENTITY: KEY``, sorted.

    Empty if the daemon was not asked: it has no unknown API extension. Raises EvidenceError if the answer could not be read.
    """
    if urls.METADATA not in evidence.api:
        return ()
    with parsing(f"Incus API {urls.METADATA}", evidence.host):
        described = mapping(guard(lambda: api(evidence, urls.METADATA)), "answer")
        found = [(entity, key) for entity, keys in described.items() for key in texts(keys, entity)]
    return tuple(sorted(f"{entity}: {key}" for entity, key in found if not incus_keys.described(entity, key)))


def ways_in(evidence: Evidence) -> tuple[tuple[WayIn, ...], tuple[str, ...]]:
    """Return the ways in that the daemon lists, and why a list could not be read, for each one that could not."""
    found: list[WayIn] = []
    unread: list[str] = []
    for url in evidence.api:
        if urls.path(url) in _PATHS:
            try:
                found += guard(lambda url=url: list(_listed(evidence, url)))  # type: ignore[misc]
            except EvidenceError as cause:
                unread.append(cause.reason)
    return tuple(found), tuple(unread)


def _listed(evidence: Evidence, url: str) -> Iterator[WayIn]:
    path, place = urls.path(url), urls.place(url)
    kind, key = _BELOW.get(path.rpartition("/")[2], (ZONE, "name"))
    with parsing(f"Incus API {url}", evidence.host):
        listed: list[Mapping[str, Any]] = rows(api(evidence, url), "answer")
        yield from [WayIn(kind, place, text(row[key], key)) for row in listed]


_PATHS = urls.EXTRA_PATHS - {urls.path(urls.ADDRESS_SETS), urls.path(urls.METADATA)}
