"""The faults of the lab, a file for each family of policies: what each changes in the list of findings, and what puts it right."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field


@dataclass(frozen=True)
class Case:
    """A fault on a host: what it changes in the list (None: gone from it), and what of that a remediation puts right."""

    fault: str
    host: str
    changes: dict[str, str | None]  # None: the finding is gone
    mended: list[str] = field(default_factory=list)
    _: KW_ONLY
    stays: bool = False  # undone, it is right all the same: the instance must restart first, or a scrub is over
    gone: bool = False  # once it is mended there is no such finding: what was judged is no more
    labs: tuple[str, ...] = ("ns", "vm")  # the labs on which it changes just this

    def __str__(self) -> str:
        return f"{self.fault}-{self.host}"


@dataclass(frozen=True)
class Group:
    """Faults that have nothing to do with each other, and so can be made together. names: of cases, as they print."""

    name: str
    lab: str  # where they are: ns or vm
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.lab}, {self.name}"
