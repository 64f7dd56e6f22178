"""The mounted file systems of one host, as df reports them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sigsrv.facts.parsing import parsing

# File systems in memory, views of another file system, and read-only images, which are always full.
_LEFT_OUT = frozenset(
    {"tmpfs", "devtmpfs", "ramfs", "overlay", "squashfs", "erofs", "iso9660", "efivarfs", "fuse.lxcfs"}
)
# Instances' own file systems: other policies check the storage pools.
_INSTANCES = "/var/lib/incus/"
# A ZFS dataset with nearly as much free space as the dataset with the most has no limit of its own: both share the pool's space.
_SHARED = 0.99
_DF_HEADER = "Filesystem Type 1B-blocks Used Avail Inodes IUsed Mounted on"
# The five numbers of a row, between its type and its mount point. The device and the mount point may contain spaces.
_DF_NUMBERS = re.compile(
    r"(?<! ) ++([0-9]{1,20}|-) ++([0-9]{1,20}|-) ++(-?[0-9]{1,20}|-) ++([0-9]{1,20}|-) ++([0-9]{1,20}|-) (?=/)"
)


@dataclass(frozen=True)
class Filesystem:
    """A mounted file system."""

    source: str
    """The device or ZFS dataset, as df shows it."""
    kind: str
    """The type of the file system, for example ``ext4`` or ``zfs``."""
    used: int
    """The used bytes; for a ZFS pool, of all its datasets without a limit of their own."""
    available: int
    """The bytes that are available to users."""
    inodes: int
    """The number of inodes; 0 if the file system creates them as needed."""
    inodes_used: int
    """The number of used inodes; 0 if the file system creates them as needed."""
    target: str
    """The mount point."""

    @property
    def free_percent(self) -> float:
        """Return the share of the space in percent that is available to users."""
        return 100 * self.available / (self.used + self.available) if self.available else 0.0

    @property
    def free_inodes_percent(self) -> float | None:
        """Return the share of the inodes in percent that is free; None if the file system creates them as needed."""
        return 100 * (self.inodes - self.inodes_used) / self.inodes if self.inodes else None

    @property
    def zpool(self) -> str | None:
        """Return the name of the ZFS pool; None if the file system is not ZFS."""
        return self.source.partition("/")[0] if self.kind == "zfs" else None


def filesystems(document: str, host: str = "") -> tuple[Filesystem, ...]:
    """Return every row of ``df -l -B1 --output=...``.

    A mount point may contain spaces; df writes ? for characters that would break a line. Raises EvidenceError if the document is
    malformed or lacks the root file system, which every host has. Source: df(1).
    """
    with parsing("df", host):
        header, *lines = document.splitlines() or [""]
        if header.split() != _DF_HEADER.split():
            raise ValueError(f"not df's header: {header[:60]!r}")
        found = tuple(_row(line) for line in lines)
        if not any(row.target == "/" for row in found):
            raise ValueError("no file system at /")
        return found


def _row(line: str) -> Filesystem:
    match = _DF_NUMBERS.search(line)
    source, _, kind = (line[: match.start()] if match else "").rpartition(" ")
    source = source.rstrip(" ")
    if match is None or not source or source[0].isspace() or kind.split() != [kind]:
        raise ValueError(f"not df's columns: {line[:80]!r}")
    size, used, available, inodes, inodes_used = match.groups()
    target = line[match.end() :]
    if kind in _LEFT_OUT:
        return Filesystem(source, kind, 0, 0, 0, 0, target)
    if "-" in (size, used, available) or int(size) == 0:
        raise ValueError(f"a file system without a size: {line[:80]!r}")
    counted = (0, 0) if "-" in (inodes, inodes_used) else (int(inodes), int(inodes_used))
    return Filesystem(source, kind, int(used), max(0, int(available)), *counted, target)


def judged(rows: Sequence[Filesystem]) -> tuple[Filesystem, ...]:
    """Return the file systems of the host itself among ``rows``, each storage once.

    A device that is mounted twice counts once, and so does a ZFS pool with its datasets. A pool's used bytes are the sum of its
    datasets. A dataset with less free space than its pool has its own limit and counts separately.
    """
    own = [row for row in rows if row.kind not in _LEFT_OUT and not row.target.startswith(_INSTANCES)]
    own.sort(key=lambda row: (len(row.target), row.target))
    datasets: dict[str, dict[str, Filesystem]] = {}
    for row in rows:
        if row.zpool is not None:
            datasets.setdefault(row.zpool, {})[row.source] = row
    shared = {pool: _SHARED * max(each.available for each in rows.values()) for pool, rows in datasets.items()}
    found: dict[str, Filesystem] = {}
    for row in own:
        if row.zpool is None:
            found.setdefault(row.source if row.source.startswith("/") else row.target, row)
        elif row.available < shared[row.zpool]:
            found.setdefault(row.source, row)
        elif (pool := f"pool {row.zpool}") not in found:
            others = datasets[row.zpool].values()
            found[pool] = _with_used(row, sum(each.used for each in others if each.available >= shared[row.zpool]))
    return tuple(found.values())


def _with_used(row: Filesystem, used: int) -> Filesystem:
    return Filesystem(row.source, row.kind, used, row.available, row.inodes, row.inodes_used, row.target)


def refused(stderr: str, host: str = "") -> Mapping[str, str]:
    """Return the mount points that df could not read, each with the reason. Instances' and users' session mounts are left out.

    stderr: the error output of df. Raises EvidenceError if it contains any other message.
    """
    with parsing("df", host):
        found = {}
        for line in stderr.splitlines():
            named, _, reason = line.strip().removeprefix("df: ").rpartition(": ")
            target = named.strip("'")
            if not line.strip().startswith("df: ") or not target.startswith("/") or not reason or ":" in reason:
                raise ValueError(line[:120])
            if not target.startswith((_INSTANCES, "/run/user/")):
                found[target] = reason
        return found
