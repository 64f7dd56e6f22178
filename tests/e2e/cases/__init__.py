"""The faults of the lab, a file for each family of policies: what each changes in the list of findings, and what puts it right."""

from __future__ import annotations

from dataclasses import dataclass, field

# Families and policies that look at nothing but Incus's database: the same on any kernel, with or without systemd.
_DATABASE = (
    "INST-",
    "PROJ-",
    "IMG-",
    "VOL-",
    "ACL-001",
    "ACL-002",
    "ACL-003",
    "ACL-004",
    "ACL-005",
    "AUTH-001",
    "AUTH-002",
)
_DATABASE += ("AUTH-003", "AUTH-005", "CLUS-003", "CLUS-005")


@dataclass(frozen=True)
class Case:
    """A fault on a host: what it changes in the list (None: gone from it), and what of that a remediation puts right."""

    fault: str
    host: str
    changes: dict[str, str | None]  # None: the finding is gone
    mended: list[str] = field(default_factory=list)
    leaves: list[list[str]] = field(default_factory=list)  # commands that take away what the remediation added for good
    gone: bool = False  # once it is mended there is no such finding: what was judged is no more
    labs: tuple[str, ...] = ("ns", "vm")  # the labs on which it changes just this

    @property
    def of_the_database(self) -> bool:
        """Whether it fails nothing but what Incus's database says: what one lab shows of it the other would show again."""
        return all(key.startswith(_DATABASE) for key, verdict in self.changes.items() if verdict == "fail")

    def __str__(self) -> str:
        return f"{self.fault}-{self.host}"
