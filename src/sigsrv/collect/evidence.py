"""The raw output of every probe and request on one host, and how it is stored in a folder.

An evidence folder contains ``evidence.json`` (format, run, the SHA-256 of each host's file) and ``<host>.json`` per host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sigsrv.model import textfile
from sigsrv.model.data import write_private
from sigsrv.model.errors import FailureKind, UsageError

FORMAT = 1
INDEX = "evidence.json"
_NO_YEAR = 253_402_300_800  # the first second of the year 10000
_LIMIT_BYTES = 2**30  # of one file: a scan keeps less than 200 MiB of a host, which may be a few times as long in JSON
EXPIRED = "the host's timeout expired"  # the reason of what was not asked any more has these words


@dataclass(frozen=True)
class Failure:
    """Why there is no answer. reason: one line for the user."""

    kind: FailureKind
    reason: str


@dataclass(frozen=True)
class Answer:
    """The answer of a probe's command. rc: None if the command did not finish; then ``failure`` says why."""

    command: str
    rc: int | None = None
    stdout: str = ""
    stderr: str = ""
    failure: Failure | None = None


@dataclass(frozen=True)
class ApiAnswer:
    """The answer of the Incus API to one URL. status: HTTP status. metadata: the answer's ``metadata``, with secrets redacted."""

    status: int | None = None
    metadata: Any = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Evidence:
    """All answers of one host.

    collected: seconds since the epoch; ages are relative to it. seconds: duration of the collection.
    probed: start and end of the probes on the collector's clock, in seconds since the epoch; None if no probe ran.
    """

    host: str
    collected: float
    seconds: float = 0.0
    failure: Failure | None = None  # set if the host could not be reached at all
    probes: Mapping[str, Answer] = field(default_factory=dict)
    api: Mapping[str, ApiAnswer] = field(default_factory=dict)
    probed: tuple[float, float] | None = None


def _failure(data: Mapping[str, str] | None) -> Failure | None:
    return Failure(FailureKind(data["kind"]), data["reason"]) if data else None


def _without_empty(answer: Answer | ApiAnswer) -> dict[str, Any]:
    """Return the fields of an answer that are not empty."""
    data = {key: value for key, value in vars(answer).items() if value not in (None, "")}
    if answer.failure:
        data["failure"] = {"kind": answer.failure.kind.value, "reason": answer.failure.reason}
    return data


def to_json(evidence: Evidence) -> dict[str, Any]:
    """Return evidence in the format of its file."""
    return {
        "format": FORMAT,
        "host": evidence.host,
        "collected": evidence.collected,
        "seconds": round(evidence.seconds, 3),
        "probed": list(evidence.probed) if evidence.probed else None,
        "failure": {"kind": evidence.failure.kind.value, "reason": evidence.failure.reason}
        if evidence.failure
        else None,
        "probes": {name: _without_empty(answer) for name, answer in evidence.probes.items()},
        "api": {url: _without_empty(answer) for url, answer in evidence.api.items()},
    }


def from_json(data: Mapping[str, Any]) -> Evidence:
    """Return evidence from the content of its file. Raises KeyError, TypeError or ValueError for other content."""
    return Evidence(
        host=str(data["host"]),
        collected=_time(data["collected"]),
        seconds=_time(data["seconds"]),
        failure=_failure(data["failure"]),
        probes={
            name: Answer(
                command=_of_type(answer["command"], str),
                rc=_of_type(answer.get("rc"), int | None),
                stdout=_of_type(answer.get("stdout", ""), str),
                stderr=_of_type(answer.get("stderr", ""), str),
                failure=_failure(answer.get("failure")),
            )
            for name, answer in data["probes"].items()
        },
        api={
            url: ApiAnswer(
                _of_type(answer.get("status"), int | None), answer.get("metadata"), _failure(answer.get("failure"))
            )
            for url, answer in data["api"].items()
        },
        probed=(_time(data["probed"][0]), _time(data["probed"][1])) if data.get("probed") else None,
    )


def _of_type(value: Any, wanted: Any) -> Any:
    if not isinstance(value, wanted):
        raise TypeError(f"{type(value).__name__} in place of {wanted}")
    return value


def _time(value: Any) -> float:
    """Return seconds since the epoch. Raises ValueError for a time that no clock shows, such as NaN."""
    found = float(value)
    if not 0 <= found < _NO_YEAR:
        raise ValueError(f"{found} is not a time")
    return found


def save(folder: Path, run: str, evidences: Mapping[str, Evidence]) -> None:
    """Save the evidence of one run in ``folder`` (files with mode 0600). Raises UsageError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(folder, run, evidences)
    except OSError as cause:
        raise UsageError(f"{folder}: can't save the evidence: {cause.strerror}") from cause


def _write(folder: Path, run: str, evidences: Mapping[str, Evidence]) -> None:
    digests = {}
    for host, evidence in evidences.items():
        text = json.dumps(to_json(evidence), indent=1, sort_keys=True, ensure_ascii=True) + "\n"
        name = f"{quote(host, safe='')}.json"
        write_private(folder / name, text)
        digests[host] = {"file": name, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    index = {"format": FORMAT, "run": run, "hosts": digests}
    write_private(folder / INDEX, json.dumps(index, indent=1, sort_keys=True) + "\n")


def _check_format(path: Path, found: Any) -> None:
    if found == FORMAT and not isinstance(found, bool):
        return
    newer = isinstance(found, int) and found > FORMAT
    raise UsageError(
        f"{path}: format {found!r} is {'newer than' if newer else 'not'} the one that this sigsrv reads: {FORMAT}",
        "upgrade sigsrv" if newer else "save the evidence again: sigsrv scan --save DIR",
    )


def load(folder: Path, unverified: bool = False) -> dict[str, Evidence]:
    """Return the evidence in ``folder``, by host. unverified: accept files that changed after they were saved.

    Raises UsageError if evidence is missing, changed or of another format.
    """
    if not (folder / INDEX).exists():
        raise UsageError(f"{folder / INDEX}: no such file", "an evidence folder contains evidence.json")
    try:
        index = textfile.read_json(folder / INDEX, _LIMIT_BYTES)
        _check_format(folder / INDEX, index["format"])
        found = {}
        for host, entry in index["hosts"].items():
            path = folder / Path(entry["file"]).name
            text = textfile.read(path, _LIMIT_BYTES)
            if not unverified and hashlib.sha256(text.encode()).hexdigest() != entry["sha256"]:
                raise UsageError(
                    f"{path}: changed since it was saved (SHA-256 differs from {INDEX})",
                    "--unverified reads it anyway",
                )
            content = textfile.parse_json(text, path)
            _check_format(path, content["format"])
            found[host] = from_json(content)
        return found
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise UsageError(f"{folder}: not an evidence folder: {type(cause).__name__}: {cause}") from cause
