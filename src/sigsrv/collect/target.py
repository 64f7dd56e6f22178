"""How a host is reached."""

from __future__ import annotations

from dataclasses import dataclass

from sigsrv.model.site import ApiAddress

REQUEST_S = 5.0


@dataclass(frozen=True)
class Target:
    """How a host is reached. address: what ssh(1) takes for a host, so a name of the user's ssh configuration too.

    connection: ``ssh``, ``local`` (this very host), or another backend of testinfra.
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
        """What one request to the daemon may take: 5 s; more on a host that was given more time than 15 s."""
        return max(REQUEST_S, self.timeout_s / 3)

    @property
    def destination(self) -> str:
        return self.address or self.name
