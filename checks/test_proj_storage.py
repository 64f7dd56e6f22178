"""Checks of PROJ: storage that projects share."""

from collections.abc import Collection, Iterable, Iterator

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.instances import Instances
from sigsrv.facts.resources import Instance, Project
from sigsrv.facts.volumes import Volume, VolumeUser
from sigsrv.judge.custom_volumes import each_volume
from sigsrv.judge.site_projects import each_project
from sigsrv.model.site import SiteProject


@policy("PROJ-006")
def test_storage_is_not_shared_between_projects(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at who uses each custom volume, and at the disks of the instances of each project.

    Instances of two projects that mount the same volume can reach each other. Two projects may share a pool. Root disks must be in the
    pools of their project, and instances of a user project may use only volumes of this project.
    """
    for volume, host in each_volume(facts, require):
        with require.about(volume.resource, host):
            _require_one_project(facts, require, volume, host)
    instances = facts.instances
    for project, entry in each_project(facts.incus.projects, site, require):
        with require.about(project.name):
            _require_own_disks(facts, site, require, instances, project, entry)


def _require_one_project(facts: ClusterFacts, require: Require, volume: Volume, host: str) -> None:
    projects = _projects(facts.users(volume, decisive=lambda users: len(_projects(users)) > 1))
    require(
        volume.resource,
        len(projects) < 2,
        expected="used by one project",
        observed=f"used by {', '.join(sorted(projects)) or 'no project'}",
        host=host,
    )


def _projects(users: Iterable[VolumeUser]) -> set[str]:
    return {user.project for user in users if user.kind != "other"}


def _require_own_disks(
    facts: ClusterFacts, site: Site, require: Require, instances: Instances, project: Project, entry: SiteProject
) -> None:
    pools, is_user = site.pools_of(project.name), entry.kind == "user"
    faults = instances.of_project(project.name).search(
        lambda instance: (f"{instance.name}: {fault}" for fault in _foreign_disks(facts, instance, is_user, pools))
    )
    require(
        project.name,
        not faults,
        expected=f"root disks in {_listed(pools)}" + ("; only volumes of this project" if is_user else ""),
        observed="; ".join(faults) or "as expected",
    )


def _foreign_disks(facts: ClusterFacts, instance: Instance, is_user: bool, pools: Collection[str]) -> Iterator[str]:
    """Yield each root disk in a pool of other projects and, for a user project, each volume of another project."""
    for name, device in sorted(instance.expanded_devices.items()):
        pool = device.get("pool")
        if device.get("type") != "disk" or not pool:
            continue
        if device.get("path") == "/":
            if pool not in pools:
                yield f"the root disk is in pool {pool}"
        elif is_user:
            owner = facts.incus.owner(instance.project, "features.storage.volumes")
            if owner != instance.project:
                yield f"{name} is the volume {pool}/{owner}/{device.get('source', '')}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
