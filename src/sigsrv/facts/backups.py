"""The files in the site's backup folder, and the file system of that folder.

A file's name is hostile text: checks compare it with patterns and never use it as a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import command_failed, instant, mapping, output, parsed, parsing, probe, rows, text
from sigsrv.facts.reading import fact


@dataclass(frozen=True, slots=True)
class BackupFile:
    """A file in the backup folder or below it."""

    name: str
    """The file's name without its folder."""
    changed: float
    """When the file was last changed, in seconds since the epoch."""
    size: int
    """The file's size in bytes."""


@dataclass(frozen=True)
class MountPoint:
    """The mounted file system that contains a folder."""

    source: str
    """The device or ZFS dataset. findmnt writes ``tank[/folder]`` if only a folder of it is mounted."""
    fstype: str
    """The type of the file system, for example ``ext4`` or ``zfs``."""
    target: str
    """The mount point."""

    @property
    def zpool(self) -> str | None:
        """Return the name of the ZFS pool; None if the file system is not ZFS."""
        return re.split(r"[/\[]", self.source, maxsplit=1)[0] if self.fstype == "zfs" else None


def files(document: str, folder: str, host: str = "") -> tuple[BackupFile, ...]:
    """Return the files below a folder.

    document: for each file its time, size and path, with a NUL at the end: ``1795000000.5 20 /srv/a.tar.gz``. Raises EvidenceError
    if it is malformed or was cut off. Source: find(1), -printf.
    """
    with parsing("find", host):
        if document and not document.endswith("\0"):
            raise ValueError("the last record is incomplete")
        return tuple(_files(document.split("\0")[:-1], folder.rstrip("/") + "/"))


def _files(records: Iterable[str], folder: str) -> Iterable[BackupFile]:
    for record in records:
        match = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{1,20})?) ([0-9]{1,20}) (/.*)", record, re.DOTALL)
        if match is None or not match[3].startswith(folder):
            raise ValueError(f"{record[:60]!r} is not a file below {folder}")
        yield BackupFile(match[3].rpartition("/")[2], instant(float(match[1]), "a file"), int(match[2]))


def place(document: str, host: str = "") -> MountPoint:
    """Return the file system of a folder.

    document: the output of ``findmnt -J -o SOURCE,FSTYPE,TARGET -T FOLDER``. If file systems are mounted over each other, findmnt
    lists the top one last. Raises EvidenceError if the document is malformed. Source: findmnt(8).
    """
    with parsing("findmnt", host):
        row = rows(mapping(parsed(document), "findmnt")["filesystems"], "filesystems")[-1]
        return MountPoint(text(row["source"], "source"), text(row["fstype"], "fstype"), text(row["target"], "target"))


@dataclass(frozen=True)
class BackupFacts:
    """The backups on the host that stores them."""

    evidence: Evidence
    """The evidence of the host."""

    def files(self, folder: str) -> tuple[BackupFile, ...]:
        """Return the files below a folder, newest first; empty if the folder does not exist.

        Raises EvidenceError, also if a part of the folder is unreadable.
        """
        if folder not in self._files:
            found = files(self._listed(folder), folder, self.evidence.host)
            self._files[folder] = tuple(sorted(found, key=lambda each: each.changed, reverse=True))
        return self._files[folder]

    @fact
    def _files(self) -> dict[str, tuple[BackupFile, ...]]:
        return {}

    def _listed(self, folder: str) -> str:
        answer = probe(self.evidence, "backups")
        if answer.rc == 1 and answer.stderr == f"find: '{folder}': No such file or directory" and not answer.stdout:
            return ""
        if answer.rc != 0:
            raise command_failed(self.evidence.host, "backups", answer)
        return answer.stdout

    @fact
    def place(self) -> MountPoint:
        """Return the file system of the backup folder. Raises EvidenceError."""
        return place(output(self.evidence, "backups-on"), self.evidence.host)
