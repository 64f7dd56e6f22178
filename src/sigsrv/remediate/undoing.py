"""Undoes a run from the data in the journal, and finishes interrupted runs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sigsrv.collect.connection import open_session
from sigsrv.collect.session import ConnectionFailed
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Severity, Verdict, parse_finding_id
from sigsrv.remediate import safety_checks
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.host_locks import HostLocks, Refused
from sigsrv.remediate.hosts import Hosts
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.journal_rows import KEPT, RunEntry, StepEntry
from sigsrv.remediate.planning import Step
from sigsrv.remediate.preflight import rollback_timer_for
from sigsrv.remediate.remote import NOTHING_LEFT, FixOptions, RemoteFix
from sigsrv.remediate.rescan import FAILING, FreshFinding
from sigsrv.remediate.runs import (
    Limits,
    Runner,
    StepResult,
    failing_proof,
    network_losses,
    outside_windows,
    with_rollback_timers,
)
from sigsrv.remediate.shell import Notify
from sigsrv.remediate.transaction import EndState


@dataclass(frozen=True)
class UndoPlan:
    """Holds the steps that undo a run, last one first.

    skipped: findings that are not undone, with the reason. refusals: the reasons why nothing is undone now.
    """

    run: RunEntry
    steps: tuple[tuple[Step, StepEntry], ...]
    skipped: tuple[tuple[str, str], ...]
    refusals: tuple[str, ...]


def find_run(journal: Journal, run: str) -> RunEntry:
    """Return a run that can be undone. Raises UsageError: there is no such run, or it is an undo itself."""
    found = journal.history(run)
    if not found:
        known = [each.id for each in journal.history() if each.steps and not each.undoes][:3]
        hint = f"latest runs: {', '.join(known)}" if known else "nothing was applied yet"
        raise UsageError(f"--undo: {journal.path} has no run {run}", hint)
    if found[0].undoes:
        raise UsageError(
            f"--undo: run {run} is an undo of run {found[0].undoes}",
            "sigsrv-remediate FINDING fixes a finding again",
        )
    return found[0]


def make_undo_plan(hosts: Hosts, journal: Journal, run: RunEntry, limits: Limits) -> UndoPlan:
    """Plan the undo of a run on fresh facts.

    It undoes the verified steps, except those that were undone, reverted or fixed again since. With force, also those that were reverted,
    and those of which an undo left what somebody had changed.
    """
    snapshot = hosts.scan()
    findings = {finding.id: finding for finding in snapshot.findings}
    steps, skipped = [], []
    for entry in reversed(run.steps):
        now = findings.get(entry.finding)
        failing = [each for name in entry.findings if (each := findings.get(name)) and each.verdict in FAILING]
        if entry.end != "verified":
            skipped.append((entry.finding, f"{entry.end}: {entry.detail}" if entry.detail else entry.end))
        elif entry.undone_by and not (limits.force and _kept_something(journal, entry)):
            skipped.append((entry.finding, f"already undone by run {entry.undone_by}"))
        elif entry.fix is None or entry.state is None:
            skipped.append((entry.finding, "the journal does not have what the undo needs"))
        elif entry.host not in hosts.targets:
            skipped.append((entry.finding, f"{entry.host} is not among the hosts of site {hosts.site.name}"))
        elif later := _fixed_since(journal, entry):
            skipped.append((entry.finding, f"run {later} has fixed it again since: undo that run first"))
        elif now is not None and len(failing) == len(entry.findings) and not limits.force:
            skipped.append(
                (
                    entry.finding,
                    f"the verdict is {now.verdict} again: {now.observed}; the state is not as the run left it",
                )
            )
        else:
            fix = entry.fix
            swapped = replace(fix, script=fix.undo, undo=fix.script, title=fix.undo_text)
            others = hosts.reached(swapped)[1:]
            steps.append((Step(now or _absent(hosts, entry), swapped, others=others), entry))
    if not steps:
        return UndoPlan(run, (), tuple(skipped), ())
    safe, refusals = with_rollback_timers(hosts, [step for step, _ in steps], limits)
    refusals += outside_windows(hosts, [step for step, _ in steps], limits)
    refusals += network_losses(hosts, [step.fix for step, _ in steps], is_undo=True)
    refusals += safety_checks.evacuated(snapshot.facts, [step.fix for step, _ in steps])
    return UndoPlan(
        run,
        tuple(zip(safe, (entry for _, entry in steps), strict=True)),
        tuple(skipped),
        tuple(dict.fromkeys(refusals)),
    )


def _fixed_since(journal: Journal, entry: StepEntry) -> str:
    """Return a later run that fixed the same finding again and was not undone; "" for none.

    After such a run, the old values of the earlier run are no longer the ones to restore.
    """
    return next(
        (
            run.id
            for run in journal.history()
            for step in run.steps
            if (step.end, step.undone_by, step.undoes) == ("verified", "", "")
            and not {*step.findings}.isdisjoint(entry.findings)
            and run.id != entry.run
            and step.at > entry.at
        ),
        "",
    )


def _kept_something(journal: Journal, entry: StepEntry) -> bool:
    """Report whether the latest undo of a step left what somebody had changed."""
    undone = (step for run in journal.history() for step in run.steps if step.undoes == entry.transaction)
    latest = max((step for step in undone if step.end == "verified"), key=lambda step: step.at, default=None)
    return latest is not None and latest.detail.startswith(KEPT)


def _absent(hosts: Hosts, entry: StepEntry) -> Finding:
    """Return a finding for an object that no longer exists."""
    policy, host, resource = parse_finding_id(entry.finding)
    known = hosts.policies.get(policy)
    title, severity = (known.title, known.severity) if known else (policy, Severity.LOW)
    return Finding(
        policy, title, severity, host, resource, Verdict.NOT_APPLICABLE, "", "", "this finding no longer exists"
    )


def undo(hosts: Hosts, runner: Runner, shown: UndoPlan, locks: HostLocks) -> Iterator[StepResult]:
    """Run the undo steps that were shown, one after the other.

    Each is verified before the next; the first failure ends the run. Raises KeyboardInterrupt after a step that was
    confirmed in spite of an interruption.
    """
    findings = hosts.scan().findings
    proven = not failing_proof(hosts)  # tests that fail because of the fix must not keep it from being undone
    for step, entry in shown.steps:
        if late := outside_windows(hosts, [step], runner.limits):
            raise Refused(late)
        locks.extend(runner.max_step_s([step.fix]))
        outcome = runner.run_step(FreshFinding(step.finding, findings, step.fix), step.timer, entry, proven)
        yield StepResult(step, outcome)
        if outcome.end_state is not EndState.VERIFIED:
            return
        if outcome.interrupted:
            raise KeyboardInterrupt
        findings = outcome.after


def abandoned_steps(hosts: Hosts, journal: Journal) -> list[StepEntry]:
    """Return the interrupted steps on these hosts, except those of other processes that still run."""
    runs = (run for run in journal.history() if run.site in ("", hosts.site.name))
    own = {run.id for run in runs if run.pid == os.getpid() or not run.is_alive}
    return [entry for entry in journal.interrupted_steps() if entry.run in own and entry.host in hosts.targets]


def finish_interrupted_before_scan(hosts: Hosts, runner: Runner, journal: Journal, notify: Notify) -> None:
    """Finish interrupted steps before a scan, because their rollback may change the result. Raises Refused."""
    steps = abandoned_steps(hosts, journal)
    if steps:
        with runner.lock_hosts([step.fix for step in steps if step.fix]) as locks:
            finish_interrupted(hosts, journal, locks, notify)


def finish_interrupted(hosts: Hosts, journal: Journal, locks: HostLocks, notify: Notify) -> None:
    """Finish the steps of interrupted runs, for example of a killed process.

    Undo each one, unless the host has rolled it back already, and record how it ended. Raises Refused if that fails,
    or if a host has leftovers of somebody else's run.
    """
    found = abandoned_steps(hosts, journal)
    for entry in found:
        assert entry.fix
        was_on_host = _roll_back(hosts, journal, entry, locks, notify)
        state, detail = _end_state_of(hosts, entry, was_on_host)
        journal.write(entry.transaction, entry.fix, state, detail)
        notify(f"run {entry.run} was interrupted: {entry.finding} {state}, {detail}")
    done = {entry.transaction for entry in found}
    for host, preflight in locks.preflights.items():
        if preflight.untrusted:
            notify(f"{host}: a fix of an earlier version would not be found: {preflight.untrusted}")
        for folder in preflight.leftovers:
            if folder.rpartition("/")[2] not in done:
                reason = f"{host}: an unfinished fix left {folder}, and {journal.path} has no interrupted run for it"
                by_hand = f"sh {shlex.quote(f'{folder}/undo-once.sh')}"
                ways = f"Wait for its rollback timer, or check the host and roll it back there: {by_hand}"
                never = _abandon_command(folder.rpartition("/")[2])
                raise Refused([f"{reason}. {ways}. If that fails for ever: {never}"])


def _abandon_command(transaction: str) -> str:
    return f"sigsrv-remediate --abandon {shlex.quote(transaction)} --reason TEXT"


def _roll_back(hosts: Hosts, journal: Journal, entry: StepEntry, locks: HostLocks, notify: Notify) -> bool:
    """Undo an interrupted step on each host that it takes effect on. Return whether its own host still had it. Raises Refused."""
    assert entry.fix
    had = False
    for name in hosts.reached(entry.fix):
        preflight = locks.preflights.get(name)
        elsewhere = name != entry.host
        timer = RollbackTimer(entry.timer or "shell")
        if elsewhere and preflight:
            timer, _ = rollback_timer_for(entry.fix, preflight, safety_net=False)
        options = FixOptions(timer=timer, who=entry.who, paths=locks.paths, elsewhere=elsewhere)
        remote = RemoteFix(entry.fix, entry.transaction, options)
        try:
            with open_session(hosts.targets[name]) as session:
                result = remote.undo(session, notify)
        except ConnectionFailed as cause:
            reason = f"run {entry.run} was interrupted on {name}, which can't be reached: {cause.failure.reason}"
            raise Refused([reason]) from cause
        if result.rc != 0:
            journal.write(entry.transaction, entry.fix, "failed", f"interrupted; rollback: {result.reason}")
            reason = f"run {entry.run} was interrupted on {name}, and the rollback failed: {result.reason}"
            raise Refused([f"{reason}. Check the host. If it can never succeed: {_abandon_command(entry.transaction)}"])
        had = had or (not elsewhere and result.stdout.strip() != NOTHING_LEFT)
    return had


def _end_state_of(hosts: Hosts, entry: StepEntry, was_on_host: bool) -> tuple[str, str]:
    """Return the state and the detail of an interrupted step of which nothing is left on the host.

    It is the old state, or the new one if the step was about to be confirmed. was_on_host: the host still had the
    fix, so it was not confirmed.
    """
    now = next((finding.verdict.value for finding in hosts.scan().findings if finding.id == entry.finding), None)
    old = (entry.verdicts or {}).get(entry.finding)
    if now != old and "confirming" in entry.states and not was_on_host:
        if now == Verdict.ERROR:
            return (
                "failed",
                f"interrupted during the confirmation; {entry.finding} is {now}, so the state is unknown",
            )
        return "verified", f"{entry.finding} is {now or 'gone'}; it was confirmed before the interruption"
    return (
        "undone",
        f"{entry.finding} is {now or 'gone'} as before" if now == old else f"{entry.finding} is now {now}",
    )
