"""What a scan found; findings of one scan are a run.

Plain frozen dataclasses, no I/O.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from sigsrv.model.errors import UsageError

SCHEMA_VERSION = 1
_SAFE = "._:-"  # beside letters and digits: what of an id can be pasted into a shell as it is
_ALWAYS_QUOTED = str.maketrans({"~": "%7E"})  # quote() leaves it alone, a shell does not


class Verdict(StrEnum):
    """What was found. ``error`` is "could not be determined": it is never a pass."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    WAIVED = "waived"
    NOT_APPLICABLE = "not-applicable"
    ERROR = "error"


class Severity(StrEnum):
    """From the worst to the mildest."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def _part(text: str) -> str:
    return quote(text, safe=_SAFE).translate(_ALWAYS_QUOTED)


def finding_id(policy: str, host: str, resource: str) -> str:
    """``POLICY@HOST/RESOURCE``, safe in a shell; a slash parts the segments of a resource.

    >>> finding_id("INST-001", "minisrv", "default/web 1")
    'INST-001@minisrv/default/web%201'
    """
    return f"{policy}@{_part(host)}/{'/'.join(_part(segment) for segment in resource.split('/'))}"


def parse_finding_id(text: str) -> tuple[str, str, str]:
    """The policy, host and resource of a finding's id. Raises UsageError where it is none."""
    policy, at, rest = text.partition("@")
    host, slash, resource = rest.partition("/")
    if not (policy and at and host and slash and resource):
        raise UsageError(
            f'"{text}" is not the id of a finding', "POLICY@HOST/RESOURCE, for example NET-001@minisrv/sigsrvbr0"
        )
    return policy, unquote(host), unquote(resource)


def rfc3339(when: datetime) -> str:
    """A time of UTC as RFC 3339 writes it, with ``Z``."""
    return when.isoformat().replace("+00:00", "Z")


def timestamp(seconds: float) -> str:
    """A time as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_run_id(now: float) -> str:
    """The id of a run: its time, and a word so that two of one second differ."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{os.urandom(2).hex()}"


@dataclass(frozen=True)
class Waiver:
    """A failure that a named person accepts, for a reason, until a time. policy, host, resource: exact, or a glob.

    until: the first moment at which it no longer counts; created: when it was written, where that is known. Both in UTC.
    source: ``FILE:LINE``.
    """

    policy: str
    host: str
    resource: str
    owner: str
    reason: str
    until: datetime
    created: datetime | None
    source: str

    @property
    def parts(self) -> tuple[str, str, str]:
        return self.policy, self.host, self.resource

    @property
    def concerns(self) -> str:
        """Which findings it is of, like a finding's id; the parts are not quoted, for they may be globs."""
        return f"{self.policy}@{self.host}/{self.resource}"


class WaiverState(StrEnum):
    """What became of a waiver in a run."""

    ACTIVE = "active"
    EXPIRING = "expiring"  # it ends soon
    EXPIRED = "expired"  # what it matches fails again
    STALE = "stale"  # no longer needed: nothing that it matches fails, and all that it could match was judged


@dataclass(frozen=True)
class WaiverUse:
    """A waiver in a run. findings: the ids of the failures that it matches."""

    waiver: Waiver
    state: WaiverState
    findings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The waiver as ``findings.json`` has it."""
        waiver = self.waiver
        return {
            "policy": waiver.policy,
            "host": waiver.host,
            "resource": waiver.resource,
            "owner": waiver.owner,
            "reason": waiver.reason,
            "until": rfc3339(waiver.until),
            "created": rfc3339(waiver.created) if waiver.created else None,
            "source": waiver.source,
            "state": self.state.value,
            "findings": list(self.findings),
        }


@dataclass(frozen=True)
class Finding:
    """One policy on one resource. ``fix`` holds the values that its remediation's scripts need; it is not exported.

    waiver: who accepts it, where the verdict is ``waived``; expected, observed and reason then say what fails.
    """

    policy: str
    title: str
    severity: Severity
    host: str
    resource: str
    verdict: Verdict
    expected: str
    observed: str
    reason: str = ""
    because: str | None = None
    remediation: str | None = None
    fix: Mapping[str, Any] = field(default_factory=dict, compare=False)
    waiver: Waiver | None = None

    @cached_property
    def id(self) -> str:
        return finding_id(self.policy, self.host, self.resource)

    def as_dict(self) -> dict[str, Any]:
        """The finding as ``findings.json`` has it."""
        accepted = self.waiver
        return {
            "id": self.id,
            "policy": self.policy,
            "title": self.title,
            "severity": self.severity.value,
            "host": self.host,
            "resource": self.resource,
            "verdict": self.verdict.value,
            "expected": self.expected,
            "observed": self.observed,
            "reason": self.reason,
            "because": self.because,
            "remediation": self.remediation,
            "waiver": {
                "owner": accepted.owner,
                "reason": accepted.reason,
                "until": rfc3339(accepted.until),
                "source": accepted.source,
            }
            if accepted
            else None,
        }


@dataclass(frozen=True)
class HostState:
    """How the collection on one host went. state: ``ok``, ``partial`` (some probe failed) or ``unreachable``."""

    name: str
    state: str
    seconds: float
    probes: int
    failed_probes: tuple[str, ...]
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.state,
            "seconds": round(self.seconds, 3),
            "probes": self.probes,
            "failed_probes": list(self.failed_probes),
        }


@dataclass(frozen=True)
class Run:
    """One scan of some hosts at one time. started, finished: RFC 3339 in UTC. Findings are sorted, their ids unique.

    selected: what a part of the catalogue it has the findings of, in words; "" where of all.
    waivers: all of the file, in its order.
    """

    id: str
    started: str
    finished: str
    version: str
    site: str
    hosts: tuple[HostState, ...]
    findings: tuple[Finding, ...]
    selected: str = ""
    waivers: tuple[WaiverUse, ...] = ()

    @property
    def warnings(self) -> tuple[WaiverUse, ...]:
        """The waivers that somebody must look at: those that end soon, have ended, or are no longer needed."""
        return tuple(use for use in self.waivers if use.state is not WaiverState.ACTIVE)

    @property
    def summary(self) -> dict[str, int]:
        """The number of findings of each verdict."""
        return {verdict.value: sum(f.verdict is verdict for f in self.findings) for verdict in Verdict}

    @property
    def is_judged(self) -> bool:
        """Whether anything was held against a policy at all: a run in which everything is not applicable proves nothing."""
        return any(finding.verdict is not Verdict.NOT_APPLICABLE for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 compliant, 1 findings, 3 something could not be determined, or nothing was judged at all (wins over 1)."""
        if self.summary["error"] or not self.is_judged or any(host.state != "ok" for host in self.hosts):
            return 3
        return 1 if self.summary["fail"] else 0

    def as_dict(self) -> dict[str, Any]:
        """The run as ``findings.json`` has it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "run": {
                "id": self.id,
                "started": self.started,
                "finished": self.finished,
                "version": self.version,
                "site": self.site,
                "selected": self.selected or None,
                "hosts": [host.as_dict() for host in self.hosts],
            },
            "summary": self.summary,
            "findings": [finding.as_dict() for finding in self.findings],
            "waivers": [use.as_dict() for use in self.waivers],
        }


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings in the order of their ids: equal between equal runs."""
    return tuple(sorted(findings, key=lambda finding: finding.id))
