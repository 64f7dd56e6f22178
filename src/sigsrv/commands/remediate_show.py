"""What sigsrv-remediate shows: a plan, a run, the history; at the width of a terminal.

No control character of a host reaches the terminal; an id is never broken, so that it can be pasted.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sigsrv.model.finding import Finding, Verdict, rfc3339
from sigsrv.model.fix import Fix
from sigsrv.model.policy import Policy
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.journal import RunEntry
from sigsrv.remediate.planning import FixPlan, Step, Triage
from sigsrv.remediate.runs import StepResult
from sigsrv.remediate.transaction import EndState
from sigsrv.remediate.undoing import UndoPlan
from sigsrv.report import phrases

WIDTH = 80
COMMAND = "sigsrv-remediate"
DISRUPTIONS = {
    "none": "nothing",
    "instance": "may restart an instance, or take something from it",
    "service": "restarts a service",
    "network": "may cut the network",
}


def say(line: str = "") -> None:
    print(phrases.visible(line))


def complain(line: str) -> None:
    print(f"{COMMAND}: {phrases.visible(line)}", file=sys.stderr)


def paragraph(text: str, indent: str = "    ") -> None:
    """A text, wrapped and indented."""
    print("\n".join(textwrap.wrap(phrases.visible(text), WIDTH, initial_indent=indent, subsequent_indent=indent)))


def field(label: str, value: str) -> None:
    """A named value, wrapped."""
    head = f"  {label + ':':<10}"
    lines = textwrap.wrap(phrases.visible(value), WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
    print("\n".join(lines or [head]))


def script(title: str, text: str) -> None:
    say(f"{title}:")
    for line in text.rstrip("\n").splitlines():
        say(f"  | {line}")


def listing(latest: Mapping[str, Any], report: str) -> None:
    """What can be put right, from the findings of the latest run. report: where the rest is told."""
    findings = latest["findings"]
    failures = [finding for finding in findings if finding["verdict"] == Verdict.FAIL]
    scripted = [finding for finding in failures if finding["remediation"]]
    run = latest["run"]
    if not scripted:
        say(f"nothing that a script puts right in run {run['id']} of {run['site']}")
    else:
        say(f"what scripts put right, from run {run['id']} of {run['site']} ({phrases.moment(run['finished'])}):")
        for finding in scripted:
            say()
            say(f"  {COMMAND} {finding['id']}")
            paragraph(f"{finding['severity']}: {finding['title']}: {finding['observed']}")
    waived = [finding for finding in findings if finding["verdict"] == Verdict.WAIVED and finding["remediation"]]
    if waived:
        say()
        say("waived, and put right only where it is named:")
    for finding in waived:
        say()
        say(f"  {COMMAND} {finding['id']}")
        waiver = finding["waiver"]
        paragraph(f"waived by {waiver['owner']} until {phrases.moment(waiver['until'])}: {waiver['reason']}")
    if rest := len(failures) - len(scripted):
        say()
        say(f"{phrases.count(rest, 'failure needs', 'failures need')} a person: see {report}")


def triage(chosen: Triage, unknown: Iterable[Finding], policies: Mapping[str, Policy], quiet: bool) -> None:
    """What of the findings is not for a script. quiet: count what is right instead of naming it."""
    if chosen == Triage():
        say("nothing is to be done: nothing of it fails")
    if quiet and chosen.right:
        say(f"nothing is to be done: {phrases.count(len(chosen.right), 'finding lockss', 'findings hold')}")
    for finding in () if quiet else chosen.right:
        reason = f": {finding.reason}" if finding.reason else ""
        say(f"{finding.id}: nothing is to be done: {phrases.LABELS[finding.verdict]}{reason}")
    for gone in chosen.gone:
        say(f"{gone}: nothing is to be done: there is no such finding any more")
    for finding in unknown:
        complain(f"error: {finding.id} could not be determined: {finding.reason}")
    for finding in chosen.by_hand:
        say(f"{finding.id}: {finding.title}")
        _now_then(finding)
        field("by hand", policies[finding.policy].by_hand)
    for finding in chosen.waived:
        say(f"{finding.id}: left out, it is {phrases.waived(finding)}")


def _now_then(finding: Finding) -> None:
    field("now", finding.observed or finding.reason)
    field("then", finding.expected)
    if finding.waiver:
        field("waived", phrases.acceptance(finding.waiver))


def safety(fix: Fix, timer: RollbackTimer, confirm_s: float) -> str:
    """What undoes a fix by itself, in a sentence."""
    within = f"within {confirm_s:g} s" if fix.cuts_network else f"within {confirm_s + fix.timeout_s:g} s"
    text = f"the host undoes it by itself {within} unless a new login confirms it"
    if timer is RollbackTimer.UNIT:
        return f"{text}, or at its next boot"
    return f"{text}; after a reboot the next run does" if fix.survives_reboot else text


def fix_plan(shown: FixPlan, confirm_s: float, whole: bool) -> None:
    """The steps. whole: with the scripts that undo them."""
    for number, step in enumerate(shown.steps, 1):
        if number > 1:
            say()
        if len(shown.steps) > 1:
            say(f"step {number} of {len(shown.steps)}")
        _step(step, confirm_s, whole)
    if shown.steps:
        say()


def _step(step: Step, confirm_s: float, whole: bool) -> None:
    finding, fix = step.finding, step.fix
    say(f"{finding.id}: {finding.title}")
    _now_then(finding)
    field("does", f"{fix.title}, on {fix.runs_on}")
    if step.canary:
        field("canary", f"{fix.runs_on} goes first; other hosts get it only where it is verified there")
    of = f" of {fix.runs_on}" if fix.cuts_network else f" on {fix.runs_on}" if fix.disruption == "service" else ""
    field("disrupts", f"{DISRUPTIONS[fix.disruption]}{of}. {fix.disrupts}")
    field("undo", fix.undo_text)
    field("safety", safety(fix, step.timer, confirm_s))
    say()
    script("script", fix.script)
    if whole:
        say()
        script("undo", fix.undo)
    for name, content in fix.permanent.items():
        say()
        script(f"permanent fix ({name}), so that it lasts", content)


def undo_plan(shown: UndoPlan, confirm_s: float) -> None:
    """What undoing a run does."""
    say(f"run {shown.run.id} of {shown.run.who}, {_time(shown.run.at)}")
    for finding, reason in shown.left:
        say(f"{finding}: left as it is")
        paragraph(reason)
    for step, entry in shown.steps:
        say()
        say(f"{entry.finding}: {entry.remediation} on {entry.host} is undone")
        field("does", step.fix.undo_text)
        field("safety", safety(step.fix, step.timer, confirm_s))
        say()
        script("script", step.fix.script)
    if shown.steps:
        say()


def stops(reasons: Sequence[str]) -> None:
    """Why nothing is applied."""
    for reason in reasons:
        complain(f"refused: {reason}")


def done(result: StepResult, undoes: bool) -> None:
    """How a step ended. undoes: whether it was one that undoes."""
    finding = result.step.finding.id
    if result.outcome is None:
        say(f"{finding}: nothing is to be done: {result.note}")
        return
    outcome = result.outcome
    if outcome.end_state is EndState.VERIFIED:
        say(f"verified: {outcome.reason}")
        return
    complain(f"error: {finding}: {'not undone' if undoes else 'not put right'}: {outcome.reason}")
    if outcome.end_state is EndState.UNKNOWN:
        complain("NOT KNOWN TO BE UNDONE, look at the host")
    else:
        complain("the change is there again, as before" if undoes else "undone, it is as it was before")


def history(runs: Sequence[RunEntry], journal: str) -> None:
    """The runs, the newest first."""
    if not runs:
        say(f"{journal}: nothing was applied yet")
    for number, run in enumerate(runs):
        if number:
            say()
        of = f" of {run.site}" if run.site else ""
        say(f"{run.id}{of}, {_time(run.at)}, {run.who}")
        if run.undoes:
            say(f"  undoes {run.undoes}")
        if not run.steps:
            say("  nothing was applied")
        for step in run.steps:
            end = step.end
            if end == "broken off" and run.is_alive:
                end = f"at work: {step.states[-1]}"
            undone = f", undone by {step.undone_by}" if step.undone_by else ""
            say(f"  {end}{undone}: {step.finding}")
            say(f"    {step.remediation} on {step.host}, script sha256 {step.sha256[:16]}")
            if step.end not in ("verified", "broken off") and step.detail:
                paragraph(step.detail)
            if end == "broken off":
                paragraph("the host undoes it by itself unless it was confirmed; the next run sees to it")


def _time(seconds: float) -> str:
    return phrases.moment(rfc3339(datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)))
