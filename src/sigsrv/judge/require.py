"""What a check records its findings with."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MappingProxyType, TracebackType
from typing import Any, TypeVar

from sigsrv.collect.urls import SERVER
from sigsrv.facts.instances import Instances
from sigsrv.facts.reading import recording
from sigsrv.facts.resources import Instance, UnreadInstance
from sigsrv.judge.clauses import NO_LOGIN, Clauses, Outcome
from sigsrv.judge.recording import Recorder
from sigsrv.model import names
from sigsrv.model.errors import EvidenceError, FailureKind
from sigsrv.model.finding import Finding, Verdict, finding_id, ordered
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site

Check = Callable[[Any, Site, "Require"], None]
C = TypeVar("C", bound=Callable[..., None])
REACHABLE = "HOST-001"  # reports an unreachable host: root of every error there
JOURNAL = "HOST-003"  # counts the errors that the daemon wrote: an outage and a start leave some
SERVICE = "HOST-002"  # reports a daemon that is down: root of every error of its API
ANSWERS = "HOST-011"  # reports what a host that answers does not answer: root of every error of such a probe or request
NEVER_FAIL = frozenset({REACHABLE, ANSWERS})  # what they report is always an error
MEMBERS = "CLUS-006"  # reports a daemon of another member: root of every error of that host
BROKE = "the check broke: "  # the reason of an error that a bug in a check causes begins so
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


_NO_FIX: Mapping[str, Any] = MappingProxyType({})


class _OpenFinding(Clauses):
    """The clauses of one finding, and the block that records it. A class and not a generator: a scan enters hundreds of thousands."""

    __slots__ = ("_block", "_host", "_require", "_resource")

    def __init__(
        self, require: Require, block: recording, resource: str, host: str | None, expected: str, otherwise: str
    ) -> None:
        super().__init__(require.because_of, expected, otherwise)
        self._require, self._block, self._resource, self._host = require, block, resource, host

    def __enter__(self) -> Clauses:
        self._block.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, cause: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._block.__exit__()
        if isinstance(cause, EvidenceError):
            self.caught(cause)
        elif cause is not None:
            return False
        self._require.close(self, self._resource, self._host)
        return True


class Require:
    """Records the findings of one policy on one host or cluster (the scope): one finding for each resource.

    A method's ``host`` names another host for the finding than the scope's. The site's exemptions are applied here.
    """

    def __init__(self, policy: Policy, site: Site, scope: str, subject: str) -> None:
        self._policy = policy
        self._site = site
        self._scope = scope
        self.subject = subject
        """The resource of a finding on the whole scope."""
        self._has_exemptions = bool(site.exempt.get(policy.id))
        self._nothing = ""
        self._found: dict[str, Finding] = {}
        self.left_out: dict[str, str] = {}
        """The resources that the policy does not concern, each with the reason."""
        self.others_left_out = ""
        """Why the policy concerns no resource that the check does not name; empty if it does."""
        self._recorder = Recorder()

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
        root: str | None = None,
    ) -> None:
        """Record ``pass`` if the resource complies (``holds``), else ``fail``.

        expected, observed: what the report shows; a list is sorted and joined. reason: one sentence more, for a person. fix: the values
        for the parameters of the policy's remediation. root: the id of the finding that reports the cause of a failure; this one is then
        ``not-applicable`` because of it. For a finding of several parts see ``finding``.
        """
        text = _shown(observed)
        if holds:
            outcome = Outcome(Verdict.PASS, text, reason)
        else:
            outcome = Outcome(Verdict.FAIL, text, reason, roots=(root,) if root else (), left=text)
        self._decide(outcome, resource, expected, host, fix)

    def finding(
        self, resource: str, expected: str, *, host: str | None = None, otherwise: str = ""
    ) -> AbstractContextManager[Clauses]:
        """Return a context manager: it gives the clauses of one finding, and records the finding at the end of the block.

        One violated clause makes it ``fail``, else one unknown clause makes it ``error``. An EvidenceError in the block is an unknown
        clause; ``with finding.clause()`` limits it to a part of the block. otherwise: what a pass shows if its clauses show nothing;
        also needed if the check records violated clauses only.
        """
        return _OpenFinding(self, self._recorder.block(resource), resource, host, expected, otherwise)

    def because_of(self, cause: EvidenceError) -> str | None:
        """Return the id of the root finding of an error; None if there is none."""
        return because_of(cause, self._policy.id)

    def close(self, clauses: Clauses, resource: str, host: str | None) -> None:
        """Record the finding of some clauses. ``finding`` does it at the end of its block."""
        if not clauses.is_empty:
            self._decide(clauses.outcome(), resource, clauses.expected, host, clauses.fix)
        elif finding_id(self._policy.id, host or self._scope, resource) not in self._found:
            self.unknown(resource, "the check recorded nothing about it", host=host)

    def _decide(
        self, outcome: Outcome, resource: str, expected: str, host: str | None, fix: Mapping[str, Any] | None
    ) -> None:
        """Record an outcome. An exemption of the site covers a pass and a failure, never an error."""
        if outcome.on:
            resource, host = outcome.on, None if outcome.on == self.subject else host
        judged = outcome.verdict is Verdict.PASS or outcome.verdict is Verdict.FAIL
        found = self._make(outcome, resource, host, expected, fix) if judged else self._make(outcome, resource, host)
        exemption = self._site.exemption(self._policy.id, resource) if judged and self._has_exemptions else None
        if exemption:
            reason = f"{EXEMPTED}{exemption.reason}"
            found = dataclasses.replace(found, verdict=Verdict.NOT_APPLICABLE, reason=reason, remediation=None)
        elif outcome.roots and judged:
            left = self._make(Outcome(Verdict.NOT_APPLICABLE, "", outcome.left, outcome.roots[0]), resource, host)
            found = dataclasses.replace(left, own=found, roots=outcome.roots)
        self._keep(found)

    def not_applicable(
        self, resource: str | None = None, reason: str = "", because: str | None = None, host: str | None = None
    ) -> None:
        """Record that there is nothing to judge. because: the id of the root finding that explains why."""
        outcome = Outcome(Verdict.NOT_APPLICABLE, "", reason, because)
        self._keep(self._make(outcome, resource or self.subject, host))

    def unknown(
        self,
        resource: str | None,
        reason: str,
        because: str | None = None,
        host: str | None = None,
        observed: str = "",
    ) -> None:
        """Record ``error``: the verdict could not be determined. because: the id of the root finding that explains why."""
        self._keep(self._make(Outcome(Verdict.ERROR, observed, reason, because), resource or self.subject, host))

    def left_to(self, root: str, resource: str, reason: str, host: str | None = None) -> None:
        """Record ``not-applicable``, because the policy ``root`` reports the cause on the same host and resource."""
        self.not_applicable(resource, reason, finding_id(root, host or self._scope, resource), host)

    def each(self, instances: Instances) -> Iterator[tuple[Instance, str]]:
        """Yield each instance with the name of its host. Record ``error`` for each one that could not be read."""

        def unread(instance: UnreadInstance, cause: EvidenceError) -> None:
            self.unknown(instance.resource, cause.reason, because_of(cause, self._policy.id), cause.host)

        return instances.each(unread)

    def leave_out(self, resource: str, reason: str) -> None:
        """Record that the policy does not concern a resource of the kind that it examines. The run lists how many, and why."""
        self.left_out[resource] = reason

    def leave_out_others(self, reason: str) -> None:
        """Leave out every resource that the check neither judges nor leaves out itself."""
        self.others_left_out = reason

    def if_nothing(self, reason: str) -> None:
        """Set the reason of the finding ``not-applicable`` that a check gets if it records nothing."""
        self._nothing = reason

    @contextmanager
    def about(self, resource: str, host: str | None = None) -> Iterator[None]:
        """Turn an EvidenceError within the block into ``error`` of this resource alone. The check goes on with the next resource.

        resource: ``subject`` for a part of the check that reads several resources. What it reads counts for all findings.
        """
        with nullcontext() if resource == self.subject else self._recorder.block(resource):
            try:
                yield
            except EvidenceError as cause:
                self.unknown(resource, cause.reason, because_of(cause, self._policy.id), host)

    def _make(
        self,
        outcome: Outcome,
        resource: str,
        host: str | None,
        expected: str = "",
        fix: Mapping[str, Any] | None = None,
    ) -> Finding:
        policy = self._policy
        return Finding(
            policy=policy.id,
            title=policy.title,
            severity=policy.severity,
            host=host or self._scope,
            resource=resource,
            verdict=outcome.verdict,
            expected=expected,
            observed=outcome.observed,
            reason=outcome.reason,
            hints=outcome.hints,
            because=outcome.because,
            roots=outcome.roots if outcome.verdict is Verdict.ERROR else (),
            remediation=policy.remediation if outcome.verdict is Verdict.FAIL else None,
            fix=dict(fix) if fix else _NO_FIX,
            stands_on=self._recorder.sources(resource),
        )

    def _keep(self, finding: Finding) -> None:
        """Keep a finding. Two verdicts for one resource contradict each other, so neither counts.

        A failure outlasts a later error. Of several errors, the first one is kept. Nothing is believed of a resource whose name has a
        control character, and no script may get it.
        """
        if found := names.bad_character(finding.resource):
            finding = _disbelieved(finding, f"its name has the character {found}, which no name has")
        before = self._found.get(finding.id)
        if before is not None and finding.verdict is not Verdict.ERROR:
            text = f"the check recorded {finding.id} twice"
            finding = dataclasses.replace(
                finding, verdict=Verdict.ERROR, reason=text, because=None, remediation=None, own=None, roots=()
            )
        elif before is not None and before.verdict is Verdict.FAIL:
            finding = dataclasses.replace(before, reason=added(before.reason, f"unknown: {finding.reason}"))
        elif before is not None and before.verdict is Verdict.ERROR and before.because != NO_LOGIN:
            return
        self._found[finding.id] = finding

    def disbelieve(self, refused: Mapping[str, str]) -> None:
        """Make each finding on a resource ``error`` whose name it can't have. refused: the resources, each with the reason."""
        for key, finding in self._found.items():
            if wrong := refused.get(finding.resource):
                self._found[key] = _disbelieved(finding, wrong)

    def doubt(self, key: str, reason: str) -> None:
        """Make a pass ``error``, because something may change what was judged. A failure stays, and its reason says what is unknown."""
        found = self._found[key]
        if found.verdict is Verdict.PASS:
            self._found[key] = _disbelieved(found, reason)
        else:
            self._found[key] = dataclasses.replace(found, reason=added(found.reason, f"unknown: {reason}"))

    @property
    def recorded(self) -> Collection[Finding]:
        """Return the findings, in the order in which the check recorded them."""
        return self._found.values()

    @property
    def findings(self) -> tuple[Finding, ...]:
        return ordered(map(_without_login, self._found.values()))

    def findings_or_nothing(self) -> tuple[Finding, ...]:
        """Return the findings, in no order. If there is none, record ``not-applicable`` with the reason why nothing was judged."""
        if not self._found:
            self.not_applicable(reason=self._nothing or self._why_nothing())
        return tuple(map(_without_login, self._found.values()))

    def _why_nothing(self) -> str:
        kind = self._policy.examines
        if not self.left_out:
            return f"nothing to examine: no {kind} here"
        reasons = Counter(self.left_out.values()).most_common()
        return f"nothing to examine: {'; '.join(f'{count} left out: {reason}' for reason, count in reasons)}"

    def run(self, check: Callable[[], None]) -> None:
        """Run a check. An error ends it; findings that it recorded before remain."""
        try:
            with self._recorder.policy():
                check()
        except EvidenceError as cause:
            self.unknown(None, cause.reason, because_of(cause, self._policy.id))
        except AssertionError as cause:  # a plain assert is a finding on the whole scope
            message = str(cause).split("\n", 1)[0] or "the assertion does not hold"
            self(self.subject, False, expected=self._policy.title, observed=message)
        except Exception as cause:  # a bug in the check is not a verdict
            self.unknown(None, f"{BROKE}{type(cause).__name__}: {cause}")


def _without_login(finding: Finding) -> Finding:
    """Return a finding; ``not-applicable`` if it is unknown only because the site file lets nobody log in."""
    if finding.because != NO_LOGIN:
        return finding
    return dataclasses.replace(
        finding, verdict=Verdict.NOT_APPLICABLE, reason=f"{NO_LOGIN}{finding.reason}", because=None, observed=""
    )


def added(reason: str, more: str) -> str:
    """Return a reason with one sentence more, unless it is there already."""
    if more in reason:
        return reason
    return f"{reason}; {more}" if reason else more


def _shown(value: object) -> str:
    """Return what was observed as one line. Sets and lists are sorted and joined, so equal states give equal texts."""
    if isinstance(value, str):  # nearly always
        return value
    if isinstance(value, set | frozenset | list | tuple):
        return ", ".join(sorted(str(item) for item in value)) or "none"
    return str(value)


def _disbelieved(finding: Finding, reason: str) -> Finding:
    """Return a finding as an error without a fix."""
    return dataclasses.replace(
        finding,
        verdict=Verdict.ERROR,
        reason=reason,
        because=None,
        remediation=None,
        fix=_NO_FIX,
        own=None,
        roots=(),
    )


def because_of(cause: EvidenceError, judging: str) -> str | None:
    """Return the id of the root finding of an error, or None. judging: the policy that got the error; it is never its own root.

    ``NO_LOGIN`` stands for a host to which the site file lets nobody log in: then there is nothing to judge, and the run says so once.
    """
    if cause.kind is FailureKind.NO_LOGIN:
        return NO_LOGIN
    if cause.kind is FailureKind.WRONG_MEMBER and judging != MEMBERS:
        return finding_id(MEMBERS, "cluster", cause.host)
    root = ANSWERS if cause.source else None
    if cause.kind in (FailureKind.DOWN, FailureKind.SILENT) and cause.source in ("", SERVER):
        root = SERVICE  # the whole daemon; else one that answered and then no more
    elif cause.kind is FailureKind.UNREACHABLE and not cause.source:  # the host; else only a connection of its own
        root = REACHABLE
    return finding_id(root, cause.host, cause.host) if root and root != judging and cause.host else None
