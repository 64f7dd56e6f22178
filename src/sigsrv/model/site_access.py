"""What the site file says about access to the API: where it listens, and who may use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ALL_HOSTS = "*"  # in a mapping by host: all hosts that it does not name


@dataclass(frozen=True)
class ListenOn:
    """All addresses of an interface, for an API whose address nobody writes down."""

    interface: str
    port: int = 8443

    def __str__(self) -> str:
        return f"the addresses of {self.interface}, port {self.port}"


@dataclass(frozen=True)
class Oidc:
    """The identity provider whose accounts may use the API. client_id: ``oidc.client.id``, empty for any."""

    issuer: str
    client_id: str = ""


@dataclass(frozen=True)
class Auth:
    """Settings for access.

    listen: the addresses and interfaces that the API may listen on, by host. full_certificates: names or fingerprints.
    log_targets: where a fix sends lifecycle events to, each with name, type and address. routes: class of clients -> what decides what they
    may do, as ``authorization.client.*`` has it.
    """

    listen: Mapping[str, tuple[str | ListenOn, ...]] = field(default_factory=dict)
    full_certificates: tuple[str, ...] = ()
    admins: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    log_targets_min: int = 1
    log_targets: tuple[Mapping[str, str], ...] = ()
    oidc: Oidc | None = None
    routes: Mapping[str, str] = field(default_factory=dict)

    def listens_on(self, host: str) -> tuple[str | ListenOn, ...]:
        """Return the addresses and interfaces that the API of a host may listen on."""
        return self.listen.get(host, self.listen.get(ALL_HOSTS, ()))
