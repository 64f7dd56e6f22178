"""The projects of a cluster, matched with the entries of the site file, for checks of more than one file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.resources import Project
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.require import Require
from sigsrv.model.finding import finding_id
from sigsrv.model.site import Site


def defer_undeclared(finding: Clauses, facts: ClusterFacts, site: Site, project: str) -> None:
    """Defer a finding to PROJ-008 if no entry of the site file matches its project.

    The clauses then judge the project as strictly as the site can: as one of kind user that may use no network and no pool. That counts
    if PROJ-008 is exempt or waived for the project.
    """
    if site.project(project) is None:
        root = finding_id("PROJ-008", facts.name, project)
        finding.reported_by(root, f"the site file has no entry for project {project}")


def require_projects(used: Iterable[str], facts: ClusterFacts, require: Require) -> None:
    """Record ``error`` for each project that something uses and that Incus does not list.

    used: the names of the projects, for example those of all instances. Raises EvidenceError.
    """
    for name in sorted(set(used) - {project.name for project in facts.incus.projects}):
        require.unknown(name, f"Incus does not list the project {name}, but something is in it")


def each_restricted_project(facts: ClusterFacts, require: Require) -> Iterator[Project]:
    """Yield each restricted project. PROJ-001 reports the others: no restriction has an effect in them, whatever its value."""
    for project in facts.incus.projects:
        if project.config["restricted"] == "true":
            yield project
        else:
            require.left_to("PROJ-001", project.name, "this project is not restricted")
