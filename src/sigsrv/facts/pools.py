"""The storage pools of Incus, each read from its row in an API answer.

A function that takes a row raises KeyError, TypeError or ValueError if a key is missing or has another type; ``incus`` turns that
into an EvidenceError. Source: Incus REST API, doc/rest-api.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from sigsrv.facts.config import PoolConfig, Values
from sigsrv.facts.parsing import integer, mapping, text
from sigsrv.facts.resources import config_of, locations_of

PoolDriver = Annotated[
    str,
    Values(
        ("btrfs", "ceph", "cephfs", "cephobject", "dir", "linstor", "lvm", "lvmcluster", "truenas", "zfs"),
        may_grow=True,
    ),
]
PoolStatus = Annotated[str, Values(("Created", "Pending", "Errored", "Unknown", "Unavailable"))]


@dataclass(frozen=True)
class Pool:
    """A storage pool, as the cluster or as one member has it."""

    name: str
    """The pool's name in Incus."""
    driver: PoolDriver
    """The storage driver, for example ``zfs``, ``btrfs`` or ``dir``."""
    status: PoolStatus
    """``Created``, ``Pending``, ``Errored``, ``Unknown`` or ``Unavailable``."""
    locations: tuple[str, ...]
    """The members that have the pool."""
    config: PoolConfig
    """The configuration keys, as written; keys of a single member only if the pool is read from that member."""


@dataclass(frozen=True)
class Space:
    """The bytes or the inodes of a storage pool."""

    total: int
    """How many there are; 0 if the pool does not count them."""
    used: int
    """How many are used."""

    @property
    def free(self) -> int:
        """Return how many are free."""
        return self.total - self.used

    @property
    def free_percent(self) -> int:
        """Return how many of a hundred are free, rounded down; 100 if the pool counts none."""
        return self.free * 100 // self.total if self.total else 100


@dataclass(frozen=True)
class PoolResources:
    """The used and free space of a pool on one member."""

    space: Space
    """The space in bytes."""
    inodes: Space
    """The inodes; their total is 0 on zfs and btrfs."""


def space(value: Any, what: str) -> Space:
    """Read the bytes or inodes of a pool. Incus leaves ``used`` out if it is 0."""
    row = mapping(value, what)
    total, used = row["total"], row.get("used", 0)
    for number in (total, used):
        if integer(number, what) < 0:
            raise ValueError(f"{what}: {number!r} is not a count")
    if used > total:
        raise ValueError(f"{what}: {used} used of {total}")
    return Space(total, used)


def pool(row: Mapping[str, Any]) -> Pool:
    """Read a pool from its row in the list, or in one member's answer."""
    name = text(row["name"], "name")
    driver, status = text(row["driver"], "driver"), text(row["status"], "status")
    return Pool(
        name, driver, status, locations_of(row, f"pool {name}"), config_of(row["config"], f"pool {name}: config")
    )
