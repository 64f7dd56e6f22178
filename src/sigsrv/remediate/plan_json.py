"""Turns a plan into JSON data, for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sigsrv.model.finding import Finding
from sigsrv.remediate.effects import disruption, effects, guests_restarted
from sigsrv.remediate.placing import chosen
from sigsrv.remediate.planning import FixPlan


def _finding_dict(finding: Finding) -> dict[str, str]:
    return {
        "finding": finding.id,
        "title": finding.title,
        "severity": finding.severity.value,
        "now": finding.observed,
        "then": finding.expected,
    }


def as_dict(fix_plan: FixPlan, confirm_s: float, tests: Sequence[str] = ()) -> dict[str, Any]:
    """Return the plan as JSON data.

    confirm_s: seconds within which a fix must be confirmed. tests: the site's own tests that verify each step.
    """
    triage, found = fix_plan.triage, effects(fix_plan.steps)
    return {
        "schema_version": 1,
        "steps": [
            {
                **_finding_dict(step.finding),
                "also": [_finding_dict(each) for each in step.also],
                "remediation": step.fix.name,
                "does": step.fix.title,
                "host": step.fix.runs_on,
                "at": chosen(step.findings),
                "changes": step.fix.changes,
                "reaches": list(step.reaches),
                "declared": [
                    {
                        "kind": touch.kind,
                        "name": touch.name,
                        "key": touch.key,
                        "now": step.now.get((touch.kind, touch.name, touch.key)),
                        "after": touch.after if touch.is_exact else None,
                    }
                    for touch in step.fix.touches
                ],
                "restarts": list(guests_restarted(step)),
                "disruption": step.fix.disruption,
                "disrupts": f"{disruption(step)}: {step.fix.disrupts}",
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
                "taken_back_by": list(step.fix.taken_back),
                "permanent": dict(step.fix.permanent),
            }
            for step in fix_plan.steps
        ],
        "in_all": {
            "objects": len(found.objects),
            "hosts": list(found.hosts),
            "restarts": list(found.restarts),
            "may_cut": list(found.cuts),
            "services_on": list(found.services),
        },
        "verify_with": list(tests),
        "refused": list(fix_plan.refusals),
        "notes": list(fix_plan.notes.values()),
        "nothing_to_do": [*(finding.id for finding in triage.passing), *triage.missing],
        "by_hand": [finding.id for finding in triage.by_hand],
        "unknown": [finding.id for finding in fix_plan.unknown],
        "waived": [finding.id for finding in triage.waived],
    }
