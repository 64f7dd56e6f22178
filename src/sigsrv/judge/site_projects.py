"""The projects of a cluster, matched with the entries of the site file, for checks of more than one file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.resources import Project
from sigsrv.judge.require import Require
from sigsrv.model.site import Site, SiteProject


def each_project(projects: Iterable[Project], site: Site, require: Require) -> Iterator[tuple[Project, SiteProject]]:
    """Yield each project with its entry in the site file. PROJ-008 reports a project without an entry."""
    for project in projects:
        entry = site.project(project.name)
        if entry:
            yield project, entry
        else:
            require.left_to("PROJ-008", project.name, "no entry of the site file matches this project")


def each_restricted_project(facts: ClusterFacts, require: Require) -> Iterator[Project]:
    """Yield each restricted project. PROJ-001 reports the others: no restriction has an effect in them, whatever its value."""
    for project in facts.incus.projects:
        if project.config["restricted"] == "true":
            yield project
        else:
            require.left_to("PROJ-001", project.name, "this project is not restricted")
