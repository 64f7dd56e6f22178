"""Cases: "what would it say if ...". A change to the example document, and the verdicts that are right for it.

A file holds YAML documents ``{name, kind, change, right, why, source}``; docs/cases.md has the form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonpatch
import jsonpointer

from sigsrv.authoring.document import Small, changed, facts_of, mistake
from sigsrv.judge.catalogue import Catalogue
from sigsrv.judge.evaluate import evaluate_one
from sigsrv.model import yamlfile
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import parse_finding_id

NOTHING = "no finding"  # what a case says, and is told, where a finding is not there
UNDECIDED = frozenset({"opinion", "gap"})  # kinds whose verdicts nobody has agreed on: reported, never a failure


@dataclass(frozen=True)
class Case:
    """change: a JSON Patch (RFC 6902); right: finding id -> verdict, or ``no finding``. place: ``FILE:LINE``."""

    name: str
    kind: str
    change: Sequence[Mapping[str, Any]]
    right: Mapping[str, str]
    place: str


@dataclass(frozen=True)
class Result:
    """found: each finding id of the case with its verdict now, or ``no finding``. problem: why it could not be judged; "" where it was."""

    case: Case
    found: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def wrong(self) -> dict[str, tuple[str, str]]:
        """What differs: finding id -> (verdict now, verdict that is right)."""
        pairs = {key: (self.found.get(key, NOTHING), right) for key, right in self.case.right.items()}
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}

    @property
    def is_right(self) -> bool:
        return not self.wrong and not self.problem

    @property
    def fails(self) -> bool:
        """Whether it is wrong, and of a kind that is agreed on."""
        return not self.is_right and self.case.kind not in UNDECIDED


def read(path: Path) -> list[Case]:
    """The cases of a file. Raises UsageError: file, line, what is wrong; or that no case is in it."""
    found = []
    for each in yamlfile.load_all(path):
        if each.data is None:
            continue
        yamlfile.validate(each, yamlfile.schema("case"))
        for key in each.data["right"]:
            try:
                parse_finding_id(key)
            except UsageError as cause:
                raise each.error(("right", key), cause.message, cause.hint) from None
        content = each.data
        found.append(Case(content["name"], content["kind"], content["change"], content["right"], each.where()))
    if not found:
        raise UsageError(f"{path}: no case in it", "a case is a YAML document {name, kind, change, right, why, source}")
    return found


def judge(case: Case, catalogue: Catalogue) -> Result:
    """What the policies that a case names say of the changed document."""
    try:
        content = changed(case.change)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, ValueError) as cause:
        return Result(case, problem=f"the change can't be made: {cause}")
    if found := mistake(content):
        return Result(case, problem=f"the changed document is not of its form: {found}")
    try:
        small = facts_of(content)
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as cause:
        return Result(case, problem=f"the changed document can't be read: {type(cause).__name__}: {cause}")
    verdicts = dict(_verdicts(case, catalogue, small))
    return Result(case, {key: verdicts.get(key, NOTHING) for key in case.right})


def _verdicts(case: Case, catalogue: Catalogue, small: Small) -> Iterator[tuple[str, str]]:
    """The verdicts of the policies that a case names, which are those of the whole catalogue: a verdict depends on no others."""
    for policy in sorted({parse_finding_id(key)[0] for key in case.right}):
        if policy in catalogue.policies:
            for finding in evaluate_one(catalogue.policies[policy], catalogue.policies, catalogue.checks, *small):
                yield finding.id, finding.verdict.value
