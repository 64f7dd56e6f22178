"""The files in the site's backup directory, matched with the instances and volumes that they belong to."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property
from typing import NamedTuple, TypeVar

from sigsrv.facts.backups import BackupFile
from sigsrv.facts.clusters import ClusterFacts, clusters
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import Backups

K = TypeVar("K")
V = TypeVar("V")


class Pattern(NamedTuple):
    """The names of the backup files of one instance or custom volume."""

    kind: str
    """``instance`` or ``volume``."""

    resource: str
    """``PROJECT/NAME`` or ``POOL/PROJECT/NAME``."""

    project: str
    """The name of its project."""

    cluster: str
    """The cluster, or the standalone host, that it is in."""

    member: str
    """The member that a volume is on; "" for an instance, whose name is unique in its cluster."""

    glob: str
    """The glob that the names of its files match."""


def glob_of(backups: Backups, project: str, name: str) -> str:
    """Return the glob of the backup files of an instance or volume."""
    values = {"{name}": glob.escape(name), "{project}": glob.escape(project)}
    return "".join(values.get(part, part) for part in _parts(backups.pattern))


@cache
def _parts(pattern: str) -> tuple[str, ...]:
    """Return the parts of a pattern of the site file: texts, ``{name}`` and ``{project}``."""
    return tuple(re.split(r"(\{name\}|\{project\})", pattern))


def patterns_of(facts: ClusterFacts, backups: Backups) -> tuple[list[Pattern], list[EvidenceError]]:
    """Return the patterns of all instances and volumes of the site, also of members that were not selected, and why some are missing.

    They are needed to decide which one a file belongs to. Clusters and standalone hosts may share one directory, so all of them count.
    """
    found: list[Pattern] = []
    unread: list[EvidenceError] = []
    for each in clusters({**facts.hosts, **facts.standalone, **facts.others}):
        try:
            for pool in each.incus.pools:
                for volume in each.incus.volumes(pool.name):
                    files = glob_of(backups, volume.project, volume.name)
                    found.append(Pattern("volume", volume.resource, volume.project, each.name, volume.location, files))
            for instance in each.incus.listed_instances:
                files = glob_of(backups, instance.project, instance.name)
                found.append(Pattern("instance", instance.resource, instance.project, each.name, "", files))
        except EvidenceError as cause:
            unread.append(cause)
    return sorted(found), unread


@dataclass(frozen=True)
class BackupFiles:
    """The files in the backup directory, the newest first, and the patterns of everything that may have backups there.

    A file belongs to the longest glob that it matches: web-* also matches the files of web-db. If two globs are the longest, it belongs to
    neither.
    """

    files: Sequence[BackupFile]
    patterns: Sequence[Pattern]

    def newest(self, mine: Pattern) -> BackupFile | None:
        """Return the newest file that belongs to ``mine``, or to another pattern with the same glob. None if there is none."""
        if mine.glob in self._by_glob:
            return self._newest.get(mine.glob)
        return next((file for file in self.files if self._is_longest(mine.glob, file)), None)

    def same_glob(self, mine: Pattern) -> Iterator[Pattern]:
        """Yield the other patterns that have the same glob."""
        return (each for each in self._by_glob.get(mine.glob, ()) if each != mine)

    @cached_property
    def _by_glob(self) -> Mapping[str, Sequence[Pattern]]:
        return _grouped((each.glob, each) for each in self.patterns)

    @cached_property
    def _newest(self) -> Mapping[str, BackupFile]:
        """Map each glob to the newest file that belongs to it."""
        found: dict[str, BackupFile] = {}
        for file in self.files:
            for each in self._matching(file):
                if self._is_longest(each, file):
                    found.setdefault(each, file)
        return found

    def _is_longest(self, mine: str, file: BackupFile) -> bool:
        """Return whether a file matches a glob, and no other glob that is as long."""
        rivals = (each for each in self._matching(file) if each != mine)
        return _fits(file.name, mine) and all(len(each) < len(mine) for each in rivals)

    def _matching(self, file: BackupFile) -> list[str]:
        """Return the globs that a file matches.

        It compares only the globs whose text before and after the wildcards fits. With every glob, the time would grow with the square of
        the number of instances.
        """
        name = file.name
        ends = ((name[:first], name[len(name) - last :]) for first, last in self._lengths)
        return [each for end in ends for each in self._by_ends.get(end, ()) if _fits(name, each)]

    @cached_property
    def _by_ends(self) -> Mapping[tuple[str, str], Sequence[str]]:
        """Map the texts before and after the wildcards to the globs that have them."""
        return _grouped((_ends(each), each) for each in self._by_glob)

    @cached_property
    def _lengths(self) -> frozenset[tuple[int, int]]:
        return frozenset((len(first), len(last)) for first, last in self._by_ends)


def _ends(pattern: str) -> tuple[str, str]:
    """Return the text of a glob before its first and after its last wildcard: the whole glob twice if it has none."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0], re.split(r"[*?\[\]]", pattern)[-1]


def _fits(name: str, pattern: str) -> bool:
    """Return whether a name matches a glob. Nearly every glob has one ``*``: then it needs no regular expression of its own."""
    first, last = _ends(pattern)
    if pattern != f"{first}*{last}":
        return fnmatchcase(name, pattern)
    return len(name) >= len(first) + len(last) and name.startswith(first) and name.endswith(last)


def _grouped(pairs: Iterable[tuple[K, V]]) -> Mapping[K, Sequence[V]]:
    """Group values by key, in their order."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found
