"""Lists the faults of the lab, one file per family of policies: which findings each one changes, and what fixes it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field


@dataclass(frozen=True)
class Case:
    """Describes a fault on a host: which findings it changes, and which of these a remediation fixes."""

    fault: str
    host: str
    changes: dict[str, str | None]  # None: the finding disappears
    fixed: list[str] = field(default_factory=list)
    _: KW_ONLY
    stays_fixed: bool = False  # it still passes after the undo: the instance must restart first, or a scrub has ended
    disappears: bool = False  # the fix removes the finding, because it removes the object
    labs: tuple[str, ...] = ("ns", "vm")  # the labs on which it changes exactly these findings

    def __str__(self) -> str:
        return f"{self.fault}-{self.host}"


@dataclass(frozen=True)
class Group:
    """Combines faults that do not affect each other, so they can be applied together. names: of cases, as they print."""

    name: str
    lab: str  # ns or vm
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.lab}, {self.name}"


def alone(needed: Mapping[str, Collection[str]], groups: Sequence[Group]) -> list[Group]:
    """Return a group for each needed case that is in no group. needed: names of cases, by lab."""
    grouped = {(group.lab, name) for group in groups for name in group.names}
    return [
        Group(name, kind, (name,))
        for kind, names in needed.items()
        for name in sorted(names)
        if (kind, name) not in grouped
    ]
