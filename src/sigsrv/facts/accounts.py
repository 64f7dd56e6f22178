"""The accounts and groups of one host, and who may write to the socket of Incus.

Source: getent(1), passwd(5), group(5), stat(1), ls(1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sigsrv.collect.evidence import Evidence
from sigsrv.collect.probes import SOCKET
from sigsrv.facts.parsing import command_failed, output, parsing, probe
from sigsrv.model.errors import EvidenceError, FailureKind

_NO_SUCH_KEY = 2  # getent's status


@dataclass(frozen=True)
class Group:
    """members: the accounts that the group itself lists; those that have it as their own group are not among them."""

    name: str
    gid: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Socket:
    """Who may use a socket. mode: permission bits; owner, group: names, ``UNKNOWN`` where the host has none."""

    mode: int
    owner: str
    group: str


@dataclass(frozen=True)
class Membership:
    """Who is in a group. listed: by the group; primary: by having it as their own group. Both sorted, without root."""

    listed: tuple[str, ...]
    primary: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(sorted({*self.listed, *self.primary}))


def groups(document: str, host: str = "") -> tuple[Group, ...]:
    """The groups of ``getent group``. Raises EvidenceError where a line is none, or where there is not one."""
    with parsing("getent group", host):
        found = []
        for line in document.splitlines():
            name, _, gid, members = line.split(":")
            found.append(Group(_named(name), int(gid), tuple(word for word in members.split(",") if word)))
        if not found:
            raise ValueError("no group at all")
        return tuple(found)


def own_groups(document: str, host: str = "") -> Mapping[str, int]:
    """The number of each account's own group, by name, of ``getent passwd``. Raises EvidenceError as ``groups``."""
    with parsing("getent passwd", host):
        found = {}
        for line in document.splitlines():
            name, _, _, gid, _, _, _ = line.split(":")
            found[_named(name)] = int(gid)
        if not found:
            raise ValueError("no account at all")
        return found


def socket(document: str, host: str = "") -> Socket:
    """The socket of ``stat -c '%a %U %G'``. Raises EvidenceError where it is anything else."""
    with parsing("stat", host):
        mode, owner, group = document.split()
        return Socket(int(mode, 8), owner, group)


def has_acl(document: str, host: str = "") -> bool:
    """Whether a POSIX ACL lets others to the socket, of ``ls -ld``. Raises EvidenceError where it is anything else."""
    with parsing("ls", host):
        found = re.fullmatch(rf"s[-rwxsStT]{{9}}([.+]?) .* {re.escape(SOCKET)}\n?", document)
        if found is None:
            raise ValueError(f"not the line of a socket: {document[:80]!r}")
        return found[1] == "+"


def _named(name: str) -> str:
    if not name:
        raise ValueError("a line without a name")
    return name


@dataclass(frozen=True)
class AccountFacts:
    """What one host tells of its accounts."""

    evidence: Evidence

    @cached_property
    def _groups(self) -> tuple[Group, ...]:
        """Those that are listed, and Incus's own as it is told by its name: a directory may not list its groups."""
        listed = groups(output(self.evidence, "groups"), self.evidence.host)
        answer = probe(self.evidence, "admin-group")
        if answer.rc == _NO_SUCH_KEY and not answer.stdout:
            return listed
        if answer.rc != 0:
            raise command_failed(self.evidence.host, "admin-group", answer)
        return (*listed, *groups(answer.stdout, self.evidence.host))

    @cached_property
    def _own_groups(self) -> Mapping[str, int]:
        return own_groups(output(self.evidence, "passwd"), self.evidence.host)

    def members(self, group: str) -> Membership:
        """Who is in a group of that name, by whatever way; nobody where there is none. Groups of one number are one group."""
        numbers = {each.gid for each in self._groups if each.name == group}
        listed = {name for each in self._groups if each.gid in numbers for name in each.members}
        primary = {name for name, gid in self._own_groups.items() if gid in numbers}
        return Membership(tuple(sorted(listed - {"root"})), tuple(sorted(primary - {"root"})))

    def knows(self, group: str) -> bool:
        """Whether any answer names a group: of another who is in it is not known."""
        return any(each.name == group for each in self._groups)

    @cached_property
    def socket(self) -> Socket:
        """The socket of Incus. Raises EvidenceError, of kind DOWN where there is none: the daemon is not there."""
        answer = probe(self.evidence, "socket-mode")
        host = self.evidence.host
        if answer.rc != 0 and "No such file" in answer.stderr:
            raise EvidenceError(f"{host}: there is no socket of Incus", FailureKind.DOWN, host)
        return socket(output(self.evidence, "socket-mode"), host)

    @cached_property
    def socket_has_acl(self) -> bool:
        """Whether others than its mode tells may use the socket."""
        return has_acl(output(self.evidence, "socket-acl"), self.evidence.host)
