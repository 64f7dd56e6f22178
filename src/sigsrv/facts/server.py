"""What an Incus daemon reports of itself. Source: Incus REST API, doc/rest-api.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sigsrv.facts.config import Values

Firewall = Annotated[str, Values(("nftables", "xtables", ""))]


@dataclass(frozen=True)
class Server:
    """An Incus daemon."""

    trusted: bool
    """Whether the daemon trusts this client; if not, its answers are a filtered view."""
    clustered: bool
    """Whether the daemon is a member of a cluster."""
    name: str
    """The member's name, or the server's name outside a cluster; empty if the daemon does not report it."""
    version: str
    """The version of Incus."""
    firewall: Firewall
    """The firewall driver: ``nftables`` or ``xtables``; empty if the daemon does not report it."""
    kernel: str
    """The release of the running kernel; empty if the daemon does not report it."""
    os: str
    """The name of the operating system; empty if the daemon does not report it."""
    os_version: str
    """The version of the operating system; empty if the daemon does not report it."""
    zfs: str | None
    """The version of the ZFS driver; None if the daemon can't use ZFS, empty if it does not report its drivers."""
