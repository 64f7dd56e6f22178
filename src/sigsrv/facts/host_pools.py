"""The storage pools of one host: what Incus reports of each one there, and its zpool.

Each fact reads only the answers that it needs, so an answer that is missing or malformed costs only the facts of one pool.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sigsrv.facts.config import PoolConfig
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.pools import Pool, PoolDriver, PoolResources, PoolStatus
from sigsrv.facts.reading import fact
from sigsrv.facts.storage import StorageFacts, ZPool, ZpoolUsage
from sigsrv.facts.zpool_scans import date
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import Size

_ON_DEVICES = ("zfs", "btrfs", "lvm")
_SOURCES = ("source", "volatile.initial_source")
_DAY_S = 24 * 3600


@dataclass(frozen=True)
class PoolFacts:
    """One storage pool, as one host has it. Each view raises EvidenceError if it could not be read."""

    name: str
    """The pool's name in Incus."""
    driver: PoolDriver
    """The storage driver, for example ``zfs``, ``btrfs`` or ``dir``."""
    locations: tuple[str, ...]
    """The members that have the pool."""
    _member: str
    _collected: float
    _incus: IncusFacts
    _storage: Callable[[], StorageFacts]

    @property
    def _host(self) -> str:
        return self._incus.evidence.host

    @fact
    def reported(self) -> Pool:
        """Return the pool as Incus reports it for this member."""
        found = self._incus.pool_at(self.name, self._member)
        if found is None:
            raise EvidenceError(f"{self._host}: there is no pool {self.name}", host=self._host)
        return found

    @fact
    def is_on_member(self) -> bool:
        """Return whether the member has the pool. A server in no cluster has each pool that it lists."""
        return not self._incus.server.clustered or self._member in self.locations

    @fact
    def status(self) -> PoolStatus:
        """Return the status on this member: ``Created``, ``Pending``, ``Errored``, ``Unknown`` or ``Unavailable``."""
        return self.reported.status

    @fact
    def config(self) -> PoolConfig:
        """Return the configuration keys, as written, with those of this member."""
        return self.reported.config

    @fact
    def image_files(self) -> tuple[str, ...]:
        """Return the image files that hold the pool; empty if devices hold it. A pool of driver ``dir`` is a folder and has none.

        Raises EvidenceError if Incus does not report the source.
        """
        if self.driver not in _ON_DEVICES:
            return ()
        if "source" not in self.config:
            raise EvidenceError(f"pool {self.name}: Incus does not report the source")
        sources = dict.fromkeys(self.config.get(key, "") for key in _SOURCES)
        return tuple(source for source in sources if source.endswith(".img"))

    @fact
    def zfs_names(self) -> tuple[str, ...]:
        """Return the dataset that Incus uses and its zpool, which can be the same; empty if the pool has none."""
        dataset = self.config.get("zfs.pool_name", "")
        return tuple(dict.fromkeys((dataset, self.zpool_name))) if dataset else ()

    @fact
    def zpool_name(self) -> str:
        """Return the name of the zpool that Incus uses; empty if Incus does not report it, and for other drivers."""
        return self.config.get("zfs.pool_name", "").partition("/")[0]

    @fact
    def zpool(self) -> ZPool | None:
        """Return the zpool of a ZFS pool; None if it is not imported. Raises EvidenceError also if Incus does not report its name."""
        return self._storage().zpool(self.zpool_name)

    @fact
    def _usage(self) -> ZpoolUsage | None:
        return self._storage().usage(self.zpool_name) if self.driver == "zfs" else None

    @fact
    def zpool_used_percent(self) -> int | None:
        """Return how full the zpool is, in percent; None if zpool does not know it, and for other drivers."""
        return self._usage.capacity if self._usage else None

    @fact
    def zpool_fragmentation_percent(self) -> int | None:
        """Return how fragmented the free space of the zpool is, in percent; None if zpool does not know it, and for other drivers."""
        return self._usage.fragmentation if self._usage else None

    @fact
    def _zpool_created(self) -> int:
        return self._storage().created(self.zpool_name)

    @fact
    def zpool_created_on(self) -> str:
        """Return the date (UTC) on which the zpool was created, for example ``2026-11-07``."""
        return date(self._zpool_created)

    @fact
    def zpool_age_days(self) -> float:
        """Return the age of the zpool in days. Raises EvidenceError if it is more than a day below zero."""
        return self._age_days(self._zpool_created, "the zpool was created")

    @fact
    def scan_min_age_days(self) -> float | None:
        """Return how many days ago the last scan of the zpool ended, at least; None if none has ended.

        An older zpool reports no time zone, so the age is known to 14 hours only. Raises EvidenceError if it is more than a day below zero.
        """
        return self._scan_age_days(-1)

    @fact
    def scan_max_age_days(self) -> float | None:
        """Return how many days ago the last scan of the zpool ended, at most; None if none has ended."""
        return self._scan_age_days(1)

    def _scan_age_days(self, sign: int) -> float | None:
        scan = self.zpool.scan if self.zpool else None
        if scan is None or scan.ended is None:
            return None
        return self._age_days(scan.ended, "the last scan ended") + sign * scan.doubt_s / _DAY_S

    def _age_days(self, at: float, what: str) -> float:
        age = (self._collected - at) / _DAY_S
        if age < -1:
            raise EvidenceError(
                f"{self._host}: {what} {-age:.0f} days after the evidence was collected", host=self._host
            )
        return age

    @fact
    def _resources(self) -> PoolResources:
        return self._incus.pool_resources(self.name, self._member)

    @fact
    def free(self) -> Size:
        """Return the free space in bytes."""
        return Size(self._resources.space.free)

    @fact
    def free_percent(self) -> int:
        """Return the free share of the space in percent, rounded down."""
        return self._resources.space.free_percent

    @fact
    def free_inodes_percent(self) -> int | None:
        """Return the free share of the inodes in percent, rounded down; None if the pool counts none, as on zfs and btrfs."""
        return self._resources.inodes.free_percent if self._resources.inodes.total else None
