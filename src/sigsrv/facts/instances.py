"""The instances of some hosts, together with those that could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from sigsrv.facts.resources import Instance, UnreadInstance
from sigsrv.model.errors import EvidenceError

T = TypeVar("T")
Row = TypeVar("Row", Instance, UnreadInstance)
Located = tuple[Instance, str]


@dataclass(frozen=True)
class Instances:
    """Instances, each with the name of its host.

    Iterating yields those that could be read and then raises EvidenceError if some could not. So a check that forgets the unread ones
    ends with ``error`` and never with a false pass. A check of a policy that examines instances iterates ``require.each(...)`` instead:
    it records ``error`` for each unread instance.
    """

    _read: tuple[Located, ...]
    _unread: tuple[tuple[UnreadInstance, EvidenceError], ...] = ()

    def __iter__(self) -> Iterator[Located]:
        yield from self._read
        self.require_all()

    def require_all(self) -> None:
        """Raise the EvidenceError of the first instance that could not be read."""
        if self._unread:
            raise self._unread[0][1]

    def require_at(self, location: str) -> None:
        """Raise the EvidenceError of the first instance on a member that could not be read. location: "" for all members."""
        if not location:
            self.require_all()
        elif cause := self._unread_at.get(location):
            raise cause

    @cached_property
    def _unread_at(self) -> Mapping[str, EvidenceError]:
        """Map a member to the error of its first instance that could not be read."""
        return {each.location: cause for each, cause in reversed(self._unread)}

    def where(self, condition: Callable[[Instance | UnreadInstance], object]) -> Instances:
        """Return the instances that meet a condition. It can look only at what is known of an unread instance: name, project, location."""
        return Instances(
            tuple(row for row in self._read if condition(row[0])),
            tuple(row for row in self._unread if condition(row[0])),
        )

    def of_project(self, project: str) -> Instances:
        """Return the instances of a project."""
        return self._by_project.get(project, Instances(()))

    @cached_property
    def _by_project(self) -> Mapping[str, Instances]:
        read, unread = _grouped(self._read), _grouped(self._unread)
        return {name: Instances(tuple(read.get(name, ())), tuple(unread.get(name, ()))) for name in {*read, *unread}}

    def known(self, decisive: Callable[[tuple[Located, ...]], object]) -> tuple[Located, ...]:
        """Return the instances that could be read, if no other instance could change the verdict.

        decisive: whether the verdict is certain from these instances alone; asked only if some could not be read. Raises EvidenceError
        if it is not.
        """
        if self._unread and not decisive(self._read):
            self.require_all()
        return self._read

    def search(self, find: Callable[[Instance], Iterable[T]]) -> list[T]:
        """Return everything that ``find`` finds in the instances.

        Raises EvidenceError if it finds nothing and some instances could not be read: "nothing" would be a guess.
        """
        found = [item for instance, _ in self._read for item in find(instance)]
        if not found:
            self.require_all()
        return found

    def each(self, on_unread: Callable[[UnreadInstance, EvidenceError], None]) -> Iterator[Located]:
        """Call ``on_unread`` for each instance that could not be read, then yield the others."""
        for unread, cause in self._unread:
            on_unread(unread, cause)
        yield from self._read


def _grouped(rows: Iterable[tuple[Row, T]]) -> Mapping[str, Sequence[tuple[Row, T]]]:
    """Group instances by project, in their order."""
    found: dict[str, list[tuple[Row, T]]] = {}
    for row in rows:
        found.setdefault(row[0].project, []).append(row)
    return found
