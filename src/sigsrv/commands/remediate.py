"""Implements the command ``sigsrv-remediate``: parse, show, ask, apply."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from sigsrv.commands import old_state, remediate_approve, remediate_plan, remediate_show, waive
from sigsrv.commands.options import options_of
from sigsrv.commands.remediate_abandon import abandon
from sigsrv.commands.remediate_ask import Asker, Read, confirmed, require_terminal
from sigsrv.commands.remediate_options import (
    FOR_RUNS,
    again,
    check_origin,
    check_ways,
    limits_of,
    new_parser,
    request_of,
)
from sigsrv.commands.site_tests import SiteTests
from sigsrv.commands.subcommands import refuse_unknown
from sigsrv.commands.terminal import COMPLIANT, FAILED, FINDINGS, UNKNOWN, run_command
from sigsrv.model import data, policy, site_file
from sigsrv.model.errors import UsageError
from sigsrv.remediate import picture
from sigsrv.remediate.approval import is_needed
from sigsrv.remediate.host_locks import Refused
from sigsrv.remediate.hosts import Hosts, Snapshot, with_login
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.pauses import Keep
from sigsrv.remediate.plan_json import as_dict
from sigsrv.remediate.planning import FixPlan, Step
from sigsrv.remediate.present import with_values
from sigsrv.remediate.runs import Runner, StepResult, make_plan
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
from sigsrv.scan.plan import Plan, prepare

Again = Callable[..., str]
"""Returns the command line with the same options and other words."""


def _journal_path(arguments: argparse.Namespace) -> Path:
    return Path(arguments.journal) if arguments.journal else data.state_folder() / "journal.sqlite"


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
    tests = SiteTests(plan)
    look = partial(picture.take, with_login(targets))
    return Hosts(plan.site, targets, plan.policies, scan, look, tests.problem if tests.files else None)


def _remediate(arguments: argparse.Namespace, again: Again) -> int:
    request, limits = request_of(arguments), limits_of(arguments)
    hosts = hosts_of(prepare(options_of(arguments)))
    if arguments.from_file:
        check_origin(arguments.from_file, hosts.site)
    path = _journal_path(arguments)
    journal = Journal(path) if os.path.lexists(path) or not arguments.plan else None
    may_apply = not (arguments.plan or arguments.approve) and (arguments.yes or sys.stdin.isatty())
    try:
        if journal and may_apply:
            finish_interrupted_before_scan(hosts, Runner(hosts, journal, _notify, limits), journal, _notify)
        elif journal and (abandoned := abandoned_steps(hosts, journal)):
            remediate_show.warn(f"run {abandoned[0].run} was interrupted")
            remediate_show.warn("its host rolls it back by itself; the next run makes sure of it")
        fix_plan = make_plan(hosts, request, journal, limits)
        tests = hosts.site.verify_with
        standing = None
        if arguments.plan or arguments.approve or is_needed(fix_plan, hosts.site):
            fix_plan = replace(fix_plan, steps=with_values(fix_plan.steps, hosts.look))
            standing = remediate_approve.standing(fix_plan, limits.confirm_s, hosts.site, journal)
            if standing.problem and not arguments.approve:
                fix_plan = replace(fix_plan, refusals=(*fix_plan.refusals, standing.problem))
        if arguments.json:
            shown = as_dict(fix_plan, limits.confirm_s, tests)
            print(json.dumps(shown | remediate_approve.as_dict(standing), indent=2))
            return _planned_status(fix_plan) if fix_plan.steps else _unfixed_status(fix_plan)
        many = not request.findings
        remediate_show.triage(fix_plan.triage, fix_plan.unknown, hosts.policies, many)
        remediate_plan.fix_plan(fix_plan, limits.confirm_s, arguments.plan or bool(arguments.approve), tests)
        if standing and fix_plan.steps:
            remediate_approve.show(standing)
        remediate_show.refusals(fix_plan.refusals)
        if not fix_plan.steps:
            return _unfixed_status(fix_plan)
        if standing and arguments.approve:
            assert journal
            return remediate_approve.approve(
                standing, arguments.approve, hosts.site, journal, limits.reason, arguments.yes
            )
        if standing and standing.problem:
            ids = [finding.id for step in fix_plan.steps for finding in step.findings]
            command = again(*ids, "--approve", standing.plan, without=FOR_RUNS)
            remediate_show.next_command("another person reads and approves it with", command)
        if arguments.plan or fix_plan.refusals:
            return _planned_status(fix_plan)
        asker = None if arguments.yes else _asker(arguments, hosts, fix_plan, limits.confirm_s)
        if asker and not asker.first():
            remediate_show.say("nothing was applied")
            return FINDINGS
        assert journal
        if standing:
            limits = replace(limits, reason=": ".join(filter(None, (standing.reason, limits.reason))))
        runner = Runner(hosts, journal, _notify, limits)
        is_approved = remediate_approve.checker(standing, hosts, limits.confirm_s)
        with runner.lock_hosts([step.fix for step in fix_plan.steps]) as locks:
            finish_interrupted(hosts, journal, locks, _notify)
            steps = runner.apply(locks, fix_plan, request, asker.decide if asker else None, is_approved)
            status = _run_steps(steps, fix_plan.steps, runner.id, again)
        return status or _unfixed_status(fix_plan)
    except Refused as cause:
        remediate_show.refusals(cause.reasons)
        return FINDINGS
    finally:
        if journal:
            journal.close()


def _asker(arguments: argparse.Namespace, hosts: Hosts, fix_plan: FixPlan, confirm_s: float) -> Asker:
    """Return who asks about the steps. Raises UsageError without a terminal."""
    require_terminal()

    def details(step: Step) -> None:
        remediate_show.say()
        (shown,) = with_values([step], hosts.look)
        remediate_plan.details(shown, confirm_s)
        remediate_show.say()

    def waive_finding(step: Step, read: Read, keep: Keep) -> bool:
        reason = read("  why is it accepted? ", keep)
        until = read("  until when? (30d, 2026-12-31) ", keep)
        said = waive.Said(reason, until, file=arguments.waivers or "")
        try:
            for finding in step.findings:
                for line in waive.write_waiver(finding.id, said, hosts.site, hosts.policies):
                    remediate_show.say(line)
        except UsageError as cause:
            remediate_show.warn(f"error: {cause.message.removeprefix('--until: ').removeprefix('--reason: ')}")
            if cause.hint:
                remediate_show.warn(f"hint: {cause.hint}")
            return False
        return True

    return Asker(fix_plan.steps, details, waive_finding)


def _undo(arguments: argparse.Namespace, again: Again) -> int:
    limits = limits_of(arguments)
    hosts = hosts_of(prepare(options_of(arguments)))
    journal = Journal(_journal_path(arguments))
    try:
        find_run(journal, arguments.undo)
        if not arguments.plan and (arguments.yes or sys.stdin.isatty()):
            finish_interrupted_before_scan(hosts, Runner(hosts, journal, _notify, limits), journal, _notify)
        shown = make_undo_plan(hosts, journal, find_run(journal, arguments.undo), limits)
        remediate_plan.undo_plan(shown, limits.confirm_s, arguments.plan)
        remediate_show.refusals(shown.refusals)
        if not shown.steps:
            remediate_show.say("nothing to undo")
            return COMPLIANT
        if arguments.plan or shown.refusals:
            return _planned_status(shown)
        if not arguments.yes and not confirmed("undo this run?"):
            remediate_show.say("nothing was undone")
            return FINDINGS
        runner = Runner(hosts, journal, _notify, limits)
        with runner.lock_hosts([step.fix for step, _ in shown.steps], undoes=shown.run.id) as locks:
            finish_interrupted(hosts, journal, locks, _notify)
            steps = undo(hosts, runner, shown, locks)
            return _run_steps(steps, [step for step, _ in shown.steps], runner.id, again, undoes=shown.run.id)
    except Refused as cause:
        remediate_show.refusals(cause.reasons)
        return FINDINGS
    finally:
        journal.close()


def _notify(line: str) -> None:
    remediate_show.say(f"  {line}")
    sys.stdout.flush()


def _run_steps(steps: Iterable[StepResult], shown: Sequence[Step], run: str, again: Again, undoes: str = "") -> int:
    """Run the steps and show how each one ended, and the command that goes on if not all of them ran. shown: all steps of the plan.

    undoes: the run that they undo.
    """
    ran: list[StepResult] = []
    try:
        for result in steps:
            ran.append(result)
            remediate_show.step_result(result, bool(undoes))
    finally:  # also after an interruption or a refusal between two steps
        failed = any(result.failed for result in ran)
        verified = sum(result.outcome is not None and not result.failed for result in ran)
        rest = shown[len(ran) :]
        if ran and rest:
            ids = [finding.id for step in rest for finding in step.findings]
            remediate_show.warn(f"stopped: {len(rest)} of {len(shown)} steps did not run")
            remediate_show.next_command("to go on with them", again("--undo", undoes) if undoes else again(*ids))
        if verified and not undoes and (failed or rest):
            remediate_show.warn(f"{verified} verified before; to undo: sigsrv-remediate --undo {run}")
    if failed:
        return FAILED
    if verified and not undoes and not rest:
        remediate_show.say(f"{verified} verified; to undo: sigsrv-remediate --undo {run}")
    if any(result.outcome and result.outcome.kept for result in ran):
        remediate_show.next_command("to overwrite that too", again("--undo", undoes, "--force"))
        return FINDINGS
    return FINDINGS if rest or any(result.left_out for result in ran) else COMPLIANT


def _history(arguments: argparse.Namespace) -> int:
    path = _journal_path(arguments)
    if not os.path.lexists(path):
        remediate_show.history([], str(path))
        return COMPLIANT
    journal = Journal(path)
    try:
        remediate_show.history(journal.history(), str(path))
        remediate_show.approvals(journal.approvals())
    finally:
        journal.close()
    return COMPLIANT


def _abandon(arguments: argparse.Namespace) -> int:
    limits = limits_of(arguments)
    hosts = hosts_of(prepare(options_of(arguments)))
    journal = Journal(_journal_path(arguments))
    try:
        return abandon(hosts, journal, arguments.abandon, limits, arguments.plan, arguments.yes, _notify)
    except Refused as cause:
        remediate_show.refusals(cause.reasons)
        return FINDINGS
    finally:
        journal.close()


def _list(arguments: argparse.Namespace) -> int:
    """List the findings of the newest complete run of the site that a script can fix."""
    policies = policy.load([Path(folder) for folder in arguments.policies])
    site = site_file.load(site_file.find(arguments.site), policies)
    remediate_show.listing(runs.choose(Path(arguments.report_dir) if arguments.report_dir else None, site), site)
    return COMPLIANT


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``sigsrv-remediate``. Returns the exit status."""
    return run_command(remediate_show.COMMAND, lambda: _call(argv))


def _call(argv: Sequence[str] | None) -> int:
    parser = new_parser()
    arguments, unknown = parser.parse_known_args(argv)
    refuse_unknown(parser, unknown)
    chosen = check_ways(arguments)
    past = arguments.undo or arguments.abandon or arguments.history
    old_state.move(old_state.JOURNAL if chosen or past else old_state.RUNS)

    def same_options(*words: str, without: Collection[str] = ()) -> str:
        return again(parser, arguments, *words, without=without)

    if arguments.history:
        return _history(arguments)
    if arguments.abandon:
        return _abandon(arguments)
    if arguments.undo:
        return _undo(arguments, same_options)
    return _remediate(arguments, same_options) if chosen else _list(arguments)
