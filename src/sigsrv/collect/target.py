"""Defines how sigsrv reaches a host."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from sigsrv.model.site import ApiAddress

REQUEST_S = 5.0
ROOT_SHELL = ("/bin/sh", "-s")  # what sudo must allow an account for which it is used


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
    def shell(self) -> str:
        """Return the command that runs a script from its standard input, under sudo if the target says so. It never asks for a password."""
        user = ("-u", self.sudo_user) if self.sudo_user else ()
        return shlex.join(("sudo", "-n", *user, *ROOT_SHELL) if self.sudo else ROOT_SHELL)

    @property
    def destination(self) -> str:
        return self.address or self.name
