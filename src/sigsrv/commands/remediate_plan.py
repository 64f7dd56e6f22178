"""Shows a plan: first a short list of what changes where and what it disrupts, then the details of each step."""

from __future__ import annotations

from collections.abc import Sequence

from sigsrv.commands.remediate_show import field, now_then, paragraph, say, script, when
from sigsrv.model.finding import Severity
from sigsrv.model.fix import Fix
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.effects import disruption, effects, names, summary
from sigsrv.remediate.placing import chosen
from sigsrv.remediate.planning import FixPlan, Step
from sigsrv.remediate.undoing import UndoPlan
from sigsrv.report import phrases

UNSET = "(unset)"
_USERS = 7  # lines of the list about where a fix is made
ANY = "(as the script computes it)"


def safety(fix: Fix, timer: RollbackTimer, confirm_s: float) -> str:
    """Return a sentence about the rollback of a fix."""
    within = f"within {confirm_s:g} s" if fix.cuts_network else f"within {confirm_s + fix.timeout_s:g} s"
    text = f"the host rolls it back {within} unless a new login confirms it"
    if timer is RollbackTimer.UNIT:
        return f"{text}, or at its next boot"
    return f"{text}; after a reboot the next run rolls it back" if fix.survives_reboot else text


def fix_plan(shown: FixPlan, confirm_s: float, whole: bool, tests: Sequence[str] = ()) -> None:
    """Show the list of the steps. whole: then the details of each one. tests: the site's own tests that verify each step."""
    if not shown.steps:
        return
    say(f"plan: {phrases.count(len(shown.steps), 'fix', 'fixes')}")
    for number, step in enumerate(shown.steps, 1):
        _row(number, step)
    say()
    field("in all", summary(effects(shown.steps), confirm_s))
    if tests:
        field("verified", f"by all policies, and by {names(tests)}: these must pass before and after each step")
    say()
    for note in shown.notes.values():
        paragraph(f"note: {note}", "")
        say()
    if not whole:
        return
    for number, step in enumerate(shown.steps, 1):
        if len(shown.steps) > 1:
            say(f"step {number} of {len(shown.steps)}")
        details(step, confirm_s)
        say()


def _row(number: int, step: Step) -> None:
    say()
    for place, finding in enumerate(step.findings):
        say(f"{'' if place else number:>2}  {finding.id}")
        if finding.waiver:
            paragraph(phrases.waived_text(finding))
    canary = "; goes first (canary)" if step.canary else ""
    severity = min((each.severity for each in step.findings), key=list(Severity).index)
    paragraph(f"{severity}: {step.fix.title}, on {names(step.reaches)}{canary}")
    paragraph(disruption(step))
    lines = chosen(step.findings)
    for line in lines[:_USERS]:
        paragraph(line)
    if len(lines) > _USERS:
        paragraph(f"and {phrases.count(len(lines) - _USERS, 'instance')} more: --plan names them")
    if step.fix.taken_back:
        paragraph(f"does not last: taken back by {'; by '.join(step.fix.taken_back)}")


def details(step: Step, confirm_s: float) -> None:
    """Show all of a step: the change, what it disrupts, how it is undone, the scripts and the permanent fix."""
    fix = step.fix
    for finding in step.findings:
        say(f"{finding.id}: {finding.title}")
        now_then(finding)
    field("does", f"{fix.title}, on {names(step.reaches)}")
    for place, line in enumerate(chosen(step.findings)):
        field("" if place else "at", line.removeprefix("at "))
    if step.canary:
        field("canary", f"{fix.runs_on} goes first; the other hosts follow only if the fix is verified there")
    field("disrupts", f"{disruption(step)}. {fix.disrupts}")
    field("lasts", _lasts(fix))
    field("undo", fix.undo_text)
    field("safety", safety(fix, step.timer, confirm_s))
    say()
    script("change", change(step))
    say()
    script("script", fix.script)
    say()
    script("undo", fix.undo)
    for name, content in fix.permanent.items():
        say()
        script(f"permanent fix ({name}), to make it last", content)


def _lasts(fix: Fix) -> str:
    if not fix.taken_back:
        return "nothing that sigsrv knows of takes it back"
    also = "; the permanent fix below makes it last" if fix.permanent else ""
    return f"no, taken back by {'; by '.join(fix.taken_back)}{also}"


def change(step: Step) -> str:
    """Return what a step changes as a unified diff: one hunk for each thing that the fix declares, else the finding's now and then."""
    found: dict[str, list[str]] = {}
    for touch in step.fix.touches:
        lines = found.setdefault(f"{touch.kind} {touch.name}".rstrip(), [])
        key = f"{touch.key}: " if touch.key else ""
        now = step.now.get((touch.kind, touch.name, touch.key))
        if now is not None:
            lines.append(f"-{key}{now or UNSET}")
        lines.append(f"+{key}{(touch.after or UNSET) if touch.is_exact else ANY}")
    if not found:
        for finding in step.findings:
            lines = found.setdefault(finding.resource, [])
            lines += [f"-{finding.observed or finding.reason}", f"+{finding.expected}"]
    return "\n".join(line for name, rows in found.items() for line in (f"--- {name}", f"+++ {name}", *rows))


def undo_plan(shown: UndoPlan, confirm_s: float, whole: bool) -> None:
    """Show the list of the steps that undo a run. whole: then their scripts."""
    say(f"run {shown.run.id} by {shown.run.who}, {when(shown.run.at)}")
    for finding, reason in shown.skipped:
        say(f"{finding}: skipped")
        paragraph(reason)
    for number, (step, entry) in enumerate(shown.steps, 1):
        say()
        say(f"{number:>2}  {', '.join(entry.findings)}: undoes {entry.remediation} on {names(step.reaches)}")
        paragraph(step.fix.undo_text)
        paragraph(disruption(step))
    if not shown.steps:
        return
    say()
    field("in all", summary(effects(step for step, _ in shown.steps), confirm_s))
    field("keeps", "a value that somebody changed since stays as it is and is named; --force overwrites it")
    say()
    if whole:
        for step, entry in shown.steps:
            say(f"{', '.join(entry.findings)}: undoes {entry.remediation} on {entry.host}")
            field("safety", safety(step.fix, step.timer, confirm_s))
            say()
            script("script", step.fix.script)
            say()
