"""Cases for ``sigsrv policies try``: a change to the example document, and the correct verdicts for it.

A file contains YAML documents ``{name, kind, change, right, why, source}``; docs/cases.md describes the format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sigsrv.authoring.document import UNUSABLE, SiteFacts, facts_of, patched, schema_error
from sigsrv.judge.catalogue import Catalogue
from sigsrv.judge.evaluate import evaluate_one
from sigsrv.model import yamlfile
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import parse_finding_id

NO_FINDING = "no finding"  # the verdict of a finding that does not exist, in cases and in results
UNDECIDED = frozenset({"opinion", "gap"})  # kinds whose verdicts are not agreed on: reported, never a failure


@dataclass(frozen=True)
class Case:
    """One case.

    change: a JSON Patch (RFC 6902). right: finding id -> verdict, or ``no finding``. place: ``FILE:LINE``.
    """

    name: str
    kind: str
    change: Sequence[Mapping[str, Any]]
    right: Mapping[str, str]
    place: str


@dataclass(frozen=True)
class Result:
    """The result of a case.

    found: finding id -> current verdict, or ``no finding``. problem: why the case could not be judged; "" if it was.
    """

    case: Case
    found: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def wrong(self) -> dict[str, tuple[str, str]]:
        """Return the differences: finding id -> (current verdict, correct verdict)."""
        pairs = {key: (self.found.get(key, NO_FINDING), right) for key, right in self.case.right.items()}
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}

    @property
    def is_right(self) -> bool:
        return not self.wrong and not self.problem

    @property
    def fails(self) -> bool:
        """Return whether the case is wrong and its kind is agreed on."""
        return not self.is_right and self.case.kind not in UNDECIDED


def read(path: Path) -> list[Case]:
    """Read the cases of a file. Raises UsageError with file, line and mistake, or if the file contains no case."""
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
        raise UsageError(
            f"{path}: no case in this file", "a case is a YAML document {name, kind, change, right, why, source}"
        )
    return found


def judge(case: Case, catalogue: Catalogue) -> Result:
    """Judge the changed document with the policies that a case names."""
    try:
        content = patched(case.change)
    except UNUSABLE as cause:
        return Result(case, problem=f"cannot apply the change: {cause}")
    if found := schema_error(content):
        return Result(case, problem=f"the changed document does not match its schema: {found}")
    try:
        small = facts_of(content)
    except UNUSABLE as cause:
        return Result(case, problem=f"cannot read the changed document: {type(cause).__name__}: {cause}")
    verdicts = dict(_verdicts(case, catalogue, small))
    return Result(case, {key: verdicts.get(key, NO_FINDING) for key in case.right})


def _verdicts(case: Case, catalogue: Catalogue, small: SiteFacts) -> Iterator[tuple[str, str]]:
    """Yield the verdicts of the policies that a case names.

    They equal the verdicts of the whole catalogue: a verdict depends only on its policy and the policies of its root findings.
    """
    for policy in sorted({parse_finding_id(key)[0] for key in case.right}):
        if policy in catalogue.policies:
            for finding in evaluate_one(catalogue.policies[policy], catalogue.policies, catalogue.checks, *small):
                yield finding.id, finding.verdict.value
