"""Checks of PROJ: storage that projects share."""

from collections.abc import Collection, Iterable

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Config
from sigsrv.facts.volumes import Volume, VolumeUser
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.custom_volumes import each_volume
from sigsrv.judge.site_projects import defer_undeclared, require_projects


@policy("PROJ-006")
def test_storage_is_not_shared_between_projects(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at who uses each custom volume, and at the disks of the instances of each project.

    Instances of two projects that mount the same volume can reach each other. Two projects may share a pool. Root disks must be in the
    pools of their project, and instances of a user project may use only volumes of this project. PROJ-008 reports a project without an
    entry in the site file; if it is exempt there, the project counts as one of a user and may use no pool.
    """
    with require.about(require.subject):
        for volume, host in each_volume(facts, require):
            with require.finding(volume.resource, "used by one project", host=host) as finding:
                _require_one_project(finding, facts, volume)
    _ = facts.instances  # raises if no daemon gives the list
    for project in facts.incus.projects:
        pools, is_user = site.pools_of(project.name), site.project_or_strict(project.name).kind == "user"
        expected = f"root disks in {_listed(pools)}" + ("; only volumes of this project" if is_user else "")
        with require.finding(project.name, expected, otherwise="as expected") as finding:
            defer_undeclared(finding, facts, site, project.name)
            _require_own_disks(finding, facts, project.name, is_user, pools)
    require_projects((each.project for each in facts.incus.listed_instances), facts, require)


def _require_one_project(finding: Clauses, facts: ClusterFacts, volume: Volume) -> None:
    projects = _projects(
        use for use in volume.used_by if use.kind == "instances"
    )  # two decide, whatever else can't be read
    with finding.clause():
        projects = _projects(facts.users(volume, decisive=lambda users: len(_projects(users)) > 1))
    finding.require(len(projects) < 2, f"used by {', '.join(sorted(projects)) or 'no project'}")


def _projects(users: Iterable[VolumeUser]) -> set[str]:
    return {user.project for user in users if user.kind != "other"}


def _require_own_disks(
    finding: Clauses, facts: ClusterFacts, project: str, is_user: bool, pools: Collection[str]
) -> None:
    for instance, _ in facts.instances.of_project(project):
        for name, device in sorted(instance.expanded_devices.items()):
            with finding.clause():
                if fault := _foreign_disk(facts, project, name, device, is_user, pools):
                    finding.violated(f"{instance.name}: {fault}")


def _foreign_disk(
    facts: ClusterFacts, project: str, name: str, device: Config, is_user: bool, pools: Collection[str]
) -> str:
    """Return whether a device is a root disk in a pool of other projects or, for a user project, a volume of another one; "" if not."""
    pool = device.get("pool")
    if device.get("type") != "disk" or not pool:
        return ""
    if device.get("path") == "/":
        return "" if pool in pools else f"the root disk is in pool {pool}"
    owner = facts.incus.owner(project, "features.storage.volumes") if is_user else project
    return "" if owner == project else f"{name} is the volume {pool}/{owner}/{device.get('source', '')}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
