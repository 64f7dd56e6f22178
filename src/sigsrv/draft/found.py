"""The facts of all hosts as a draft takes them: what one cannot tell is remembered, and the others are asked on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import jsonschema

from sigsrv.draft.document import Entry, Field, Section
from sigsrv.facts.clusters import ClusterFacts, clusters
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.incus import Instance
from sigsrv.facts.resources import Network
from sigsrv.model.errors import EvidenceError
from sigsrv.model.yamlfile import schema

T = TypeVar("T")


@dataclass
class Found:
    """The facts of the hosts, by name. unread: what could not be read so far, a line each."""

    hosts: dict[str, HostFacts]
    unread: list[str] = field(default_factory=list)

    @cached_property
    def clusters(self) -> tuple[ClusterFacts, ...]:
        return clusters(self.hosts)

    def miss(self, what: str, cause: EvidenceError | str) -> None:
        """Remember that something could not be read, once."""
        line = f"{what}: {cause.reason if isinstance(cause, EvidenceError) else cause}"
        if line not in self.unread:
            self.unread.append(line)

    def missed(self, what: str) -> bool:
        """Whether some of it could not be read."""
        return any(line.startswith(f"{what}: ") for line in self.unread)

    def of_clusters(self, what: str, view: Callable[[ClusterFacts], T]) -> list[T]:
        """A view of each cluster, and of each host that is in none; those that can't tell are remembered and left out."""
        told = []
        for cluster in self.clusters:
            try:
                told.append(view(cluster))
            except EvidenceError as cause:
                self.miss(what, cause)
        return told

    def of_hosts(self, what: str, view: Callable[[HostFacts], T]) -> dict[str, T]:
        """A view of each host that was reached, by its name; those that can't tell are remembered and left out."""
        told = {}
        for name, host in self.hosts.items():
            if host.unreachable is None:
                try:
                    told[name] = view(host)
                except EvidenceError as cause:
                    self.miss(what, cause)
        return told

    def listed(self, what: str, view: Callable[[ClusterFacts], Iterable[T]]) -> list[T]:
        """The rows of a view of all clusters."""
        return [row for rows in self.of_clusters(what, view) for row in rows]

    @cached_property
    def networks(self) -> list[Network]:
        """The managed networks, each name once."""
        rows = self.listed("networks", lambda cluster: cluster.incus.networks)
        return list({row.name: row for row in rows if row.managed}.values())

    @cached_property
    def instances(self) -> list[tuple[Instance, str]]:
        """Each instance that could be read, with the name of its host."""
        return self.listed(
            "instances", lambda cluster: cluster.instances.each(lambda _, cause: self.miss("instances", cause))
        )


def fitting(section: Section) -> Section:
    """A section as the schema of a site file allows it: an entry or a key that does not fit is commented out, with the reason."""
    allowed: dict[str, Any] = schema("site")["properties"][section.key]
    return replace(
        section,
        entries=tuple(_entry(each, allowed["items"]) for each in section.entries),
        fields=tuple(_field(each, allowed["properties"][each.key]) for each in section.fields),
    )


def _entry(entry: Entry, allowed: Any) -> Entry:
    fault = None if entry.off else _fault(entry.data, allowed)
    return replace(entry, notes=(*entry.notes, fault), off=True) if fault else entry


def _field(each: Field, allowed: Any) -> Field:
    fault = None if each.off else _fault(each.value, allowed)
    return replace(each, note=fault, off=True) if fault else each


def _fault(value: Any, allowed: Any) -> str | None:
    """Why a value can't stand in a site file; None where it can."""
    if not _is_text(value):
        return "no file can hold this name: it is no Unicode text"
    error = next(iter(jsonschema.Draft202012Validator(allowed).iter_errors(value)), None)
    return f"a site file can't say this: {error.message}" if error else None


def _is_text(value: Any) -> bool:
    """Whether all texts in a value can be written: half of a surrogate pair, which JSON can hold, can't."""
    if isinstance(value, dict):
        return all(_is_text(each) for each in (*value, *value.values()))
    if isinstance(value, list):
        return all(map(_is_text, value))
    return not isinstance(value, str) or value.isprintable() or not any("\ud800" <= each <= "\udfff" for each in value)
