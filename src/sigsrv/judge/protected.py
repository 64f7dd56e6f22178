"""What the site protects: its critical instances and its protected volumes, which need snapshots and backups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.resources import Config, Instance
from sigsrv.facts.volumes import Volume
from sigsrv.judge.custom_volumes import each_volume
from sigsrv.judge.require import Require
from sigsrv.model.site import Site


@dataclass(frozen=True)
class Protected:
    """A critical instance or a protected volume."""

    kind: str
    """``instance`` or ``volume``."""

    resource: str
    """``PROJECT/NAME`` of an instance, ``POOL/PROJECT/NAME`` of a volume."""

    host: str
    """The name of the host that has it, or of the cluster if all members share the volume's pool."""

    project: str
    """The name of its project."""

    name: str
    """Its name within the project."""

    pool: str
    """The name of the storage pool with its data; "" for an instance whose root disk names none."""

    config: Config
    """Its configuration, with what an instance gets from its profiles."""

    snapshots: tuple[float | None, ...] | None
    """When each snapshot was taken, in seconds since the epoch; None for an unknown time.

    None in place of the tuple: the daemon did not report the snapshots.
    """

    status: str = ""
    """The status of an instance; "" for a volume."""

    member: str = ""
    """The member that a volume is on; "" for an instance, and for a volume that no single member has."""


def protects_anything(site: Site, require: Require) -> bool:
    """Return whether the site names a critical instance or a protected volume. Record ``not-applicable`` if it does not.

    site: The site whose lists count.
    require: What the finding is recorded with.
    """
    found = bool(site.critical or site.protected_volumes)
    if not found:
        require.not_applicable(reason="the site file lists no critical instance and no protected volume")
    return found


def each_protected(facts: ClusterFacts, site: Site, require: Require) -> Iterator[Protected]:
    """Yield each critical instance and each protected volume that could be read. Record ``error`` for the others.

    facts: The cluster or standalone host to look at.
    site: The site, which says what is critical and what is protected.
    require: What the errors are recorded with.
    """
    if site.critical:
        with require.about(require.subject):  # the instances may be unknown, and the volumes known
            for instance, host in require.each(facts.instances.where(lambda each: site.is_critical(each.resource))):
                yield _instance(instance, host)
    if site.protected_volumes:
        with require.about(require.subject):
            for volume, host in each_volume(facts, require):
                if site.is_protected(volume.resource):
                    yield _volume(volume, host)
    require.leave_out_others("the site file does not protect it")


def _instance(instance: Instance, host: str) -> Protected:
    disks = instance.expanded_devices.values()
    root_pools = [disk["pool"] for disk in disks if disk.get("path") == "/" and disk.get("pool")]
    return Protected(
        kind="instance",
        resource=instance.resource,
        host=host,
        project=instance.project,
        name=instance.name,
        pool=root_pools[0] if root_pools else "",
        config=instance.expanded_config,
        snapshots=instance.snapshots,
        status=instance.status,
    )


def _volume(volume: Volume, host: str) -> Protected:
    return Protected(
        kind="volume",
        resource=volume.resource,
        host=host,
        project=volume.project,
        name=volume.name,
        pool=volume.pool,
        config=volume.config,
        snapshots=volume.snapshots,
        member=volume.location,
    )
