"""Checks of PROJ: the limits of a project, whether they are set and not above those of the site file."""

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Project
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.site_projects import defer_undeclared
from sigsrv.model.site import SiteProject
from sigsrv.model.values import size_bytes

_DISK = "limits.disk"
_OF_POOL = "limits.disk.pool."


@policy("PROJ-005")
def test_project_has_resource_limits(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at the limits.* keys of each project, and compares them with those of its entry in the site file.

    For limits.disk, a limit for each pool is enough; there a limit of 0 hides the pool. A value of the site file is the highest that the
    limit may have: of limits for each pool, their sum.
    """
    for project in facts.incus.projects:
        entry = site.project_or_strict(project.name)
        with require.finding(project.name, f"limits: {_wanted(entry)}") as finding:
            if not entry.limits:
                finding.nothing("the site file requires no limit of this project")
                continue
            defer_undeclared(finding, facts, site, project.name)
            _judge_limits(project, entry, finding)


def _wanted(entry: SiteProject) -> str:
    return ", ".join(
        f"{key} at most {entry.limits_max[key]}" if key in entry.limits_max else key for key in entry.limits
    )


def _judge_limits(project: Project, entry: SiteProject, finding: Clauses) -> None:
    missing = [key for key in entry.limits_without_disk if key not in project.limits]
    pools_limited = bool(entry.pools) and set(entry.pools or ()) <= project.limited_pools
    missing_disk = [_DISK] if _DISK in entry.limits and not pools_limited and _DISK not in project.limits else []
    unread = list(project.unread_limits)
    too_high = [key for key in entry.limits_max if _is_too_high(project, key, entry, finding)]
    finding.fix.update(
        values={**entry.limits_if_unset, **entry.limits_max},
        missing=[*missing, *(key for key in too_high if key != _DISK)],
        missing_disk=[*missing_disk, *(key for key in too_high if key == _DISK and key in project.limits)],
        unread=unread,
    )
    if missing:
        finding.violated(f"no limit: {', '.join(missing)}")
    if missing_disk:
        pools = ", ".join(sorted(project.limited_pools)) or "none"
        finding.violated(f"limits.disk is not set, and only these pools have a limit: {pools}")
    if unread:
        finding.unknown(f"not a number or a size: {', '.join(unread)}")
    if not finding.is_violated:
        finding.holds(f"limits in force: {', '.join(sorted(project.limits)) or 'none'}")


def _is_too_high(project: Project, key: str, entry: SiteProject, finding: Clauses) -> bool:
    """Record that a limit is above that of the site file. A limit that is missing, or that can't be read, is another clause."""
    by_pool = key == _DISK and _DISK not in project.limits
    keys = [f"{_OF_POOL}{pool}" for pool in sorted(project.limited_pools)] if by_pool else [key]
    if by_pool and any(each in project.unread_limits for each in keys):
        return False
    if not by_pool and (key not in project.limits or key in project.unread_limits):
        return False
    if sum(size_bytes(project.config[each] or "0") for each in keys) <= size_bytes(entry.limits_max[key]):
        return False
    shown = " and ".join(f"{each} is {project.config[each]}" for each in keys)
    finding.violated(f"{shown}, and the site file allows {entry.limits_max[key]}")
    return True
