"""Shows findings, results and the history of sigsrv-remediate, at the width of a terminal. ``remediate_plan`` shows plans.

Control characters from a host never reach the terminal. An id is never broken, so it can be copied and pasted.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sigsrv.commands.terminal import width
from sigsrv.model.finding import Finding, Verdict, rfc3339
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site
from sigsrv.remediate.journal_rows import INTERRUPTED, KEPT, Approval, RunEntry
from sigsrv.remediate.planning import Triage
from sigsrv.remediate.runs import StepResult
from sigsrv.remediate.transaction import EndState
from sigsrv.report import phrases
from sigsrv.report.runs import Chosen

COMMAND = "sigsrv-remediate"


def say(line: str = "") -> None:
    print(phrases.visible(line))


def warn(line: str) -> None:
    print(f"{COMMAND}: {phrases.visible(line)}", file=sys.stderr)


def paragraph(text: str, indent: str = "    ") -> None:
    """Print a text, wrapped and indented."""
    print("\n".join(textwrap.wrap(phrases.visible(text), width(), initial_indent=indent, subsequent_indent=indent)))


def field(label: str, value: str) -> None:
    """Print a label and its value, wrapped."""
    head = f"  {label + ':' * bool(label):<10}"
    lines = textwrap.wrap(phrases.visible(value), width(), initial_indent=head, subsequent_indent=" " * len(head))
    print("\n".join(lines or [head]))


def script(title: str, text: str) -> None:
    say(f"{title}:")
    for line in text.rstrip("\n").splitlines():
        say(f"  | {line}")


def listing(chosen: Chosen, site: Site) -> None:
    """List the findings of a run that a script can fix. site: the site that the user fixes."""
    run = chosen.run
    failures = [finding for finding in run.findings if finding["verdict"] == Verdict.FAIL]
    scripted = [finding for finding in failures if finding["remediation"]]
    say(f"run {run.text}")
    if kind := run.kind(site):
        say(f"  this run is {kind}; the hosts of {site.name} have no complete run yet")
    for newer in chosen.newer:
        say(f"  newer: run {newer.id}, {newer.kind(site)}")
    if not scripted:
        say("no script fixes a finding of this run")
    else:
        say("scripts can fix these findings:")
        for finding in scripted:
            say()
            say(f"  {COMMAND} {finding['id']}")
            paragraph(f"{finding['severity']}: {finding['title']}: {finding['observed']}")
    waived = [finding for finding in run.findings if finding["verdict"] == Verdict.WAIVED and finding["remediation"]]
    if waived:
        say()
        say("waived, fixed only if you name the finding:")
    for finding in waived:
        say()
        say(f"  {COMMAND} {finding['id']}")
        waiver = finding["waiver"]
        paragraph(f"waived by {waiver['owner']} until {phrases.readable_time(waiver['until'])}: {waiver['reason']}")
    if rest := len(failures) - len(scripted):
        say()
        say(f"{phrases.count(rest, 'failure needs', 'failures need')} a manual fix: see {run.folder / 'report.html'}")


def triage(chosen: Triage, unknown: Iterable[Finding], policies: Mapping[str, Policy], quiet: bool) -> None:
    """Show the selected findings that no script fixes.

    quiet: count the findings that do not fail instead of naming them.
    """
    if chosen == Triage():
        say("nothing to do: no selected finding fails")
    if quiet and chosen.passing:
        say(f"nothing to do: {phrases.count(len(chosen.passing), 'finding does', 'findings do')} not fail")
    for finding in () if quiet else chosen.passing:
        reason = f": {finding.reason}" if finding.reason else ""
        say(f"{finding.id}: nothing to do: {phrases.LABELS[finding.verdict]}{reason}")
    for missing in chosen.missing:
        say(f"{missing}: nothing to do: this finding no longer exists")
    for finding in unknown:
        warn(f"error: {finding.id} could not be determined: {finding.reason}")
    for finding in chosen.by_hand:
        say(f"{finding.id}: {finding.title}")
        now_then(finding)
        policy = policies[finding.policy]
        field("by hand", policy.by_hand)
        if policy.why_by_hand:
            field("why", policy.why_by_hand)
    for finding in chosen.waived:
        say(f"{finding.id}: skipped, {phrases.waived_text(finding)}")


def now_then(finding: Finding) -> None:
    field("now", finding.observed or finding.reason)
    field("then", finding.expected)
    if finding.waiver:
        field("waived", phrases.waiver_text(finding.waiver))


def refusals(reasons: Sequence[str]) -> None:
    """Show the reasons why nothing is applied."""
    for reason in reasons:
        warn(f"refused: {reason}")


def step_result(result: StepResult, undoes: bool) -> None:
    """Show how a step ended. undoes: the step undoes an earlier one."""
    finding = ", ".join(each.id for each in result.step.findings)
    if result.outcome is None:
        say(f"{finding}: {result.note}" if result.left_out else f"{finding}: nothing to do: {result.note}")
        return
    outcome = result.outcome
    if outcome.end_state is EndState.VERIFIED:
        say(f"verified: {outcome.reason}")
        for line in outcome.kept:
            warn(f"not put back, because somebody changed it since: {line}")
        return
    warn(f"error: {finding}: {'not undone' if undoes else 'not fixed'}: {outcome.reason}")
    if outcome.end_state is EndState.UNKNOWN:
        warn("STATE UNKNOWN, check the host: the rollback is not verified")
    elif outcome.left:
        warn("rolled back, but not all is as it was before:")
        for line in outcome.left:
            warn(f"  {line}")
    else:
        warn("rolled back, the change is in place as before" if undoes else "rolled back, the host is as it was before")


def next_command(what: str, command: str) -> None:
    """Show a command to copy, on a line of its own that is never wrapped."""
    warn(f"{what}:")
    print(f"  {phrases.visible(command)}", file=sys.stderr)


def history(runs: Sequence[RunEntry], journal: str) -> None:
    """Show the runs, newest first."""
    if not runs:
        say(f"{journal}: nothing was applied yet")
    for number, run in enumerate(runs):
        if number:
            say()
        where = f" of {run.site}" if run.site else ""
        say(f"{run.id}{where}, {when(run.at)}, {run.who}")
        if run.undoes:
            say(f"  undoes {run.undoes}")
        if run.reason:
            paragraph(f"reason: {run.reason}", "  ")
        if not run.steps:
            say("  nothing was applied")
        for step in run.steps:
            end = step.end
            if end == INTERRUPTED and run.is_alive:
                end = f"running: {step.states[-1]}"
            undone = f", undone by {step.undone_by}" if step.undone_by else ""
            for name in step.findings:
                say(f"  {end}{undone}: {name}")
            say(f"    {step.remediation} on {step.host}, script sha256 {step.sha256[:16]}")
            if step.detail and (step.end not in ("verified", INTERRUPTED) or step.detail.startswith(KEPT)):
                paragraph(step.detail)
            if end == INTERRUPTED:
                paragraph("the host rolls it back unless it was confirmed; the next run records how it ended")


def approvals(found: Sequence[Approval]) -> None:
    """Show the approvals of plans, newest first."""
    for each in found:
        say()
        say(f"plan {each.plan[:16]} of {each.site} approved, {when(each.at)}, {each.who}")
        if each.reason:
            paragraph(f"reason: {each.reason}", "  ")


def when(seconds: float) -> str:
    return phrases.readable_time(rfc3339(datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)))
