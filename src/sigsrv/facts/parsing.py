"""Reads evidence strictly: a missing key or another type raises EvidenceError and is never read as an empty answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from sigsrv.collect import documents
from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.facts import reading
from sigsrv.model.errors import EvidenceError, FailureKind

T = TypeVar("T")
_OBJECT = (dict, Mapping)  # nearly always a dict; Python asks an abstract class much slower
_TEXTS = frozenset({str})
_ENDS = ("\n", "\0", "}", "]")  # each command ends its output so; a JSON document ends itself


def refuse(failure: Failure, host: str, command: str = "") -> EvidenceError:
    """Return the EvidenceError for a failure of the collection. command: a command that shows the problem on the host."""
    again = failure.kind in (FailureKind.TIMEOUT, FailureKind.TOO_LARGE, FailureKind.MISSING, FailureKind.GARBLED)
    hint = f"; to see it: ssh {host} {command}" if command and again else ""
    return EvidenceError(failure.reason + hint, failure.kind, host)


def probe(evidence: Evidence, name: str) -> Answer:
    """Return the answer of a probe. Raises EvidenceError if the probe failed or did not run."""
    reading.note(evidence.host, name)
    if evidence.failure:
        raise refuse(evidence.failure, evidence.host)
    answer = evidence.probes.get(name)
    if answer is None:
        raise EvidenceError(f"{evidence.host}: this evidence has no probe {name}", FailureKind.ABSENT, evidence.host)
    if answer.failure:
        raise refuse(answer.failure, evidence.host, answer.command)
    if answer.stdout and not answer.stdout.endswith(_ENDS):
        raise EvidenceError(f"{evidence.host}: probe {name}: the output is cut off", FailureKind.GARBLED, evidence.host)
    return answer


def output(evidence: Evidence, name: str) -> str:
    """Return the standard output of a probe. Raises EvidenceError if the probe failed, did not run, or its exit status is not 0."""
    answer = probe(evidence, name)
    if answer.rc != 0:
        raise command_failed(evidence.host, name, answer)
    return answer.stdout


def command_failed(host: str, name: str, answer: Answer) -> EvidenceError:
    """Return the EvidenceError for a probe whose command returned an unexpected exit status."""
    reported = " ".join(answer.stderr.split())[:160]
    denied = any(word in reported.lower() for word in ("permission denied", "not permitted", "password is required"))
    kind = FailureKind.DENIED if denied else FailureKind.GARBLED
    reason = f"{host}: probe {name} ended with {answer.rc}: {reported}; to see it: ssh {host} {answer.command}"
    return EvidenceError(reason, kind, host)


def api(evidence: Evidence, url: str) -> Any:
    """Return the ``metadata`` of the daemon's answer to a URL. Raises EvidenceError if there is no answer."""
    reading.note(evidence.host, url)
    if evidence.failure:
        raise refuse(evidence.failure, evidence.host)
    answer = evidence.api.get(url)
    if answer is None:
        raise EvidenceError(f"{evidence.host}: this evidence has no answer to {url}", FailureKind.ABSENT, evidence.host)
    if answer.failure:
        raise refuse(answer.failure, evidence.host, f"incus query '{url}'")
    return answer.metadata


def rows(value: Any, what: str) -> list[Mapping[str, Any]]:
    """Return a list of objects. Raises ValueError if the value is anything else."""
    if not isinstance(value, list) or not all(isinstance(row, _OBJECT) for row in value):
        raise ValueError(f"{what}: not a list of objects")
    return value


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """Return an object. Raises ValueError if the value is anything else."""
    if not isinstance(value, _OBJECT):
        raise ValueError(f"{what}: not an object")
    return value


def strings(value: Any, what: str) -> Mapping[str, str]:
    """Return an object whose values are strings, which may be empty. Raises ValueError if the value is anything else."""
    found: Mapping[str, str] = mapping(value, what)
    if not _TEXTS.issuperset(map(type, found.values())):  # much faster than to ask for each value
        key = next(key for key, item in found.items() if type(item) is not str)
        raise ValueError(f"{what}: {key}: not a text")
    return found


def text(value: Any, what: str) -> str:
    """Return a string that is not empty. Raises ValueError if the value is anything else."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what}: not a text")
    return value


def string(value: Any, what: str) -> str:
    """Return a string, which may be empty. Raises ValueError if the value is anything else."""
    if not isinstance(value, str):
        raise ValueError(f"{what}: not a text")
    return value


def one_of(value: Any, allowed: tuple[T, ...], what: str) -> T:
    """Return the value if it is one of a closed set. Raises ValueError for any other value."""
    for each in allowed:
        if each == value:
            return each
    raise ValueError(
        f"{what}: {str(value)[:40]!r} is not one of {', '.join(str(each) for each in allowed if each != '')}"
    )


def integer(value: Any, what: str) -> int:
    """Return an integer. Raises ValueError if the value is anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{what}: {str(value)[:40]!r} is not an integer")
    return value


def moment(value: Any, what: str) -> float | None:
    """Return a time that Incus writes (RFC 3339), in seconds since the epoch; None for Go's zero time, which means unknown.

    Raises ValueError if the value is not a time.
    """
    try:
        found = datetime.fromisoformat(text(value, what))
    except ValueError as cause:
        raise ValueError(f"{what}: {value!r} is not a time") from cause
    if found.tzinfo is None:
        raise ValueError(f"{what}: {value!r} has no time zone")
    return None if found.year == 1 else found.timestamp()


def boolean_of(value: Any, what: str) -> bool:
    """Return a JSON boolean. Raises ValueError if the value is anything else."""
    if not isinstance(value, bool):
        raise ValueError(f"{what}: not a boolean")
    return value


def texts(value: Any, what: str) -> tuple[str, ...]:
    """Return a list of strings that are not empty. Go may write an empty list as ``null``. Raises ValueError if it is malformed."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError(f"{what}: not a list")
    return tuple(text(item, what) for item in value)


@contextmanager
def parsing(what: str, host: str) -> Iterator[None]:
    """Turn an error in the block into an EvidenceError that names the host and what was read."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as cause:
        detail = f"{cause.args[0]!r} is missing" if isinstance(cause, KeyError) else str(cause)
        raise EvidenceError(f"{f'{host}: ' if host else ''}{what}: {detail}", FailureKind.GARBLED, host) from cause


def parsed(document: str) -> Any:
    """Parse JSON. Raises ValueError, also for what Python's parser accepts against the standard, and beyond the limits of ``documents``."""
    return documents.parsed(document)
