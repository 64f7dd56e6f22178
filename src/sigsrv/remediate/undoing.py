"""What a run changed is put back, from what the journal recorded; and what was broken off is brought to an end."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sigsrv.collect.connection import open_session
from sigsrv.collect.session import ConnectionFailed
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Severity, Verdict, parse_finding_id
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.host_locks import HostLocks, Refused
from sigsrv.remediate.hosts import Hosts
from sigsrv.remediate.journal import Entry, Journal, RunEntry
from sigsrv.remediate.planning import Step
from sigsrv.remediate.remote import NOTHING_THERE, FixOptions, RemoteFix
from sigsrv.remediate.rescan import FAILING, FreshFinding
from sigsrv.remediate.runs import Limits, Runner, StepResult, secured
from sigsrv.remediate.shell import Notify
from sigsrv.remediate.transaction import EndState


@dataclass(frozen=True)
class UndoPlan:
    """What a run changed, the last first. left: what of it is not undone, each with the reason; stops: why nothing is undone now."""

    run: RunEntry
    steps: tuple[tuple[Step, Entry], ...]
    left: tuple[tuple[str, str], ...]
    stops: tuple[str, ...]


def run_of(journal: Journal, run: str) -> RunEntry:
    """A run of the journal that can be undone. Raises UsageError: there is no such run, or it undid another one itself."""
    found = journal.history(run)
    if not found:
        known = [each.id for each in journal.history() if each.steps and not each.undoes][:3]
        hint = f"the latest: {', '.join(known)}" if known else "nothing was applied yet"
        raise UsageError(f"--undo: {journal.path} has no run {run}", hint)
    if found[0].undoes:
        raise UsageError(
            f"--undo: run {run} undid run {found[0].undoes}", "sigsrv-remediate FINDING puts the findings right again"
        )
    return found[0]


def reverse(hosts: Hosts, journal: Journal, run: RunEntry, limits: Limits) -> UndoPlan:
    """What undoing a run would do, on fresh facts. What it left verified is undone, unless it was undone, put back or put right since."""
    findings = {finding.id: finding for finding in hosts.scan().findings}
    steps, left = [], []
    for entry in reversed(run.steps):
        now = findings.get(entry.finding)
        if entry.end != "verified":
            left.append((entry.finding, f"{entry.end}: {entry.detail}" if entry.detail else entry.end))
        elif entry.undone_by:
            left.append((entry.finding, f"undone by run {entry.undone_by} already"))
        elif entry.fix is None or entry.state is None:
            left.append((entry.finding, "the journal has not recorded what undoing it takes"))
        elif entry.host not in hosts.targets:
            left.append((entry.finding, f"{entry.host} is no host of site {hosts.site.name}"))
        elif later := _put_right_since(journal, entry):
            left.append((entry.finding, f"run {later} put it right again since: undo that first"))
        elif now is not None and now.verdict in FAILING:
            left.append((entry.finding, f"it is {now.verdict} again: {now.observed}; it is not as the run left it"))
        else:
            fix = entry.fix
            turned = replace(fix, script=fix.undo, undo=fix.script, title=fix.undo_text)
            steps.append((Step(now or _absent(hosts, entry), turned), entry))
    if not steps:
        return UndoPlan(run, (), tuple(left), ())
    safe, stops = secured(hosts, [step for step, _ in steps], limits)
    return UndoPlan(
        run, tuple(zip(safe, (entry for _, entry in steps), strict=True)), tuple(left), tuple(dict.fromkeys(stops))
    )


def _put_right_since(journal: Journal, entry: Entry) -> str:
    """The run that put the same finding right once more, and was not undone: the old values are no longer those before it; "" for none."""
    return next(
        (
            run.id
            for run in journal.history()
            for step in run.steps
            if (step.finding, step.end, step.undone_by, step.undoes) == (entry.finding, "verified", "", "")
            and run.id != entry.run
            and step.at > entry.at
        ),
        "",
    )


def _absent(hosts: Hosts, entry: Entry) -> Finding:
    """A finding that is no more, for what was judged is gone."""
    policy, host, resource = parse_finding_id(entry.finding)
    known = hosts.policies.get(policy)
    title, severity = (known.title, known.severity) if known else (policy, Severity.LOW)
    return Finding(
        policy, title, severity, host, resource, Verdict.NOT_APPLICABLE, "", "", "there is no such finding now"
    )


def undo(hosts: Hosts, runner: Runner, shown: UndoPlan, locks: HostLocks) -> Iterator[StepResult]:
    """Undo the steps that were shown, one after the other, each proven before the next. Ends with the first that fails.

    Raises KeyboardInterrupt after a step that held all the same.
    """
    findings = hosts.scan().findings
    for step, entry in shown.steps:
        locks.extend(runner.longest_s([step.fix]))
        outcome = runner.take(FreshFinding(step.finding, findings, step.fix), step.timer, entry)
        yield StepResult(step, outcome)
        if outcome.end_state is not EndState.VERIFIED:
            return
        if outcome.interrupted:
            raise KeyboardInterrupt
        findings = outcome.after


def open_steps(hosts: Hosts, journal: Journal) -> list[Entry]:
    """The steps on these hosts that nobody is at any more, and that did not come to an end."""
    runs = (run for run in journal.history() if run.site in ("", hosts.site.name))
    own = {run.id for run in runs if run.pid == os.getpid() or not run.is_alive}
    return [entry for entry in journal.interrupted_steps() if entry.run in own and entry.host in hosts.targets]


def finish_interrupted_first(hosts: Hosts, runner: Runner, journal: Journal, notify: Notify) -> None:
    """Bring to an end what was broken off, before anything is looked at: what is so now may be undone in a moment. Raises Refused."""
    steps = open_steps(hosts, journal)
    if steps:
        with runner.lock_hosts([step.fix for step in steps if step.fix]) as locks:
            finish_interrupted(hosts, journal, locks, notify)


def finish_interrupted(hosts: Hosts, journal: Journal, locks: HostLocks, notify: Notify) -> None:
    """Bring to an end what was broken off, as where whoever applied it was killed: undo it, unless the host did, and write which it was.

    Raises Refused where that can't be done, or where a host holds what another's run has left.
    """
    found = open_steps(hosts, journal)
    for entry in found:
        assert entry.fix
        remote = RemoteFix(
            entry.fix,
            entry.transaction,
            FixOptions(timer=RollbackTimer(entry.timer or "shell"), who=entry.who, paths=locks.paths),
        )
        try:
            with open_session(hosts.targets[entry.host]) as session:
                result = remote.undo(session, notify)
        except ConnectionFailed as cause:
            reason = f"run {entry.run} was broken off on {entry.host}, which can't be reached: {cause.failure.reason}"
            raise Refused([reason]) from cause
        if result.rc != 0:
            journal.write(entry.transaction, entry.fix, "failed", f"broken off; undo: {result.reason}")
            raise Refused([f"run {entry.run} was broken off on {entry.host}, and undoing it failed: {result.reason}"])
        held = result.stdout.strip() != NOTHING_THERE
        state, detail = _end_state_of(hosts, entry, held)
        journal.write(entry.transaction, entry.fix, state, detail)
        notify(f"run {entry.run} was broken off: {entry.finding} {state}, {detail}")
    done = {entry.transaction for entry in found}
    for host, preflight in locks.preflights.items():
        for folder in preflight.left:
            if folder.rpartition("/")[2] not in done:
                reason = f"{host}: {folder} is of a fix that did not come to an end, and no run of {journal.path} broke it off"
                by_hand = f"sh {shlex.quote(f'{folder}/undo-once.sh')}"
                raise Refused(
                    [f"{reason}: unless its timer undoes it soon a person must look; {by_hand} undoes it there"]
                )


def _end_state_of(hosts: Hosts, entry: Entry, held: bool) -> tuple[str, str]:
    """In which state a host is where nothing of a fix is left on it: the old one, or the new one where it was about to be confirmed.

    held: the host had it until just now, so it was not confirmed.
    """
    now = next((finding.verdict.value for finding in hosts.scan().findings if finding.id == entry.finding), None)
    old = (entry.verdicts or {}).get(entry.finding)
    if now != old and "confirming" in entry.states and not held:
        if now == Verdict.ERROR:
            return (
                "failed",
                f"broken off while it was confirmed; {entry.finding} is {now}, so nobody knows which state this is",
            )
        return "verified", f"{entry.finding} is {now or 'gone'}; it was confirmed before it was broken off"
    return (
        "undone",
        f"{entry.finding} is {now or 'gone'} as before" if now == old else f"{entry.finding} is {now} by now",
    )
