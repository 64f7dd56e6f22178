"""Asks about each step: apply it, leave it out, show its details, waive its finding, or stop."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sigsrv.commands.remediate_show import say
from sigsrv.model.errors import UsageError
from sigsrv.remediate.pauses import Keep
from sigsrv.remediate.planning import Step
from sigsrv.remediate.runs import Choice

_TICK_S = 5.0
_HELP = """\
  y  apply this fix
  n  leave it out and go on; also Enter
  s  leave out this fix and all later ones of {policy}
  a  apply this fix and all later ones without asking
  d  show its details: change, safety, scripts, permanent fix
  w  waive its finding: asks why and until when
  q  stop here: this fix and the later ones do not run"""

Read = Callable[[str, Keep], str]
"""Asks a question and returns the answer. Raises EOFError or KeyboardInterrupt if there is none."""


def read_line(question: str, keep: Keep) -> str:
    """Ask on the terminal. keep: is called every few seconds while nobody answers. Raises EOFError at the end of input."""
    print(question, end="", flush=True)
    while not select.select([sys.stdin], [], [], _TICK_S)[0]:
        keep()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()


def nobody_waits() -> None:
    """Keep nothing: no host is locked yet."""


def require_terminal() -> None:
    """Raise UsageError if there is nobody to ask."""
    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask on; nothing was applied",
            "--yes applies without asking, --plan changes nothing",
        )


def confirmed(question: str) -> bool:
    """Ask a question about everything at once. The default answer is no. Raises UsageError without a terminal."""
    require_terminal()
    try:
        return read_line(f"{question} [y/N] ", nobody_waits).lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print()
        return False


@dataclass
class Asker:
    """Asks about the steps of a plan, in order. An answer counts once, also if ``first`` got it before the hosts were locked.

    details: shows a step. waive: waives the finding of a step, with the answers to two questions; returns whether it did.
    left_out: ids of the findings that were left out.
    """

    steps: Sequence[Step]
    details: Callable[[Step], None]
    waive: Callable[[Step, Read, Keep], bool]
    read: Read = read_line
    left_out: list[str] = field(default_factory=list)
    _answers: dict[str, Choice] = field(default_factory=dict)
    _skipped: set[str] = field(default_factory=set)
    _all: bool = False

    def first(self) -> bool:
        """Ask until the first yes, while no host is locked. Returns whether there is one."""
        for step in self.steps:
            choice = self._answers[step.finding.id] = self._choice(step, nobody_waits)
            if choice is not Choice.LEAVE_OUT:
                return choice is Choice.APPLY
        return False

    def decide(self, step: Step, keep: Keep) -> Choice:
        """Return the decision about a step that is about to run. keep: keeps the hosts locked."""
        return self._answers.get(step.finding.id) or self._choice(step, keep)

    def _choice(self, step: Step, keep: Keep) -> Choice:
        choice = self._asked(step, keep)
        if choice is Choice.LEAVE_OUT:
            self.left_out.append(step.finding.id)
        return choice

    def _asked(self, step: Step, keep: Keep) -> Choice:
        policy = step.finding.policy
        if policy in self._skipped:
            return Choice.LEAVE_OUT
        if self._all:
            return Choice.APPLY
        number = next(place for place, each in enumerate(self.steps, 1) if each.finding.id == step.finding.id)
        which = f"step {number} of {len(self.steps)}, " if len(self.steps) > 1 else ""
        while True:
            try:
                more = f" and {len(step.also)} more" if step.also else ""
                answer = self.read(f"{which}{step.finding.id}{more}: apply? [y/N/s/a/d/w/q/?] ", keep).lower()
                match answer:
                    case "y" | "yes":
                        return Choice.APPLY
                    case "" | "n" | "no":
                        return Choice.LEAVE_OUT
                    case "s" | "skip":
                        self._skipped.add(policy)
                        return Choice.LEAVE_OUT
                    case "a" | "all":
                        self._all = True
                        return Choice.APPLY
                    case "q" | "quit":
                        return Choice.STOP
                    case "d" | "details":
                        self.details(step)
                    case "w" | "waive":
                        if self.waive(step, self.read, keep):
                            return Choice.LEAVE_OUT
                    case _:
                        for line in _HELP.format(policy=policy).splitlines():
                            say(line)
            except (EOFError, KeyboardInterrupt):
                say()
                return Choice.STOP
