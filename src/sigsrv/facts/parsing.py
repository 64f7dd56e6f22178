"""Evidence read strictly. What is missing or of another shape is an EvidenceError, never an empty answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.model.errors import EvidenceError, FailureKind


def refuse(failure: Failure, host: str, command: str = "") -> EvidenceError:
    """A failure of the collection as the error of a fact. command: what a person can run on the host, to see it there."""
    again = failure.kind in (FailureKind.TIMEOUT, FailureKind.TOO_LARGE, FailureKind.MISSING, FailureKind.GARBLED)
    hint = f"; to see it: ssh {host} {command}" if command and again else ""
    return EvidenceError(failure.reason + hint, failure.kind, host)


def probe(evidence: Evidence, name: str) -> Answer:
    """What a probe answered. Raises EvidenceError where it did not answer, or was never run."""
    if evidence.failure:
        raise refuse(evidence.failure, evidence.host)
    answer = evidence.probes.get(name)
    if answer is None:
        raise EvidenceError(f"{evidence.host}: this evidence has no probe {name}", FailureKind.ABSENT, evidence.host)
    if answer.failure:
        raise refuse(answer.failure, evidence.host, answer.command)
    return answer


def output(evidence: Evidence, name: str) -> str:
    """The standard output of a probe that succeeded. Raises EvidenceError where it ended with another status than 0."""
    answer = probe(evidence, name)
    if answer.rc != 0:
        raise command_failed(evidence.host, name, answer)
    return answer.stdout


def command_failed(host: str, name: str, answer: Answer) -> EvidenceError:
    """The error of a probe's command that ended with a status of its own."""
    said = " ".join(answer.stderr.split())[:160]
    denied = any(word in said.lower() for word in ("permission denied", "not permitted", "password is required"))
    kind = FailureKind.DENIED if denied else FailureKind.GARBLED
    reason = f"{host}: probe {name} ended with {answer.rc}: {said}; to see it: ssh {host} {answer.command}"
    return EvidenceError(reason, kind, host)


def api(evidence: Evidence, url: str) -> Any:
    """The ``metadata`` that the host's daemon answered to a URL. Raises EvidenceError where there is none."""
    if evidence.failure:
        raise refuse(evidence.failure, evidence.host)
    answer = evidence.api.get(url)
    if answer is None:
        raise EvidenceError(f"{evidence.host}: this evidence has no answer to {url}", FailureKind.ABSENT, evidence.host)
    if answer.failure:
        raise refuse(answer.failure, evidence.host, f"incus query '{url}'")
    return answer.metadata


def rows(value: Any, what: str) -> list[Mapping[str, Any]]:
    """A list of objects. Raises ValueError where it is anything else."""
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise ValueError(f"{what}: not a list of objects")
    return value


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """An object. Raises ValueError where it is anything else."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{what}: not an object")
    return value


def text(value: Any, what: str) -> str:
    """A text that is not empty. Raises ValueError where it is anything else."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what}: not a text")
    return value


def string(value: Any, what: str) -> str:
    """A text, which may be empty. Raises ValueError where it is anything else."""
    if not isinstance(value, str):
        raise ValueError(f"{what}: not a text")
    return value


def integer(value: Any, what: str) -> int:
    """A whole number. Raises ValueError where it is anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{what}: {str(value)[:40]!r} is no whole number")
    return value


def moment(value: Any, what: str) -> float | None:
    """A time as Incus writes it (RFC 3339), in seconds since the epoch; None for Go's zero time: it is not known.

    Raises ValueError where it is no time.
    """
    try:
        found = datetime.fromisoformat(text(value, what))
    except ValueError as cause:
        raise ValueError(f"{what}: {value!r} is no time") from cause
    if found.tzinfo is None:
        raise ValueError(f"{what}: {value!r} has no time zone")
    return None if found.year == 1 else found.timestamp()


def boolean_of(value: Any, what: str) -> bool:
    """A boolean of JSON. Raises ValueError where it is anything else."""
    if not isinstance(value, bool):
        raise ValueError(f"{what}: not a boolean")
    return value


def texts(value: Any, what: str) -> tuple[str, ...]:
    """A list of texts; Go writes an empty one as ``null`` as well. Raises ValueError where it is anything else."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError(f"{what}: not a list")
    return tuple(text(item, what) for item in value)


@contextmanager
def parsing(what: str, host: str) -> Iterator[None]:
    """Turn what goes wrong while evidence is read into an EvidenceError that names the place."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as cause:
        detail = f"{cause.args[0]!r} is missing" if isinstance(cause, KeyError) else str(cause)
        raise EvidenceError(f"{f'{host}: ' if host else ''}{what}: {detail}", FailureKind.GARBLED, host) from cause


def parsed(document: str) -> Any:
    """JSON. Raises ValueError, also for what Python's parser takes beyond the standard (NaN)."""
    return json.loads(document, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
