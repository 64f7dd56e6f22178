"""A finding is put right, and that is proven on fresh facts; or it is undone.

Only here a host is changed.

``Transaction`` is one fix on one host; ``runs`` takes several in order, and undoes what a run changed.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from sigsrv.collect.connection import open_session
from sigsrv.collect.session import ConnectionFailed
from sigsrv.collect.target import Target
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Verdict
from sigsrv.model.fix import Fix
from sigsrv.remediate.hosts import Snapshot
from sigsrv.remediate.journal import Entry, Journal, who
from sigsrv.remediate.remote import CONFIRM_S, NOTHING_THERE, REFUSED, STATE_LIMIT, FixOptions, RemoteFix, parse_state
from sigsrv.remediate.rescan import NOT_RIGHT, FreshFinding, better, worse
from sigsrv.remediate.shell import CommandResult, Notify

_VERIFY_TRIES = 4
_SCAN_S = 3.0  # what looking at the hosts may take, of the time that is left
_RECOVERY_S = 45.0  # twice Incus's offline threshold of 20 s, and a heartbeat


class EndState(StrEnum):
    """How a remediation ended."""

    VERIFIED = "verified"
    UNDONE = "undone"  # it is as it was before
    REFUSED = "refused"  # the script refused before it changed anything; undone all the same
    UNKNOWN = "unknown"  # neither the new nor the old state could be shown


@dataclass(frozen=True)
class Outcome:
    """after: the findings on the last fresh facts; empty where there were none. interrupted: somebody wants it to end here."""

    end_state: EndState
    reason: str
    after: tuple[Finding, ...] = ()
    interrupted: bool = False


class Transaction:
    """One fix on one host: journal, apply, verify on fresh facts, confirm; else undo. tell: shows a line to the operator.

    look: fresh findings of all hosts; target: how the host of the fix is reached.
    replays: the step of the journal that is undone by it; then ``looked.fix`` is that step's fix the other way round.
    """

    def __init__(
        self,
        scan: Callable[[], Snapshot],
        target: Target,
        fresh: FreshFinding,
        journal: Journal,
        notify: Notify,
        options: FixOptions | None = None,
        replays: Entry | None = None,
    ) -> None:
        assert fresh.fix
        self.id = secrets.token_hex(8)
        self._scan = scan
        self._before = fresh
        self._fix: Fix = fresh.fix
        self._journal = journal
        self._notify_operator = notify
        self._replays = replays
        self._options = options or FixOptions(confirm_s=CONFIRM_S, who=who())
        state = parse_state(replays.state or "") if replays else None
        self._remote = RemoteFix(self._fix, self.id, self._options, state)
        self._target = replace(target, timeout_s=self._fix.timeout_s + 60.0)
        self._after: tuple[Finding, ...] = ()
        self._time_up = math.inf  # when the host begins to undo it by itself
        self._confirming = False  # from then on the host may have let go of it, whether we heard so or not

    def run(self) -> Outcome:
        """Apply and prove it.

        However it ends, the host is in the new state or in the old one, or the outcome says that neither could be shown.
        """
        began = time.monotonic()
        self._time_up = began + self._remote.undoes_after_s
        undoes = self._replays.transaction if self._replays else ""
        self._journal.open_step(self.id, self._fix, self._before.findings, undoes, self._options.timer.value)
        try:
            result = self._apply(began)
            if result is None:
                return self._undo("the connection broke before it was known what became of the script", began)
            if result.rc != 0:
                refused = REFUSED in result.stderr
                return self._undo(f"the script ended with {result.rc}: {result.reason}", began, refused=refused)
            self._journal.write(self.id, self._fix, "applied", result.stdout[-2000:])
            fault = self._verify()
            return self._undo(fault, began) if fault else self._confirm(began)
        except KeyboardInterrupt:
            return replace(self._end("interrupted", began), interrupted=True)
        except Exception as cause:  # whatever it is: a change that is not proven does not stay
            return self._end(f"it could not be proven: {type(cause).__name__}: {cause}", began)

    def _end(self, why: str, began: float) -> Outcome:
        return self._decide(why, began) if self._confirming else self._undo(why, began)

    def _notify(self, line: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads it any more: no reason to leave a host half way
            self._notify_operator(line)

    def _apply(self, began: float) -> CommandResult | None:
        """Run it; where its own connection breaks, see over a new one what became of it. None where that can't be told in time."""
        try:
            with open_session(self._target) as session:
                return self._remote.apply(session, self._notify)
        except ConnectionFailed as cause:
            self._notify(f"the connection broke while it ran: {cause.failure.reason}")
        while time.monotonic() < began + self._remote.deadline_s:
            try:
                with open_session(self._target) as session:
                    result = self._remote.follow(session)
                    return None if result.rc == RemoteFix.NOT_BEGUN else result
            except ConnectionFailed:
                time.sleep(1)
        return None

    def _note(self, state: str, detail: str = "") -> None:
        """Write to the journal once the host was changed: then a journal that fails must not keep us from undoing."""
        try:
            self._journal.write(self.id, self._fix, state, detail)
        except UsageError as cause:
            self._notify(str(cause))

    def _rescan(self) -> tuple[Finding, ...]:
        self._after = self._scan().findings
        return self._after

    def _verify(self) -> str:
        """What is wrong with the new state on fresh facts, over a new login; "" where it is as it should be."""
        fault = ""
        for attempt in range(_VERIFY_TRIES):
            if attempt:
                if time.monotonic() + attempt + _SCAN_S > self._time_up:
                    break  # else what is looked at is what the host has undone meanwhile
                time.sleep(attempt)  # what was just started may need a moment
            fault = self._fault(self._rescan())
            if not fault:
                return ""
        return fault

    def _fault(self, after: tuple[Finding, ...]) -> str:
        """What is wrong with these findings: that of the fix is to be gone, and no other worse.

        What a fix had made better may be as it was before, once that is undone.
        """
        own, allowed = self._before.finding, set()
        if self._replays:
            allowed = {own.id, *self._replays.mended}
        else:
            now = next((finding for finding in after if finding.id == own.id), None)
            if now is not None and now.verdict in NOT_RIGHT:
                return f"{now.id} is still {now.verdict}: {now.observed or now.reason}"
            if now is None and any(f.policy == own.policy and f.verdict is Verdict.ERROR for f in after):
                return f"{own.id} could not be determined again"
        spoiled = worse(self._before.findings, after, allowed)
        return (
            "it makes others worse: " + ", ".join(f"{finding.id} {finding.verdict}" for finding in spoiled)
            if spoiled
            else ""
        )

    def _confirm(self, began: float) -> Outcome:
        """Take what undoing needs from the host into the journal, and have the host keep the change."""
        try:
            with open_session(self._target) as session:
                kept = self._remote.kept(session)
                if kept.rc != 0:
                    return self._undo(f"it could not be confirmed: {kept.reason}", began)
                if len(kept.stdout) > STATE_LIMIT:
                    return self._undo(f"what it takes to undo it is more than {STATE_LIMIT} bytes", began)
                parse_state(kept.stdout)
                self._journal.keep(self.id, self._fix, kept.stdout, better(self._before.findings, self._after))
                self._confirming = True
                result = self._remote.confirm(session)
        except ConnectionFailed as cause:
            return self._decide(f"the connection broke while it was confirmed: {cause.failure.reason}", began)
        if result.rc != 0:
            return self._decide(f"it could not be confirmed: {result.reason}", began)
        return self._verified()

    def _verified(self) -> Outcome:
        self._note("verified")
        own = self._before.finding.id
        holds = f"{own} is as it was before" if self._replays else f"{own} holds on fresh facts"
        return Outcome(EndState.VERIFIED, f"{holds}; nothing else is worse", self._after)

    def _decide(self, why: str, began: float) -> Outcome:
        """Confirmed or not: nobody heard it. Have the host undo what it still holds; where it holds nothing, fresh facts tell the state."""
        result = self._reach(began)
        if result is None or result.rc != 0 or result.stdout.strip() != NOTHING_THERE:
            return self._put_back(result, why)
        self._time_up = math.inf  # nothing is armed any more
        fault = self._verify()
        old = next((f.verdict for f in self._before.findings if f.id == self._before.finding.id), None)
        now = next((f.verdict for f in self._after if f.id == self._before.finding.id), None)
        if now == old:
            return self._put_back(result, why)
        return self._verified() if not fault else self._lost(why, fault)

    def _undo(self, why: str, began: float, refused: bool = False) -> Outcome:
        """Put it back: over a new login, or by waiting for the host to do it."""
        self._note("undoing", why)
        self._notify(f"undoing: {why}")
        return self._put_back(self._reach(began), why, refused)

    def _put_back(self, result: CommandResult | None, why: str, refused: bool = False) -> Outcome:
        """How undoing ended. said: what the host said of it, None where it could not be reached. Fresh facts must show the old state."""
        if result is None:
            fault = "the host could not be reached"
        elif result.rc != 0:
            fault = result.reason
        else:
            fault = self._compare()
        if fault:
            return self._lost(why, fault)
        self._note("undone", why)
        return Outcome(EndState.REFUSED if refused else EndState.UNDONE, why, self._after)

    def _lost(self, why: str, fault: str) -> Outcome:
        self._note("failed", f"{why}; undo: {fault}")
        return Outcome(EndState.UNKNOWN, f"{why}; undoing it failed: {fault}")

    def _compare(self) -> str:
        """What is worse than before the fix, on fresh facts; "" where nothing is.

        A member that was cut off needs some time until the others call it Online again.
        """
        limit = time.monotonic() + _RECOVERY_S
        while True:
            left = worse(self._before.findings, self._rescan())
            if not left:
                return ""
            if time.monotonic() > limit:
                return "worse than before: " + ", ".join(finding.id for finding in left)
            time.sleep(2)

    def _reach(self, began: float) -> CommandResult | None:
        """Undo over a new login; where there is none yet, until the host's own timer must have done it."""
        limit = max(began + self._remote.longest_s, time.monotonic() + 10)
        while True:
            try:
                with open_session(self._target) as session:
                    return self._remote.undo(session, self._notify)
            except ConnectionFailed:
                if time.monotonic() > limit:
                    return None
                time.sleep(1)
