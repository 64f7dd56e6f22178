"""The facts of all hosts for a draft. Unreadable facts are recorded, and the draft continues with the rest."""

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
from sigsrv.facts.pools import Pool
from sigsrv.facts.resources import Network
from sigsrv.model import names
from sigsrv.model.errors import EvidenceError
from sigsrv.model.yamlfile import schema

T = TypeVar("T")


@dataclass
class DraftFacts:
    """The facts of the hosts, by name. unread: facts that could not be read so far, one line each."""

    hosts: dict[str, HostFacts]
    unread: list[str] = field(default_factory=list)

    @cached_property
    def clusters(self) -> tuple[ClusterFacts, ...]:
        return clusters(self.hosts)

    def add_unread(self, what: str, cause: EvidenceError | str) -> None:
        """Record once that something could not be read."""
        line = f"{what}: {cause.reason if isinstance(cause, EvidenceError) else cause}"
        if line not in self.unread:
            self.unread.append(line)

    def has_unread(self, what: str) -> bool:
        """Return whether any part of it could not be read."""
        return any(line.startswith(f"{what}: ") for line in self.unread)

    def from_clusters(self, what: str, view: Callable[[ClusterFacts], T]) -> list[T]:
        """Return a view of each cluster and of each standalone host; record and skip those that can't be read."""
        views = []
        for cluster in self.clusters:
            try:
                views.append(view(cluster))
            except EvidenceError as cause:
                self.add_unread(what, cause)
        return views

    def from_hosts(self, what: str, view: Callable[[HostFacts], T]) -> dict[str, T]:
        """Return a view of each reachable host, by name; record and skip those that can't be read."""
        views = {}
        for name, host in self.hosts.items():
            if host.unreachable is None:
                try:
                    views[name] = view(host)
                except EvidenceError as cause:
                    self.add_unread(what, cause)
        return views

    def rows_of(self, what: str, view: Callable[[ClusterFacts], Iterable[T]]) -> list[T]:
        """Return the rows of a view of all clusters, as one list."""
        return [row for rows in self.from_clusters(what, view) for row in rows]

    def hosts_with(self, name: str, rows: Callable[[ClusterFacts], Iterable[Pool | Network]]) -> list[str]:
        """Return the hosts that have a pool or a network, in their order. Of a host whose list can't be read, nothing is known: it counts.

        A server in no cluster has each row that it lists, and names no member in it.
        """
        found = set()
        for cluster in self.clusters:
            try:
                row = next((each for each in rows(cluster) if each.name == name), None)
                clustered = cluster.incus.server.clustered
            except EvidenceError:
                found |= set(cluster.hosts)
                continue
            if row is not None:
                everywhere = not clustered or not row.locations
                found |= {host.name for host in cluster.hosts.values() if everywhere or host.member in row.locations}
        return [host for host in self.hosts if host in found]

    @cached_property
    def networks(self) -> list[Network]:
        """Return the managed networks, each name once."""
        rows = self.rows_of("networks", lambda cluster: cluster.incus.networks)
        return list({row.name: row for row in rows if row.managed}.values())

    @cached_property
    def instances(self) -> list[tuple[Instance, str]]:
        """Return each readable instance with the name of its host."""
        return self.rows_of(
            "instances", lambda cluster: cluster.instances.each(lambda _, cause: self.add_unread("instances", cause))
        )


def schema_checked(section: Section) -> Section:
    """Comment out, with the reason, each entry and key of a section that the site file's schema does not allow."""
    allowed: dict[str, Any] = schema("site")["properties"][section.key]
    return replace(
        section,
        entries=tuple(_entry(each, allowed["items"]) for each in section.entries),
        fields=tuple(_field(each, allowed["properties"][each.key]) for each in section.fields),
    )


def _entry(entry: Entry, allowed: Any) -> Entry:
    problem = None if entry.commented else _problem(entry.data, allowed)
    return replace(entry, notes=(*entry.notes, problem), commented=True) if problem else entry


def _field(each: Field, allowed: Any) -> Field:
    problem = None if each.commented else _problem(each.value, allowed)
    return replace(each, note=problem, commented=True) if problem else each


def _problem(value: Any, allowed: Any) -> str | None:
    """Return why a site file can't contain a value; None if it can."""
    if character := _bad_character(value):
        return f"a site file can't hold this name: it has the character {character}"
    whole = {**allowed, "$defs": schema("site")["$defs"]}
    error = next(iter(jsonschema.Draft202012Validator(whole).iter_errors(value)), None)
    return f"a site file can't hold this value: {error.message}" if error else None


def _bad_character(value: Any) -> str:
    """Return the first character of the strings in a value that no name has, as ``names.bad_character`` does."""
    if isinstance(value, dict | list):
        parts = (*value, *value.values()) if isinstance(value, dict) else value
        return next(filter(None, map(_bad_character, parts)), "")
    return names.bad_character(value) if isinstance(value, str) else ""
