"""Checks the control ids that policies name against the lists that the frameworks publish.

``policies/controls/<framework>.txt`` lists the current ids: one id per line; a line that starts with ``#`` is a comment.
``<framework>-withdrawn.txt`` lists the withdrawn ids: each line is an id and the ids that replace it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sigsrv.model import data
from sigsrv.model.policy import Policy


def unknown(policy: Policy) -> list[tuple[str, str]]:
    """Return the controls of a policy that its frameworks do not publish, as (framework, id). ``explain`` describes each."""
    return [
        (framework, control)
        for framework, named in policy.controls.items()
        for control in named
        if control not in published(framework)
    ]


def explain(framework: str, control: str) -> str:
    """Return why an id is not published: the framework withdrew it (with its replacements), or never had it."""
    successors = withdrawn(framework).get(control)
    if successors is None:
        return f"{framework} has no control {control}"
    return f"{framework} withdrew {control}" + (f": see {', '.join(successors)}" if successors else "")


@cache
def published(framework: str) -> tuple[str, ...]:
    """Return the ids of a framework's controls, in the framework's order. Raises OSError if the framework has no list."""
    return tuple(_lines(_folder() / f"{framework}.txt"))


@cache
def withdrawn(framework: str) -> dict[str, tuple[str, ...]]:
    """Return the ids that a framework withdrew, each with the ids that replace it. Empty if it withdrew none."""
    path = _folder() / f"{framework}-withdrawn.txt"
    rows = [line.split() for line in _lines(path)] if path.exists() else []
    return {control: tuple(successors) for control, *successors in rows}


def _folder() -> Path:
    return data.folder("policies") / "controls"


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
