"""Chooses which findings to fix, and in which order. Pure: it reads findings and returns a plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Severity, Verdict
from sigsrv.model.fix import Fix
from sigsrv.model.remediation import ORDER
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.placing import ON_PROFILE, At, merged

_POLICY = re.compile(r"[A-Za-z][A-Za-z0-9]*-\d+")
_SEVERITIES = list(Severity)


@dataclass(frozen=True)
class FixRequest:
    """Selects the findings to fix.

    findings: ids of single findings. policies: ids. severity: the lowest severity. all: every failure. listed: the
    failures in a findings.json; None if no file was named. at: where the fix of what a profile gives is made.
    """

    findings: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    severity: Severity | None = None
    all: bool = False
    listed: frozenset[str] | None = None
    at: At = At.INSTANCE


@dataclass(frozen=True)
class Step:
    """Combines a finding, its fix and the rollback timer.

    canary: the host of this step goes first. Other hosts get the same fix only if it is verified there. others: further hosts
    on which the change takes effect: Incus makes it on all members, or for the instances of a profile there. now: values that the declared
    changes replace, by kind, name and key. also: further findings that the same script fixes.
    """

    finding: Finding
    fix: Fix
    timer: RollbackTimer = RollbackTimer.SHELL
    canary: bool = False
    also: tuple[Finding, ...] = ()
    others: tuple[str, ...] = ()
    now: Mapping[tuple[str, str, str], str] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return all findings that the step fixes."""
        return self.finding, *self.also

    @property
    def objects(self) -> tuple[tuple[str, str], ...]:
        """Return what the step changes, for counting: two fixes of one instance change one object. A profile counts with its instances."""
        if self.finding.remediation != ON_PROFILE:
            return ((self.finding.host, self.finding.resource),)
        values = merged([each.fix for each in self.findings])
        changed = (("instance", user["guest"]) for user in values["users"] if user["changes"])
        return ("profile", f"{values['owner']}/{values['profile']}"), *changed

    @property
    def reaches(self) -> tuple[str, ...]:
        """Return the hosts that the step changes: the one that it runs on first."""
        return (self.fix.runs_on, *self.others)


@dataclass(frozen=True)
class Triage:
    """Sorts the selected findings.

    scripted: a script fixes them. by_hand: a person must fix them. passing: nothing to do. unknown: could not be
    determined. waived: skipped, because a waived finding must be named by its id. missing: ids without a finding.
    """

    scripted: tuple[Finding, ...] = ()
    passing: tuple[Finding, ...] = ()
    by_hand: tuple[Finding, ...] = ()
    unknown: tuple[Finding, ...] = ()
    waived: tuple[Finding, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class FixPlan:
    """Holds the steps in order.

    findings: all findings before the first step. refusals: the reasons why nothing is applied now. notes: what is
    unknown and does not stop the plan, because the plan repairs its likely cause, by the host whose daemon can't answer.
    """

    findings: tuple[Finding, ...]
    triage: Triage
    steps: tuple[Step, ...] = ()
    refusals: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def unknown(self) -> tuple[Finding, ...]:
        """Return the undetermined findings, except those whose root finding the plan fixes."""
        fixed = {finding.id for step in self.steps for finding in step.findings}
        return tuple(finding for finding in self.triage.unknown if finding.because not in fixed)


def is_policy_id(word: str) -> bool:
    """Report whether a word on the command line is the id of a policy, not of a finding."""
    return _POLICY.fullmatch(word) is not None


def failing_ids(document: Any, file: str) -> frozenset[str]:
    """Return the ids of the failures in the content of a ``findings.json``. Raises UsageError if it is something else."""
    try:
        found = {row["id"] for row in document["findings"] if row["verdict"] == Verdict.FAIL}
        if all(isinstance(each, str) for each in found):
            return frozenset(found)
    except (TypeError, KeyError):
        pass
    raise UsageError(f"{file}: not the findings of a scan", "name a findings.json that sigsrv scan wrote")


def triage_findings(request: FixRequest, findings: Sequence[Finding], find: Callable[[str], Finding | None]) -> Triage:
    """Sort the selected findings. find: returns the finding of an id, or None."""
    chosen: dict[str, Finding] = {}
    missing = []
    for name in request.findings:
        found = find(name)
        if found is None:
            missing.append(name)
        else:
            chosen[found.id] = found
    named = set(chosen)
    for finding in findings:
        if _is_selected(finding, request):
            chosen.setdefault(finding.id, finding)
    if request.listed is not None:
        missing += sorted(request.listed - {finding.id for finding in findings})
    waived = tuple(f for f in chosen.values() if f.verdict is Verdict.WAIVED and f.id not in named)
    chosen_findings = [finding for finding in chosen.values() if finding not in waived]
    failing = [finding for finding in chosen_findings if finding.verdict in (Verdict.FAIL, Verdict.WAIVED)]
    return Triage(
        scripted=tuple(f for f in failing if f.remediation is not None),
        passing=tuple(f for f in chosen_findings if f.verdict in (Verdict.PASS, Verdict.NOT_APPLICABLE)),
        by_hand=tuple(f for f in failing if f.remediation is None),
        unknown=tuple(f for f in chosen_findings if f.verdict is Verdict.ERROR),
        waived=waived,
        missing=tuple(missing),
    )


def _is_selected(finding: Finding, request: FixRequest) -> bool:
    """Report whether the request selects a finding other than by its own id."""
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


def order_steps(steps: Sequence[Step], hosts: Sequence[str]) -> tuple[Step, ...]:
    """Sort the steps: lower layers before the layers on top of them, and one host after the other.

    hosts: in the order of the site file. If several hosts get the same remediation, the first one is the canary.
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
