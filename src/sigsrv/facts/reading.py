"""Records which evidence a fact stands on: the probes and API URLs that it read, and the facts that it used.

A base read (``parsing.probe``, ``parsing.api``) adds a source to the open frame. A ``fact`` opens a frame of its own while it is computed,
keeps what the frame got beside its value, and adds that to the frame of each later reader. Without an open frame nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, NoReturn, TypeVar, overload

from sigsrv.collect import urls
from sigsrv.facts.limits import TooSlowError
from sigsrv.model.errors import EvidenceError, FailureKind

T = TypeVar("T")
LOGIN = "login"  # the source that is no probe: whether sigsrv could log in to the host, and whether what it asked there was answered


class Source(NamedTuple):
    """A part of the evidence of one host."""

    host: str
    """The host's name."""
    name: str
    """The id of a probe, a URL of the Incus API with its query, or ``login``."""


@dataclass(frozen=True, eq=False)
class Reads:
    """What something stands on. Compared by identity, so a frame can hold thousands of them cheaply."""

    sources: frozenset[Source] = frozenset()
    """The parts of the evidence that were read."""
    facts: frozenset[str] = frozenset()
    """The facts that were used, as ``CLASS.NAME``, for example ``NetworkFacts.links``."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the sources without their hosts: probes, then paths of the Incus API such as ``/1.0/networks/{name}``."""
        found = {urls.path(source.name) for source in self.sources}
        return tuple(sorted(found, key=lambda name: (name.startswith("/"), name)))


Frame = set[Source | Reads]
_frame: ContextVar[Frame | None] = ContextVar("frame", default=None)


def note(host: str, name: str) -> None:
    """Add a source to the open frame."""
    frame = _frame.get()
    if frame is not None:
        frame.add(Source(host, name))


def pass_on(frames: Iterable[Frame]) -> None:
    """Add what was recorded in other frames to the open frame."""
    frame = _frame.get()
    if frame is not None:
        frame.update(*frames)


class recording:
    """Add to a frame what is read in the block. The frame that is open around the block gets nothing.

    A class and not a generator: a check enters one for each of its findings.
    """

    __slots__ = ("_recorded", "_token")

    def __init__(self, frame: Frame) -> None:
        self._recorded = frame

    def __enter__(self) -> Frame:
        self._token = _frame.set(self._recorded)
        return self._recorded

    def __exit__(self, *_: object) -> None:
        _frame.reset(self._token)


def guard(read: Callable[[], T]) -> T:
    """Return what ``read`` returns, and record nothing.

    A guard decides whether other evidence is believed, or where it is; nearly every fact has the same guards. A verdict does not stand on
    them: if a guard can't be read, the fact raises EvidenceError.
    """
    token = _frame.set(None)
    try:
        return read()
    finally:
        _frame.reset(token)


def united(parts: Iterable[Source | Reads]) -> Reads:
    """Return everything in a frame as one."""
    sources: set[Source] = set()
    facts: set[str] = set()
    for part in parts:
        if isinstance(part, Reads):
            sources |= part.sources
            facts |= part.facts
        else:
            sources.add(part)
    return Reads(frozenset(sources), frozenset(facts))


class _Kept(NamedTuple):
    """What a fact keeps in its object: a value, or the EvidenceError that it raises instead, and what it stands on."""

    value: Any
    error: EvidenceError | None
    reads: Reads


class fact(cached_property[T]):
    """A ``cached_property`` that records what it stands on, and that keeps an EvidenceError too.

    The base class makes type checkers and the list of facts take it for the property that it is. Unlike it, the value can't be set.
    """

    _name: str
    _path: str  # as in Reads.facts; empty for a private one

    def __set_name__(self, owner: type[Any], name: str) -> None:
        super().__set_name__(owner, name)
        self._name = name
        self._path = "" if name.startswith("_") else f"{owner.__name__}.{name}"

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> fact[T]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...
    def __get__(self, instance: object, owner: type[Any] | None = None) -> fact[T] | T:
        if instance is None:
            return self
        kept: _Kept | None = instance.__dict__.get(self._name)
        if kept is None:
            kept = instance.__dict__[self._name] = self._computed(instance)
        frame = _frame.get()
        if frame is not None:
            frame.add(kept.reads)
        if kept.error is not None:
            raise kept.error.with_traceback(None)  # else each reader would make the traceback longer
        found: T = kept.value
        return found

    def __set__(self, instance: object, value: object) -> NoReturn:
        """Refuse to set the value. With this method, ``__get__`` runs on every access and not only on the first."""
        raise AttributeError(f"{self._name} is computed from the evidence")

    def _computed(self, instance: object) -> _Kept:
        value: Any = None
        error = None
        with recording(set()) as frame:
            try:
                value = self.func(instance)
            except EvidenceError as cause:
                # Its traceback and its causes would keep alive whatever was being read.
                error = cause.with_traceback(None)
                error.__cause__ = error.__context__ = None
            except TooSlowError as cause:  # kept, else the next policy would take the same time again
                if not cause.is_join:
                    raise
                error = EvidenceError(cause.reason, FailureKind.TOO_LARGE)
        used = united(frame)
        return _Kept(value, error, Reads(used.sources, used.facts | {self._path} if self._path else used.facts))
