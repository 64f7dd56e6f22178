"""Compares fresh findings with the findings before a fix."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sigsrv.judge.require import JOURNAL, SERVICE
from sigsrv.model import remediation
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.finding import Finding, Verdict, parse_finding_id
from sigsrv.model.fix import Fix, fix_for
from sigsrv.remediate.hosts import Hosts
from sigsrv.remediate.safety_checks import evacuated_hosts

# A waived finding is a failure: a fix must neither cause one nor leave its own finding waived.
RANK = {Verdict.PASS: 0, Verdict.NOT_APPLICABLE: 0, Verdict.ERROR: 1, Verdict.FAIL: 2, Verdict.WAIVED: 2}
NOT_FIXED = frozenset({Verdict.FAIL, Verdict.WAIVED, Verdict.ERROR})
FAILING = frozenset({Verdict.FAIL, Verdict.WAIVED})


@dataclass(frozen=True)
class FreshFinding:
    """Holds a finding on fresh facts. fix: None if there is nothing to do, or no script for it.

    silent: hosts whose Incus daemon can't answer for want of the daemon that the fix starts.
    """

    finding: Finding
    findings: tuple[Finding, ...]
    fix: Fix | None
    silent: frozenset[str] = frozenset()

    @property
    def fixed(self) -> tuple[Finding, ...]:
        """Return all findings that the fix must end: this one, and those that the script fixes together with it."""
        also = self.fix.also if self.fix else ()
        return self.finding, *(each for each in self.findings if each.id in also)


def find(findings: Sequence[Finding], finding_id: str) -> Finding | None:
    """Return the finding of an id, or None.

    If there is none, return an error of the same policy and host: that policy could not be determined for the host.
    """
    policy, host, _ = parse_finding_id(finding_id)
    found = next((each for each in findings if each.id == finding_id), None)
    return found or next(
        (f for f in findings if f.policy == policy and f.host == host and f.verdict is Verdict.ERROR), None
    )


def fix_of(finding: Finding, findings: Sequence[Finding], otherwise: str, away: Collection[str] = ()) -> Fix | None:
    """Return the fix of a finding; None if it needs none, or has no script.

    A fix of the whole cluster runs on the first host whose Incus daemon answers. away: hosts to leave alone, for example evacuated ones.
    otherwise: the host to use if no other answers.
    """
    answering = (f.host for f in findings if f.policy == SERVICE and f.verdict is Verdict.PASS and f.host not in away)
    return fix_for(finding, remediation.load(), next(answering, otherwise))


def fresh_finding(hosts: Hosts, finding_id: str) -> FreshFinding:
    """Collect fresh facts from all hosts and return the finding as it is now.

    Raises UsageError: the id is not that of a finding, its policy is unknown, or these hosts have no such finding.
    """
    require_policy(hosts.policies, parse_finding_id(finding_id)[0], finding_id)
    snapshot = hosts.scan()
    findings = snapshot.findings
    found = find(findings, finding_id)
    if found is None:
        raise no_such_finding(findings, finding_id)
    return FreshFinding(found, findings, fix_of(found, findings, hosts.first, evacuated_hosts(snapshot.facts)))


def require_policy(policies: Collection[str], policy: str, named_by: str) -> None:
    """Raise UsageError if the policy is unknown. named_by: the word on the command line that named it."""
    if policy not in policies:
        raise UsageError(f"{named_by}: there is no policy {policy}", nearest(policy, policies))


def no_such_finding(findings: Sequence[Finding], finding_id: str) -> UsageError:
    """Return the error for an id without a finding, with the nearest existing id."""
    policy = parse_finding_id(finding_id)[0]
    alike = [finding.id for finding in findings if finding.policy == policy]
    return UsageError(f"{finding_id}: there is no such finding", nearest(finding_id, alike))


def seen(finding: Finding) -> Verdict:
    """Return the verdict that the check saw itself: ``fail`` for a failure that is left to its roots."""
    return (finding.own or finding).verdict


def regressions(
    before: Sequence[Finding], after: Sequence[Finding], allowed: Iterable[str] = frozenset()
) -> list[Finding]:
    """Return the findings that got worse.

    A fix must not cause any. A failure that was left to its root is no regression: it was there before. allowed: ids that may get worse,
    with the findings that follow from them.
    """
    was = {finding.id: RANK[seen(finding)] for finding in before}
    may = set(allowed)
    return [
        finding
        for finding in after
        if RANK[finding.verdict] > was.get(finding.id, 0) and finding.id not in may and finding.because not in may
    ]


def shown_by_start(before: Sequence[Finding], worse: Sequence[Finding]) -> list[Finding]:
    """Return the regressions that the start of a daemon only shows.

    Nothing was known of them before: a finding could not be determined, or one of the same policy could not be, for example an error for
    the whole cluster instead of one finding for each instance. The journal has the errors of the outage and of the start.
    worse: the regressions.
    """
    unknown = [finding for finding in before if finding.verdict is Verdict.ERROR]
    ids, policies = {finding.id for finding in unknown}, {finding.policy for finding in unknown}
    was = {finding.id for finding in before}
    return [
        finding
        for finding in worse
        if finding.policy == JOURNAL or finding.id in ids or (finding.id not in was and finding.policy in policies)
    ]


def improvements(before: Sequence[Finding], after: Sequence[Finding]) -> list[str]:
    """Return the ids of the findings that got better."""
    now = {finding.id: RANK[finding.verdict] for finding in after}
    return [finding.id for finding in before if now.get(finding.id, 0) < RANK[finding.verdict]]
