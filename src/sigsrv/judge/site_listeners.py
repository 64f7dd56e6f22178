"""Where the API of a host may listen, as the site file says: addresses, and all addresses of an interface."""

from __future__ import annotations

from dataclasses import dataclass

from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.listening import Endpoint, endpoint
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import Site
from sigsrv.model.site_access import ListenOn


@dataclass(frozen=True)
class AllowedListeners:
    """Where an API may listen.

    endpoints: addresses with their ports. local: those that only the interface's own network reaches. shown: as the site file says it.
    unread: why the addresses of an interface are unknown: any other address may be one of them.
    """

    endpoints: frozenset[Endpoint]
    local: frozenset[Endpoint]
    shown: str
    unread: EvidenceError | None


def allowed_listeners(facts: HostFacts, site: Site, port: int) -> AllowedListeners:
    """Return where the API of a host may listen. port: for an address that names none. Raises EvidenceError for a malformed address."""
    found: set[Endpoint] = set()
    local: set[Endpoint] = set()
    shown: list[str] = []
    unread: EvidenceError | None = None
    for each in site.auth.listens_on(facts.name):
        if not isinstance(each, ListenOn):
            found.add(endpoint(each, port))
            shown.append(str(endpoint(each, port)))
            continue
        shown.append(str(each))
        try:
            addresses = facts.network.addresses
        except EvidenceError as cause:
            unread = cause
            continue
        if not addresses.get(each.interface):
            what = "has no address" if each.interface in addresses else "does not exist"
            reason = f"{each.interface} of {facts.name} {what}: the API may listen on an address that it had"
            unread = EvidenceError(reason, host=facts.name)
        for address in addresses.get(each.interface, ()):
            mine = Endpoint(str(address.ip), each.port)
            found.add(mine)
            if not address.is_global_unicast:
                local.add(mine)
    return AllowedListeners(frozenset(found), frozenset(local), ", ".join(sorted(shown)), unread)
