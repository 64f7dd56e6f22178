"""Describes every fact that a check can look at: its path, type and meaning, where it comes from, and a value from the demo.

Everything is read from the classes of ``sigsrv.facts`` themselves: type hints, docstrings, and the string below each field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sigsrv.authoring.fact_types import (
    Attribute,
    attributes,
    call_of,
    described,
    is_record,
    is_view,
    items,
    readable,
    records_in,
    shown,
    yielded_by,
)
from sigsrv.collect import evidence
from sigsrv.collect.evidence import Evidence
from sigsrv.facts.clusters import ClusterFacts, clusters
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.reading import Frame, recording, united
from sigsrv.model import data, policy, site_file
from sigsrv.model.errors import EvidenceError

V = TypeVar("V")
ROOTS: Mapping[str, type] = {"host": HostFacts, "cluster": ClusterFacts}
EXAMPLE_LENGTH = 60
_NEEDS_ARGUMENTS = "the method needs arguments"


@dataclass(frozen=True)
class Fact:
    """One fact, as a person reads about it."""

    path: str
    """Where a check finds it, for example ``network.links.<name>.mtu``."""
    name: str
    """The last part of the path, with the parameters if it is a method."""
    type: str
    """The type in words, for example ``mapping of str to Link``."""
    text: str
    """What it is, its unit, and what None or empty means; without the sentences on sources."""
    sources: tuple[str, ...] = ()
    """The probes and the paths of the Incus API that it stands on; empty for a method or a field of a record."""
    example: str = ""
    """A value from the demo's evidence; empty if there is none."""
    unknown: str = ""
    """Why there is no example; empty if there is one."""


@dataclass(frozen=True)
class Table:
    """The facts of one class."""

    title: str
    """The name of the class."""
    root: str
    """``host`` or ``cluster``: whose facts they are."""
    path: str
    """Where a check finds an object of the class; empty for the root."""
    text: str
    """What the class is."""
    facts: tuple[Fact, ...]
    """Its facts, in the order of the code."""
    is_view: bool
    """Whether the facts are computed from evidence; false for a record that a fact of a view contains."""
    sources: tuple[str, ...] = ()
    """The probes and the paths of the Incus API that a record comes from; empty for a view."""


@dataclass(frozen=True)
class _Read:
    """What one fact is on the hosts of the demo."""

    values: tuple[Any, ...]
    sources: tuple[str, ...]
    reason: str


def _short(text: str) -> str:
    return text if len(text) <= EXAMPLE_LENGTH else f"{text[: EXAMPLE_LENGTH - 1]}…"


def _example(values: Iterable[Any]) -> tuple[bool, str]:
    """Return whether there is a value, and the first one that is not empty; else the first one."""
    listed = list(values)
    if not listed:
        return False, ""
    return True, _short(
        shown(next((value for value in listed if not isinstance(value, EvidenceError) and value), listed[0]))
    )


class Demo:
    """Reads the facts of the demo's hosts and of their cluster."""

    def __init__(self, hosts: Mapping[str, tuple[str, Evidence]] | None = None) -> None:
        given = demo_hosts() if hosts is None else hosts
        self._hosts = {name: HostFacts(name, member, evidence) for name, (member, evidence) in given.items()}

    def read(self, root: str, names: Sequence[str]) -> _Read:
        """Return a fact of each host, or of the cluster. names: its path, without steps into mappings and lists."""
        values, reason = [], ""
        frame: Frame = set()
        for facts in self._hosts.values() if root == "host" else clusters(self._hosts):
            try:
                view: Any = facts
                for name in names[:-1]:
                    view = getattr(view, name)
                with recording(frame):  # what leads to the view is not the fact's own
                    values.append(getattr(view, names[-1]))
            except EvidenceError as cause:
                reason = reason or cause.reason
        return _Read(tuple(values), united(frame).names, reason)

    def tables(self) -> tuple[Table, ...]:
        """Return a table of each class: of a host and then of a cluster the root, and each view followed by its records.

        The views that a mapping has, one for each pool for example, come last.
        """
        found: list[Table] = []
        done: set[type] = set(ROOTS.values())
        for root, kind in ROOTS.items():
            found += self._view(root, kind, (), done)
            for each in attributes(kind):
                if is_view(each.hint) and each.hint not in done:
                    done.add(each.hint)
                    found += self._view(root, each.hint, (each.name,), done)
            for each in attributes(kind):
                for steps, below in records_in(each.hint):
                    if is_view(below) and below not in done:
                        read = self.read(root, (each.name,))
                        values = tuple(_instances(read.values, below))
                        found += _records(root, below, f"{each.name}{steps}", replace(read, values=values), done)
        return tuple(found)

    def _view(self, root: str, kind: type, path: tuple[str, ...], done: set[type]) -> list[Table]:
        """Return the table of a view, and those of the records in its facts."""
        facts: list[Fact] = []
        records: list[Table] = []
        for each in attributes(kind):
            where = ".".join((*path, each.name))
            if each.signature is not None or is_view(each.hint):
                read = _Read((), (), _NEEDS_ARGUMENTS)
            else:
                read = self.read(root, (*path, each.name))
            facts.append(_fact(each, where, read.values, read.sources, read.reason))
            for steps, record in records_in(each.hint):
                if not is_view(record):
                    values = tuple(_instances(read.values, record))
                    start = f"{'.'.join((*path, call_of(each)))}{steps}"
                    records += _records(root, record, start, _Read(values, read.sources, read.reason), done)
        return [Table(kind.__name__, root, ".".join(path), described(kind.__doc__ or ""), tuple(facts), True), *records]


def _records(root: str, kind: type, path: str, read: _Read, done: set[type]) -> list[Table]:
    """Return the table of a class, and those of the records in its facts; nothing for a class that has one already."""
    if kind in done:
        return []
    done.add(kind)
    facts: list[Fact] = []
    below: list[Table] = []
    yielded = [("", yielded_by(kind), read.values)] if yielded_by(kind) else []
    for each in attributes(kind):
        values: list[Any] = []
        reason = read.reason
        frame: Frame = set()
        for record in read.values if each.signature is None else ():
            try:
                with recording(frame):
                    values.append(getattr(record, each.name))
            except EvidenceError as cause:
                reason = reason or cause.reason
        reason = _NEEDS_ARGUMENTS if each.signature is not None else reason
        sources = united(frame).names if is_view(kind) else ()
        facts.append(_fact(each, f"{path}.{each.name}", values, sources, reason))
        yielded.append((f".{call_of(each)}", each.hint, tuple(values)))
    for start, hint, found in yielded:
        for steps, record in records_in(hint):
            first = f"{path}{start}{'.<n>' if not start else ''}{steps}"
            below += _records(
                root, record, first, _Read(tuple(_instances(found, record)), read.sources, read.reason), done
            )
    text = described(kind.__doc__ or "")
    sources = () if is_view(kind) else read.sources
    return [Table(kind.__name__, root, path, text, tuple(facts), is_view(kind), sources), *below]


def _fact(each: Attribute, path: str, values: Iterable[Any], sources: tuple[str, ...], reason: str) -> Fact:
    found, example = _example(values)
    unknown = "" if found or is_view(each.hint) or each.signature is not None else reason or "the demo has none"
    name = f"{each.name}{each.signature or ''}"
    return Fact(path, name, readable(each.hint), described(each.text), sources, example, unknown)


def _instances(value: Any, kind: type) -> Iterator[Any]:
    """Yield the objects of a class in a value: itself, or what its mappings, lists and iterables contain."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, Mapping):
        yield from _instances(tuple(value.values()), kind)
    elif isinstance(value, set | frozenset):
        yield from _instances(tuple(sorted(value, key=shown)), kind)
    elif isinstance(value, tuple | list) or (is_record(type(value)) and isinstance(value, Iterable)):
        for item in items(value):
            yield from _instances(item, kind)


def demo_hosts() -> dict[str, tuple[str, Evidence]]:
    """Return the member name and the evidence of each host of the demo."""
    kept = evidence.load(data.DEMO / "evidence")
    site = site_file.load(data.DEMO / "site.yaml", policy.load())
    return {host.name: (host.member, kept[host.name]) for host in site.hosts}
