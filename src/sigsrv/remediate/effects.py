"""Says what a plan does to whom, with names: objects that change, hosts that it reaches, guests that restart, networks that it may cut.

Pure: it reads steps and returns names and counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sigsrv.remediate.planning import Step
from sigsrv.report import phrases

MAX_OBJECTS = 10
_NAMED = 6  # names that a summary has


@dataclass(frozen=True)
class Ceilings:
    """Says how much one plan may do. hosts, restarts: None for any number."""

    objects: int = MAX_OBJECTS
    hosts: int | None = None
    restarts: int | None = None


CEILINGS = Ceilings()


@dataclass(frozen=True)
class Effects:
    """Names what a plan touches, in the order of its steps.

    objects: (host or "cluster", resource). hosts: hosts that a step runs on or reaches. restarts: guests, ``PROJECT/NAME``.
    cuts: hosts whose network a step may cut. services: hosts on which a service restarts.
    """

    objects: tuple[tuple[str, str], ...] = ()
    hosts: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()
    cuts: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


def effects(steps: Iterable[Step]) -> Effects:
    """Return what these steps do together. A guest that two steps restart counts twice: both restarts happen."""
    objects: list[tuple[str, str]] = []
    hosts: list[str] = []
    restarts: list[str] = []
    cuts: list[str] = []
    services: list[str] = []
    for step in steps:
        objects += step.objects
        hosts += step.reaches
        restarts += guests_restarted(step)
        cuts += step.reaches if step.fix.disruption == "network" else ()
        services += step.reaches if step.fix.disruption == "service" else ()
    return Effects(
        tuple(dict.fromkeys(objects)),
        tuple(dict.fromkeys(hosts)),
        tuple(restarts),
        tuple(dict.fromkeys(cuts)),
        tuple(dict.fromkeys(services)),
    )


def guests_restarted(step: Step) -> tuple[str, ...]:
    """Return the guests that a step restarts, ``PROJECT/NAME``. The check knows whether a key takes effect only at a start."""
    if step.fix.disruption != "instance":
        return ()
    found: list[str] = []
    for finding in step.findings:
        restart = finding.fix.get("restart")
        if restart is True:
            found.append(finding.resource)
        elif isinstance(restart, list):  # of a profile
            found += [f"{each['project']}/{each['instance']}" for each in restart]
    return tuple(dict.fromkeys(found))


def too_much(found: Effects, ceilings: Ceilings) -> list[str]:
    """Return one reason if a plan does more than ``--max`` allows: it has the numbers and the option that allows them."""
    counts = {
        "objects": (len(found.objects), ceilings.objects, "change"),
        "hosts": (len(found.hosts), ceilings.hosts, "be changed"),
        "restarts": (len(found.restarts), ceilings.restarts, "happen"),
    }
    over = {name: row for name, row in counts.items() if row[1] is not None and row[0] > row[1]}
    if not over:
        return []
    said = ", ".join(
        f"{phrases.count(number, name[:-1])} would {verb} and --max allows {most}"
        for name, (number, most, verb) in over.items()
    )
    needed = ",".join(f"{name}={max(number, most)}" for name, (number, most, _) in counts.items() if most is not None)
    return [f"{said}: name fewer findings, or use --max {needed}"]


def disruption(step: Step) -> str:
    """Return in a few words, with names, what a step disrupts."""
    where = names(step.reaches)
    match step.fix.disruption:
        case "network":
            return f"may cut the network of {where}"
        case "service":
            return f"restarts a service on {where}"
        case "instance":
            guests = guests_restarted(step)
            changed = [name for kind, name in step.objects if kind != "profile"]
            if guests:
                return f"restarts {names(guests)} if {'it runs' if len(guests) == 1 else 'they run'}"
            return f"changes {names(changed) or 'nothing'} while {'it runs' if len(changed) == 1 else 'they run'}"
        case _:
            return "disrupts nothing"


def names(words: Sequence[str], most: int = _NAMED) -> str:
    """Return names as in ``a, b and c``; of many only the first ones, with the number of the others."""
    shown = list(dict.fromkeys(words))
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(shown) - most + 1} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)


def summary(found: Effects, confirm_s: float) -> str:
    """Return what a plan does in all, with counts and names."""
    objects = phrases.count(len(found.objects), "object")
    parts = [f"changes {objects} on {names(found.hosts)}"]
    if found.restarts:
        parts.append(f"restarts {phrases.count(len(found.restarts), 'guest')}: {names(found.restarts)}")
    if found.services:
        parts.append(f"restarts services on {names(found.services)}")
    if found.cuts:
        back = f"rolled back within {confirm_s:g} s unless a new login confirms it"
        parts.append(f"may cut the network of {names(found.cuts)} ({back})")
    return "; ".join(parts)
