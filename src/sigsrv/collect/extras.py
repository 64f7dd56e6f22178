"""The requests that a daemon gets only if it has what they ask for: address sets, forwards, zones, buckets, and what its keys are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sigsrv.collect import urls
from sigsrv.collect.evidence import ApiAnswer
from sigsrv.model import incus_keys


def extra_urls(server: Any, answers: Mapping[str, ApiAnswer]) -> Iterator[str]:
    """Yield the URLs of what the daemon has beside the answers that every daemon gives.

    server: the answer to ``/1.0``. answers: what the daemon answered before, by URL: its networks and pools.
    """
    has = frozenset(_texts(server.get("api_extensions")) if isinstance(server, Mapping) else ())
    for url, extension in urls.EXTENSION_OF.items():
        if extension in has and (url != urls.METADATA or has - incus_keys.extensions()):
            yield url
    for row in _listed(answers, urls.NETWORKS):
        for name, (extension, types) in urls.NETWORK_LISTS.items():
            if extension in has and row.get("managed") is True and row.get("type") in types:
                yield urls.network_list_url(row["name"], name)
    for row in _listed(answers, urls.POOLS) if urls.BUCKETS in has else ():
        yield urls.buckets_url(row["name"])


def _listed(answers: Mapping[str, ApiAnswer], url: str) -> list[Mapping[str, Any]]:
    """Return the rows of a list that have a name."""
    rows = answers[url].metadata if url in answers else None
    found = rows if isinstance(rows, list) else []
    return [row for row in found if isinstance(row, dict) and isinstance(row.get("name"), str)]


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def key_names(metadata: Any) -> dict[str, list[str]]:
    """Return the answer of ``/1.0/metadata/configuration`` with only what a scan reads: entity -> names of its keys, sorted.

    The kernel's limits are keys of an instance. Raises ValueError if the answer is no description of keys.
    """
    found: dict[str, set[str]] = {}
    try:
        for entity, groups in metadata["configs"].items():
            for group, content in groups.items():
                name = {"devices": f"device_{group}", "kernel": "instance"}.get(entity, entity)
                found.setdefault(name, set()).update(str(key) for row in content["keys"] for key in row)
    except (TypeError, AttributeError, KeyError) as cause:
        raise ValueError(f"not a description of configuration keys: {cause}") from cause
    return {entity: sorted(keys) for entity, keys in sorted(found.items())}
