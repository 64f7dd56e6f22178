"""The clauses of one finding, and how they make one verdict.

A policy often wants several things of one resource. Each is a clause: it holds, it is violated, or it is unknown. One violated clause is
a failure, whatever else could not be read. Without one, an unknown clause is an ``error``. Only if all clauses hold, the finding passes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import chain
from types import TracebackType
from typing import Any, NamedTuple

from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import Verdict

NO_LOGIN = "no login: "  # in place of a root: the site file says that sigsrv must not log in. The reason of such a finding begins so


class _Violated(NamedTuple):
    text: str
    root: str | None


class _Unknown(NamedTuple):
    reason: str
    because: str | None
    on: str = ""
    maybe: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """What the clauses of a finding amount to.

    roots: the ids of the findings that report the cause of a failure. While all of them do, the finding is ``not-applicable`` because of
    the first one, for the reason ``left``. Of an ``error``: those that may report its cause. The first one that does is its root. on: the
    resource that gets an ``error`` instead; empty if the finding's own resource gets it. hints: commands about it.
    """

    verdict: Verdict
    observed: str
    reason: str
    because: str | None = None
    roots: tuple[str, ...] = ()
    left: str = ""
    on: str = ""
    hints: tuple[str, ...] = ()


class _Clause:
    """The block of one clause. A class and not a generator: a scan enters hundreds of thousands."""

    __slots__ = ("_clauses", "_on")

    def __init__(self, clauses: Clauses, on: str) -> None:
        self._clauses, self._on = clauses, on

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, cause: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if isinstance(cause, EvidenceError):
            self._clauses.caught(cause, self._on)
            return True
        return False


class Clauses:
    """Records the clauses of one finding. ``Require.finding`` creates it.

    expected: what the policy wants of the resource. otherwise: what a pass shows if its clauses show nothing. summary: what a pass shows
    instead of its clauses. fix: the values for the parameters of the policy's remediation. note: one sentence more, for the finding's
    reason. hints: commands that show the cause of an ``error`` or fix it. A check may change all of them.
    """

    __slots__ = (
        "_because_of",
        "_holding",
        "_nothing",
        "_reported",
        "_unknown",
        "_violated",
        "expected",
        "fix",
        "hints",
        "note",
        "otherwise",
        "summary",
    )

    def __init__(
        self, because_of: Callable[[EvidenceError], str | None], expected: str = "", otherwise: str = ""
    ) -> None:
        self.expected = expected
        self.otherwise = otherwise
        self.fix: dict[str, Any] = {}
        self.note = ""
        self.hints: list[str] = []
        self.summary = ""
        self._because_of = because_of
        self._violated: list[_Violated] = []
        self._unknown: list[_Unknown] = []
        self._holding: list[str] = []
        self._nothing: _Unknown | None = None
        self._reported: dict[str, str] = {}  # why, by the id of the finding that reports it

    def clause(self, on: str = "") -> AbstractContextManager[None]:
        """Turn an EvidenceError in the block into one unknown clause. The check goes on with the next clause.

        on: the resource whose ``error`` says so for all resources at once, if no clause of this finding is known to be violated:
        the whole scope, or the finding's host.
        """
        return _Clause(self, on)

    def caught(self, cause: EvidenceError, on: str = "") -> None:
        """Record an EvidenceError as an unknown clause. on: as in ``clause``."""
        self._unknown.append(_Unknown(cause.reason, self._because_of(cause), on))

    def violated(self, text: str, root: str | None = None) -> None:
        """Record a violated clause. text: what was observed.

        root: the id of the finding that reports the cause. If every violated clause has a root, the finding is ``not-applicable``
        because of them. It fails by itself if one of the roots passes, is exempt, waived or unknown.
        """
        self._violated.append(_Violated(text, root))

    def holds(self, text: str = "") -> None:
        """Record a clause that holds. text: what was observed; empty if a pass shows nothing of it."""
        self._holding.append(text)

    def unknown(self, reason: str, because: str | None = None, maybe: tuple[str, ...] = ()) -> None:
        """Record an unknown clause. because: the id of the finding that reports why.

        maybe: ids of findings that would explain it, if they report something. They count only if all unknown clauses have some.
        """
        self._unknown.append(_Unknown(reason, because, maybe=maybe))

    def require(self, is_so: bool, text: str, root: str | None = None) -> None:
        """Record a clause that holds if ``is_so``, else is violated. text: what was observed, in both cases."""
        if is_so:
            self.holds(text)
        else:
            self.violated(text, root)

    def nothing(self, reason: str, because: str | None = None) -> None:
        """Record that there is nothing to judge: the finding is ``not-applicable``, unless a clause is violated or unknown."""
        self._nothing = _Unknown(reason, because)

    def reported_by(self, root: str, reason: str) -> None:
        """Record that another finding reports what disturbs this one as a whole.

        While every root reports, this finding is ``not-applicable`` because of the first one, whatever its clauses show. Its clauses count
        if one of the roots passes, is exempt, waived or unknown. root: the id of that finding. reason: what it reports.
        """
        self._reported.setdefault(root, reason)

    @property
    def is_violated(self) -> bool:
        """Return whether a clause is known to be violated."""
        return bool(self._violated)

    @property
    def violations(self) -> tuple[str, ...]:
        """Return what the violated clauses show, each text once."""
        return tuple(dict.fromkeys(each.text for each in self._violated))

    @property
    def unknown_reasons(self) -> tuple[str, ...]:
        """Return why clauses are unknown, each reason once. A fix whose values depend on such a clause must refuse to run."""
        return tuple(dict.fromkeys(each.reason for each in self._unknown))

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was recorded."""
        return not (
            self._holding or self._violated or self._unknown or self._nothing or self._reported or self.otherwise
        )

    def outcome(self) -> Outcome:
        """Return the verdict of all clauses together, and what each of them shows."""
        own = self._own_outcome()
        if not self._reported:
            return own
        shown = own.observed if self._violated else ""
        left = "; ".join(dict.fromkeys([*self._reported.values(), *([shown] if shown else [])]))
        return own._replace(roots=tuple(self._reported), left=left, on="")

    def _own_outcome(self) -> Outcome:
        """Return the verdict of the clauses alone, whatever is reported of the finding as a whole."""
        if self._violated:
            roots = [each.root for each in self._violated if each.root]
            observed = "; ".join(dict.fromkeys([*(each.text for each in self._violated), *self._shown_holding()]))
            unknown = (f"unknown: {each}" for each in self.unknown_reasons)
            reason = "; ".join([*([self.note] if self.note else []), *unknown])
            reported = tuple(dict.fromkeys(roots)) if len(roots) == len(self._violated) else ()
            return Outcome(Verdict.FAIL, observed, reason, roots=reported, left=observed)
        if self._unknown:
            others = [each for each in self._unknown if each.because != NO_LOGIN]
            because = next((each.because for each in others or self._unknown if each.because), None)
            on = next((each.on for each in self._unknown if each.on), "")
            shown, why = "; ".join(self._shown_holding()), "; ".join(self.unknown_reasons)
            maybe = [each.maybe for each in self._unknown]
            explained = tuple(dict.fromkeys(chain.from_iterable(maybe))) if all(maybe) and not because else ()
            hints = tuple(dict.fromkeys(self.hints))
            return Outcome(Verdict.ERROR, shown, why, because, explained, on=on, hints=hints)
        if self._nothing:
            return Outcome(Verdict.NOT_APPLICABLE, "", self._nothing.reason, self._nothing.because)
        return Outcome(Verdict.PASS, self.summary or "; ".join(self._shown_holding()) or self.otherwise, self.note)

    def _shown_holding(self) -> list[str]:
        """Return what the clauses that hold show, each text once."""
        return [text for text in dict.fromkeys(self._holding) if text]
