"""Applies several fixes in order, one host at a time, and verifies each one before the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from sigsrv.collect.connection import open_session
from sigsrv.collect.session import ConnectionFailed
from sigsrv.model.finding import Finding, Verdict, parse_finding_id
from sigsrv.model.fix import Fix
from sigsrv.model.ids import new_run_id
from sigsrv.remediate import network_resets, preflight, safety_checks, windows
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.effects import CEILINGS, Ceilings, effects, too_much
from sigsrv.remediate.host_locks import HostLocks, Refused
from sigsrv.remediate.hosts import Hosts, Snapshot
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.journal_rows import StepEntry, who
from sigsrv.remediate.merging import merged_steps, step_of
from sigsrv.remediate.pauses import FRESH_S, Keep, Pauses, keeper
from sigsrv.remediate.placing import At, hosts_of, placed
from sigsrv.remediate.planning import FixPlan, FixRequest, Step, order_steps, triage_findings
from sigsrv.remediate.preflight import Preflight
from sigsrv.remediate.remote import CONFIRM_S, FixOptions
from sigsrv.remediate.rescan import FAILING, FreshFinding, find, fix_of, no_such_finding, regressions, require_policy
from sigsrv.remediate.shell import HOST_PATHS, HostPaths, Notify
from sigsrv.remediate.transaction import PROOF_S, EndState, Outcome, Transaction

_SCANS_S = 120.0  # time for the scans, in addition to the time for the fix
_RECENT = 20  # latest runs of the journal whose locks may be taken over if they were killed


@dataclass(frozen=True)
class Limits:
    """Says what the operator allows. confirm_s: seconds. ceilings: how much one plan may do.

    safety_net: refuse a fix that nothing on the host would roll back. paths: where files are on the hosts. reason: why the
    operator does it, for journal and syslog. pause_s: seconds between the canary and the other hosts. force: an undo also
    overwrites what somebody changed since. outside_window: steps may begin outside the maintenance windows of the site.
    """

    confirm_s: float = CONFIRM_S
    ceilings: Ceilings = CEILINGS
    safety_net: bool = True
    paths: HostPaths = HOST_PATHS
    reason: str = ""
    pause_s: float = 0.0
    force: bool = False
    outside_window: bool = False


class Choice(StrEnum):
    """Names what an operator decides about a step."""

    APPLY = "apply"
    LEAVE_OUT = "leave out"
    STOP = "stop"  # neither this step nor a later one


Decide = Callable[[Step, Keep], Choice]
"""Decides about a step that is about to run. It may take as long as a person takes."""


@dataclass(frozen=True)
class StepResult:
    """Holds the result of a step. outcome: None if it did not run; note says why. left_out: the operator decided so."""

    step: Step
    outcome: Outcome | None
    note: str = ""
    left_out: bool = False

    @property
    def failed(self) -> bool:
        return self.outcome is not None and self.outcome.end_state is not EndState.VERIFIED


def make_plan(
    hosts: Hosts,
    request: FixRequest,
    journal: Journal | None,
    limits: Limits,
    preflights: Mapping[str, Preflight] | None = None,
) -> FixPlan:
    """Plan the fixes on fresh facts. journal: shows which findings were fixed lately; None if nothing will be written.

    preflights: of hosts that were inspected already. Raises UsageError: unknown policy, or no finding of that id.
    """
    for name in request.findings:
        require_policy(hosts.policies, parse_finding_id(name)[0], name)
    for policy in request.policies:
        require_policy(hosts.policies, policy, policy)
    snapshot = hosts.scan()
    triage = triage_findings(request, snapshot.findings, lambda name: find(snapshot.findings, name))
    missing = [name for name in triage.missing if name in request.findings]
    if missing:
        raise no_such_finding(snapshot.findings, missing[0])
    away = safety_checks.evacuated_hosts(snapshot.facts)
    scripted = [placed(finding, request.at) for finding in triage.scripted]
    found = merged_steps(scripted, lambda each: fix_of(each, snapshot.findings, hosts.first, away))
    found = [replace(step, others=_others(hosts, step)) for step in found]
    steps = order_steps(found, list(hosts.targets))
    if not steps:
        return FixPlan(snapshot.findings, triage)
    steps, refusals = with_rollback_timers(hosts, steps, limits, preflights)
    fix_plan = FixPlan(snapshot.findings, triage, steps)
    refusals += outside_windows(hosts, steps, limits)
    refusals += network_losses(hosts, [step.fix for step in steps])
    refusals += _safety_stops(hosts, snapshot, fix_plan, journal, limits)
    refusals += [] if refusals else failing_proof(hosts)
    notes = safety_checks.let_through(snapshot.facts, {each.id for step in steps for each in step.findings})
    return replace(fix_plan, refusals=tuple(dict.fromkeys(refusals)), notes=notes)


def _others(hosts: Hosts, step: Step) -> tuple[str, ...]:
    """Return the further hosts on which a step changes something."""
    found = dict.fromkeys((*hosts.reached(step.fix), *hosts_of(step.findings)))
    return tuple(name for name in found if name != step.fix.runs_on)


def outside_windows(hosts: Hosts, steps: Iterable[Step], limits: Limits) -> list[str]:
    """Return which hosts of these steps are outside their maintenance windows now."""
    if limits.outside_window:
        return []
    return windows.closed(hosts.site.maintenance, [host for step in steps for host in step.reaches], windows.now())


def failing_proof(hosts: Hosts) -> list[str]:
    """Return which of the site's own tests do not pass now: they could not prove that a fix is right."""
    problem = hosts.proof(PROOF_S) if hosts.proof else ""
    return [f"before any change, {problem}"] if problem else []


def with_rollback_timers(
    hosts: Hosts, steps: Sequence[Step], limits: Limits, known: Mapping[str, Preflight] | None = None
) -> tuple[tuple[Step, ...], list[str]]:
    """Add its rollback timer to each step.

    Returns the steps and the reasons to refuse some. known: hosts that were inspected already.
    """
    preflights, refusals, found = dict(known or {}), [], []
    wanted = {name for step in steps for name in hosts.reached(step.fix)} - set(preflights)
    for name, target in ((name, target) for name, target in hosts.targets.items() if name in wanted):
        try:
            with open_session(target) as session:
                preflights[name] = preflight.inspect(session, limits.paths)
        except ConnectionFailed as cause:
            refusals.append(f"{name} can't be reached: {cause.failure.reason}")
    for step in steps:
        fix = step.fix
        if fix.runs_on not in preflights:
            found.append(step)
            continue
        found_preflight = preflights[fix.runs_on]
        timer, _ = preflight.rollback_timer_for(fix, found_preflight, limits.safety_net)
        for name in (each for each in hosts.reached(fix) if each in preflights):
            here = replace(fix, runs_on=name)
            kind, reason = preflight.rollback_timer_for(here, preflights[name], limits.safety_net)
            refusals += [f"{fix.finding}: {reason}"] if reason else []
            refusals += safety_checks.touches_own_login(
                here,
                preflights[name].links,
                fix.cuts_network and (kind is RollbackTimer.UNIT or not fix.survives_reboot),
            )
        found.append(replace(step, timer=timer))
    return tuple(found), refusals


def network_losses(hosts: Hosts, fixes: Iterable[Fix], is_undo: bool = False) -> list[str]:
    """Return what Incus would delete with a network that it sets up again: no undo brings it back."""
    resetting = [fix for fix in fixes if fix.resets]
    if not resetting:
        return []
    pictures = hosts.look([touch for fix in resetting for touch in fix.looked_at])
    return [f"{fix.finding}: {reason}" for fix in resetting for reason in network_resets.losses(fix, pictures, is_undo)]


def _safety_stops(
    hosts: Hosts, snapshot: Snapshot, fix_plan: FixPlan, journal: Journal | None, limits: Limits
) -> list[str]:
    fixing = {each.id for step in fix_plan.steps for each in step.findings}
    counts = {key: journal.fixes_within_a_day(key, time.time()) for key in sorted(fixing)} if journal else {}
    return [
        *safety_checks.offline(snapshot.facts, fixing),
        *safety_checks.evacuated(snapshot.facts, [step.fix for step in fix_plan.steps]),
        *safety_checks.resilvering(snapshot.facts, hosts.site.has_zfs),
        *too_much(effects(fix_plan.steps), limits.ceilings),
        *safety_checks.recurring(counts),
    ]


class Runner:
    """Runs the steps of one run. notify: shows a line to the operator. The hosts stay locked while steps run."""

    def __init__(self, hosts: Hosts, journal: Journal, notify: Notify, limits: Limits) -> None:
        self.id = new_run_id(time.time())
        self._hosts = hosts
        self._journal = journal
        self._notify = notify
        self.limits = limits
        self._locks: HostLocks | None = None

    def lock_hosts(self, fixes: Sequence[Fix], undoes: str = "", doing: str = "") -> HostLocks:
        """Start the run: write it to the journal and lock the hosts. undoes: the run that it is about to undo.

        doing: what it does instead of fixes, for the journal.
        """
        outside = "outside the maintenance windows" if self.limits.outside_window else ""
        reason = ": ".join(part for part in (doing, outside, self.limits.reason) if part)
        over = [run.id for run in self._journal.history()[:_RECENT] if run.who == who() and not run.is_alive]
        self._journal.begin_run(self.id, self._hosts.site.name, undoes, reason)
        targets = self._hosts.targets.values()
        self._locks = HostLocks(targets, self.id, who(), self.max_step_s(fixes), over, self._notify, self.limits.paths)
        return self._locks

    def max_step_s(self, fixes: Sequence[Fix]) -> float:
        """Return the seconds that the longest of these fixes may take, with its verification or rollback."""
        return max((self.limits.confirm_s + 3 * fix.timeout_s + _SCANS_S for fix in fixes), default=_SCANS_S)

    def apply(
        self,
        locks: HostLocks,
        shown: FixPlan,
        request: FixRequest,
        decide: Decide | None = None,
        is_approved: Callable[[FixPlan], bool] = lambda _: True,
    ) -> Iterator[StepResult]:
        """Run the steps that were shown, one after the other. decide: asks about each step; None applies all.

        is_approved: whether the plan, which is made again now that the hosts are locked, is still the one that was approved.
        Each is verified before the next; the first failure ends the run. Raises Refused if a script differs from the
        one that was shown, if a safety check fails now, or if something got worse during a pause. Raises KeyboardInterrupt
        after a step that was confirmed in spite of an interruption.
        """
        now = make_plan(self._hosts, request, self._journal, self.limits, locks.preflights)
        if now.refusals:
            raise Refused(now.refusals)
        if not is_approved(now):
            raise Refused(["the plan is no longer the one that was approved: show it again, and have it approved"])
        findings = now.findings
        pauses = Pauses(self.limits.pause_s, self._notify)
        for number, step in enumerate(shown.steps):
            fresh = self._refreshed(step, findings, request.at)
            if fresh is None:
                yield StepResult(step, None, "it no longer fails")
                continue
            keep = keeper(locks, self.max_step_s([step.fix]))
            began = time.monotonic()
            choice = decide(fresh, keep) if decide else Choice.APPLY
            if choice is Choice.STOP:
                return
            if choice is Choice.LEAVE_OUT:
                yield StepResult(step, None, "left out", left_out=True)
                continue
            pauses.before(step, began, keep)
            if time.monotonic() - began > FRESH_S:
                findings = self._look_again(findings, fresh.fix, shown)
                fresh = self._refreshed(step, findings, request.at)
                if fresh is None:
                    yield StepResult(step, None, "it no longer fails")
                    continue
            if late := outside_windows(self._hosts, [fresh], self.limits):
                raise Refused(late)
            if number:
                locks.extend(self.max_step_s([step.fix]))
            outcome = self.run_step(
                FreshFinding(fresh.finding, findings, fresh.fix, frozenset(shown.notes)), step.timer
            )
            yield StepResult(fresh, outcome)
            if outcome.end_state is not EndState.VERIFIED:
                return
            if outcome.interrupted:
                raise KeyboardInterrupt
            findings = outcome.after

    def _look_again(self, before: Sequence[Finding], fix: Fix, shown: FixPlan) -> tuple[Finding, ...]:
        """Return fresh findings after a wait, before a fix. Raises Refused if one is worse than before the wait, or if a check fails."""
        snapshot = self._hosts.scan()
        worse = [
            f"{found.id} is {found.verdict} since the last step" for found in regressions(before, snapshot.findings)
        ]
        stops = [
            *safety_checks.offline(snapshot.facts, {step.finding.id for step in shown.steps}),
            *safety_checks.evacuated(snapshot.facts, [fix]),
            *safety_checks.resilvering(snapshot.facts, self._hosts.site.has_zfs),
            *network_losses(self._hosts, [fix]),
        ]
        if worse or stops:
            raise Refused([*worse, *stops])
        return snapshot.findings

    def run_step(
        self, fresh: FreshFinding, timer: RollbackTimer, replays: StepEntry | None = None, proven: bool = True
    ) -> Outcome:
        """Run one step. replays: the step of the journal that this one undoes. proven: the site's own tests passed before."""
        assert fresh.fix
        host = fresh.fix.runs_on
        limits = self.limits
        options = FixOptions(
            limits.confirm_s, timer, self.id, who(), limits.paths, force=limits.force, reason=limits.reason
        )

        def notify(line: str) -> None:
            self._notify(f"{host}: {line}")

        targets = self._hosts.with_login
        others = [(targets[name], timer) for name, timer in self._timers_elsewhere(fresh.fix).items()]
        look = partial(self._hosts.look, fresh.fix.looked_at)
        proof = self._hosts.proof if proven else None
        scan, target = self._hosts.scan, self._hosts.targets[host]
        return Transaction(scan, target, fresh, self._journal, notify, options, replays, look, others, proof).run()

    def _timers_elsewhere(self, fix: Fix) -> dict[str, RollbackTimer]:
        """Return the kind of the rollback timer on each other member that the fix takes effect on. Raises Refused."""
        preflights = self._locks.preflights if self._locks else {}
        found = {}
        for name in self._hosts.reached(fix):
            if name == fix.runs_on:
                continue
            if name not in preflights:
                raise Refused(
                    [f"{fix.finding}: it takes effect on {name} too, which can't be reached to arm the rollback"]
                )
            found[name], reason = preflight.rollback_timer_for(
                replace(fix, runs_on=name), preflights[name], self.limits.safety_net
            )
            if reason:
                raise Refused([f"{fix.finding}: {reason}"])
        return found

    def _refreshed(self, step: Step, findings: tuple[Finding, ...], at: At) -> Step | None:
        """Return the step on the newest facts; None if none of its findings fails any more.

        Raises Refused if its script differs from the one shown, or if one of its findings can't be determined now.
        """
        now = [find(findings, each.id) for each in step.findings]
        if unknown := [each for each in now if each is not None and each.verdict is Verdict.ERROR]:
            raise Refused([f"{each.id} can't be determined now: {each.reason}" for each in unknown])
        failing = [placed(each, at) for each in now if each is not None and each.verdict in FAILING]
        if not failing:
            return None
        others = self._hosts.targets.keys() - {
            step.fix.runs_on
        }  # a fix of the cluster stays on the host that was shown
        fresh = step_of(failing, lambda each: fix_of(each, findings, self._hosts.first, others))
        scripts = (step.fix.script, step.fix.undo, step.fix.runs_on)
        if fresh is None or (fresh.fix.script, fresh.fix.undo, fresh.fix.runs_on) != scripts:
            raise Refused([f"{failing[0].id}: its script differs from the one that was shown; run the command again"])
        return replace(step, finding=fresh.finding, fix=fresh.fix, also=fresh.also)
