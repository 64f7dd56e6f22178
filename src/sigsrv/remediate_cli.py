"""remediate_cli: the command ``sigsrv-remediate``. Parse, show, ask, apply.

Room: an entry point.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from sigsrv import publish, scan
from sigsrv.errors import UsageError
from sigsrv.finding import Verdict
from sigsrv.remediate import Ending, Looked, Transaction, look
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.remote import CONFIRM_S
from sigsrv.remediation import Fix
from sigsrv.report import words
from sigsrv.terminal import COMPLIANT, FAILED, FINDINGS, UNKNOWN, add_connection, options_of, run_command

_STATUS = """\
exit status: 0 verified, or nothing to be done; 1 not applied, or a person must
  do it; 2 wrong use; 3 the finding could not be determined; 4 the remediation
  failed: it was undone, or says that it was not
example: sigsrv-remediate NET-001@minisrv/sigsrvbr0"""


WIDTH = 80


def _say(line: str = "") -> None:
    print(words.visible(line))


def _field(label: str, value: str) -> None:
    """A named value, wrapped to the width of a terminal."""
    head = f"  {label + ':':<10}"
    print(
        "\n".join(
            textwrap.wrap(words.visible(value), WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) or [head]
        )
    )


def _script(title: str, script: str) -> None:
    _say(f"{title}:")
    for line in script.rstrip("\n").splitlines():
        _say(f"  | {line}")


def _list(arguments: argparse.Namespace) -> int:
    """What can be remediated, from the latest run."""
    latest = publish.latest_findings(Path(arguments.report_dir) if arguments.report_dir else None)
    failures = [finding for finding in latest["findings"] if finding["verdict"] == Verdict.FAIL]
    scripted = [finding for finding in failures if finding["remediation"]]
    run = latest["run"]
    if not scripted:
        _say(f"nothing that a script puts right in run {run['id']} of {run['site']}")
    else:
        _say(f"what scripts put right, from run {run['id']} of {run['site']} ({words.moment(run['finished'])}):")
        for finding in scripted:
            _say()
            _say(f"  sigsrv-remediate {finding['id']}")
            said = f"{finding['severity']}: {finding['title']}: {finding['observed']}"
            print("\n".join(textwrap.wrap(words.visible(said), WIDTH, initial_indent="    ", subsequent_indent="    ")))
    waived = [
        finding for finding in latest["findings"] if finding["verdict"] == Verdict.WAIVED and finding["remediation"]
    ]
    if waived:
        _say()
        _say("waived, and put right only where it is named:")
    for finding in waived:
        _say()
        _say(f"  sigsrv-remediate {finding['id']}")
        waiver = finding["waiver"]
        said = f"waived by {waiver['owner']} until {words.moment(waiver['until'])}: {waiver['reason']}"
        print("\n".join(textwrap.wrap(words.visible(said), WIDTH, initial_indent="    ", subsequent_indent="    ")))
    if rest := len(failures) - len(scripted):
        _say()
        _say(f"{words.count(rest, 'failure needs', 'failures need')} a person: see {publish.LATEST}/report.html")
    return COMPLIANT


def _show(looked: Looked, fix: Fix, terminal_plan: bool) -> None:
    finding = looked.finding
    _say(f"{finding.id}: {finding.title}")
    _field("now", finding.observed)
    _field("then", finding.expected)
    if finding.waiver:
        _field("waived", words.acceptance(finding.waiver))
    _field("does", f"{fix.title}, on {fix.runs_on}")
    _field("disrupts", fix.disrupts)
    _field("undo", fix.undo_text)
    if fix.disruption == "network":
        _field("safety", f"the host undoes it by itself within {CONFIRM_S} s unless a new login confirms it")
    _say()
    _script("script", fix.script)
    if terminal_plan:
        _say()
        _script("undo", fix.undo)
    for name, content in fix.permanent.items():
        _say()
        _script(f"permanent fix ({name}), so that it lasts", content)
    _say()


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask on; nothing was applied", "--yes applies without asking, --plan only shows"
        )
    try:
        return input("apply this? [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print()
        return False


def _remediate(arguments: argparse.Namespace) -> int:
    plan = scan.prepare(options_of(arguments))
    looked = look(plan, arguments.finding)
    finding = looked.finding
    if finding.verdict is Verdict.ERROR:
        print(
            f"sigsrv-remediate: error: {finding.id} could not be determined: {words.visible(finding.reason)}",
            file=sys.stderr,
        )
        return UNKNOWN
    if finding.verdict not in (Verdict.FAIL, Verdict.WAIVED):
        reason = f": {finding.reason}" if finding.reason else ""
        _say(f"{finding.id}: nothing is to be done: {words.LABELS[finding.verdict]}{reason}")
        return COMPLIANT
    if looked.fix is None:
        _say(f"{finding.id}: {finding.title}")
        _field("now", finding.observed)
        _field("then", finding.expected)
        if finding.waiver:
            _field("waived", words.acceptance(finding.waiver))
        _field("by hand", plan.policies[finding.policy].by_hand)
        return FINDINGS
    _show(looked, looked.fix, arguments.plan)
    if arguments.plan:
        return COMPLIANT
    if not arguments.yes and not _confirmed():
        _say("nothing was applied")
        return FINDINGS
    journal = Journal()
    try:
        outcome = Transaction(
            plan, looked, journal, lambda line: _say(f"  {looked.fix.runs_on if looked.fix else ''}: {line}")
        ).run()
    finally:
        journal.close()
    if outcome.ending is Ending.VERIFIED:
        _say(f"verified: {outcome.reason}")
        return COMPLIANT
    ending = (
        "NOT KNOWN TO BE UNDONE, look at the host"
        if outcome.ending is Ending.UNKNOWN
        else "undone, it is as it was before"
    )
    print(f"sigsrv-remediate: error: {finding.id}: not put right: {words.visible(outcome.reason)}", file=sys.stderr)
    print(f"sigsrv-remediate: {ending}", file=sys.stderr)
    return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sigsrv-remediate",
        description="Puts a finding right: shows the script, asks, applies it, proves it on fresh\n"
        "facts, or undoes it. Without a finding: lists what can be put right.",
        epilog=_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("finding", nargs="?", help="the finding's id, as the report has it")
    parser.add_argument("--plan", action="store_true", help="only show what would be done")
    parser.add_argument("--yes", action="store_true", help="apply without asking")
    add_connection(parser)
    parser.add_argument("--report-dir", metavar="DIR", help="where runs were written (for the list)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``sigsrv-remediate``. Returns the exit status."""
    arguments = _parser().parse_args(argv)
    return run_command("sigsrv-remediate", lambda: _remediate(arguments) if arguments.finding else _list(arguments))
