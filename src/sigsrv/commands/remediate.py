"""The command ``sigsrv-remediate``. Parse, show, ask, apply."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from sigsrv.commands import remediate_show
from sigsrv.commands.options import add_connection, options_of
from sigsrv.commands.terminal import COMPLIANT, FAILED, FINDINGS, UNKNOWN, run_command
from sigsrv.model import data
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Severity
from sigsrv.remediate import safety_checks
from sigsrv.remediate.host_locks import Refused
from sigsrv.remediate.hosts import Hosts, Snapshot
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.planning import FixPlan, FixRequest, as_dict, is_policy, listed_in
from sigsrv.remediate.remote import CONFIRM_S
from sigsrv.remediate.runs import Limits, Runner, StepResult, make_plan
from sigsrv.remediate.undoing import finish_interrupted, finish_interrupted_first, open_steps, reverse, run_of, undo
from sigsrv.report import publish
from sigsrv.scan import collecting, judging, live
from sigsrv.scan.plan import Plan, prepare

_STATUS = """\
exit status: 0 verified, or nothing to be done; 1 not applied, or a person must
  do it; 2 wrong use; 3 the finding could not be determined; 4 the remediation
  failed: it was undone, or says that it was not
examples: sigsrv-remediate NET-001@minisrv/sigsrvbr0
  sigsrv-remediate --severity high --plan
  sigsrv-remediate --undo 20260820T140307Z-5e1f"""

CONFIRM_RANGE_S = (4.0, 3600.0)


def _named(arguments: argparse.Namespace) -> FixRequest:
    """What the arguments name. Raises UsageError."""
    ways = [bool(arguments.finding), arguments.all, bool(arguments.from_file)]
    if sum(ways) > 1:
        raise UsageError("findings, --all and --from exclude each other", "name findings, or say --all or --from FILE")
    listed = _listed(arguments.from_file) if arguments.from_file else None
    policies = tuple(word.upper() for word in arguments.finding if is_policy(word))
    findings = tuple(word for word in arguments.finding if not is_policy(word))
    severity = Severity(arguments.severity) if arguments.severity else None
    if severity and findings:
        raise UsageError(
            f"--severity: {findings[0]} is named itself", "--severity goes with policies, --all and --from"
        )
    return FixRequest(findings, policies, severity, arguments.all, listed)


def _listed(file: str) -> frozenset[str]:
    try:
        document = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        reason = cause.strerror if isinstance(cause, OSError) else "not JSON"
        raise UsageError(f"--from: {file}: {reason}", "findings.json of a run, as sigsrv scan writes it") from cause
    return listed_in(document, file)


def _limits(arguments: argparse.Namespace) -> Limits:
    low, high = CONFIRM_RANGE_S
    if not low <= arguments.confirm_timeout <= high:
        raise UsageError(
            f"--confirm-timeout: {arguments.confirm_timeout:g} s is not between {low:g} and {high:g}",
            f"{CONFIRM_S} s leaves time for a login and a scan",
        )
    if arguments.max < 1:
        raise UsageError(f"--max: {arguments.max} lets nothing change", "--plan only shows")
    return Limits(arguments.confirm_timeout, arguments.max, not arguments.no_safety_net)


def _journal(arguments: argparse.Namespace) -> Path:
    return Path(arguments.journal) if arguments.journal else data.state_folder() / "journal.sqlite"


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask on; nothing was applied", "--yes applies without asking, --plan only shows"
        )
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print()
        return False


def _rest(fix_plan: FixPlan) -> int:
    """The exit status for what no script puts right."""
    if fix_plan.unknown:
        return UNKNOWN
    return FINDINGS if fix_plan.triage.by_hand else COMPLIANT


def hosts_of(plan: Plan) -> Hosts:
    """The hosts of a scan's plan, as a remediation needs them."""

    def look() -> Snapshot:
        evidences = collecting.collect(plan)
        return Snapshot(judging.judge(plan, evidences), judging.facts_of(plan, evidences))

    targets = {host.name: live.target(host, plan) for host in plan.hosts}
    return Hosts(plan.site, targets, plan.policies, look)


def _remediate(arguments: argparse.Namespace) -> int:
    request, limits = _named(arguments), _limits(arguments)
    hosts = hosts_of(prepare(options_of(arguments)))
    place = _journal(arguments)
    journal = Journal(place) if place.exists() or not arguments.plan else None
    may_apply = not arguments.plan and (arguments.yes or sys.stdin.isatty())
    try:
        if journal and may_apply:
            finish_interrupted_first(hosts, Runner(hosts, journal, _notify, limits), journal, _notify)
        elif journal and (left := open_steps(hosts, journal)):
            remediate_show.complain(
                f"run {left[0].run} was broken off: its host undoes it by itself, and the next run sees to it"
            )
        fix_plan = make_plan(hosts, request, journal, limits)
        if arguments.json:
            print(json.dumps(as_dict(fix_plan, limits.confirm_s, remediate_show.DISRUPTIONS), indent=2))
            return COMPLIANT if fix_plan.steps else _rest(fix_plan)
        many = not request.findings
        remediate_show.triage(fix_plan.triage, fix_plan.unknown, hosts.policies, many)
        remediate_show.fix_plan(fix_plan, limits.confirm_s, arguments.plan)
        remediate_show.stops(fix_plan.stops)
        if not fix_plan.steps:
            return _rest(fix_plan)
        if arguments.plan:
            return COMPLIANT
        if fix_plan.stops:
            return FINDINGS
        number = len(fix_plan.steps)
        if not arguments.yes and not _confirmed("apply this?" if number == 1 else f"apply these {number}?"):
            remediate_show.say("nothing was applied")
            return FINDINGS
        assert journal
        runner = Runner(hosts, journal, _notify, limits)
        with runner.lock_hosts([step.fix for step in fix_plan.steps]) as locks:
            finish_interrupted(hosts, journal, locks, _notify)
            status = _take(runner.apply(locks, fix_plan, request), number, runner.id)
        return status or _rest(fix_plan)
    except Refused as cause:
        remediate_show.stops(cause.reasons)
        return FINDINGS
    finally:
        if journal:
            journal.close()


def _undo(arguments: argparse.Namespace) -> int:
    limits = _limits(arguments)
    hosts = hosts_of(prepare(options_of(arguments)))
    journal = Journal(_journal(arguments))
    try:
        run_of(journal, arguments.undo)
        if not arguments.plan and (arguments.yes or sys.stdin.isatty()):
            finish_interrupted_first(hosts, Runner(hosts, journal, _notify, limits), journal, _notify)
        shown = reverse(hosts, journal, run_of(journal, arguments.undo), limits)
        remediate_show.undo_plan(shown, limits.confirm_s)
        remediate_show.stops(shown.stops)
        if not shown.steps:
            remediate_show.say("nothing is to be undone")
            return COMPLIANT
        if arguments.plan:
            return COMPLIANT
        if shown.stops:
            return FINDINGS
        if not arguments.yes and not _confirmed("undo this?"):
            remediate_show.say("nothing was undone")
            return FINDINGS
        runner = Runner(hosts, journal, _notify, limits)
        with runner.lock_hosts([step.fix for step, _ in shown.steps], undoes=shown.run.id) as locks:
            finish_interrupted(hosts, journal, locks, _notify)
            return _take(undo(hosts, runner, shown, locks), len(shown.steps), runner.id, undoes=True)
    except Refused as cause:
        remediate_show.stops(cause.reasons)
        return FINDINGS
    finally:
        journal.close()


def _notify(line: str) -> None:
    remediate_show.say(f"  {line}")
    sys.stdout.flush()


def _take(steps: Iterable[StepResult], number: int, run: str, undoes: bool = False) -> int:
    """Take the steps and tell how each ended. number: of the steps that were shown."""
    taken = verified = failed = 0
    try:
        for result in steps:
            taken += 1
            failed += result.failed
            verified += result.outcome is not None and not result.failed
            remediate_show.done(result, undoes)
    finally:  # also where it is interrupted or refused between two of them
        if 0 < taken < number:
            remediate_show.complain(f"stopped: {number - taken} of {number} steps were not taken")
        if verified and not undoes and (failed or number > taken):
            remediate_show.complain(f"{verified} verified before it: sigsrv-remediate --undo {run}")
    if failed:
        return FAILED
    if verified and not undoes:
        remediate_show.say(f"{verified} verified; to undo: sigsrv-remediate --undo {run}")
    return COMPLIANT


def _history(arguments: argparse.Namespace) -> int:
    place = _journal(arguments)
    if not place.exists():
        remediate_show.history([], str(place))
        return COMPLIANT
    journal = Journal(place)
    try:
        remediate_show.history(journal.history(), str(place))
    finally:
        journal.close()
    return COMPLIANT


def _list(arguments: argparse.Namespace) -> int:
    """What can be remediated, from the latest run."""
    latest = publish.latest_findings(Path(arguments.report_dir) if arguments.report_dir else None)
    remediate_show.listing(latest, f"{publish.LATEST}/report.html")
    return COMPLIANT


def _call(arguments: argparse.Namespace) -> int:
    chosen = bool(arguments.finding or arguments.all or arguments.from_file or arguments.severity)
    others = [option for option in ("undo", "history") if getattr(arguments, option)]
    if len(others) + chosen > 1:
        raise UsageError("findings to be put right, --undo and --history exclude each other")
    if arguments.json and not (arguments.plan and chosen):
        raise UsageError("--json is for a plan", "sigsrv-remediate --all --plan --json")
    if arguments.history:
        return _history(arguments)
    if arguments.undo:
        return _undo(arguments)
    return _remediate(arguments) if chosen else _list(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=remediate_show.COMMAND,
        description="Puts findings right: shows the scripts, asks, applies one after the other,\n"
        "proves each on fresh facts, or undoes it. Without a finding: lists what can be\nput right.",
        epilog=_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("finding", nargs="*", help="a finding's id, as the report has it, or a policy's")
    what = parser.add_argument_group("what is put right")
    what.add_argument("--all", action="store_true", help="whatever fails and is not waived")
    severities = [severity.value for severity in Severity]
    what.add_argument(
        "--severity", metavar="SEVERITY", choices=severities, help=f"at least that: {', '.join(severities)}"
    )
    what.add_argument("--from", dest="from_file", metavar="FILE", help="what fails in this findings.json")
    how = parser.add_argument_group("how")
    how.add_argument("--plan", action="store_true", help="only show what would be done")
    how.add_argument("--json", action="store_true", help="the plan for machines")
    how.add_argument("--yes", action="store_true", help="apply without asking")
    how.add_argument(
        "--confirm-timeout",
        metavar="S",
        type=float,
        default=float(CONFIRM_S),
        help=f"seconds within which a new login must confirm a change; default: {CONFIRM_S}",
    )
    how.add_argument(
        "--no-safety-net",
        action="store_true",
        help="apply also where nothing would undo it after a reboot of the host",
    )
    how.add_argument(
        "--max",
        metavar="N",
        type=int,
        default=safety_checks.MAX_OBJECTS,
        help=f"refuse to change more objects than that; default: {safety_checks.MAX_OBJECTS}",
    )
    past = parser.add_argument_group("what was done")
    past.add_argument("--undo", metavar="RUN", help="put back what a run changed")
    past.add_argument("--history", action="store_true", help="list the runs")
    past.add_argument("--journal", metavar="FILE", help="the journal; else journal.sqlite in the state directory")
    add_connection(parser)
    parser.add_argument("--report-dir", metavar="DIR", help="where runs were written (for the list)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``sigsrv-remediate``. Returns the exit status."""
    arguments = _parser().parse_args(argv)
    return run_command(remediate_show.COMMAND, lambda: _call(arguments))
