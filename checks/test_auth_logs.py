"""Checks of AUTH: where the record of access is kept."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.cluster_incus import ClusterIncus
from sigsrv.facts.resources import Config
from sigsrv.judge.clauses import Clauses
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import split_list

_LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")
_NAMED_TARGETS = "server_logging"  # the API extension with the keys logging.NAME.*
_FILTERS = ("types", "projects")  # keys below logging.NAME.lifecycle: a target gets only these events
_DEFAULT_TYPES = "lifecycle,logging"


class _Target(NamedTuple):
    """A log target, with the types of events that it receives. only: the lifecycle events that it gets; empty for all of them."""

    name: str
    kind: str
    address: str
    types: tuple[str, ...]
    only: str = ""


@policy("AUTH-006")
def test_access_logs_are_sent_off_the_host(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at the log targets in the configuration of the cluster.

    A target counts if it receives the lifecycle events of all kinds and projects, and is on no host of the site. Lifecycle events record
    who did what, and from where. Anyone who takes over a host can change what only this host keeps.
    """
    least = site.auth.log_targets_min
    expected = f"lifecycle events are sent to at least {least} remote place{'' if least == 1 else 's'}"
    with require.finding(facts.name, expected) as finding:
        targets = tuple(_targets(facts.incus.config))
        places: set[str] = set()
        shown = []
        for target in targets:
            with finding.clause():
                flaw = _flaw(target, facts, site, finding)
                shown.append(f"{target.name}: {flaw or f'{target.kind} at {_place(target.address)}'}")
                if not flaw:
                    places.add(_place(target.address))
        unread = len(targets) - len(shown)
        if not least:
            finding.nothing("the site file requires no remote target (auth.log_targets_min is 0)")
        elif len(places) + unread < least:
            finding.violated("; ".join(shown) or "no log target")
            finding.fix.update(_target_fix(site, facts.incus, finding))
        else:
            finding.holds("; ".join(shown))


def _target_fix(site: Site, incus: ClusterIncus, finding: Clauses) -> dict[str, object]:
    """Return the values for the remediation ``send-logs``: the log targets that the site file names and Incus lacks.

    A person decides about a filter of such a target.
    """
    config, has_named_targets = incus.config, _NAMED_TARGETS in incus.extensions
    decide = list(finding.unknown_reasons)
    keys: dict[str, str] = {}
    places = []
    if not site.auth.log_targets:
        decide.append("say in auth.log_targets of the site file where to send the events")
    for target in site.auth.log_targets:
        named, kind, address = f"logging.{target['name']}", target["type"], target["address"]
        if has_named_targets:
            keys |= {f"{named}.types": "lifecycle", f"{named}.target.address": address, f"{named}.target.type": kind}
            keys |= {key: "" for each in _FILTERS if config.get(key := f"{named}.lifecycle.{each}")}
        elif kind == "loki":
            keys |= {"loki.types": "lifecycle", "loki.api.url": address}
        else:
            decide.append(f"Incus {incus.server.version} sends events only to Loki, not to {kind}")
        if kind != "syslog":  # over UDP: nothing accepts a connection
            places.append(_connection(address))
    wrong = {key: value for key, value in keys.items() if config.get(key) != value}
    decide += [f"{key} has another value already: choose which target stays" for key in wrong if config.get(key)]
    return {
        "keys": [{"name": key, "value": value} for key, value in wrong.items()],
        "places": places,
        "refuse": "; ".join(decide),
    }


def _connection(url: str) -> str:
    """Return HOST/PORT of a URL. Raises EvidenceError if it has none."""
    try:
        found = urlsplit(url)
        port = found.port or {"https": 443, "http": 80}[found.scheme]
    except (ValueError, KeyError) as cause:
        raise EvidenceError(f"auth.log_targets: {url[:80]!r} is not an address of http or https") from cause
    return f"{found.hostname}/{port}"


def _flaw(target: _Target, facts: ClusterFacts, site: Site, finding: Clauses) -> str:
    """Return why a target does not count; "" if it does. Raises EvidenceError if its address is invalid."""
    if "lifecycle" not in target.types:
        return f"receives only {', '.join(target.types) or 'no type of event'}"
    if target.only:
        return f"receives only the lifecycle events of {target.only}"
    if not target.address or _is_local(target.address):
        return f"{_place(target.address) or 'no address'}, on the host itself"
    member = _member_at(_host_of(target.address), facts, site, finding)
    return f"{_place(target.address)}, on {member} itself" if member else ""


def _targets(config: Config) -> Iterator[_Target]:
    """Yield the log targets.

    Incus 6.0.4 has only the keys ``loki.*``. Later versions have ``logging.NAME.*``.
    """
    if config.get("loki.api.url"):
        yield _Target("loki", "loki", config["loki.api.url"], split_list(config.get("loki.types") or _DEFAULT_TYPES))
    for key in sorted(config):
        found = re.fullmatch(r"logging\.([^.]+)\.target\.type", key)
        if found and config[key]:
            prefix = f"logging.{found[1]}"
            address = config.get(f"{prefix}.target.address") or ""
            types = split_list(config.get(f"{prefix}.types") or _DEFAULT_TYPES)
            filters = [split_list(config.get(f"{prefix}.lifecycle.{each}")) for each in _FILTERS]
            only = " in project ".join(", ".join(each) for each in filters if each)
            yield _Target(found[1], config[key], address, types, only)


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


def _member_at(place: str, facts: ClusterFacts, site: Site, finding: Clauses) -> str | None:
    """Return the host of the site that has a name or an IP address; None if no host has it.

    If the place is an IP address, the addresses of a host that can't be read are an unknown clause.
    """
    named = {name.lower(): host.name for host in site.hosts for name in (host.name, host.member, host.address) if name}
    try:
        found = ip_address(place)
    except ValueError:
        return named.get(place)
    if place in named:
        return named[place]
    for host in facts.hosts.values():
        with finding.clause():
            if found in {address.ip for addresses in host.network.addresses.values() for address in addresses}:
                return host.name
    return None


def _place(address: str) -> str:
    """Return an address without the parts that may contain a password."""
    return _host_of(address) or address.partition("?")[0]
