"""Defines how sigsrv reaches a host."""

from __future__ import annotations

from dataclasses import dataclass

from sigsrv.model.site import ApiAddress

REQUEST_S = 5.0


@dataclass(frozen=True)
class Target:
    """How to reach a host. address: any host argument of ssh(1), so also a name from the user's ssh configuration.

    connection: ``ssh``, ``local`` (this machine), or another testinfra backend.
    """

    name: str
    address: str = ""
    port: int | None = None
    connection: str = "ssh"
    ssh_config: str | None = None
    identity_file: str | None = None
    sudo: bool = False
    sudo_user: str | None = None
    timeout_s: float = 15.0
    api: ApiAddress | None = None

    @property
    def request_s(self) -> float:
        """Return the timeout of one API request: 5 s, or a third of the host's timeout if that is longer."""
        return max(REQUEST_S, self.timeout_s / 3)

    @property
    def destination(self) -> str:
        return self.address or self.name
