"""Findings, waivers and runs. A run is all findings of one scan.

Dataclasses that nothing changes, no I/O.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from sigsrv.model.errors import UsageError
from sigsrv.model.notice import Notice

if TYPE_CHECKING:
    from sigsrv.model.lasting import Known  # imports the reader of YAML

SCHEMA_VERSION = 1
_SAFE = "._:/-"  # besides letters and digits, these are safe to paste into a shell
_UNSAFE = re.compile(rf"[^A-Za-z0-9{_SAFE}]")
_ALWAYS_QUOTED = str.maketrans({"~": "%7E"})  # quote() keeps it, but a shell expands it


class Verdict(StrEnum):
    """The result of a policy on a resource. ``error`` means that it could not be determined. It is never a pass."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    WAIVED = "waived"
    NOT_APPLICABLE = "not-applicable"
    ERROR = "error"


class Severity(StrEnum):
    """Severities, from the highest to the lowest."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@lru_cache(maxsize=1 << 16)  # the same resource is in the findings of many policies
def _quoted(text: str) -> str:
    """Quote a text for a shell, but not its slashes."""
    return quote(text, safe=_SAFE, errors="surrogatepass").translate(_ALWAYS_QUOTED) if _UNSAFE.search(text) else text


def finding_id(policy: str, host: str, resource: str) -> str:
    """Return ``POLICY@HOST/RESOURCE``, safe in a shell. Slashes separate the segments of a resource.

    >>> finding_id("INST-001", "minisrv", "default/web 1")
    'INST-001@minisrv/default/web%201'
    """
    return f"{policy}@{_quoted(host).replace('/', '%2F')}/{_quoted(resource)}"


def parse_finding_id(text: str) -> tuple[str, str, str]:
    """Return the policy, host and resource of a finding id. Raises UsageError if ``text`` is not a finding id."""
    policy, at, rest = text.partition("@")
    host, slash, resource = rest.partition("/")
    if not (policy and at and host and slash and resource):
        raise UsageError(
            f'"{text}" is not a finding id', "use POLICY@HOST/RESOURCE, for example NET-001@minisrv/sigsrvbr0"
        )
    return policy, unquote(host), unquote(resource)


def rfc3339(when: datetime) -> str:
    """Return a UTC time in RFC 3339 format, with ``Z``."""
    return when.isoformat().replace("+00:00", "Z")


def timestamp(seconds: float) -> str:
    """Return a time in RFC 3339 format, in UTC, without fractions. seconds: since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Waiver:
    """An accepted failure: a named owner accepts it, for a reason, until a time.

    policy, host, resource: exact names or globs. until: from this moment on the waiver no longer applies.
    created: when the waiver was written, if known. Both times are in UTC. source: ``FILE:LINE``.
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
    def target(self) -> str:
        """Return the findings that the waiver matches, like a finding id. The parts are not quoted, because they may be globs."""
        return f"{self.policy}@{self.host}/{self.resource}"


class WaiverState(StrEnum):
    """The state of a waiver in a run."""

    ACTIVE = "active"
    EXPIRING = "expiring"  # ends soon
    EXPIRED = "expired"  # has ended: the findings that it matches fail again
    STALE = "stale"  # not needed: no matching finding fails, and everything that it could match was evaluated


@dataclass(frozen=True)
class WaiverUse:
    """A waiver in a run. findings: the ids of the failures that it matches."""

    waiver: Waiver
    state: WaiverState
    findings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the waiver in the format of ``findings.json``."""
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


@dataclass(slots=True, unsafe_hash=True)
class Finding:
    """The result of one policy on one resource.

    Nothing changes a finding; ``dataclasses.replace`` makes another one. It is not frozen, because that doubles the time to make one.

    fix: the values that the scripts of its remediation need. They are not exported. waiver: set if the verdict is ``waived``;
    then expected, observed and reason describe the failure. own: set if the verdict is ``not-applicable`` because other findings report the
    cause: the finding that counts if one of them does not. roots: the ids of these findings; ``because`` is the first one. Of an ``error``:
    the findings that may report the cause. own and roots are not exported. hints: commands that show the cause of an ``error`` or put it
    right. stands_on: the probes and the paths of the Incus API that were read for it. known: what was read of the objects that its fix
    changes, for the permanent fix; not exported.
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
    own: Finding | None = field(default=None, compare=False, repr=False)
    roots: tuple[str, ...] = field(default=(), compare=False, repr=False)
    stands_on: tuple[str, ...] = field(default=(), compare=False)
    hints: tuple[str, ...] = ()
    known: Known | None = field(default=None, compare=False, repr=False)
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        self.id = finding_id(self.policy, self.host, self.resource)

    def as_dict(self) -> dict[str, Any]:
        """Return the finding in the format of ``findings.json``."""
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
            "hints": list(self.hints),
            "stands_on": list(self.stands_on),
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
class LeftOut:
    """Resources that a policy does not concern, with the reason. scope: the host or the cluster that they are on. count: how many."""

    policy: str
    scope: str
    reason: str
    count: int

    def as_dict(self) -> dict[str, Any]:
        """Return it in the format of ``findings.json``."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class HostState:
    """The result of the collection on one host.

    state: ``ok``, ``limited`` (sudo refused at least one command, and everything else was answered), ``partial`` (at least one probe or
    request failed) or ``unreachable``. failed_probes: what was not answered.
    """

    name: str
    state: str
    seconds: float
    probes: int
    failed_probes: tuple[str, ...]
    reason: str = ""

    @property
    def was_read(self) -> bool:
        """Return whether all was answered but what the account may not run. Findings that need that are errors by themselves."""
        return self.state in ("ok", "limited")

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
    """One scan of some hosts at one time. started, finished: RFC 3339 in UTC.

    findings: sorted, with unique ids. selected: a description of the selected part of the policies and hosts; "" if all of them.
    site_file: its absolute path; "" if there is none. evidence: the folder of the saved evidence, or ``demo``; "" for live hosts.
    waivers: all waivers of the file, in its order. left_out: what the policies do not concern. notices: what the run says once.
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
    left_out: tuple[LeftOut, ...] = ()
    site_file: str = ""
    evidence: str = ""
    notices: tuple[Notice, ...] = ()

    @property
    def warnings(self) -> tuple[WaiverUse, ...]:
        """Return the waivers that need attention: expiring, expired or stale."""
        return tuple(use for use in self.waivers if use.state is not WaiverState.ACTIVE)

    @property
    def summary(self) -> dict[str, int]:
        """Return the number of findings of each verdict."""
        return {verdict.value: sum(f.verdict is verdict for f in self.findings) for verdict in Verdict}

    @property
    def is_judged(self) -> bool:
        """Return whether any finding is applicable. A run in which every finding is not-applicable proves nothing."""
        return any(finding.verdict is not Verdict.NOT_APPLICABLE for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """Return the exit code: 0 compliant, 1 findings, 3 incomplete.

        3 means that something could not be determined or that nothing was evaluated. It takes precedence over 1.
        """
        if self.summary["error"] or not self.is_judged or not all(host.was_read for host in self.hosts):
            return 3
        return 1 if self.summary["fail"] else 0

    def as_dict(self) -> dict[str, Any]:
        """Return the run in the format of ``findings.json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "run": {
                "id": self.id,
                "started": self.started,
                "finished": self.finished,
                "version": self.version,
                "site": self.site,
                "site_file": self.site_file or None,
                "complete": not self.selected,
                "selected": self.selected or None,
                "evidence": self.evidence or None,
                "hosts": [host.as_dict() for host in self.hosts],
            },
            "summary": self.summary,
            "findings": [finding.as_dict() for finding in self.findings],
            "left_out": [each.as_dict() for each in self.left_out],
            "waivers": [use.as_dict() for use in self.waivers],
            "notices": [each.as_dict() for each in self.notices],
        }


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings sorted by id, the same for equal runs."""
    return tuple(sorted(findings, key=attrgetter("id")))
