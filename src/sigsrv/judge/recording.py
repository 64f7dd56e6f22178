"""Records what the findings of one policy on one host or cluster stand on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sigsrv.facts.reading import Frame, Reads, Source, pass_on, recording, united

_NOTHING: frozenset[Source | Reads] = frozenset()


class Recorder:
    """Records what a check reads.

    A finding stands on what the check read outside of any block before it recorded the finding, and on what it read in the blocks of the
    finding's resource and of those that contain it: the pool ``nvme`` contains the volume ``nvme/default/data``.
    """

    def __init__(self) -> None:
        self._check: Frame = set()
        self._blocks: dict[str, Frame] = {}
        self._known: dict[
            tuple[int, frozenset[Source | Reads]], tuple[str, ...]
        ] = {}  # most findings stand on the same

    @contextmanager
    def policy(self) -> Iterator[None]:
        """Record what is read in the block for all findings of the check."""
        try:
            with recording(self._check):
                yield
        finally:
            pass_on([self._check, *self._blocks.values()])

    def block(self, resource: str) -> recording:
        """Return a context manager that records what is read in its block for the findings of one resource."""
        return _Block(self._blocks, resource)

    def sources(self, resource: str) -> tuple[str, ...]:
        """Return what a finding stands on that is recorded now: ids of probes, then paths of the Incus API, without the host."""
        own = self._own(resource) if self._blocks else _NOTHING
        key = len(self._check), own  # the frame of the check only grows
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = united(self._check | own).names
        return found

    def _own(self, resource: str) -> frozenset[Source | Reads]:
        """Return what was read in the blocks of a resource and of those that contain it."""
        found: Frame = set()
        while resource:
            found |= self._blocks.get(resource, _NOTHING)
            resource = resource.rpartition("/")[0]
        return frozenset(found)


class _Block(recording):
    """The block of one resource. Most blocks read nothing that the check did not read before; then nothing is kept."""

    __slots__ = ("_blocks", "_is_new", "_resource")

    def __init__(self, blocks: dict[str, Frame], resource: str) -> None:
        self._is_new = resource not in blocks
        self._recorded = blocks.setdefault(resource, set())
        self._blocks, self._resource = blocks, resource

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._is_new and not self._recorded:
            del self._blocks[self._resource]
