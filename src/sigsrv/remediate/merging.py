"""Makes one step of several findings of one instance or profile, so that each instance restarts once. Pure: it reads findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sigsrv.model.finding import Finding
from sigsrv.model.fix import Fix
from sigsrv.remediate import placing
from sigsrv.remediate.planning import Step

MERGED = "set-instance-config"
_VALUES = frozenset({"instance", "project", "set", "unset", "restart", "start", "refuse"})


def merged_steps(findings: Sequence[Finding], fix_of: Callable[[Finding], Fix | None]) -> list[Step]:
    """Return a step for each finding that has a fix, or one for several findings if one script fixes them together.

    Findings that the script would refuse stay apart from those that it fixes. So do findings that want different values for one key.
    fix_of: returns the fix of a finding, or None.
    """
    groups: list[list[Finding]] = []
    for finding in findings:
        group = next((each for each in groups if _fits(finding, each)), None)
        if group is None:
            groups.append([finding])
        else:
            group.append(finding)
    steps = (step_of(sorted(group, key=lambda each: each.id), fix_of) for group in groups)
    return [step for step in steps if step]


def step_of(findings: Sequence[Finding], fix_of: Callable[[Finding], Fix | None]) -> Step | None:
    """Return the step that fixes all these findings, the first of which names it; None if there is no fix."""
    first, *others = findings
    merge = placing.merged if first.remediation == placing.ON_PROFILE else _merged
    fix = fix_of(replace(first, fix=merge([each.fix for each in findings])) if others else first)
    if fix is None:
        return None
    return Step(first, replace(fix, also=tuple(each.id for each in others)), also=tuple(others))


def _fits(finding: Finding, group: Sequence[Finding]) -> bool:
    """Report whether a finding can be fixed together with those of a group."""
    first = group[0]
    if finding.remediation == first.remediation == placing.ON_PROFILE:
        return _profile(finding) == _profile(first) and finding.known is first.known and _agree(finding, group)
    if not all(each.remediation == MERGED and each.fix.keys() >= _VALUES for each in (finding, first)):
        return False
    return _target(finding) == _target(first) and _agree(finding, group)


def _agree(finding: Finding, group: Sequence[Finding]) -> bool:
    """Report whether a finding wants no other value for a key than those of a group."""
    wanted = {key: value for each in group for key, value in _wanted(each.fix).items()}
    return all(wanted.get(key, value) == value for key, value in _wanted(finding.fix).items())


def _target(finding: Finding) -> tuple[object, ...]:
    fix = finding.fix
    return finding.host, fix["project"], fix["instance"], bool(fix["refuse"])


def _profile(finding: Finding) -> tuple[object, ...]:
    fix = finding.fix
    return fix["owner"], fix["profile"], bool(fix["refuse"])


def _wanted(fix: Mapping[str, Any]) -> dict[str, str]:
    """Return the value that each key has in the end. "": it is unset."""
    pairs = (pair.partition("=") for pair in fix["set"])
    return {key: value for key, _, value in pairs} | dict.fromkeys(fix["unset"], "")


def _merged(fixes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values for one script that makes all these fixes of one instance. Each key is in it once."""
    return {
        **fixes[0],
        "set": list(dict.fromkeys(pair for fix in fixes for pair in fix["set"])),
        "unset": list(dict.fromkeys(key for fix in fixes for key in fix["unset"])),
        "restart": any(fix["restart"] for fix in fixes),
        "start": any(fix["start"] for fix in fixes),
        "refuse": "; ".join(dict.fromkeys(fix["refuse"] for fix in fixes if fix["refuse"])),
    }
