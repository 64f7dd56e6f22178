"""Several fixes in order, one host at a time, each proven before the next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sigsrv.collect.connection import open_session
from sigsrv.collect.session import ConnectionFailed
from sigsrv.model.finding import Finding, new_run_id, parse_finding_id
from sigsrv.model.fix import Fix
from sigsrv.remediate import preflight, safety_checks
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.host_locks import HostLocks, Refused
from sigsrv.remediate.hosts import Hosts, Snapshot
from sigsrv.remediate.journal import Entry, Journal, who
from sigsrv.remediate.planning import FixPlan, FixRequest, Step, ordered, triage_findings
from sigsrv.remediate.preflight import Preflight
from sigsrv.remediate.remote import CONFIRM_S, FixOptions
from sigsrv.remediate.rescan import FAILING, FreshFinding, find, fix_of, known_policy, no_such_finding
from sigsrv.remediate.shell import HOST_PATHS, HostPaths, Notify
from sigsrv.remediate.transaction import EndState, Outcome, Transaction

_SCANS_S = 120.0  # what looking at the hosts may take, beside what a fix may
_RECENT = 20  # runs of the journal whose hold may be taken over, where they were killed


@dataclass(frozen=True)
class Limits:
    """What an operator allows. confirm_s: seconds; most: objects; safety_net: refuse what nothing on the host would undo.

    places: where things are on the hosts.
    """

    confirm_s: float = CONFIRM_S
    most: int = safety_checks.MAX_OBJECTS
    safety_net: bool = True
    paths: HostPaths = HOST_PATHS


@dataclass(frozen=True)
class StepResult:
    """A step that was taken. outcome: None where nothing was to be done any more; then note says why."""

    step: Step
    outcome: Outcome | None
    note: str = ""

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
    """What would be done, on fresh facts. journal: tells what was put right lately; None where nothing is to be written.

    grounds: of hosts that were looked at already. Raises UsageError: no such policy, or nothing of a finding's id.
    """
    for name in request.findings:
        known_policy(hosts.policies, parse_finding_id(name)[0], name)
    for policy in request.policies:
        known_policy(hosts.policies, policy, policy)
    snapshot = hosts.scan()
    triage = triage_findings(request, snapshot.findings, lambda name: find(snapshot.findings, name))
    missing = [name for name in triage.gone if name in request.findings]
    if missing:
        raise no_such_finding(snapshot.findings, missing[0])
    fixes = ((finding, fix_of(finding, snapshot.findings, hosts.first)) for finding in triage.scripted)
    steps = ordered([Step(each, fix) for each, fix in fixes if fix], list(hosts.targets))
    if not steps:
        return FixPlan(snapshot.findings, triage)
    steps, stops = secured(hosts, steps, limits, preflights)
    fix_plan = FixPlan(snapshot.findings, triage, steps)
    stops += _safety_stops(hosts, snapshot, fix_plan, journal, limits)
    return replace(fix_plan, stops=tuple(dict.fromkeys(stops)))


def secured(
    hosts: Hosts, steps: Sequence[Step], limits: Limits, known: Mapping[str, Preflight] | None = None
) -> tuple[tuple[Step, ...], list[str]]:
    """The steps with what undoes each by itself; and why some of them are refused. known: hosts that were looked at already."""
    preflights, stops, found = dict(known or {}), [], []
    wanted = {step.fix.runs_on for step in steps} - set(preflights)
    for name, target in ((name, target) for name, target in hosts.targets.items() if name in wanted):
        try:
            with open_session(target) as session:
                preflights[name] = preflight.inspect(session, limits.paths)
        except ConnectionFailed as cause:
            stops.append(f"{name} can't be reached: {cause.failure.reason}")
    for step in steps:
        fix = step.fix
        if fix.runs_on not in preflights:
            found.append(step)
            continue
        here = preflights[fix.runs_on]
        timer, reason = preflight.rollback_timer_for(fix, here, limits.safety_net)
        stops += [f"{fix.finding}: {reason}"] if reason else []
        stops += safety_checks.own_way(
            fix, here.links, fix.cuts_network and (timer is RollbackTimer.UNIT or not fix.survives_reboot)
        )
        found.append(replace(step, timer=timer))
    return tuple(found), stops


def _safety_stops(
    hosts: Hosts, snapshot: Snapshot, fix_plan: FixPlan, journal: Journal | None, limits: Limits
) -> list[str]:
    fixing = {step.finding.id for step in fix_plan.steps}
    counts = {key: journal.fixes_within_a_day(key, time.time()) for key in sorted(fixing)} if journal else {}
    return [
        *safety_checks.offline(snapshot.facts, fixing),
        *safety_checks.resilvering(snapshot.facts, hosts.site.has_zfs),
        *safety_checks.too_many(fix_plan.objects, limits.most),
        *safety_checks.comes_back(counts),
    ]


class Runner:
    """One run. tell: shows a line to the operator. The hosts are held as long as steps are taken."""

    def __init__(self, hosts: Hosts, journal: Journal, notify: Notify, limits: Limits) -> None:
        self.id = new_run_id(time.time())
        self._hosts = hosts
        self._journal = journal
        self._notify = notify
        self._limits = limits

    def lock_hosts(self, fixes: Sequence[Fix], undoes: str = "") -> HostLocks:
        """Begin the run: it is in the journal, and the hosts are its own. undoes: the run that it is to undo."""
        over = [run.id for run in self._journal.history()[:_RECENT] if run.who == who() and not run.is_alive]
        self._journal.begin(self.id, self._hosts.site.name, undoes)
        targets = self._hosts.targets.values()
        return HostLocks(targets, self.id, who(), self.longest_s(fixes), over, self._notify, self._limits.paths)

    def longest_s(self, fixes: Sequence[Fix]) -> float:
        """The seconds that the longest of some fixes may take, with all that proves or undoes it."""
        return max(self._limits.confirm_s + 3 * fix.timeout_s + _SCANS_S for fix in fixes)

    def apply(self, locks: HostLocks, shown: FixPlan, request: FixRequest) -> Iterator[StepResult]:
        """Take the steps that were shown, one after the other, each proven before the next. Ends with the first that fails.

        Raises Refused where what would be done is no longer what was shown, or something speaks against it by now; KeyboardInterrupt
        after a step that held all the same.
        """
        now = make_plan(self._hosts, request, self._journal, self._limits, locks.preflights)
        if now.stops:
            raise Refused(now.stops)
        findings = now.findings
        for number, step in enumerate(shown.steps):
            fresh = self._fresh(step, findings)
            if fresh is None:
                yield StepResult(step, None, "it is right by now")
                continue
            if number:
                locks.extend(self.longest_s([step.fix]))
            outcome = self.take(FreshFinding(fresh.finding, findings, fresh.fix), step.timer)
            yield StepResult(fresh, outcome)
            if outcome.end_state is not EndState.VERIFIED:
                return
            if outcome.interrupted:
                raise KeyboardInterrupt
            findings = outcome.after

    def take(self, fresh: FreshFinding, timer: RollbackTimer, replays: Entry | None = None) -> Outcome:
        """Take one step. replays: the step of the journal that is undone by it."""
        assert fresh.fix
        host = fresh.fix.runs_on
        options = FixOptions(self._limits.confirm_s, timer, self.id, who(), self._limits.paths)

        def notify(line: str) -> None:
            self._notify(f"{host}: {line}")

        target = self._hosts.targets[host]
        return Transaction(self._hosts.scan, target, fresh, self._journal, notify, options, replays).run()

    def _fresh(self, step: Step, findings: tuple[Finding, ...]) -> Step | None:
        """A step on the newest facts; None where it is right by now. Raises Refused where it is not what was shown."""
        found = find(findings, step.finding.id)
        if found is None or found.verdict not in FAILING:
            return None
        fix = fix_of(found, findings, self._hosts.first)
        if fix is None or (fix.script, fix.undo, fix.runs_on) != (step.fix.script, step.fix.undo, step.fix.runs_on):
            raise Refused([f"{found.id}: its script is no longer the one that was shown; look again"])
        return replace(step, finding=found, fix=fix)
