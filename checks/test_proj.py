"""Checks of PROJ: which projects exist, their features and their limits. PROJ-001 is a rule in its policy file."""

from contextlib import suppress

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.judge.site_projects import require_projects
from sigsrv.model.errors import EvidenceError


@policy("PROJ-008")
def test_projects_match_the_site_file_and_default_has_no_user_instances(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the list of projects, and at the networks of the instances in project default.

    Every project must match an entry of the site file, and every entry that is no glob must have a project. In project default,
    instances that are not critical may use only the networks that the site file allows there.
    """
    projects = {project.name for project in facts.incus.projects}
    for name in sorted(projects | {entry.match for entry in site.projects if not entry.is_glob}):
        entry = site.project(name)
        if name not in projects:
            _record_missing(facts, site, require, name)
        elif entry is None:
            require(name, False, expected="a project of the site file", observed="no entry of the site file matches it")
        elif name == "default":
            _require_default(facts, site, require)
        else:
            observed = f"entry {entry.match}, of kind {entry.kind}"
            require(name, True, expected="a project of the site file", observed=observed)
    with suppress(EvidenceError):  # without the instances, project default is an error
        require_projects((each.project for each in facts.incus.listed_instances), facts, require)


def _record_missing(facts: ClusterFacts, site: Site, require: Require, name: str) -> None:
    """Record a missing project. Of several standalone hosts, it is enough that one has the project: the site file does not say which."""
    with require.finding(name, f"a project {name}") as finding:
        other = _other_host_with(facts, site, name) if facts.name != "cluster" else None
        if other:
            finding.nothing(f"{facts.name} is in no cluster and has no such project; {other}")
        else:
            finding.violated("there is no such project")


def _other_host_with(facts: ClusterFacts, site: Site, name: str) -> str | None:
    """Return a text about another host of the site that has a project or may have it; None if no other host has it.

    Raises EvidenceError if no host has it and the projects of one could not be read.
    """
    others = {**facts.standalone, **facts.others}
    for host in others.values():
        with suppress(EvidenceError):
            if name in {project.name for project in host.incus.projects}:
                return f"{host.name} has it"
    for host in others.values():
        _ = host.incus.projects  # raises if they could not be read: the host may have it
    not_scanned = sorted({host.name for host in site.hosts} - {*facts.hosts, *others})
    return f"{', '.join(not_scanned)} may have it and was not scanned" if not_scanned else None


def _require_default(facts: ClusterFacts, site: Site, require: Require) -> None:
    allowed = site.networks_of("default")
    expected = f"instances that are not critical use only {', '.join(sorted(allowed)) or 'no network'}"
    with require.finding("default", expected, otherwise="as expected") as finding:
        for instance, _ in facts.instances.of_project("default"):
            for name, device in sorted(instance.expanded_devices.items()):
                network = device.get("network") or device.get("parent")
                if device.get("type") == "nic" and network not in allowed and not site.is_critical(instance.resource):
                    finding.violated(f"{instance.name}: {name} is on {network}")
