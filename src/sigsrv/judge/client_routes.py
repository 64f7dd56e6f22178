"""Which clients of the API get in, and which of them may do everything: identity providers, and the routes of classes of clients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sigsrv.facts.authorization import ALLOW
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.listening import Endpoint
from sigsrv.judge.clauses import Clauses
from sigsrv.model.site_access import Auth, Oidc

_ROUTE = "authorization.client."
_ISSUER, _CLIENT = "oidc.issuer", "oidc.client.id"
_LIMITED = {  # the classes of clients that a server limits, unless it routes them elsewhere
    "tls-restricted": "each certificate that is restricted to projects",
    "default": "each client without a route of its own",
}


@dataclass(frozen=True)
class Access:
    """A key that opens remote access. close: the value that closes it, "" unsets the key. of_member: it is a key of one member.

    listens: the address that it opens, if it is one. by_hand: what a person must do, if no script may close it.
    """

    key: str
    observed: str
    close: str = ""
    of_member: bool = False
    listens: Endpoint | None = None
    by_hand: str = ""


def unlimited_clients(incus: IncusFacts, auth: Auth, finding: Clauses) -> Iterator[Access]:
    """Yield each key that lets in accounts or clients other than the site file says, or that lets them do everything.

    What OpenFGA or a scriptlet allows is not in the configuration. Here, it counts as limited. A route that the site file names is right
    if it is as there; the other classes must not be routed to ``allow``.
    """
    config = incus.config
    for name, clients in _LIMITED.items():
        if name not in auth.routes and config.get(f"{_ROUTE}{name}") == ALLOW:
            yield Access(f"{_ROUTE}{name}", f"{clients} may do everything ({_ROUTE}{name})")
    with finding.clause():
        if config.get(_ISSUER):
            yield from _of_provider(incus, auth)
    with finding.clause():
        for name, wanted in sorted(auth.routes.items()):
            if incus.routes[name] != wanted:
                key = f"{_ROUTE}{name}"
                seen = f"{key} is {incus.routes[name]} in effect, and the site file says {wanted}"
                yield Access(key, seen, by_hand=f"decide who must get in, then set {key}={wanted}")


def _of_provider(incus: IncusFacts, auth: Auth) -> Iterator[Access]:
    issuer = incus.config[_ISSUER]
    if auth.oidc and issuer.rstrip("/") != auth.oidc.issuer.rstrip("/"):
        seen = f"accounts of {issuer} get in ({_ISSUER}), and the site file says {auth.oidc.issuer}"
        yield Access(_ISSUER, seen, by_hand=f"find out who set {_ISSUER}, then set it to {auth.oidc.issuer}")
    elif auth.oidc and (wrong := _wrong_client(incus, auth.oidc)):
        yield Access(_CLIENT, wrong, by_hand=f"find out who set {_CLIENT}, then set it to {auth.oidc.client_id}")
    if incus.routes["oidc"] == ALLOW and auth.routes.get("oidc") != ALLOW:
        yield Access(
            _ISSUER,
            f"each account that {issuer} lets in is an administrator ({_ISSUER})",
            by_hand=f"limit the accounts of the identity provider ({_ROUTE}oidc, or OpenFGA), or unset {_ISSUER}",
        )


def _wrong_client(incus: IncusFacts, oidc: Oidc) -> str:
    """Return what is wrong with the client of the identity provider; "" if nothing."""
    client = incus.config.get(_CLIENT) or "unset"
    if oidc.client_id in ("", client):
        return ""
    return f"{_CLIENT} is {client}, and the site file says {oidc.client_id}"
