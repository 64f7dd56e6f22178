"""Implements the command ``sigsrv-remediate``: parse, show, ask, apply."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from sigsrv.commands import old_state, remediate_show
from sigsrv.commands.options import add_connection, options_of
from sigsrv.commands.subcommands import refuse_unknown
from sigsrv.commands.terminal import COMPLIANT, FAILED, FINDINGS, UNKNOWN, run_command
from sigsrv.model import data, policy, site_file, textfile
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Severity
from sigsrv.model.site import Site
from sigsrv.remediate import picture, safety_checks
from sigsrv.remediate.host_locks import Refused
from sigsrv.remediate.hosts import Hosts, Snapshot, with_login
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.planning import FixPlan, FixRequest, as_dict, failing_ids, is_policy_id
from sigsrv.remediate.remote import CONFIRM_S
from sigsrv.remediate.runs import Limits, Runner, StepResult, make_plan
from sigsrv.remediate.undoing import (
    UndoPlan,
    abandoned_steps,
    find_run,
    finish_interrupted,
    finish_interrupted_before_scan,
    make_undo_plan,
    undo,
)
from sigsrv.report import runs
from sigsrv.scan import collecting, judging, live
from sigsrv.scan.options import DEMO
from sigsrv.scan.plan import Plan, prepare

_STATUS = """\
exit status: 0 verified, or nothing to do; 1 not applied, refused (also with
  --plan), or a manual fix is needed; 2 usage error; 3 a finding could not be
  determined; 4 a step failed: it was rolled back, or the message says that it
  was not
examples: sigsrv-remediate NET-001@minisrv/sigsrvbr0
  sigsrv-remediate --severity high --plan
  sigsrv-remediate --undo 20260820T140307Z-5e1f"""

CONFIRM_RANGE_S = (4.0, 3600.0)


def _request_of(arguments: argparse.Namespace) -> FixRequest:
    """Return what the arguments select. Raises UsageError."""
    ways = [bool(arguments.finding), arguments.all, bool(arguments.from_file)]
    if sum(ways) > 1:
        raise UsageError("use only one of: findings, --all, --from", "name findings, or use --all or --from FILE")
    listed = _read_failures(arguments.from_file) if arguments.from_file else None
    policies = tuple(word.upper() for word in arguments.finding if is_policy_id(word))
    findings = tuple(word for word in arguments.finding if not is_policy_id(word))
    severity = Severity(arguments.severity) if arguments.severity else None
    if severity and findings:
        raise UsageError(
            f"--severity: not allowed with the finding {findings[0]}",
            "--severity works with policies, --all and --from",
        )
    return FixRequest(findings, policies, severity, arguments.all, listed)


def _read_failures(file: str) -> frozenset[str]:
    with _named_from():
        runs.check(Path(file))
        return failing_ids(textfile.read_json(Path(file), runs.LIMIT_BYTES), file)


def _check_origin(file: str, site: Site) -> None:
    """Raise UsageError if a findings.json is of another site: a finding of the same id would be another one."""
    with _named_from():
        saved = runs.read(Path(file))
        if not saved.is_of(site):
            kind = "the demo" if saved.evidence == DEMO else f"site {saved.site} ({saved.site_file or 'unknown file'})"
            raise UsageError(f"{file}: run {saved.id} is of {kind}, not of {site.name}", "use --site FILE, or scan")


@contextlib.contextmanager
def _named_from() -> Iterator[None]:
    """Name the option in an error about its file."""
    try:
        yield
    except UsageError as cause:
        hint = cause.hint or "name a findings.json that sigsrv scan wrote"
        raise UsageError(f"--from: {cause.message}", hint) from cause


def _limits(arguments: argparse.Namespace) -> Limits:
    low, high = CONFIRM_RANGE_S
    if not low <= arguments.confirm_timeout <= high:
        raise UsageError(
            f"--confirm-timeout: {arguments.confirm_timeout:g} s is not between {low:g} and {high:g}",
            f"{CONFIRM_S} s leaves time for a login and a scan",
        )
    if arguments.max < 1:
        raise UsageError(f"--max: {arguments.max} is less than 1", "--plan changes nothing")
    return Limits(arguments.confirm_timeout, arguments.max, not arguments.no_safety_net)


def _journal_path(arguments: argparse.Namespace) -> Path:
    return Path(arguments.journal) if arguments.journal else data.state_folder() / "journal.sqlite"


def _ask(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask on; nothing was applied",
            "--yes applies without asking, --plan changes nothing",
        )
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print()
        return False


def _unfixed_status(fix_plan: FixPlan) -> int:
    """Return the exit status for the findings that no script fixes."""
    if fix_plan.unknown:
        return UNKNOWN
    return FINDINGS if fix_plan.triage.by_hand else COMPLIANT


def _planned_status(planned: FixPlan | UndoPlan) -> int:
    """Return the exit status of a plan that is only shown, or that is refused."""
    return FINDINGS if planned.refusals else COMPLIANT


def hosts_of(plan: Plan) -> Hosts:
    """Return the hosts of a scan plan, as a remediation needs them."""

    def scan() -> Snapshot:
        evidences = collecting.collect(plan)
        return Snapshot(judging.judge(plan, evidences), judging.facts_of(plan, evidences))

    targets = {host.name: live.target(host, plan) for host in plan.hosts}
    return Hosts(plan.site, targets, plan.policies, scan, partial(picture.take, with_login(targets)))


def _remediate(arguments: argparse.Namespace) -> int:
    request, limits = _request_of(arguments), _limits(arguments)
    hosts = hosts_of(prepare(options_of(arguments)))
    if arguments.from_file:
        _check_origin(arguments.from_file, hosts.site)
    path = _journal_path(arguments)
    journal = Journal(path) if os.path.lexists(path) or not arguments.plan else None
    may_apply = not arguments.plan and (arguments.yes or sys.stdin.isatty())
    try:
        if journal and may_apply:
            finish_interrupted_before_scan(hosts, Runner(hosts, journal, _notify, limits), journal, _notify)
        elif journal and (abandoned := abandoned_steps(hosts, journal)):
            remediate_show.warn(f"run {abandoned[0].run} was interrupted")
            remediate_show.warn("its host rolls it back by itself; the next run makes sure of it")
        fix_plan = make_plan(hosts, request, journal, limits)
        if arguments.json:
            print(json.dumps(as_dict(fix_plan, limits.confirm_s, remediate_show.DISRUPTIONS), indent=2))
            return _planned_status(fix_plan) if fix_plan.steps else _unfixed_status(fix_plan)
        many = not request.findings
        remediate_show.triage(fix_plan.triage, fix_plan.unknown, hosts.policies, many)
        remediate_show.fix_plan(fix_plan, limits.confirm_s, arguments.plan)
        remediate_show.refusals(fix_plan.refusals)
        if not fix_plan.steps:
            return _unfixed_status(fix_plan)
        if arguments.plan or fix_plan.refusals:
            return _planned_status(fix_plan)
        number = len(fix_plan.steps)
        if not arguments.yes and not _ask("apply this fix?" if number == 1 else f"apply these {number} fixes?"):
            remediate_show.say("nothing was applied")
            return FINDINGS
        assert journal
        runner = Runner(hosts, journal, _notify, limits)
        with runner.lock_hosts([step.fix for step in fix_plan.steps]) as locks:
            finish_interrupted(hosts, journal, locks, _notify)
            status = _run_steps(runner.apply(locks, fix_plan, request), number, runner.id)
        return status or _unfixed_status(fix_plan)
    except Refused as cause:
        remediate_show.refusals(cause.reasons)
        return FINDINGS
    finally:
        if journal:
            journal.close()


def _undo(arguments: argparse.Namespace) -> int:
    limits = _limits(arguments)
    hosts = hosts_of(prepare(options_of(arguments)))
    journal = Journal(_journal_path(arguments))
    try:
        find_run(journal, arguments.undo)
        if not arguments.plan and (arguments.yes or sys.stdin.isatty()):
            finish_interrupted_before_scan(hosts, Runner(hosts, journal, _notify, limits), journal, _notify)
        shown = make_undo_plan(hosts, journal, find_run(journal, arguments.undo), limits)
        remediate_show.undo_plan(shown, limits.confirm_s)
        remediate_show.refusals(shown.refusals)
        if not shown.steps:
            remediate_show.say("nothing to undo")
            return COMPLIANT
        if arguments.plan or shown.refusals:
            return _planned_status(shown)
        if not arguments.yes and not _ask("undo this run?"):
            remediate_show.say("nothing was undone")
            return FINDINGS
        runner = Runner(hosts, journal, _notify, limits)
        with runner.lock_hosts([step.fix for step, _ in shown.steps], undoes=shown.run.id) as locks:
            finish_interrupted(hosts, journal, locks, _notify)
            return _run_steps(undo(hosts, runner, shown, locks), len(shown.steps), runner.id, undoes=True)
    except Refused as cause:
        remediate_show.refusals(cause.reasons)
        return FINDINGS
    finally:
        journal.close()


def _notify(line: str) -> None:
    remediate_show.say(f"  {line}")
    sys.stdout.flush()


def _run_steps(steps: Iterable[StepResult], number: int, run: str, undoes: bool = False) -> int:
    """Run the steps and show how each one ended. number: how many steps were shown."""
    ran = verified = failed = 0
    try:
        for result in steps:
            ran += 1
            failed += result.failed
            verified += result.outcome is not None and not result.failed
            remediate_show.step_result(result, undoes)
    finally:  # also after an interruption or a refusal between two steps
        if 0 < ran < number:
            remediate_show.warn(f"stopped: {number - ran} of {number} steps did not run")
        if verified and not undoes and (failed or number > ran):
            remediate_show.warn(f"{verified} verified before; to undo: sigsrv-remediate --undo {run}")
    if failed:
        return FAILED
    if verified and not undoes:
        remediate_show.say(f"{verified} verified; to undo: sigsrv-remediate --undo {run}")
    return COMPLIANT


def _history(arguments: argparse.Namespace) -> int:
    path = _journal_path(arguments)
    if not os.path.lexists(path):
        remediate_show.history([], str(path))
        return COMPLIANT
    journal = Journal(path)
    try:
        remediate_show.history(journal.history(), str(path))
    finally:
        journal.close()
    return COMPLIANT


def _list(arguments: argparse.Namespace) -> int:
    """List the findings of the newest complete run of the site that a script can fix."""
    policies = policy.load([Path(folder) for folder in arguments.policies])
    site = site_file.load(site_file.find(arguments.site), policies)
    remediate_show.listing(runs.choose(Path(arguments.report_dir) if arguments.report_dir else None, site), site)
    return COMPLIANT


def _dispatch(arguments: argparse.Namespace) -> int:
    chosen = bool(arguments.finding or arguments.all or arguments.from_file or arguments.severity)
    others = [option for option in ("undo", "history") if getattr(arguments, option)]
    if len(others) + chosen > 1:
        raise UsageError("use only one of: findings, --undo, --history")
    if arguments.json and not (arguments.plan and chosen):
        raise UsageError("--json works only with --plan and findings", "sigsrv-remediate --all --plan --json")
    old_state.move(old_state.JOURNAL if chosen or others else old_state.RUNS)
    if arguments.history:
        return _history(arguments)
    if arguments.undo:
        return _undo(arguments)
    return _remediate(arguments) if chosen else _list(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=remediate_show.COMMAND,
        description="Fixes findings: shows the scripts, asks, applies one step after the other, and\n"
        "verifies each step on fresh facts. A step that fails is rolled back. Without\n"
        "arguments: lists the findings that scripts can fix.",
        epilog=_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("finding", nargs="*", help="the id of a finding, as in the report, or of a policy")
    what = parser.add_argument_group("what to fix")
    what.add_argument("--all", action="store_true", help="every finding that fails and is not waived")
    severities = [severity.value for severity in Severity]
    what.add_argument(
        "--severity",
        metavar="SEVERITY",
        choices=severities,
        help=f"findings of at least this severity: {', '.join(severities)}",
    )
    what.add_argument("--from", dest="from_file", metavar="FILE", help="the failures in this findings.json")
    how = parser.add_argument_group("how to fix it")
    how.add_argument("--plan", action="store_true", help="show the plan and change nothing")
    how.add_argument("--json", action="store_true", help="print the plan as JSON; needs --plan")
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
        help="apply even if no rollback timer would survive a reboot of the host",
    )
    how.add_argument(
        "--max",
        metavar="N",
        type=int,
        default=safety_checks.MAX_OBJECTS,
        help=f"refuse to change more objects than this; default: {safety_checks.MAX_OBJECTS}",
    )
    past = parser.add_argument_group("past runs")
    past.add_argument("--undo", metavar="RUN", help="undo the changes of a run")
    past.add_argument("--history", action="store_true", help="list the runs")
    past.add_argument(
        "--journal", metavar="FILE", help="the journal file; default: journal.sqlite in the state directory"
    )
    add_connection(parser)
    parser.add_argument("--report-dir", metavar="DIR", help="where the reports of the scans are, for the list")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``sigsrv-remediate``. Returns the exit status."""
    return run_command(remediate_show.COMMAND, lambda: _call(argv))


def _call(argv: Sequence[str] | None) -> int:
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    refuse_unknown(parser, unknown)
    return _dispatch(arguments)
