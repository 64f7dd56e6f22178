"""What a remediation changes on the hosts, as its file ``touches.yaml.j2`` declares it: by kind and name, with the value after.

A difference that no entry declares undoes the step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigsrv.model import yamlfile

# What is read from the kernel and the init system of each host.
HOST_KINDS = (
    "link",
    "link-routes",
    "link-addresses",
    "address",
    "route",
    "rule",
    "port",
    "port-vlan",
    "nft",
    "socket",
    "unit",
    "sysctl",
    "file",
)
# What is read from Incus. Of the first two, all are read; of the others, those that a step declares.
GUEST_KINDS = ("guest", "lease")
OBJECT_KINDS = ("network", "project", "pool", "member", "server", "instance", "profile", "volume", "image", "acl")
KINDS = (*HOST_KINDS, *GUEST_KINDS, *OBJECT_KINDS)
_IN_PROJECT = frozenset({"instance", "profile", "image", "acl"})  # named PROJECT/NAME; a volume is POOL/PROJECT/NAME


@dataclass(frozen=True)
class Touch:
    """One thing that a fix changes. key: "" for every key of it. after: the value that the key has then, "" for unset or gone.

    is_exact: whether ``after`` is declared; without it, any value may follow.
    """

    kind: str
    name: str
    key: str = ""
    after: str = ""
    is_exact: bool = False

    @property
    def is_object(self) -> bool:
        """Return whether it is an object of Incus, whose configuration is read for it."""
        return self.kind in OBJECT_KINDS

    @property
    def place(self) -> tuple[str, str, str]:
        """Return pool, project and own name of what is touched; "" for a pool or project that the name does not have."""
        if self.kind == "volume":
            pool, project, name = (*self.name.split("/", 2), "", "")[:3]
            return pool, project, name
        if self.kind in _IN_PROJECT:
            project, _, name = self.name.partition("/")
            return "", project, name
        return "", "", self.name


def parse(text: str, path: Path) -> tuple[Touch, ...]:
    """Parse a rendered ``touches.yaml.j2``. path: for errors. Raises UsageError with file and line."""
    document = yamlfile.parse(text, path)
    for mistake in yamlfile.mistakes(document, yamlfile.schema("touches")):
        raise mistake
    return tuple(_touch(row) for row in document.data or ())


def _touch(row: Mapping[str, Any]) -> Touch:
    after = row.get("after")
    return Touch(row["kind"], row["name"], row.get("key", ""), "" if after is None else after, "after" in row)


def from_rows(rows: Iterable[Iterable[Any]]) -> tuple[Touch, ...]:
    """Return touches from rows of a journal. Raises ValueError or TypeError for rows that are none."""
    found = tuple(Touch(*row) for row in rows)
    for each in found:
        words = (each.kind, each.name, each.key, each.after)
        if (
            not all(isinstance(word, str) for word in words)
            or each.kind not in KINDS
            or type(each.is_exact) is not bool
        ):
            raise ValueError(f"not a declared change: {each}")
    return found
