"""finding: what a scan found; findings of one scan are a run.

Room: the model. Plain frozen dataclasses, no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote

from sigsrv.errors import UsageError

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


@dataclass(frozen=True)
class Finding:
    """One policy on one resource. ``fix`` holds the values that its remediation's scripts need; it is not exported."""

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

    @property
    def id(self) -> str:
        return finding_id(self.policy, self.host, self.resource)

    def as_dict(self) -> dict[str, Any]:
        """The finding as ``findings.json`` has it."""
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
    """

    id: str
    started: str
    finished: str
    version: str
    site: str
    hosts: tuple[HostState, ...]
    findings: tuple[Finding, ...]
    selected: str = ""

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
        }


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings in the order of their ids: equal between equal runs."""
    return tuple(sorted(findings, key=lambda finding: finding.id))
