"""What a run says once beside its findings: it concerns no single finding, and changes no verdict and no exit code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

NoticeKind = Literal["newer-incus", "not-judged", "no-login"]


@dataclass(frozen=True)
class Notice:
    """One notice of a run. text: what it is and what to do. hosts: which it concerns. details: names, sorted."""

    kind: NoticeKind
    text: str
    hosts: tuple[str, ...]
    details: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the notice in the format of ``findings.json``."""
        return {"kind": self.kind, "text": self.text, "hosts": list(self.hosts), "details": list(self.details)}
