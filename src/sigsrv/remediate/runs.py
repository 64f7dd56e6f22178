"""Several fixes in order, one host at a time, each proven before the next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sigsrv.collect.connection import open_session
from sigsrv.collect.session import ConnectionFailed
from sigsrv.model.finding import Finding, new_run_id, parse_finding_id
from sigsrv.model.fix import Fix
from sigsrv.remediate import brakes, ground
from sigsrv.remediate.arming import Net
from sigsrv.remediate.ground import Ground
from sigsrv.remediate.holding import Hold, Refused
from sigsrv.remediate.hosts import Hosts, Scene
from sigsrv.remediate.journal import Entry, Journal, who
from sigsrv.remediate.looking import FAILING, Looked, find, fix_of, known_policy, no_such_finding
from sigsrv.remediate.planning import Named, Proposal, Step, choose, ordered
from sigsrv.remediate.remote import CONFIRM_S, Terms
from sigsrv.remediate.shell import PLACES, Places, Tell
from sigsrv.remediate.transaction import Ending, Outcome, Transaction

_LOOKING_S = 120.0  # what looking at the hosts may take, beside what a fix may
_RECENT = 20  # runs of the journal whose hold may be taken over, where they were killed


@dataclass(frozen=True)
class Limits:
    """What an operator allows. confirm_s: seconds; most: objects; safety_net: refuse what nothing on the host would undo.

    places: where things are on the hosts.
    """

    confirm_s: float = CONFIRM_S
    most: int = brakes.MAX_OBJECTS
    safety_net: bool = True
    places: Places = PLACES


@dataclass(frozen=True)
class Done:
    """A step that was taken. outcome: None where nothing was to be done any more; then note says why."""

    step: Step
    outcome: Outcome | None
    note: str = ""

    @property
    def failed(self) -> bool:
        return self.outcome is not None and self.outcome.ending is not Ending.VERIFIED


def propose(
    hosts: Hosts, named: Named, journal: Journal | None, limits: Limits, grounds: Mapping[str, Ground] | None = None
) -> Proposal:
    """What would be done, on fresh facts. journal: tells what was put right lately; None where nothing is to be written.

    grounds: of hosts that were looked at already. Raises UsageError: no such policy, or nothing of a finding's id.
    """
    for name in named.findings:
        known_policy(hosts.policies, parse_finding_id(name)[0], name)
    for policy in named.policies:
        known_policy(hosts.policies, policy, policy)
    scene = hosts.look()
    choice = choose(named, scene.findings, lambda name: find(scene.findings, name))
    missing = [name for name in choice.gone if name in named.findings]
    if missing:
        raise no_such_finding(scene.findings, missing[0])
    fixes = ((finding, fix_of(finding, scene.findings, hosts.first)) for finding in choice.scripted)
    steps = ordered([Step(each, fix) for each, fix in fixes if fix], list(hosts.targets))
    if not steps:
        return Proposal(scene.findings, choice)
    steps, stops = secured(hosts, steps, limits, grounds)
    proposal = Proposal(scene.findings, choice, steps)
    stops += _braked(hosts, scene, proposal, journal, limits)
    return replace(proposal, stops=tuple(dict.fromkeys(stops)))


def secured(
    hosts: Hosts, steps: Sequence[Step], limits: Limits, known: Mapping[str, Ground] | None = None
) -> tuple[tuple[Step, ...], list[str]]:
    """The steps with what undoes each by itself; and why some of them are refused. known: hosts that were looked at already."""
    grounds, stops, found = dict(known or {}), [], []
    wanted = {step.fix.runs_on for step in steps} - set(grounds)
    for name, target in ((name, target) for name, target in hosts.targets.items() if name in wanted):
        try:
            with open_session(target) as session:
                grounds[name] = ground.look(session, limits.places)
        except ConnectionFailed as cause:
            stops.append(f"{name} can't be reached: {cause.failure.reason}")
    for step in steps:
        fix = step.fix
        if fix.runs_on not in grounds:
            found.append(step)
            continue
        here = grounds[fix.runs_on]
        net, reason = ground.net_for(fix, here, limits.safety_net)
        stops += [f"{fix.finding}: {reason}"] if reason else []
        stops += brakes.own_way(fix, here.links, fix.cuts_network and (net is Net.UNIT or not fix.survives_reboot))
        found.append(replace(step, net=net))
    return tuple(found), stops


def _braked(hosts: Hosts, scene: Scene, proposal: Proposal, journal: Journal | None, limits: Limits) -> list[str]:
    mending = {step.finding.id for step in proposal.steps}
    counts = {key: journal.fixes_within_a_day(key, time.time()) for key in sorted(mending)} if journal else {}
    return [
        *brakes.offline(scene.facts, mending),
        *brakes.resilvering(scene.facts, hosts.site.has_zfs),
        *brakes.too_many(proposal.objects, limits.most),
        *brakes.comes_back(counts),
    ]


class Runner:
    """One run. tell: shows a line to the operator. The hosts are held as long as steps are taken."""

    def __init__(self, hosts: Hosts, journal: Journal, tell: Tell, limits: Limits) -> None:
        self.id = new_run_id(time.time())
        self._hosts = hosts
        self._journal = journal
        self._tell = tell
        self._limits = limits

    def hold(self, fixes: Sequence[Fix], undoes: str = "") -> Hold:
        """Begin the run: it is in the journal, and the hosts are its own. undoes: the run that it is to undo."""
        over = [run.id for run in self._journal.history()[:_RECENT] if run.who == who() and not run.is_alive]
        self._journal.begin(self.id, self._hosts.site.name, undoes)
        targets = self._hosts.targets.values()
        return Hold(targets, self.id, who(), self.longest_s(fixes), over, self._tell, self._limits.places)

    def longest_s(self, fixes: Sequence[Fix]) -> float:
        """The seconds that the longest of some fixes may take, with all that proves or undoes it."""
        return max(self._limits.confirm_s + 3 * fix.timeout_s + _LOOKING_S for fix in fixes)

    def apply(self, hold: Hold, shown: Proposal, named: Named) -> Iterator[Done]:
        """Take the steps that were shown, one after the other, each proven before the next. Ends with the first that fails.

        Raises Refused where what would be done is no longer what was shown, or something speaks against it by now; KeyboardInterrupt
        after a step that held all the same.
        """
        now = propose(self._hosts, named, self._journal, self._limits, hold.grounds)
        if now.stops:
            raise Refused(now.stops)
        findings = now.findings
        for number, step in enumerate(shown.steps):
            fresh = self._fresh(step, findings)
            if fresh is None:
                yield Done(step, None, "it is right by now")
                continue
            if number:
                hold.prolong(self.longest_s([step.fix]))
            outcome = self.take(Looked(fresh.finding, findings, fresh.fix), step.net)
            yield Done(fresh, outcome)
            if outcome.ending is not Ending.VERIFIED:
                return
            if outcome.interrupted:
                raise KeyboardInterrupt
            findings = outcome.after

    def take(self, looked: Looked, net: Net, replays: Entry | None = None) -> Outcome:
        """Take one step. replays: the step of the journal that is undone by it."""
        assert looked.fix
        host = looked.fix.runs_on
        terms = Terms(self._limits.confirm_s, net, self.id, who(), self._limits.places)

        def tell(line: str) -> None:
            self._tell(f"{host}: {line}")

        target = self._hosts.targets[host]
        return Transaction(self._hosts.look, target, looked, self._journal, tell, terms, replays).run()

    def _fresh(self, step: Step, findings: tuple[Finding, ...]) -> Step | None:
        """A step on the newest facts; None where it is right by now. Raises Refused where it is not what was shown."""
        found = find(findings, step.finding.id)
        if found is None or found.verdict not in FAILING:
            return None
        fix = fix_of(found, findings, self._hosts.first)
        if fix is None or (fix.script, fix.undo, fix.runs_on) != (step.fix.script, step.fix.undo, step.fix.runs_on):
            raise Refused([f"{found.id}: its script is no longer the one that was shown; look again"])
        return replace(step, finding=found, fix=fix)
