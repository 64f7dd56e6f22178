"""Fresh facts before a fix and after it, and what of them is worse."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sigsrv.judge.require import SERVICE
from sigsrv.model import remediation
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.finding import Finding, Verdict, parse_finding_id
from sigsrv.model.fix import Fix, fix_for
from sigsrv.remediate.hosts import Hosts

# What is waived fails: a fix that spoils it is no better for that, and one that leaves it so has not put it right.
RANK = {Verdict.PASS: 0, Verdict.NOT_APPLICABLE: 0, Verdict.ERROR: 1, Verdict.FAIL: 2, Verdict.WAIVED: 2}
NOT_RIGHT = frozenset({Verdict.FAIL, Verdict.WAIVED, Verdict.ERROR})
FAILING = frozenset({Verdict.FAIL, Verdict.WAIVED})


@dataclass(frozen=True)
class FreshFinding:
    """A finding on fresh facts. fix: None where nothing is to be done, or nothing can be done by a script."""

    finding: Finding
    findings: tuple[Finding, ...]
    fix: Fix | None


def find(findings: Sequence[Finding], finding_id: str) -> Finding | None:
    """The finding of an id; one that could not be told apart, for the whole host is unknown; None where there is no such finding."""
    policy, host, _ = parse_finding_id(finding_id)
    found = next((each for each in findings if each.id == finding_id), None)
    return found or next(
        (f for f in findings if f.policy == policy and f.host == host and f.verdict is Verdict.ERROR), None
    )


def fix_of(finding: Finding, findings: Sequence[Finding], otherwise: str) -> Fix | None:
    """The fix of a finding; None where it needs none, or a person.

    One of the whole cluster runs on the first host whose Incus answers. otherwise: the host to name where none does.
    """
    answering = (f.host for f in findings if f.policy == SERVICE and f.verdict is Verdict.PASS)
    return fix_for(finding, remediation.load(), next(answering, otherwise))


def fresh_finding(hosts: Hosts, finding_id: str) -> FreshFinding:
    """Collect fresh facts from all hosts and find what the finding is now.

    Raises UsageError: not the id of a finding, no such policy, or nothing of that id on these hosts.
    """
    known_policy(hosts.policies, parse_finding_id(finding_id)[0], finding_id)
    findings = hosts.scan().findings
    found = find(findings, finding_id)
    if found is None:
        raise no_such_finding(findings, finding_id)
    return FreshFinding(found, findings, fix_of(found, findings, hosts.first))


def known_policy(policies: Collection[str], policy: str, result: str) -> None:
    """Raises UsageError where there is no such policy. said: what named it."""
    if policy not in policies:
        raise UsageError(f"{result}: there is no policy {policy}", nearest(policy, policies))


def no_such_finding(findings: Sequence[Finding], finding_id: str) -> UsageError:
    """The mistake of an id that nothing has, with the one that is most like it."""
    policy = parse_finding_id(finding_id)[0]
    alike = [finding.id for finding in findings if finding.policy == policy]
    return UsageError(f"{finding_id}: there is no such finding", nearest(finding_id, alike))


def worse(before: Sequence[Finding], after: Sequence[Finding], allowed: Iterable[str] = frozenset()) -> list[Finding]:
    """What is worse than it was: the findings that a fix must not leave behind. allowed: ids that may be, with what follows from them."""
    was = {finding.id: RANK[finding.verdict] for finding in before}
    may = set(allowed)
    return [
        finding
        for finding in after
        if RANK[finding.verdict] > was.get(finding.id, 0) and finding.id not in may and finding.because not in may
    ]


def better(before: Sequence[Finding], after: Sequence[Finding]) -> list[str]:
    """The ids of what is better than it was."""
    now = {finding.id: RANK[finding.verdict] for finding in after}
    return [finding.id for finding in before if now.get(finding.id, 0) < RANK[finding.verdict]]
