"""Which tool manages which object, as ``managed_by`` of the site file says: a fix of such an object may not last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

Kind = Literal[
    "project", "profile", "instance", "volume", "image", "network", "acl", "zone", "pool", "server", "member",
    "certificate", "link", "address", "route", "unit", "sysctl", "file", "group", "sshd",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)
"""The kinds that an entry can name: objects of Incus first, then those of a host. Most are kinds of the state picture too."""

_AGAIN: Mapping[str, str] = {
    "opentofu": "the next `tofu apply`",
    "terraform": "the next `terraform apply`",
    "nixos": "the next `nixos-rebuild switch` or boot",
    "ansible": "the next run of the playbook",
}


@dataclass(frozen=True)
class Manager:
    """An entry of ``managed_by``: a tool, and the objects that it manages.

    kinds: of ``KINDS``. name, project: globs. hosts: names of hosts, empty for all and for objects of the whole cluster. ignores: globs on
    the keys that the tool leaves as they are, such as ``ignore_changes`` of OpenTofu. again: what takes a change back, in words.
    """

    tool: str
    kinds: tuple[str, ...]
    name: str = "*"
    project: str = "*"
    hosts: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    again: str = ""

    @property
    def takes_back(self) -> str:
        """Return what takes a change back: ``the next `tofu apply```."""
        return self.again or _AGAIN.get(self.tool, f"the next run of {self.tool}")

    def manages(self, kind: str, name: str, project: str = "", host: str = "") -> bool:
        """Return whether the entry is about an object.

        project: that of the object; empty for a project itself and for what is in no project. host: empty for an object of the cluster.
        """
        return (
            kind in self.kinds
            and fnmatchcase(name, self.name)
            and fnmatchcase(name if kind == "project" else project, self.project)
            and (not self.hosts or host in self.hosts)
        )

    def leaves(self, key: str) -> bool:
        """Return whether the tool leaves a key of the object as it is, so that a change of the key lasts."""
        return any(fnmatchcase(key, each) for each in self.ignores)


def manager_of(
    managers: Iterable[Manager], kind: str, name: str, project: str = "", host: str = "", key: str = ""
) -> Manager | None:
    """Return the first entry about an object; None if there is none, or if its tool leaves ``key`` as it is.

    kind: of ``KINDS``. name: of a device or a NIC that of its instance or profile. For the other arguments see ``Manager.manages``.
    """
    found = next((each for each in managers if each.manages(kind, name, project, host)), None)
    return None if found is None or (key and found.leaves(key)) else found
