"""Fixes one finding on one host and verifies it on fresh facts, or rolls it back.

Only this module changes a host. ``runs`` applies several fixes in order; ``undoing`` undoes a run.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sigsrv.collect.connection import open_session
from sigsrv.collect.session import ConnectionFailed
from sigsrv.collect.target import Target
from sigsrv.judge.require import SERVICE
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Verdict, parse_finding_id
from sigsrv.model.fix import Fix
from sigsrv.model.ids import new_transaction_id
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.hosts import Snapshot
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.journal_rows import KEPT, StepEntry, who
from sigsrv.remediate.members import Member, OtherMembers
from sigsrv.remediate.remote import (
    CONFIRM_S,
    MAX_OLD_VALUES,
    NOTHING_LEFT,
    REFUSED,
    FixOptions,
    RemoteFix,
    kept_lines,
    parse_state,
)
from sigsrv.remediate.rescan import NOT_FIXED, FreshFinding, improvements, regressions, seen, shown_by_start
from sigsrv.remediate.shell import CommandResult, Notify
from sigsrv.remediate.state_guard import Look, StateGuard

_VERIFY_TRIES = 4
_NAMED = 10  # findings that a message names
_SCAN_S = 3.0  # time for a scan before the host begins the rollback
PROOF_S = 300.0  # time for the site's own tests if no rollback is armed that would come first
_RECOVERY_S = 45.0  # twice Incus's offline threshold of 20 s, plus a heartbeat


class EndState(StrEnum):
    """Names how a transaction ended."""

    VERIFIED = "verified"
    UNDONE = "undone"  # rolled back: the host is as it was before
    REFUSED = "refused"  # the script refused before it changed anything; still rolled back
    UNKNOWN = "unknown"  # neither the new nor the old state could be verified


@dataclass(frozen=True)
class Outcome:
    """Holds the result of a transaction.

    after: the latest fresh findings; empty if there were none. interrupted: the operator interrupted the run. left: what differs on the
    hosts after a rollback. kept: what an undo left alone, because somebody has changed it since the fix.
    """

    end_state: EndState
    reason: str
    after: tuple[Finding, ...] = ()
    interrupted: bool = False
    left: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


class Transaction:
    """Runs one fix on one host: journal, apply, verify on fresh facts, confirm; or else roll back.

    scan: returns fresh findings of all hosts. target: says how to reach the host. notify: shows a line to the
    operator. replays: the step of the journal that this transaction undoes; ``fresh.fix`` is then the fix of that
    step with both scripts swapped. look: takes pictures of all hosts. others: the other members that the fix takes effect on, with the
    kind of the rollback timer of each. proof: runs the site's own tests for at most that many seconds and returns what does not pass.
    """

    def __init__(
        self,
        scan: Callable[[], Snapshot],
        target: Target,
        fresh: FreshFinding,
        journal: Journal,
        notify: Notify,
        options: FixOptions | None = None,
        replays: StepEntry | None = None,
        look: Look = dict,
        others: Sequence[tuple[Target, RollbackTimer]] = (),
        proof: Callable[[float], str] | None = None,
    ) -> None:
        assert fresh.fix
        self.id = new_transaction_id()
        self._scan = scan
        self._before = fresh
        self._fix: Fix = fresh.fix
        self._journal = journal
        self._notify_operator = notify
        self._replays = replays
        self._proof = proof
        self._options = options or FixOptions(confirm_s=CONFIRM_S, who=who())
        state = parse_state(replays.state or "") if replays else None
        self._remote = RemoteFix(self._fix, self.id, self._options, state)
        self._target = self._patient(target)
        members = {
            each.name: Member(
                self._patient(each), RemoteFix(self._fix, self.id, replace(self._options, timer=timer, elsewhere=True))
            )
            for each, timer in others
        }
        self._others = OtherMembers(members, self._notify)
        self._guard = StateGuard(look, fresh, replays is not None)
        self._kept: tuple[str, ...] = ()
        self._after: tuple[Finding, ...] = ()
        self._shown: list[Finding] = []  # worse findings that do not count, see ``shown_by_start``
        self._rollback_at = math.inf  # when the host begins the rollback by itself
        self._confirming = False  # once true, the host may have confirmed the fix even if the answer was lost

    def _patient(self, target: Target) -> Target:
        """Return a target with enough time for the script."""
        return replace(target, timeout_s=self._fix.timeout_s + 60.0)

    def run(self) -> Outcome:
        """Apply the fix and verify it.

        In the end the host is in the new or the old state, or the outcome says that neither could be verified.
        """
        began = time.monotonic()
        undoes = self._replays.transaction if self._replays else ""
        self._journal.begin_step(self.id, self._fix, self._before.findings, undoes, self._options.timer.value)
        try:
            if problem := self._guard.begin():
                self._record("undone", problem)
                return Outcome(EndState.REFUSED, problem)
            began = time.monotonic()
            self._rollback_at = began + self._remote.rollback_after_s
            result = self._apply(began)
            if result is None:
                return self._undo("the connection broke, so the result of the script is unknown", began)
            if result.rc != 0:
                refused = REFUSED in result.stderr
                return self._undo(
                    f"the script ended with exit status {result.rc}: {result.reason}", began, refused=refused
                )
            self._journal.write(self.id, self._fix, "applied", result.stdout[-2000:])
            if self._replays:
                self._kept = kept_lines(result.stdout)
            problem = self._verify()
            return self._undo(problem, began) if problem else self._confirm(began)
        except KeyboardInterrupt:
            return replace(self._stop("interrupted", began), interrupted=True)
        except Exception as cause:  # any error: a change that is not verified must not stay
            return self._stop(f"the change could not be verified: {type(cause).__name__}: {cause}", began)

    def _stop(self, why: str, began: float) -> Outcome:
        return self._resolve_confirmation(why, began) if self._confirming else self._undo(why, began)

    def _notify(self, line: str) -> None:
        with contextlib.suppress(OSError):  # the reader of the output is gone: no reason to leave the host half way
            self._notify_operator(line)

    def _apply(self, began: float) -> CommandResult | None:
        """Run the script.

        If its connection breaks, follow the script over a new one; None if its result stays unknown.
        """
        try:
            with open_session(self._target) as session:
                if not self._others:
                    return self._remote.apply(session, self._notify)
                saved = self._remote.save(session)
                old_values = self._remote.old_values(session) if saved.rc == 0 else saved
                if old_values.rc != 0:
                    return old_values
                if problem := self._others.arm(old_values.stdout):
                    return CommandResult(1, "", f"{REFUSED} {problem}")
                return self._remote.run(session, self._notify)
        except ConnectionFailed as cause:
            self._notify(f"the connection broke while the script ran: {cause.failure.reason}")
        while time.monotonic() < began + self._remote.deadline_s:
            try:
                with open_session(self._target) as session:
                    result = self._remote.follow(session)
                    return None if result.rc == RemoteFix.NOT_STARTED else result
            except ConnectionFailed:
                time.sleep(1)
        return None

    def _record(self, state: str, detail: str = "") -> None:
        """Write to the journal after the host was changed. A journal that fails must not prevent the rollback."""
        try:
            self._journal.write(self.id, self._fix, state, detail)
        except UsageError as cause:
            self._notify(str(cause))

    def _rescan(self) -> tuple[Finding, ...]:
        self._after = self._scan().findings
        return self._after

    def _verify(self) -> str:
        """Return the problem with the new state on fresh facts, over a new login; "" for none."""
        problem, took_s = "", _SCAN_S
        for attempt in range(_VERIFY_TRIES):
            if attempt:
                if time.monotonic() + attempt + took_s > self._rollback_at:
                    break  # a later scan would see the rollback of the host
                time.sleep(attempt)  # a service that just started may need a moment
            began = time.monotonic()
            problem = self._problem(self._rescan()) or self._guard.changed()
            if not problem and self._proof:
                problem = self._proof(min(PROOF_S, self._rollback_at - time.monotonic() - _SCAN_S))
            took_s = max(took_s, time.monotonic() - began)
            if not problem:
                return ""
        return problem

    def _problem(self, after: tuple[Finding, ...]) -> str:
        """Return the problem with these findings: the fixed one must be gone, and no other may be worse.

        If this transaction undoes a fix, the findings that the fix had improved may get worse again. If it starts a daemon, what only
        the daemon could report may fail now.
        """
        fixed, allowed = self._before.finding, set()
        if self._replays:
            allowed = {fixed.id, *self._replays.improved}
            policies = {parse_finding_id(each)[0] for each in allowed}
            was = self._replays.verdicts or {}  # the object may have another name since, and so another finding
            allowed |= {each.id for each in after if was and each.id not in was and each.policy in policies}
        else:
            for fixed in self._before.fixed:
                now = next((finding for finding in after if finding.id == fixed.id), None)
                if now is not None and seen(now) in NOT_FIXED:
                    return f"{now.id} is still {seen(now)}: {now.observed or now.reason}"
                if now is None and any(f.policy == fixed.policy and f.verdict is Verdict.ERROR for f in after):
                    return f"{fixed.id} could not be determined after the fix"
        worse = self._worse(after, allowed)
        return (
            "other findings got worse: " + ", ".join(f"{finding.id} {finding.verdict}" for finding in worse)
            if worse
            else ""
        )

    def _worse(self, after: tuple[Finding, ...], allowed: Iterable[str] = ()) -> list[Finding]:
        """Return the findings that got worse, without those that the start of a daemon only shows."""
        worse = regressions(self._before.findings, after, allowed)
        if self._before.finding.policy == SERVICE and not self._replays:
            self._shown = shown_by_start(self._before.findings, worse)
        return [finding for finding in worse if finding not in self._shown]

    def _confirm(self, began: float) -> Outcome:
        """Copy the old values from the host to the journal, and let the host keep the change.

        The other members come first: from then on only the host of the fix can roll it back, until it is confirmed there too.
        """
        if problem := self._guard.changed() or self._others.confirm():
            return self._undo(problem, began)
        try:
            with open_session(self._target) as session:
                old_values = self._remote.old_values(session)
                if old_values.rc != 0:
                    return self._undo(f"the change could not be confirmed: {old_values.reason}", began)
                if len(old_values.stdout) > MAX_OLD_VALUES:
                    return self._undo(f"the old values take more than {MAX_OLD_VALUES} bytes", began)
                parse_state(old_values.stdout)
                self._journal.record_old_values(
                    self.id, self._fix, old_values.stdout, improvements(self._before.findings, self._after)
                )
                self._confirming = True
                result = self._remote.confirm(session)
        except ConnectionFailed as cause:
            return self._resolve_confirmation(
                f"the connection broke during the confirmation: {cause.failure.reason}", began
            )
        if result.rc != 0:
            return self._resolve_confirmation(f"the change could not be confirmed: {result.reason}", began)
        return self._verified()

    def _verified(self) -> Outcome:
        self._record("verified", f"{KEPT}{'; '.join(self._kept)}" if self._kept else "")
        names, one = ", ".join(self._fix.findings), not self._fix.also
        was = "is as it was before" if one else "are as they were before"
        result = was if self._replays else "no longer fails" if one else "no longer fail"
        if self._kept:
            result = f"{'is' if one else 'are'} undone, except for what somebody changed since"
        reason = f"{names} {result}; no other finding got worse"
        if self._shown:
            names = ", ".join(f"{finding.id} {finding.verdict}" for finding in self._shown[:_NAMED])
            more = f" and {len(self._shown) - _NAMED} more" if len(self._shown) > _NAMED else ""
            reason += f". Only shown by the start of the daemon, so not counted: {names}{more}"
        return Outcome(EndState.VERIFIED, reason, self._after, kept=self._kept)

    def _resolve_confirmation(self, why: str, began: float) -> Outcome:
        """Find out whether the host confirmed the change, after the answer was lost.

        Undo the fix if the host still has it. If the host has nothing of it, fresh facts show the state.
        """
        result = self._undo_on_host(began)
        if result is None or result.rc != 0 or result.stdout.strip() != NOTHING_LEFT:
            return self._check_rollback(result, why)
        self._rollback_at = math.inf  # no rollback is armed any more
        problem = self._verify()
        old = next((f.verdict for f in self._before.findings if f.id == self._before.finding.id), None)
        now = next((f.verdict for f in self._after if f.id == self._before.finding.id), None)
        if now == old:
            return self._check_rollback(result, why)
        return self._verified() if not problem else self._state_unknown(why, problem)

    def _undo(self, why: str, began: float, refused: bool = False) -> Outcome:
        """Restore the old state: over a new login, or by waiting for the host to do it."""
        self._record("undoing", why)
        self._notify(f"rolling back: {why}")
        return self._check_rollback(self._undo_on_host(began), why, refused)

    def _check_rollback(self, result: CommandResult | None, why: str, refused: bool = False) -> Outcome:
        """Return how the rollback ended. Fresh facts must show the old state.

        result: of the undo on the host; None if the host could not be reached.
        """
        left: tuple[str, ...] = ()
        if result is None:
            problem = "the host could not be reached"
            self._others.undo()  # what Incus has for all members comes back from there
        elif result.rc != 0:
            problem = result.reason
        else:
            problem = self._others.undo()
        if not problem:
            problem, left = self._wait_for_old_state()
        if problem:
            return self._state_unknown(why, problem)
        self._record("undone", "; ".join((why, *left)))
        kept = kept_lines(result.stdout) if result else ()
        return Outcome(EndState.REFUSED if refused else EndState.UNDONE, why, self._after, left=left, kept=kept)

    def _state_unknown(self, why: str, problem: str) -> Outcome:
        self._record("failed", f"{why}; rollback: {problem}")
        return Outcome(EndState.UNKNOWN, f"{why}; the rollback failed: {problem}")

    def _wait_for_old_state(self) -> tuple[str, tuple[str, ...]]:
        """Return what is worse than before the fix, on fresh facts, "" for nothing; and what else differs from before.

        A member that was cut off needs some time until the other members report it as Online again, and so does a guest that was
        restarted until it has its address.
        """
        limit = time.monotonic() + _RECOVERY_S
        while True:
            worse = self._worse(self._rescan())
            left = () if worse else self._guard.left()
            if not worse and not left:
                return "", ()
            if time.monotonic() > limit:
                return "worse than before the fix: " + ", ".join(finding.id for finding in worse) if worse else "", left
            time.sleep(2)

    def _undo_on_host(self, began: float) -> CommandResult | None:
        """Undo over a new login. Without one, retry until the host's own rollback must have ended."""
        limit = max(began + self._remote.gone_after_s, time.monotonic() + 10)
        while True:
            try:
                with open_session(self._target) as session:
                    return self._remote.undo(session, self._notify)
            except ConnectionFailed:
                if time.monotonic() > limit:
                    return None
                time.sleep(1)
