"""What a check records its findings with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from sigsrv.facts.instances import Instances
from sigsrv.facts.resources import Instance, UnreadInstance
from sigsrv.model.errors import EvidenceError, FailureKind
from sigsrv.model.finding import Finding, Verdict, finding_id, ordered
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site

Check = Callable[[Any, Site, "Require"], None]
C = TypeVar("C", bound=Callable[..., None])
REACHABLE = "HOST-001"  # reports an unreachable host: root of every error there
SERVICE = "HOST-002"  # reports a daemon that is down: root of every error of its API
MEMBERS = "CLUS-006"  # reports a daemon of another member: root of every error of that host
EXEMPTED = "the site exempts it: "  # the reason of an exempted finding begins so


def policy(policy_id: str) -> Callable[[C], C]:
    """Mark a function as the check of a policy.

    The function takes ``facts`` (HostFacts if the policy examines hosts, bridges or pools, else ClusterFacts), ``site`` and ``require``.
    """

    def mark(check: C) -> C:
        check.sigsrv_policy = policy_id  # type: ignore[attr-defined]
        return check

    return mark


def rule_policies(function: C) -> C:
    """Mark the one pytest test that shows all policies with a rule."""
    function.sigsrv_rules = True  # type: ignore[attr-defined]
    return function


def policy_of(check: object) -> str | None:
    """Return the id of the policy that a function checks; None if it is no check."""
    return getattr(check, "sigsrv_policy", None)


class Require:
    """Records the findings of one policy on one host or cluster (the scope): one finding for each resource.

    A method's ``host`` names another host for the finding than the scope's. The site's exemptions are applied here.
    """

    def __init__(self, policy: Policy, site: Site, scope: str, subject: str) -> None:
        self._policy = policy
        self._site = site
        self._scope = scope
        self._subject = subject  # the resource of a finding on the whole scope
        self._nothing = f"nothing to examine: no {policy.examines} here"
        self._found: dict[str, Finding] = {}

    def __call__(
        self,
        resource: str,
        holds: bool,
        *,
        expected: str,
        observed: object,
        reason: str = "",
        host: str | None = None,
        fix: Mapping[str, Any] | None = None,
    ) -> None:
        """Record ``pass`` if the resource complies (``holds``), else ``fail``.

        expected, observed: what the report shows; a list is sorted and joined. reason: one sentence more, for a person. fix: the values
        for the parameters of the policy's remediation.
        """
        exemption = self._site.exemption(self._policy.id, resource)
        verdict = Verdict.PASS if holds else Verdict.FAIL
        if exemption:
            verdict, reason = Verdict.NOT_APPLICABLE, f"{EXEMPTED}{exemption.reason}"
        self._record(resource, verdict, expected, _shown(observed), reason, None, host, fix)

    def not_applicable(
        self, resource: str | None = None, reason: str = "", because: str | None = None, host: str | None = None
    ) -> None:
        """Record that there is nothing to judge. because: the id of the root finding that explains why."""
        self._record(resource or self._subject, Verdict.NOT_APPLICABLE, "", "", reason, because, host, None)

    def unknown(self, resource: str | None, reason: str, because: str | None = None, host: str | None = None) -> None:
        """Record ``error``: the verdict could not be determined. because: the id of the root finding that explains why."""
        self._record(resource or self._subject, Verdict.ERROR, "", "", reason, because, host, None)

    def left_to(self, root: str, resource: str, reason: str, host: str | None = None) -> None:
        """Record ``not-applicable``, because the policy ``root`` reports the cause on the same host and resource."""
        self.not_applicable(resource, reason, finding_id(root, host or self._scope, resource), host)

    def each(self, instances: Instances) -> Iterator[tuple[Instance, str]]:
        """Yield each instance with the name of its host. Record ``error`` for each one that could not be read."""

        def unread(instance: UnreadInstance, cause: EvidenceError) -> None:
            self.unknown(instance.resource, cause.reason, because_of(cause, self._policy.id), cause.host)

        return instances.each(unread)

    def if_nothing(self, reason: str) -> None:
        """Set the reason of the finding ``not-applicable`` that a check gets if it records nothing."""
        self._nothing = reason

    @contextmanager
    def about(self, resource: str, host: str | None = None) -> Iterator[None]:
        """Turn an EvidenceError within the block into ``error`` of this resource alone. The check goes on with the next resource."""
        try:
            yield
        except EvidenceError as cause:
            self.unknown(resource, cause.reason, because_of(cause, self._policy.id), host)

    def _record(
        self,
        resource: str,
        verdict: Verdict,
        expected: str,
        observed: str,
        reason: str,
        because: str | None,
        host: str | None,
        fix: Mapping[str, Any] | None,
    ) -> None:
        policy = self._policy
        finding = Finding(
            policy=policy.id,
            title=policy.title,
            severity=policy.severity,
            host=host or self._scope,
            resource=resource,
            verdict=verdict,
            expected=expected,
            observed=observed,
            reason=reason,
            because=because,
            remediation=policy.remediation if verdict is Verdict.FAIL else None,
            fix=dict(fix or {}),
        )
        # Two verdicts for one resource contradict each other: believe neither.
        if finding.id in self._found and verdict is not Verdict.ERROR:
            text = f"the check recorded {finding.id} twice"
            finding = dataclasses.replace(finding, verdict=Verdict.ERROR, reason=text, because=None, remediation=None)
        self._found[finding.id] = finding

    @property
    def findings(self) -> tuple[Finding, ...]:
        return ordered(self._found.values())

    def run(self, check: Callable[[], None]) -> tuple[Finding, ...]:
        """Run a check and return its findings. An error ends the check; findings that it recorded before remain."""
        try:
            check()
        except EvidenceError as cause:
            self.unknown(None, cause.reason, because_of(cause, self._policy.id))
        except AssertionError as cause:  # a plain assert is a finding on the whole scope
            message = str(cause).split("\n", 1)[0] or "the assertion does not hold"
            self(self._subject, False, expected=self._policy.title, observed=message)
        except Exception as cause:  # a bug in the check is not a verdict
            self.unknown(None, f"the check broke: {type(cause).__name__}: {cause}")
        if not self._found:
            self.not_applicable(reason=self._nothing)
        return self.findings


def _shown(value: object) -> str:
    """Return what was observed as one line. Sets and lists are sorted and joined, so equal states give equal texts."""
    if isinstance(value, set | frozenset | list | tuple):
        return ", ".join(sorted(str(item) for item in value)) or "none"
    return str(value)


def because_of(cause: EvidenceError, judging: str) -> str | None:
    """Return the id of the root finding of an error, or None. judging: the policy that got the error; it is never its own root."""
    roots = {FailureKind.UNREACHABLE: REACHABLE, FailureKind.DOWN: SERVICE, FailureKind.SILENT: SERVICE}
    root = roots.get(cause.kind)
    if cause.kind is FailureKind.WRONG_MEMBER and judging != MEMBERS:
        return finding_id(MEMBERS, "cluster", cause.host)
    return finding_id(root, cause.host, cause.host) if root and root != judging and cause.host else None
