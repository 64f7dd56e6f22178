"""Refuses lists of Incus that lack what other answers of the same daemon show.

An empty list can be true: a new server has no instance. It is not, if another answer names a row of it. Incus refuses to delete what
is in use, and it computes ``used_by`` at each request. Source: Incus REST API, doc/rest-api.yaml (``used_by``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sigsrv.collect import urls
from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import api, parsing, rows, texts
from sigsrv.facts.reading import guard
from sigsrv.model.errors import EvidenceError

Devices = Mapping[str, Mapping[str, str]]  # the devices of an instance, by name


def incomplete(evidence: Evidence, address: str, lacks: str) -> EvidenceError:
    """Return the EvidenceError for an answer that lacks what every such answer has."""
    host = evidence.host
    return EvidenceError(f"{host}: Incus API {address}: {lacks}: the answer is incomplete", host=host)


def require_known(evidence: Evidence, address: str, listed: Sequence[object], path: str) -> None:
    """Raise EvidenceError if a list is empty although a project has such a resource, or if the projects can't be read.

    path: how the API paths of such resources begin, for example ``/1.0/instances/``.
    """
    if not listed:
        _refuse_used(evidence, address, _rows(evidence, urls.PROJECTS), path)


def require_volumes(evidence: Evidence, address: str, pool: str, listed: Sequence[object]) -> None:
    """Raise EvidenceError if a pool's list of volumes is empty although an instance or a custom volume is in the pool.

    Each instance has a volume in the pool of its root disk.
    """
    if not listed:
        holders = [row for row in _rows(evidence, urls.POOLS) if row.get("name") == pool]
        for path in ("/1.0/instances/", "/1.0/storage-pools/"):
            _refuse_used(evidence, address, holders, path)


def require_unique(evidence: Evidence, address: str, names: Sequence[str]) -> None:
    """Raise EvidenceError if a list has a name twice: a name or a row is damaged. Incus's database holds each name once."""
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise incomplete(evidence, address, f"{twice} is listed twice")


def require_pools(evidence: Evidence, listed: Sequence[object], devices: Iterable[Devices]) -> None:
    """Raise EvidenceError if a list of pools is empty although a disk of an instance is in a pool.

    devices: the devices of each instance; they are read only if the list is empty.
    """
    disks = (device for each in devices for device in each.values() if device.get("type") == "disk")
    pool = None if listed else next((disk["pool"] for disk in disks if disk.get("pool")), None)
    if pool:
        raise incomplete(evidence, urls.POOLS, f"an empty list, but an instance has a disk in pool {pool}")


def _rows(evidence: Evidence, address: str) -> list[Mapping[str, object]]:
    with parsing(f"Incus API {address}", evidence.host):
        return guard(lambda: list(rows(api(evidence, address), "answer")))


def _refuse_used(evidence: Evidence, address: str, holders: Iterable[Mapping[str, object]], path: str) -> None:
    with parsing("used_by", evidence.host):
        used = (user for row in holders for user in texts(row.get("used_by"), f"{row.get('name')}: used_by"))
        known = next((user for user in used if user.startswith(path)), None)
    if known:
        raise incomplete(evidence, address, f"an empty list, but there is {known}")
