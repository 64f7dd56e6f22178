"""Which findings are to be put right, and in which order. Pure: findings in, a proposal out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Severity, Verdict
from sigsrv.model.fix import Fix
from sigsrv.model.remediation import ORDER
from sigsrv.remediate.arming import RollbackTimer

_POLICY = re.compile(r"[A-Za-z][A-Za-z0-9]*-\d+")
_SEVERITIES = list(Severity)


@dataclass(frozen=True)
class FixRequest:
    """What is to be put right. findings: ids, each named by itself; policies: ids; severity: at least that one; all: whatever fails."""

    findings: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    severity: Severity | None = None
    all: bool = False
    listed: frozenset[str] | None = None  # the ids that a file of findings has; None where no file was named


@dataclass(frozen=True)
class Step:
    """A fix of a finding, and how it is secured. canary: its host goes first, and others get the same only where it is verified there."""

    finding: Finding
    fix: Fix
    timer: RollbackTimer = RollbackTimer.SHELL
    canary: bool = False

    @property
    def object(self) -> tuple[str, str]:
        """What it changes, to count it: two fixes of one instance change one object."""
        return self.finding.host, self.finding.resource


@dataclass(frozen=True)
class Triage:
    """The findings that are meant, by what is to become of them. scripted: a script puts them right; by_hand: a person must.

    right: nothing is to be done; unknown: nobody can tell; waived: left out, because nobody named it itself; gone: ids of nothing.
    """

    scripted: tuple[Finding, ...] = ()
    right: tuple[Finding, ...] = ()
    by_hand: tuple[Finding, ...] = ()
    unknown: tuple[Finding, ...] = ()
    waived: tuple[Finding, ...] = ()
    gone: tuple[str, ...] = ()


@dataclass(frozen=True)
class FixPlan:
    """What is to be done, in this order. findings: all, as they are before it; stops: why none of it is applied now."""

    findings: tuple[Finding, ...]
    triage: Triage
    steps: tuple[Step, ...] = ()
    stops: tuple[str, ...] = ()

    @property
    def objects(self) -> frozenset[tuple[str, str]]:
        return frozenset(step.object for step in self.steps)

    @property
    def unknown(self) -> tuple[Finding, ...]:
        """What nobody can tell, but for what follows from a finding that is to be put right."""
        mended = {step.finding.id for step in self.steps}
        return tuple(finding for finding in self.triage.unknown if finding.because not in mended)


def is_policy(word: str) -> bool:
    """Whether a word on the command line can only be the id of a policy, as against that of a finding."""
    return _POLICY.fullmatch(word) is not None


def listed_in(document: Any, file: str) -> frozenset[str]:
    """The ids of what fails in ``findings.json``. Raises UsageError where the document is anything else."""
    try:
        found = {row["id"] for row in document["findings"] if row["verdict"] == Verdict.FAIL}
        if all(isinstance(each, str) for each in found):
            return frozenset(found)
    except (TypeError, KeyError):
        pass
    raise UsageError(f"{file}: not the findings of a run", "findings.json of a run, as sigsrv scan writes it")


def triage_findings(request: FixRequest, findings: Sequence[Finding], find: Callable[[str], Finding | None]) -> Triage:
    """Sort the findings that are meant. find: the finding of an id; None where there is no such one."""
    chosen: dict[str, Finding] = {}
    gone = []
    for name in request.findings:
        found = find(name)
        if found is None:
            gone.append(name)
        else:
            chosen[found.id] = found
    itself = set(chosen)
    for finding in findings:
        if _is_meant(finding, request):
            chosen.setdefault(finding.id, finding)
    if request.listed is not None:
        gone += sorted(request.listed - {finding.id for finding in findings})
    waived = tuple(f for f in chosen.values() if f.verdict is Verdict.WAIVED and f.id not in itself)
    left = [finding for finding in chosen.values() if finding not in waived]
    failing = [finding for finding in left if finding.verdict in (Verdict.FAIL, Verdict.WAIVED)]
    return Triage(
        scripted=tuple(f for f in failing if f.remediation is not None),
        right=tuple(f for f in left if f.verdict in (Verdict.PASS, Verdict.NOT_APPLICABLE)),
        by_hand=tuple(f for f in failing if f.remediation is None),
        unknown=tuple(f for f in left if f.verdict is Verdict.ERROR),
        waived=waived,
        gone=tuple(gone),
    )


def _is_meant(finding: Finding, request: FixRequest) -> bool:
    """Whether a finding is among those that were not named one by one."""
    if request.severity and _SEVERITIES.index(finding.severity) > _SEVERITIES.index(request.severity):
        return False
    if request.policies:
        return finding.policy in request.policies
    if request.listed is not None:
        return finding.id in request.listed
    return (
        (request.all or request.severity is not None)
        and not request.findings
        and finding.verdict
        in (
            Verdict.FAIL,
            Verdict.WAIVED,
            Verdict.ERROR,
        )
    )


def ordered(steps: Sequence[Step], hosts: Sequence[str]) -> tuple[Step, ...]:
    """Steps in the order in which they are taken: what carries before what is carried, one host after the other.

    hosts: in the order of the site. Of the hosts that get the same remediation the first one is the canary.
    """
    place = {host: number for number, host in enumerate(hosts)}
    rows = sorted(
        steps,
        key=lambda step: (
            ORDER.index(step.fix.changes),
            step.finding.policy,
            place.get(step.fix.runs_on, len(place)),
            step.finding.id,
        ),
    )
    on: dict[str, list[str]] = {}
    for step in rows:
        on.setdefault(step.fix.name, []).append(step.fix.runs_on)
    return tuple(
        replace(step, canary=len(set(on[step.fix.name])) > 1 and step.fix.runs_on == on[step.fix.name][0])
        for step in rows
    )


def as_dict(fix_plan: FixPlan, confirm_s: float, disrupts: Mapping[str, str]) -> dict[str, Any]:
    """The proposal for machines. confirm_s: seconds within which a fix must be confirmed; disrupts: the words for a disruption."""
    triage = fix_plan.triage
    return {
        "schema_version": 1,
        "steps": [
            {
                "finding": step.finding.id,
                "title": step.finding.title,
                "severity": step.finding.severity.value,
                "remediation": step.fix.name,
                "does": step.fix.title,
                "host": step.fix.runs_on,
                "changes": step.fix.changes,
                "now": step.finding.observed,
                "then": step.finding.expected,
                "disruption": step.fix.disruption,
                "disrupts": f"{disrupts[step.fix.disruption]}: {step.fix.disrupts}",
                "undone_by_host": {
                    "within_s": confirm_s + (0 if step.fix.cuts_network else step.fix.timeout_s),
                    "by": step.timer.value,
                },
                "canary": step.canary,
                "undo": step.fix.undo_text,
                "script": step.fix.script,
                "script_sha256": step.fix.sha256,
                "undo_script": step.fix.undo,
                "timeout_s": step.fix.timeout_s,
                "permanent": dict(step.fix.permanent),
            }
            for step in fix_plan.steps
        ],
        "refused": list(fix_plan.stops),
        "nothing_to_do": [*(finding.id for finding in triage.right), *triage.gone],
        "by_hand": [finding.id for finding in triage.by_hand],
        "unknown": [finding.id for finding in fix_plan.unknown],
        "waived": [finding.id for finding in triage.waived],
    }
