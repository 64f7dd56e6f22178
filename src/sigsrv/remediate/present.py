"""Adds to the steps of a plan the values that they would replace, as the hosts have them now. It changes nothing on a host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sigsrv.collect.redact import redact
from sigsrv.model.touches import Touch
from sigsrv.remediate.picture import Picture
from sigsrv.remediate.planning import Step


def with_values(steps: Sequence[Step], look: Callable[[Sequence[Touch]], Mapping[str, Picture]]) -> tuple[Step, ...]:
    """Return the steps with the values that their declared changes replace. look: takes a picture of each host.

    A value that can't be read is left out. Values of secret keys are replaced.
    """
    touches = [touch for step in steps for touch in step.fix.touches]
    if not touches:
        return tuple(steps)
    pictures = look(touches)
    return tuple(replace(step, now=_values(step, pictures.get(step.fix.runs_on, Picture()))) for step in steps)


def _values(step: Step, picture: Picture) -> dict[tuple[str, str, str], str]:
    found = {}
    for touch in step.fix.touches:
        thing = picture.things.get((touch.kind, touch.name))
        if touch.key and thing is not None:
            value = thing.get(touch.key, "")
            found[touch.kind, touch.name, touch.key] = str(redact({touch.key: value})[touch.key])
    return found
