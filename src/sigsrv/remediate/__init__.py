"""remediate: a finding is put right, and that is proven on fresh facts; or it is undone.

Room: what is done with findings. May import scan and what lies below it. Only here a host is changed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sigsrv import remediation, scan
from sigsrv.collect import ConnectionFailed, open_session
from sigsrv.errors import UsageError, nearest
from sigsrv.evaluate import SERVICE
from sigsrv.finding import Finding, Verdict, parse_finding_id
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.remote import CONFIRM_S, RemoteFix, Said
from sigsrv.remediation import Fix

_SETTLE_TRIES = 4
_SETTLE_S = 45.0  # twice Incus's offline threshold of 20 s, and a heartbeat
# What is waived fails: a fix that spoils it is no better for that, and one that leaves it so has not put it right.
_WORSE = {Verdict.PASS: 0, Verdict.NOT_APPLICABLE: 0, Verdict.ERROR: 1, Verdict.FAIL: 2, Verdict.WAIVED: 2}
_NOT_RIGHT = frozenset({Verdict.FAIL, Verdict.WAIVED, Verdict.ERROR})
Tell = Callable[[str], None]


class Ending(StrEnum):
    """How a remediation ended."""

    VERIFIED = "verified"
    UNDONE = "undone"  # it is as it was before
    REFUSED = "refused"  # the script refused before it changed anything; undone all the same
    UNKNOWN = "unknown"  # neither the new nor the old state could be shown


@dataclass(frozen=True)
class Outcome:
    ending: Ending
    reason: str


@dataclass(frozen=True)
class Looked:
    """A finding on fresh facts. fix: None where nothing is to be done, or nothing can be done by a script."""

    finding: Finding
    findings: tuple[Finding, ...]
    fix: Fix | None


def look(plan: scan.Plan, finding_id: str) -> Looked:
    """Collect fresh facts from all hosts of the plan and find what the finding is now.

    Raises UsageError: not the id of a finding, no such policy, or nothing of that id on these hosts.
    """
    policy, host, _ = parse_finding_id(finding_id)
    if policy not in plan.policies:
        raise UsageError(f"{finding_id}: there is no policy {policy}", nearest(policy, plan.policies))
    findings = scan.judge(plan, scan.collect(plan))
    by_id = {finding.id: finding for finding in findings}
    found = by_id.get(finding_id)
    if found is None:  # one that could not be told apart: the whole host is unknown
        found = next(
            (f for f in findings if f.policy == policy and f.host == host and f.verdict is Verdict.ERROR), None
        )
    if found is None:
        alike = [key for key in by_id if key.startswith(f"{policy}@")]
        raise UsageError(f"{finding_id}: there is no such finding", nearest(finding_id, alike))
    somewhere = next(
        (f.host for f in findings if f.policy == SERVICE and f.verdict is Verdict.PASS), plan.hosts[0].name
    )
    return Looked(found, findings, remediation.fix_for(found, remediation.load(), somewhere))


def worse(before: Sequence[Finding], after: Sequence[Finding]) -> list[Finding]:
    """What is worse than it was: the findings that a fix must not leave behind."""
    was = {finding.id: _WORSE[finding.verdict] for finding in before}
    return [finding for finding in after if _WORSE[finding.verdict] > was.get(finding.id, 0)]


class Transaction:
    """One fix on one host: journal, apply, verify on fresh facts, confirm; else undo. tell: shows a line to the operator."""

    def __init__(self, plan: scan.Plan, looked: Looked, journal: Journal, tell: Tell) -> None:
        assert looked.fix
        self.id = secrets.token_hex(8)
        self._plan = plan
        self._looked = looked
        self._fix = looked.fix
        self._journal = journal
        self._tell = tell
        self._remote = RemoteFix(self._fix, self.id)
        host = next(host for host in plan.hosts if host.name == self._fix.runs_on)
        self._target = replace(scan.target(host, plan), timeout_s=self._fix.timeout_s + 60.0)

    def run(self) -> Outcome:
        """Apply and prove it.

        However it ends, the host is in the new state or in the old one, or the outcome says that neither could be shown.
        """
        began = time.monotonic()
        self._journal.write(self.id, self._fix, "applying")
        try:
            with open_session(self._target) as session:
                said = self._remote.apply(session)
        except ConnectionFailed as cause:
            return self._undo(f"the connection broke while it ran: {cause.failure.reason}", began)
        except KeyboardInterrupt:
            return self._undo("interrupted", began)
        for line in said.stdout.splitlines():
            self._tell(line)
        if said.rc != 0:
            return self._undo(
                f"the script ended with {said.rc}: {said.reason}", began, refused="refused:" in said.stderr
            )
        self._note("applied", said.stdout)
        try:
            fault = self._verify()
            return self._undo(fault, began) if fault else self._confirm(began)
        except KeyboardInterrupt:
            return self._undo("interrupted", began)
        except Exception as cause:  # whatever it is: a change that is not proven does not stay
            return self._undo(f"it could not be verified: {type(cause).__name__}: {cause}", began)

    def _note(self, state: str, detail: str = "") -> None:
        """Write to the journal once the host was changed: then a journal that fails must not keep us from undoing."""
        try:
            self._journal.write(self.id, self._fix, state, detail)
        except UsageError as cause:
            self._tell(str(cause))

    def _verify(self) -> str:
        """What is wrong with the new state on fresh facts, over a new login; "" where the finding is gone and nothing is worse."""
        fault = ""
        for attempt in range(_SETTLE_TRIES):
            if attempt:
                time.sleep(attempt)  # what was just started may need a moment
            after = scan.judge(self._plan, scan.collect(self._plan))
            now = next((finding for finding in after if finding.id == self._looked.finding.id), None)
            spoiled = worse(self._looked.findings, after)
            if now is not None and now.verdict in _NOT_RIGHT:
                fault = f"{now.id} is still {now.verdict}: {now.observed or now.reason}"
            elif now is None and any(
                f.policy == self._looked.finding.policy and f.verdict is Verdict.ERROR for f in after
            ):
                fault = f"{self._looked.finding.id} could not be determined again"
            elif spoiled:
                fault = "it makes others worse: " + ", ".join(f"{finding.id} {finding.verdict}" for finding in spoiled)
            else:
                return ""
        return fault

    def _confirm(self, began: float) -> Outcome:
        try:
            with open_session(self._target) as session:
                said = self._remote.confirm(session)
        except ConnectionFailed as cause:
            return self._undo(f"it could not be confirmed: {cause.failure.reason}", began)
        if said.rc != 0:
            return self._undo(f"it could not be confirmed: {said.reason}", began)
        self._note("verified")
        return Outcome(Ending.VERIFIED, f"{self._looked.finding.id} holds on fresh facts; nothing else is worse")

    def _undo(self, why: str, began: float, refused: bool = False) -> Outcome:
        """Put it back: over a new login, or by waiting for the host to do it. Then see on fresh facts that it is as it was."""
        self._note("undoing", why)
        self._tell(f"undoing: {why}")
        said = self._reach(began)
        if said is None:
            fault = "the host could not be reached"
        elif said.rc != 0:
            fault = said.reason
        else:
            fault = self._compare()
        if fault:
            self._note("failed", f"{why}; undo: {fault}")
            return Outcome(Ending.UNKNOWN, f"{why}; undoing it failed: {fault}")
        self._note("undone", why)
        return Outcome(Ending.REFUSED if refused else Ending.UNDONE, why)

    def _compare(self) -> str:
        """What is worse than before the fix, on fresh facts; "" where nothing is.

        A member that was cut off needs some time until the others call it Online again.
        """
        limit = time.monotonic() + _SETTLE_S
        while True:
            left = worse(self._looked.findings, scan.judge(self._plan, scan.collect(self._plan)))
            if not left:
                return ""
            if time.monotonic() > limit:
                return "worse than before: " + ", ".join(finding.id for finding in left)
            time.sleep(2)

    def _reach(self, began: float) -> Said | None:
        """Undo over a new login; where there is none yet, until the host's own timer must have done it."""
        limit = began + (CONFIRM_S + self._fix.timeout_s + 10 if self._remote.armed else 10)
        while True:
            try:
                with open_session(self._target) as session:
                    return self._remote.undo(session)
            except ConnectionFailed:
                if time.monotonic() > limit:
                    return None
                time.sleep(1)
