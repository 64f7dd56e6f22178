"""The files in the site's folder of backups, and the file system that it is on.

A file's name is hostile text: it is held against patterns, never made a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import command_failed, mapping, output, parsed, parsing, probe, rows, text


@dataclass(frozen=True)
class BackupFile:
    """name: without its folder; changed: seconds since the epoch; size: bytes."""

    name: str
    changed: float
    size: int


@dataclass(frozen=True)
class MountPoint:
    """The file system that the folder is on. source: a device, or a dataset of ZFS; target: where it is mounted."""

    source: str
    fstype: str
    target: str

    @property
    def zpool(self) -> str | None:
        """The ZFS pool below it; None where it is none. Of a folder that is mounted from a dataset findmnt writes ``tank[/folder]``."""
        return re.split(r"[/\[]", self.source, maxsplit=1)[0] if self.fstype == "zfs" else None


def files(document: str, folder: str, host: str = "") -> tuple[BackupFile, ...]:
    """The files below a folder. document: of each its time, size and path, ended by a NUL: ``1795000000.5 20 /srv/a.tar.gz``.

    Raises EvidenceError where it is anything else, or was cut off. Source: find(1), -printf.
    """
    with parsing("find", host):
        if document and not document.endswith("\0"):
            raise ValueError("its last record is not whole")
        return tuple(_files(document.split("\0")[:-1], folder.rstrip("/") + "/"))


def _files(records: Iterable[str], folder: str) -> Iterable[BackupFile]:
    for record in records:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ([0-9]+) (/.*)", record, re.DOTALL)
        if match is None or not match[3].startswith(folder):
            raise ValueError(f"{record[:60]!r} is no file of {folder}")
        yield BackupFile(match[3].rpartition("/")[2], float(match[1]), int(match[2]))


def place(document: str, host: str = "") -> MountPoint:
    """The file system of a folder. document: ``findmnt -J -o SOURCE,FSTYPE,TARGET -T FOLDER``. Raises EvidenceError.

    Of file systems that are mounted one over the other findmnt names the one on top last. Source: findmnt(8).
    """
    with parsing("findmnt", host):
        row = rows(mapping(parsed(document), "findmnt")["filesystems"], "filesystems")[-1]
        return MountPoint(text(row["source"], "source"), text(row["fstype"], "fstype"), text(row["target"], "target"))


@dataclass(frozen=True)
class BackupFacts:
    """What the host that holds the backups tells of them."""

    evidence: Evidence

    def files(self, folder: str) -> tuple[BackupFile, ...]:
        """The files below the folder, the newest first; none, where there is no such folder.

        Raises EvidenceError, also where a part is unreadable.
        """
        if folder not in self._files:
            found = files(self._listed(folder), folder, self.evidence.host)
            self._files[folder] = tuple(sorted(found, key=lambda each: each.changed, reverse=True))
        return self._files[folder]

    @cached_property
    def _files(self) -> dict[str, tuple[BackupFile, ...]]:
        return {}

    def _listed(self, folder: str) -> str:
        answer = probe(self.evidence, "backups")
        if answer.rc == 1 and answer.stderr == f"find: '{folder}': No such file or directory" and not answer.stdout:
            return ""
        if answer.rc != 0:
            raise command_failed(self.evidence.host, "backups", answer)
        return answer.stdout

    @cached_property
    def place(self) -> MountPoint:
        """The file system that the folder is on. Raises EvidenceError."""
        return place(output(self.evidence, "backups-on"), self.evidence.host)
