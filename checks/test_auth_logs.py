"""Checks of AUTH: where the record of access is kept."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Config
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import split_list

_LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")
_DEFAULT_TYPES = "lifecycle,logging"


@policy("AUTH-006")
def test_access_logs_are_sent_off_the_host(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at the log targets in the configuration of the cluster.

    A target counts if it receives lifecycle events and is on no host of the site. Lifecycle events record who did what, and from where.
    Anyone who takes over a host can change what only this host keeps.
    """
    counted, others = [], []
    places: set[str] = set()
    for name, kind, address, types in _targets(facts.incus.config):
        if "lifecycle" not in types:
            others.append(f"{name}: receives only {', '.join(types) or 'no type of event'}")
        elif not address or _is_local(address):
            others.append(f"{name}: {_place(address) or 'no address'}, on the host itself")
        elif member := _member_at(facts, site, _host_of(address)):
            others.append(f"{name}: {_place(address)}, on {member} itself")
        else:
            places.add(_place(address))
            counted.append(f"{name}: {kind} at {_place(address)}")
    least = site.auth.log_targets_min
    if not least:
        require.not_applicable(facts.name, "the site file requires no remote target (auth.log_targets_min is 0)")
        return
    require(
        facts.name,
        len(places) >= least,
        expected=f"lifecycle events are sent to at least {least} remote place{'' if least == 1 else 's'}",
        observed="; ".join([*counted, *others]) or "no log target",
    )


def _targets(config: Config) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Yield name, kind, address and types of events of each log target.

    Incus 6.0.4 has only the keys ``loki.*``. Later versions have ``logging.NAME.*``.
    """
    if config.get("loki.api.url"):
        yield "loki", "loki", config["loki.api.url"], split_list(config.get("loki.types") or _DEFAULT_TYPES)
    for key in sorted(config):
        found = re.fullmatch(r"logging\.([^.]+)\.target\.type", key)
        if found and config[key]:
            prefix = f"logging.{found[1]}"
            address = config.get(f"{prefix}.target.address") or ""
            yield found[1], config[key], address, split_list(config.get(f"{prefix}.types") or _DEFAULT_TYPES)


def _host_of(address: str) -> str:
    """Return the host of a URL or of ``HOST:PORT``; "" if the address is a path. Raises EvidenceError if it is no address."""
    if address.startswith("/"):
        return ""
    try:
        return (urlsplit(address if "://" in address else f"//{address}").hostname or "").rstrip(".")
    except ValueError as cause:
        raise EvidenceError(f"{address[:80]!r} is not an address: {cause}") from cause


def _is_local(address: str) -> bool:
    host = _host_of(address)
    try:
        found = ip_address(host)
    except ValueError:
        return host in ("", *_LOCAL_NAMES) or host.endswith(".localhost")
    return found.is_loopback or found.is_unspecified


def _member_at(facts: ClusterFacts, site: Site, place: str) -> str | None:
    """Return the host of the site that has a name or an IP address; None if no host has it.

    Raises EvidenceError if the place is an IP address and the addresses of a host are unknown.
    """
    named = {name.lower(): host.name for host in site.hosts for name in (host.name, host.member, host.address) if name}
    try:
        found = ip_address(place)
    except ValueError:
        return named.get(place)
    for host in facts.hosts.values():
        if found in {address.ip for addresses in host.network.addresses.values() for address in addresses}:
            return host.name
    return named.get(place)


def _place(address: str) -> str:
    """Return an address without the parts that may contain a password."""
    return _host_of(address) or address.partition("?")[0]
