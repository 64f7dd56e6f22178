"""What the Incus daemons of a cluster report, as one API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from sigsrv.facts.config import ServerConfig
from sigsrv.facts.images import Image
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.instance_rows import InstanceRow
from sigsrv.facts.members import Member, Warning
from sigsrv.facts.pools import Pool
from sigsrv.facts.resources import Instance, Network, NetworkAcl, Profile, Project
from sigsrv.facts.server import Server
from sigsrv.facts.trust import TrustEntry
from sigsrv.facts.volumes import Volume
from sigsrv.facts.zones import NetworkZone, zones_of
from sigsrv.model.errors import EvidenceError, FailureKind

if TYPE_CHECKING:
    from sigsrv.facts.hosts import HostFacts

T = TypeVar("T")


class ClusterIncus:
    """The views of ``IncusFacts`` that are the same on every member.

    Each view is that of the first host, in the order of the site, whose daemon gives it. Raises EvidenceError if no host gives it. A
    daemon that belongs to another member than the site says is not asked: it may be of another cluster.
    """

    def __init__(self, hosts: Iterable[HostFacts]) -> None:
        self._hosts = tuple(hosts)

    def first(self, view: Callable[[IncusFacts], T]) -> T:
        """Return a view of the first host that can give it. Raises the first host's EvidenceError, with the reasons of all."""
        refused: list[EvidenceError] = []
        for host in self._hosts:
            try:
                if host.wrong_member:
                    raise host.wrong_member
                return view(host.incus)
            except EvidenceError as cause:
                refused.append(cause.with_traceback(None))  # which would hold this list, and so itself
        if not refused:
            raise EvidenceError("no host was asked", FailureKind.ABSENT)
        reasons = "; ".join(dict.fromkeys(cause.reason for cause in refused))
        raise EvidenceError(reasons, refused[0].kind, refused[0].host, refused[0].source)

    @property
    def server(self) -> Server:
        """Return version, firewall and operating system, as the first host reports them."""
        return self.first(lambda incus: incus.server)

    @property
    def config(self) -> ServerConfig:
        """Return the configuration of the cluster, booleans filled in."""
        return self.first(lambda incus: incus.config)

    @property
    def extensions(self) -> frozenset[str]:
        """Return the names of the API extensions."""
        return self.first(lambda incus: incus.extensions)

    @property
    def routes(self) -> Mapping[str, str]:
        """Return which authorizer decides about each class of clients, for example ``tls`` about ``tls-restricted``."""
        return self.first(lambda incus: incus.routes)

    @property
    def zones(self) -> tuple[NetworkZone, ...]:
        """Return the DNS zones of all projects. Raises EvidenceError, also if no daemon can list them."""
        return self.first(zones_of)

    @property
    def members(self) -> tuple[Member, ...]:
        """Return the members of the cluster."""
        return self.first(lambda incus: incus.members)

    @property
    def warnings(self) -> tuple[Warning, ...]:
        """Return the warnings of all members, resolved ones too."""
        return self.first(lambda incus: incus.warnings)

    @property
    def trust(self) -> tuple[TrustEntry, ...]:
        """Return the trust store: client certificates, and the certificates of the members."""
        return self.first(lambda incus: incus.trust)

    @property
    def images(self) -> tuple[Image, ...]:
        """Return the images of all projects."""
        return self.first(lambda incus: incus.images)

    @property
    def projects(self) -> tuple[Project, ...]:
        """Return the projects."""
        return self.first(lambda incus: incus.projects)

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """Return the profiles of all projects."""
        return self.first(lambda incus: incus.profiles)

    @property
    def listed_instances(self) -> tuple[InstanceRow, ...]:
        """Return the instances of all members as one daemon lists them, also of members that were not selected.

        ``facts.instances`` has those of the selected hosts, each as its own member's daemon reports it.
        """
        return self.first(lambda incus: incus.instance_rows)

    @property
    def networks(self) -> tuple[Network, ...]:
        """Return the networks of project default, unmanaged links too."""
        return self.first(lambda incus: incus.networks)

    @property
    def network_acls(self) -> tuple[NetworkAcl, ...]:
        """Return the network ACLs of all projects."""
        return self.first(lambda incus: incus.network_acls)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Return the storage pools. Their status says nothing about a single member."""
        return self.first(lambda incus: incus.pools)

    def volumes(self, pool: str) -> tuple[Volume, ...]:
        """Return the custom volumes of a pool, of all members and projects."""
        return self.first(lambda incus: incus.volumes(pool))

    def project(self, name: str) -> Project | None:
        """Return a project; None if there is none."""
        return self.first(lambda incus: incus.project(name))

    def owner(self, project: str, feature: str) -> str:
        """Return the project that owns what ``project`` uses of a feature, see ``IncusFacts.owner``."""
        return self.first(lambda incus: incus.owner(project, feature))

    def origin(self, instance: Instance, key: str) -> str | None:
        """Return where a configuration key comes from: ``instance``, the name of a profile, or None."""
        return self.first(lambda incus: incus.origin(instance, key))

    def profile_with(self, instance: Instance, key: str) -> str | None:
        """Return the profile that gives an instance a configuration key, whatever the instance sets itself."""
        return self.first(lambda incus: incus.profile_with(instance, key))

    def written(self, instance: Instance) -> frozenset[str]:
        """Return the keys that an instance or one of its profiles sets; keys with their default value are left out."""
        return self.first(lambda incus: incus.written(instance))

    def device_origin(self, instance: Instance, device: str) -> str | None:
        """Return where a device comes from: ``instance``, the name of a profile, or None."""
        return self.first(lambda incus: incus.device_origin(instance, device))

    def profile_with_device(self, instance: Instance, device: str) -> str | None:
        """Return the profile that gives an instance a device, whatever the instance sets itself."""
        return self.first(lambda incus: incus.profile_with_device(instance, device))
