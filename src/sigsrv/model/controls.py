"""The ids of controls that policies name, held against the lists that the frameworks publish.

The lists are ``policies/controls/<framework>.txt``: one id a line, ``#`` begins a comment. What a framework withdrew is not in
its list, but in ``<framework>-withdrawn.txt``: the id, then those that took its place.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sigsrv.model import data
from sigsrv.model.policy import Policy


def unknown(policy: Policy) -> list[tuple[str, str]]:
    """The controls that a policy names and its frameworks do not have, as (framework, id). Say each with ``fault``."""
    return [
        (framework, control)
        for framework, named in policy.controls.items()
        for control in named
        if control not in published(framework)
    ]


def fault(framework: str, control: str) -> str:
    """What is wrong with an id that is not published: that it was withdrawn and what took its place, or that there is none."""
    successors = withdrawn(framework).get(control)
    if successors is None:
        return f"{framework} has no control {control}"
    return f"{framework} withdrew {control}" + (f": see {', '.join(successors)}" if successors else "")


@cache
def published(framework: str) -> tuple[str, ...]:
    """The ids of a framework's controls, in its own order. Raises OSError: no list of such a framework."""
    return tuple(_lines(_folder() / f"{framework}.txt"))


@cache
def withdrawn(framework: str) -> dict[str, tuple[str, ...]]:
    """The ids that a framework withdrew, each with those that took its place; empty where it withdrew none."""
    path = _folder() / f"{framework}-withdrawn.txt"
    rows = [line.split() for line in _lines(path)] if path.exists() else []
    return {control: tuple(successors) for control, *successors in rows}


def _folder() -> Path:
    return data.folder("policies") / "controls"


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
