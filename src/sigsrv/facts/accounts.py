"""The accounts and groups of one host, and who may write to the unix sockets of Incus and of incus-user.

Source: getent(1), passwd(5), group(5), stat(1), ls(1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sigsrv.collect.evidence import Evidence
from sigsrv.collect.probes import SOCKET, USER_SOCKET
from sigsrv.facts.parsing import command_failed, number, output, parsing, probe
from sigsrv.facts.reading import fact
from sigsrv.model.errors import EvidenceError, FailureKind

_NO_SUCH_KEY = 2  # exit status of getent
_NO_SUCH_FILE = "No such file"
_BY_NAME = {"incus-admin": "admin-group", "incus": "user-group"}  # the probes that ask for one group


@dataclass(frozen=True, slots=True)
class Group:
    """A group of the host."""

    name: str
    """The group's name."""
    gid: int
    """The group's number."""
    members: tuple[str, ...]
    """The accounts that the group lists. Accounts with this primary group are not listed here."""


@dataclass(frozen=True)
class Socket:
    """The permissions of a unix socket."""

    mode: int
    """The permission bits, as a number: 0o660 is 432."""
    owner: str
    """The owner's name; ``UNKNOWN`` if the host has no name for the number."""
    group: str
    """The group's name; ``UNKNOWN`` if the host has no name for the number."""

    @property
    def octal(self) -> str:
        """Return the permission bits in octal digits, for example ``0660``."""
        return f"{self.mode:04o}"

    @property
    def group_may_write(self) -> bool:
        """Return whether the group may write to the socket."""
        return bool(self.mode & 0o020)

    @property
    def everybody_may_write(self) -> bool:
        """Return whether all accounts may write to the socket."""
        return bool(self.mode & 0o002)


@dataclass(frozen=True)
class Membership:
    """The accounts in a group."""

    listed: tuple[str, ...]
    """The accounts that the group lists, sorted, without root."""
    primary: tuple[str, ...]
    """The accounts with this primary group, sorted, without root."""

    @property
    def all(self) -> tuple[str, ...]:
        """Return all accounts in the group, sorted, without root."""
        return tuple(sorted({*self.listed, *self.primary}))


def groups(document: str, host: str = "") -> tuple[Group, ...]:
    """Return the groups in the output of ``getent group``.

    Raises EvidenceError if a line is malformed or there is no group.
    """
    with parsing("getent group", host):
        found = []
        for line in document.splitlines():
            name, _, gid, members = line.split(":")
            found.append(Group(_named(name), number(gid, "gid"), tuple(word for word in members.split(",") if word)))
        if not found:
            raise ValueError("no group in the answer")
        return tuple(found)


def own_groups(document: str, host: str = "") -> Mapping[str, int]:
    """Return the number of each account's primary group, by account, from the output of ``getent passwd``.

    Raises EvidenceError if a line is malformed or there is no account.
    """
    with parsing("getent passwd", host):
        found = {}
        for line in document.splitlines():
            name, _, _, gid, _, _, _ = line.split(":")
            found[_named(name)] = number(gid, "gid")
        if not found:
            raise ValueError("no account in the answer")
        return found


def socket(document: str, host: str = "") -> Socket:
    """Return the permissions in the output of ``stat -c '%a %U %G'``. Raises EvidenceError if it is malformed."""
    with parsing("stat", host):
        mode, owner, group = document.split()
        if not re.fullmatch("[0-7]{1,5}", mode):
            raise ValueError(f"{mode[:40]!r} is not a mode")
        return Socket(int(mode, 8), owner, group)


def has_acl(document: str, host: str = "") -> bool:
    """Return whether the socket has a POSIX ACL, from the output of ``ls -ld``. Raises EvidenceError if it is malformed."""
    with parsing("ls", host):
        found = re.fullmatch(rf"s[-rwxsStT]{{9}}([.+]?) .* {re.escape(SOCKET)}\n?", document)
        if found is None:
            raise ValueError(f"not the line of a socket: {document[:80]!r}")
        return found[1] == "+"


def listed_socket(document: str, path: str, host: str = "") -> tuple[Socket, bool]:
    """Return the permissions in the output of ``ls -ld``, and whether there is a POSIX ACL. Raises EvidenceError if it is malformed."""
    with parsing("ls", host):
        found = re.fullmatch(
            rf"s((?:[-r][-w][-xsStT]){{3}})([.+]?) +[0-9]+ (\S+) (\S+) .* {re.escape(path)}\n?", document
        )
        if found is None:
            raise ValueError(f"not the line of a socket: {document[:80]!r}")
        mode = sum(0o400 >> at for at, letter in enumerate(found[1]) if letter not in "-ST")
        return Socket(mode, found[3], found[4]), found[2] == "+"


def _named(name: str) -> str:
    if not name:
        raise ValueError("a line without a name")
    return name


@dataclass(frozen=True)
class AccountFacts:
    """Accounts and groups of one host, and access to the unix sockets of Incus and of incus-user."""

    evidence: Evidence
    """The evidence of the host."""

    @fact
    def _listed(self) -> tuple[Group, ...]:
        return groups(output(self.evidence, "groups"), self.evidence.host)

    def _groups(self, name: str) -> tuple[Group, ...]:
        """Return the groups that getent lists, and a group of Incus as looked up by name: a directory service may not list its groups."""
        by_name = _BY_NAME.get(name)
        if by_name is None:
            return self._listed
        answer = probe(self.evidence, by_name)
        if answer.rc == _NO_SUCH_KEY and not answer.stdout:
            return self._listed
        if answer.rc != 0:
            raise command_failed(self.evidence.host, by_name, answer)
        return (*self._listed, *groups(answer.stdout, self.evidence.host))

    @fact
    def _own_groups(self) -> Mapping[str, int]:
        return own_groups(output(self.evidence, "passwd"), self.evidence.host)

    def members(self, group: str) -> Membership:
        """Return the accounts in a group; an empty membership if there is no such group. Groups with the same number are one group."""
        known = self._groups(group)
        numbers = {each.gid for each in known if each.name == group}
        listed = {name for each in known if each.gid in numbers for name in each.members}
        primary = {name for name, gid in self._own_groups.items() if gid in numbers}
        return Membership(tuple(sorted(listed - {"root"})), tuple(sorted(primary - {"root"})))

    @property
    def admins(self) -> Membership:
        """Return the accounts in the group incus-admin, which have full access to Incus."""
        return self.members("incus-admin")

    @property
    def users(self) -> Membership:
        """Return the accounts in the group incus. incus-user gives each of them a project of its own."""
        return self.members("incus")

    @property
    def knows_user_socket_group(self) -> bool:
        """Return whether getent reported the group of the socket of incus-user. If not, the accounts that may use it are unknown."""
        return self.knows(self.user_socket.group)

    @property
    def knows_socket_group(self) -> bool:
        """Return whether getent reported the group of Incus's unix socket. If not, the accounts that may use the socket are unknown."""
        return self.knows(self.socket.group)

    def knows(self, group: str) -> bool:
        """Return whether getent reported this group. If not, its members are unknown."""
        return any(each.name == group for each in self._groups(group))

    @fact
    def socket(self) -> Socket:
        """Return the permissions of Incus's unix socket. Raises EvidenceError of kind DOWN if there is no socket: no daemon runs."""
        answer = probe(self.evidence, "socket-mode")
        host = self.evidence.host
        if answer.rc != 0 and _NO_SUCH_FILE in answer.stderr:
            raise EvidenceError(f"{host}: Incus's unix socket does not exist", FailureKind.DOWN, host)
        return socket(output(self.evidence, "socket-mode"), host)

    @fact
    def socket_has_acl(self) -> bool:
        """Return whether a POSIX ACL gives more accounts access to Incus's unix socket than its mode shows."""
        return has_acl(output(self.evidence, "socket-acl"), self.evidence.host)

    @fact
    def _user_socket(self) -> tuple[Socket, bool] | None:
        answer = probe(self.evidence, "user-socket")
        if answer.rc != 0 and _NO_SUCH_FILE in answer.stderr:
            return None
        return listed_socket(output(self.evidence, "user-socket"), USER_SOCKET, self.evidence.host)

    @property
    def has_user_socket(self) -> bool:
        """Return whether the host has the socket of incus-user."""
        return self._user_socket is not None

    @property
    def user_socket(self) -> Socket:
        """Return the permissions of the socket of incus-user. Raises EvidenceError if the host has none."""
        return self._existing()[0]

    @property
    def user_socket_has_acl(self) -> bool:
        """Return whether a POSIX ACL gives more accounts access to the socket of incus-user than its mode shows."""
        return self._existing()[1]

    def _existing(self) -> tuple[Socket, bool]:
        if self._user_socket is None:
            host = self.evidence.host
            raise EvidenceError(f"{host}: the socket of incus-user does not exist", FailureKind.ABSENT, host)
        return self._user_socket
