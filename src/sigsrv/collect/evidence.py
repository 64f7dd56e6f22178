"""The raw output of every probe and request on one host, and how it is kept in a folder.

A folder of evidence holds ``evidence.json`` (format, run, one SHA-256 for each host's file) and ``<host>.json`` for each host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sigsrv.model.data import write_private
from sigsrv.model.errors import FailureKind, UsageError

FORMAT = 1
INDEX = "evidence.json"


@dataclass(frozen=True)
class Failure:
    """Why there is no answer. reason: one line for a person."""

    kind: FailureKind
    reason: str


@dataclass(frozen=True)
class Answer:
    """What a probe's command answered. rc is None where it never ran to its end; then ``failure`` says why."""

    command: str
    rc: int | None = None
    stdout: str = ""
    stderr: str = ""
    failure: Failure | None = None


@dataclass(frozen=True)
class ApiAnswer:
    """What the Incus API answered to one URL. status: HTTP; metadata: the answer's ``metadata``, secrets redacted."""

    status: int | None = None
    metadata: Any = None
    failure: Failure | None = None


@dataclass(frozen=True)
class Evidence:
    """All that one host told. collected: seconds since the epoch, from which ages are counted; seconds: how long it took.

    probed: when the probes began and had come back, by the collector's clock, in seconds since the epoch; None where none was run.
    """

    host: str
    collected: float
    seconds: float = 0.0
    failure: Failure | None = None  # the host could not be reached at all
    probes: Mapping[str, Answer] = field(default_factory=dict)
    api: Mapping[str, ApiAnswer] = field(default_factory=dict)
    probed: tuple[float, float] | None = None

    @property
    def failed(self) -> tuple[str, ...]:
        """The probes and URLs without an answer, in order."""
        parts: list[tuple[str, Answer | ApiAnswer]] = [*self.probes.items(), *self.api.items()]
        return tuple(name for name, answer in parts if answer.failure)


def _failure(data: Mapping[str, str] | None) -> Failure | None:
    return Failure(FailureKind(data["kind"]), data["reason"]) if data else None


def _pruned(answer: Answer | ApiAnswer) -> dict[str, Any]:
    """The fields of an answer without those that are empty."""
    data = {key: value for key, value in vars(answer).items() if value not in (None, "")}
    if answer.failure:
        data["failure"] = {"kind": answer.failure.kind.value, "reason": answer.failure.reason}
    return data


def to_json(evidence: Evidence) -> dict[str, Any]:
    """The evidence as its file has it."""
    return {
        "format": FORMAT,
        "host": evidence.host,
        "collected": evidence.collected,
        "seconds": round(evidence.seconds, 3),
        "probed": list(evidence.probed) if evidence.probed else None,
        "failure": {"kind": evidence.failure.kind.value, "reason": evidence.failure.reason}
        if evidence.failure
        else None,
        "probes": {name: _pruned(answer) for name, answer in evidence.probes.items()},
        "api": {url: _pruned(answer) for url, answer in evidence.api.items()},
    }


def from_json(data: Mapping[str, Any]) -> Evidence:
    """Evidence from the content of its file. Raises KeyError, TypeError or ValueError where it is none."""
    return Evidence(
        host=str(data["host"]),
        collected=float(data["collected"]),
        seconds=float(data["seconds"]),
        failure=_failure(data["failure"]),
        probes={
            name: Answer(
                command=answer["command"],
                rc=answer.get("rc"),
                stdout=answer.get("stdout", ""),
                stderr=answer.get("stderr", ""),
                failure=_failure(answer.get("failure")),
            )
            for name, answer in data["probes"].items()
        },
        api={
            url: ApiAnswer(answer.get("status"), answer.get("metadata"), _failure(answer.get("failure")))
            for url, answer in data["api"].items()
        },
        probed=(float(data["probed"][0]), float(data["probed"][1])) if data.get("probed") else None,
    )


def save(folder: Path, run: str, evidences: Mapping[str, Evidence]) -> None:
    """Keep the evidence of one run in ``folder`` (files 0600). Raises UsageError where that can't be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(folder, run, evidences)
    except OSError as cause:
        raise UsageError(f"{folder}: the evidence can't be kept: {cause.strerror}") from cause


def _write(folder: Path, run: str, evidences: Mapping[str, Evidence]) -> None:
    digests = {}
    for host, evidence in evidences.items():
        text = json.dumps(to_json(evidence), indent=1, sort_keys=True, ensure_ascii=True) + "\n"
        name = f"{quote(host, safe='')}.json"
        write_private(folder / name, text)
        digests[host] = {"file": name, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    index = {"format": FORMAT, "run": run, "hosts": digests}
    write_private(folder / INDEX, json.dumps(index, indent=1, sort_keys=True) + "\n")


def load(folder: Path, unverified: bool = False) -> dict[str, Evidence]:
    """The evidence kept in ``folder``, by host. Raises UsageError where it is missing, changed or of a newer format.

    unverified: take files that were changed since they were saved.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["format"] > FORMAT:
            raise UsageError(f"{folder / INDEX}: format {index['format']} is newer than {FORMAT}", "use a newer sigsrv")
        found = {}
        for host, entry in index["hosts"].items():
            path = folder / Path(entry["file"]).name
            text = path.read_text(encoding="utf-8")
            if not unverified and hashlib.sha256(text.encode()).hexdigest() != entry["sha256"]:
                raise UsageError(
                    f"{path}: was changed since it was saved (its SHA-256 is not the one in {INDEX})",
                    "--unverified takes it all the same",
                )
            found[host] = from_json(json.loads(text))
        return found
    except FileNotFoundError as cause:
        raise UsageError(f"{cause.filename}: no such file", "a folder of evidence holds evidence.json") from cause
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as cause:
        raise UsageError(f"{folder}: not a folder of evidence: {type(cause).__name__}: {cause}") from cause
