"""Reads evidence strictly: a missing key or another type raises EvidenceError and is never read as an empty answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from sigsrv.collect import documents
from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.collect.refusals import is_refused, refusal_message
from sigsrv.collect.urls import SERVER
from sigsrv.facts import reading
from sigsrv.facts.limits import charged
from sigsrv.model.errors import EvidenceError, FailureKind

T = TypeVar("T")
_OBJECT = (dict, Mapping)  # nearly always a dict; Python asks an abstract class much slower
_TEXTS = frozenset({str})
# The probes that print JSON, which may be one line of many megabytes, and those whose lines end with another character than a line feed.
JSON_PROBES = frozenset({"link", "addr", "zpool-json", "nft", "fdb", "journal", "journal-newest", "backups-on"})
_LINE_ENDS = {"backups": "\0"}
LINE_LENGTH = (
    64 * 1024
)  # characters of a line of any other probe; a group with a thousand members has some ten thousand
_ENDS = ("\n", "\0", "}", "]")  # each command ends its output so; a JSON document ends itself
_MOST, _DIGITS = 2**64, 20  # Linux, ZFS and Incus count with integers of 64 bits, which have at most 20 digits
_FIRST, _LAST = (edge.replace(tzinfo=UTC).timestamp() for edge in (datetime.min, datetime.max.replace(microsecond=0)))


def refuse(failure: Failure, host: str, source: str, command: str = "") -> EvidenceError:
    """Return the EvidenceError for a probe or a URL (source) without an answer. command: shows the problem on the host."""
    again = failure.kind in (FailureKind.TIMEOUT, FailureKind.TOO_LARGE, FailureKind.MISSING, FailureKind.GARBLED)
    hint = f"; to see it: ssh {host} {command}" if command and again else ""
    return EvidenceError(failure.reason + hint, failure.kind, host, source)


def probe(evidence: Evidence, name: str) -> Answer:
    """Return the answer of a probe. Raises EvidenceError if the probe failed or did not run, or if a line is too long to be its answer."""
    reading.note(evidence.host, name)
    if evidence.failure:
        raise EvidenceError(evidence.failure.reason, FailureKind.UNREACHABLE, evidence.host)
    answer = evidence.probes.get(name)
    if answer is None:
        raise EvidenceError(f"{evidence.host}: this evidence has no probe {name}", FailureKind.ABSENT, evidence.host)
    if answer.failure:
        raise refuse(answer.failure, evidence.host, name, answer.command)
    if answer.stdout and not answer.stdout.endswith(_ENDS):
        raise EvidenceError(f"{evidence.host}: probe {name}: the output is cut off", FailureKind.GARBLED, evidence.host)
    if name not in JSON_PROBES and _has_long_line(answer.stdout, _LINE_ENDS.get(name, "\n")):
        reason = f"{evidence.host}: probe {name}: a line has more than {LINE_LENGTH} characters"
        raise refuse(Failure(FailureKind.TOO_LARGE, reason), evidence.host, "", answer.command)
    return answer


def _has_long_line(document: str, end: str) -> bool:
    """Return whether a line has more characters than the limit. It looks for the last end of a line within the limit, again and again."""
    begin = 0
    while len(document) - begin > LINE_LENGTH:
        begin = document.rfind(end, begin, begin + LINE_LENGTH + 1) + 1
        if not begin:
            return True
    return False


def output(evidence: Evidence, name: str) -> str:
    """Return the standard output of a probe. Raises EvidenceError if the probe failed, did not run, or its exit status is not 0."""
    answer = probe(evidence, name)
    if answer.rc != 0:
        raise command_failed(evidence.host, name, answer)
    return answer.stdout


def command_failed(host: str, name: str, answer: Answer) -> EvidenceError:
    """Return the EvidenceError for a probe whose command returned an unexpected exit status."""
    if is_refused(answer.stderr):  # the same account would be refused again, so there is no command to see it
        reason = f"{host}: probe {name}: {refusal_message(answer.stderr)}"
        return EvidenceError(reason, FailureKind.DENIED, host, name if refusal(answer) else "")
    reported = " ".join(answer.stderr.split())[:160]
    reason = f"{host}: probe {name} ended with {answer.rc}: {reported}; to see it: ssh {host} {answer.command}"
    return EvidenceError(reason, FailureKind.GARBLED, host)


def refusal(answer: Answer) -> str:
    """Return what a command reported that the account may not run, as one line; "" if it ran.

    A command that printed something did run: ``df`` and ``find`` report what they may not read beside what they read.
    """
    if answer.failure or answer.rc == 0 or answer.stdout or not is_refused(answer.stderr):
        return ""
    return refusal_message(answer.stderr)


def _unanswered_url(evidence: Evidence, url: str) -> str:
    """Return ``/1.0`` if the daemon did not answer that either: then it answers nothing. Else the URL."""
    server = evidence.api.get(SERVER)
    return SERVER if server and server.failure else url


def api(evidence: Evidence, url: str) -> Any:
    """Return the ``metadata`` of the daemon's answer to a URL. Raises EvidenceError if there is no answer."""
    reading.note(evidence.host, url)
    if evidence.failure:
        raise EvidenceError(evidence.failure.reason, FailureKind.UNREACHABLE, evidence.host)
    answer = evidence.api.get(url)
    if answer is None:
        raise EvidenceError(f"{evidence.host}: this evidence has no answer to {url}", FailureKind.ABSENT, evidence.host)
    if answer.failure:
        raise refuse(answer.failure, evidence.host, _unanswered_url(evidence, url), f"incus query '{url}'")
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
    """Return an integer of 64 bits. Raises ValueError if the value is anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not -_MOST <= value <= _MOST:
        raise ValueError(f"{what}: {str(value)[:40]!r} is not an integer of 64 bits")
    return value


def number(value: str, what: str) -> int:
    """Return a number of 64 bits without a sign, from its decimal digits. Raises ValueError if the value is anything else."""
    digits = value.isascii() and value.isdigit() and len(value) <= _DIGITS
    return integer(int(value) if digits else value, what)


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
    return None if found.year == 1 else instant(found.timestamp(), what)


def instant(seconds: float, what: str) -> float:
    """Return a number of seconds since the epoch. Raises ValueError if no calendar has that time: a report could not show it."""
    if not _FIRST <= seconds <= _LAST:
        raise ValueError(f"{what}: {str(seconds)[:40]} is not a time")
    return seconds


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
    """Turn an error in the block into an EvidenceError that names the host and what was read.

    The time of the block is limited, see ``limits``. Without a host, it counts for the block around.
    """
    try:
        if host:
            with charged(host, what):
                yield
        else:
            yield
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, ArithmeticError) as cause:
        detail = f"{cause.args[0]!r} is missing" if isinstance(cause, KeyError) else str(cause)
        raise EvidenceError(f"{f'{host}: ' if host else ''}{what}: {detail}", FailureKind.GARBLED, host) from cause


def parsed(document: str) -> Any:
    """Parse JSON. Raises ValueError, also for what Python's parser accepts against the standard, and beyond the limits of ``documents``."""
    return documents.parsed(document)
