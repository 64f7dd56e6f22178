"""A part of the catalogue, and of what it found: by id, severity, family, profile and project.

Everything is evaluated always, for one finding may be left to another: what was not selected is left out of the run afterwards. A
selection of nothing is a mistake of use, never a run without findings.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from sigsrv.model import site_file
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.finding import Finding, Severity, Verdict
from sigsrv.model.policy import Policy
from sigsrv.model.site import SiteProfile

# The options that say what is selected, of sigsrv and of pytest: name, what it takes, help.
OPTIONS = (
    ("policy", "ID,...", "only these policies, globs too: NET-001,POOL-*"),
    ("severity", "SEVERITY", "only policies of at least this severity: critical, high, medium or low"),
    ("family", "FAMILY,...", "only policies of these families: net,acl"),
    ("profile", "NAME", "only policies of this profile of the site; else baseline, strict or user-environment"),
    ("project", "PROJECT,...", "of projects, instances, volumes and images only those of these projects, globs too"),
)

# Where the project's name is among the parts of a resource, by how many parts there are: POOL/PROJECT/VOLUME, PROJECT/INSTANCE.
_PROJECT_PART = {3: 1, 2: 0}
_IN_PROJECTS = frozenset({"project", "instance", "volume", "image"})
_WORST_FIRST = list(Severity)
_SEE_ALL = "sigsrv policies list shows them all"


@dataclass(frozen=True)
class Filters:
    """What a user says of a selection; None: everything. policy, family, project: separated by commas; policy, project: globs."""

    policy: str | None = None
    severity: str | None = None
    family: str | None = None
    profile: str | None = None
    project: str | None = None

    @property
    def said(self) -> str:
        """The options, as they can be typed."""
        return " ".join(f"--{name} {shlex.quote(value)}" for name, value in vars(self).items() if value is not None)


EVERYTHING = Filters()


@dataclass(frozen=True)
class Selection:
    """What is selected of each kind; None: everything. policies: the ids that fit it all, of ``of`` that there are.

    projects: globs: of what lies in a project, only these; empty: all. said: the options, as they were typed.
    """

    ids: frozenset[str] | None
    severity: Severity | None
    families: frozenset[str] | None
    profile: SiteProfile | None
    projects: tuple[str, ...]
    said: str
    policies: frozenset[str] = frozenset()
    of: int = 0

    def has(self, policy: Policy) -> bool:
        """Whether a policy, of the catalogue or made of a user's own test, is selected."""
        profile = self.profile
        return (
            (self.ids is None or policy.id in self.ids)
            and _is_at_least(policy, self.severity)
            and (self.families is None or policy.family in self.families)
            and (profile is None or any(fnmatchcase(policy.id, glob) for glob in profile.policies))
            and (profile is None or _is_at_least(policy, Severity(profile.severity) if profile.severity else None))
        )

    @property
    def text(self) -> str:
        """What was selected, in words; "" where it is everything."""
        is_part = len(self.policies) < self.of or self.projects
        return f"{len(self.policies)} of {self.of} policies ({self.said})" if is_part else ""


def choose(wanted: Filters, policies: Mapping[str, Policy], profiles: Sequence[SiteProfile] = ()) -> Selection:
    """The selection that was asked for. profiles: the site's; where it names none, the shipped ones are known.

    Raises UsageError: a glob, family or profile that fits nothing, or a selection of nothing.
    """
    profile = None if wanted.profile is None else _profile(wanted.profile, profiles or site_file.shipped_profiles())
    globs = None if wanted.project is None else _parts("--project", wanted.project)
    selection = Selection(
        ids=None if wanted.policy is None else _fitting("--policy", wanted.policy.upper(), policies),
        severity=None if wanted.severity is None else Severity(wanted.severity),
        families=None
        if wanted.family is None
        else _fitting("--family", wanted.family.lower(), {each.family for each in policies.values()}),
        profile=profile,
        projects=globs or (profile.projects if profile else ()),
        said=wanted.said,
    )
    found = frozenset(each.id for each in policies.values() if selection.has(each))
    if not found:
        raise UsageError(f"{wanted.said}: no policy is selected", _SEE_ALL)
    return replace(selection, policies=found, of=len(policies))


def _parts(option: str, value: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    if not found:
        raise UsageError(f"{option} names nothing", _SEE_ALL)
    return found


def _fitting(option: str, value: str, names: Collection[str]) -> frozenset[str]:
    return fitting(option, _parts(option, value), names)


def fitting(option: str, globs: Iterable[str], names: Collection[str]) -> frozenset[str]:
    """The names that globs fit. Raises UsageError for a glob that fits none."""
    found: set[str] = set()
    for glob in globs:
        here = {name for name in names if fnmatchcase(name, glob)}
        if not here:
            raise UsageError(f'{option}: nothing fits "{glob}"', nearest(glob, names))
        found |= here
    return frozenset(found)


def _is_at_least(policy: Policy, severity: Severity | None) -> bool:
    return severity is None or _WORST_FIRST.index(policy.severity) <= _WORST_FIRST.index(severity)


def _profile(name: str, profiles: Sequence[SiteProfile]) -> SiteProfile:
    found = next((profile for profile in profiles if profile.name == name), None)
    if found is None:
        raise UsageError(f'--profile: there is no profile "{name}"', nearest(name, [each.name for each in profiles]))
    return found


def select(
    selection: Selection, findings: Sequence[Finding], policies: Mapping[str, Policy], projects: Collection[str] | None
) -> tuple[Finding, ...]:
    """The findings of what was selected. projects: the names of those that there are; None: unknown, and then none is left out.

    A policy that examined nothing in the selected projects says so. Raises UsageError: a glob that fits no project.
    """
    found = [finding for finding in findings if finding.policy in selection.policies]
    if not selection.projects or projects is None:
        return tuple(found)
    option = "--project" if "--project" in selection.said else selection.said
    fitting(option, selection.projects, projects)
    kept = [each for each in found if _is_in(each, policies[each.policy].examines, selection.projects, projects)]
    left = {finding.policy for finding in kept}
    for policy_id in sorted({finding.policy for finding in found} - left):
        kept.append(_nothing(policies[policy_id], selection.projects))
    return tuple(kept)


def _is_in(finding: Finding, examines: str, globs: Iterable[str], projects: Collection[str]) -> bool:
    """Whether a finding is about something in the projects that globs fit, or about nothing that is in a project.

    A policy on volumes or instances may judge projects as well, and names a pool that could not be read.
    """
    if examines not in _IN_PROJECTS or finding.resource == finding.host:
        return True
    parts = finding.resource.split("/")
    is_project = finding.resource in projects and finding.verdict is not Verdict.ERROR
    if len(parts) == 1 and examines != "project" and not is_project:
        return True
    name = parts[_PROJECT_PART.get(len(parts), 0)]
    return any(fnmatchcase(name, glob) for glob in globs)


def _nothing(policy: Policy, projects: Iterable[str]) -> Finding:
    reason = f"nothing to examine: no {policy.examines} in {', '.join(projects)}"
    return Finding(
        policy.id, policy.title, policy.severity, "cluster", "cluster", Verdict.NOT_APPLICABLE, "", "", reason
    )
