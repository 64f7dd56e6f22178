"""Selects a part of the catalogue and of its findings: by id, severity, family, profile and project.

sigsrv always evaluates all policies, because one finding may refer to another. Then it removes the findings that are not
selected. A selection without any policy is a usage error, never a run without findings.
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

# The options of a selection, for sigsrv and for pytest: name, metavar, help.
OPTIONS = (
    ("policy", "ID,...", "only these policies; globs allowed: NET-001,POOL-*"),
    ("severity", "SEVERITY", "only policies of this severity or higher: critical, high, medium or low"),
    ("family", "FAMILY,...", "only policies of these families: net,acl"),
    (
        "profile",
        "NAME",
        "only policies of this profile of the site; if it has none: baseline, strict, user-environment",
    ),
    (
        "project",
        "PROJECT,...",
        "leave out projects, profiles, instances, volumes and images of other projects; globs allowed",
    ),
)

# The index of the project in a resource, by the number of its parts: POOL/PROJECT/VOLUME, PROJECT/INSTANCE.
_PROJECT_PART = {3: 1, 2: 0}
_IN_PROJECTS = frozenset({"project", "profile", "instance", "volume", "image"})
_WORST_FIRST = list(Severity)
_SEE_ALL = "run: sigsrv policies list"


@dataclass(frozen=True)
class Filters:
    """The selection of the user; None selects everything. policy, family, project: separated by commas; policy and project are globs."""

    policy: str | None = None
    severity: str | None = None
    family: str | None = None
    profile: str | None = None
    project: str | None = None

    @property
    def options(self) -> str:
        """Return the options as the user can type them."""
        return " ".join(f"--{name} {shlex.quote(value)}" for name, value in vars(self).items() if value is not None)


EVERYTHING = Filters()


@dataclass(frozen=True)
class Selection:
    """The selected ids, severity, families and profile; None selects everything.

    projects: globs; only resources in these projects are selected; if empty, all. options: as the user typed them.
    policies: the ids that match all criteria. total: the number of policies in the catalogue.
    """

    ids: frozenset[str] | None
    severity: Severity | None
    families: frozenset[str] | None
    profile: SiteProfile | None
    projects: tuple[str, ...]
    options: str
    policies: frozenset[str] = frozenset()
    total: int = 0

    def has(self, policy: Policy) -> bool:
        """Return whether a policy is selected. The policy may also stand for a user's own testinfra check."""
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
        """Return a description of the selection; "" if it is everything."""
        is_part = len(self.policies) < self.total or self.projects
        return f"{len(self.policies)} of {self.total} policies ({self.options})" if is_part else ""


def choose(wanted: Filters, policies: Mapping[str, Policy], profiles: Sequence[SiteProfile] = ()) -> Selection:
    """Return the selection for the user's options. profiles: those of the site file; if there are none, the shipped ones apply.

    Raises UsageError: a glob, family or profile without a match, or a selection without any policy.
    """
    profile = None if wanted.profile is None else _profile(wanted.profile, profiles or site_file.shipped_profiles())
    globs = None if wanted.project is None else _split("--project", wanted.project)
    selection = Selection(
        ids=None if wanted.policy is None else _match_names("--policy", wanted.policy.upper(), policies),
        severity=None if wanted.severity is None else Severity(wanted.severity),
        families=None
        if wanted.family is None
        else _match_names("--family", wanted.family.lower(), {each.family for each in policies.values()}),
        profile=profile,
        projects=globs or (profile.projects if profile else ()),
        options=wanted.options,
    )
    found = frozenset(each.id for each in policies.values() if selection.has(each))
    if not found:
        raise UsageError(f"{wanted.options}: no policy is selected", _SEE_ALL)
    return replace(selection, policies=found, total=len(policies))


def _split(option: str, value: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    if not found:
        raise UsageError(f"{option} names nothing", _SEE_ALL)
    return found


def _match_names(option: str, value: str, names: Collection[str]) -> frozenset[str]:
    return matching(option, _split(option, value), names)


def matching(option: str, globs: Iterable[str], names: Collection[str]) -> frozenset[str]:
    """Return the names that match globs. Raises UsageError for a glob without a match."""
    found: set[str] = set()
    for glob in globs:
        matches = {name for name in names if fnmatchcase(name, glob)}
        if not matches:
            raise UsageError(f'{option}: nothing matches "{glob}"', nearest(glob, names))
        found |= matches
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
    """Return the findings of the selection. projects: the names of all projects; None if unknown, then none is left out.

    A policy without a finding in the selected projects gets one that is not applicable.
    Raises UsageError for a glob that matches no project.
    """
    found = [finding for finding in findings if finding.policy in selection.policies]
    if not selection.projects or projects is None:
        return tuple(found)
    option = "--project" if "--project" in selection.options else selection.options
    matching(option, selection.projects, projects)
    kept = [each for each in found if _is_in(each, policies[each.policy].examines, selection.projects, projects)]
    with_findings = {finding.policy for finding in kept}
    for policy_id in sorted({finding.policy for finding in found} - with_findings):
        kept.append(_nothing_to_examine(policies[policy_id], selection.projects))
    return tuple(kept)


def _is_in(finding: Finding, examines: str, globs: Iterable[str], projects: Collection[str]) -> bool:
    """Return whether a finding is about a resource in the projects, or about a resource outside all projects.

    A policy on volumes or instances may also have findings on projects, and on a pool that could not be read.
    """
    if examines not in _IN_PROJECTS or finding.resource == finding.host:
        return True
    parts = finding.resource.split("/")
    is_project = finding.resource in projects and finding.verdict is not Verdict.ERROR
    if len(parts) == 1 and examines != "project" and not is_project:
        return True
    name = parts[_PROJECT_PART.get(len(parts), 0)]
    return any(fnmatchcase(name, glob) for glob in globs)


def _nothing_to_examine(policy: Policy, projects: Iterable[str]) -> Finding:
    reason = f"nothing to examine: no {policy.examines} in {', '.join(projects)}"
    return Finding(
        policy.id, policy.title, policy.severity, "cluster", "cluster", Verdict.NOT_APPLICABLE, "", "", reason
    )
