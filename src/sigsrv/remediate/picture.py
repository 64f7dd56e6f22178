"""Takes a picture of a host: what a fix could change beside what it declares. One round trip a host, all hosts at the same time.

A picture has links, addresses, routes and rules of all tables, ports of bridges with their VLANs and options, nft, listening sockets,
units, guests with their addresses, leases, and the configuration of the Incus objects that a step names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from sigsrv.collect.connection import open_session
from sigsrv.collect.evidence import Answer
from sigsrv.collect.probes import Probe
from sigsrv.collect.running import run_probes
from sigsrv.collect.session import ConnectionFailed
from sigsrv.collect.target import Target
from sigsrv.model.errors import FailureKind
from sigsrv.model.touches import Touch
from sigsrv.remediate import picture_incus, picture_kernel
from sigsrv.remediate.picture_kernel import Things

_LARGE = 16 * 1024 * 1024
_QUERY_S = 30  # a daemon that sets up a network answers late; what it does not answer refuses or undoes the step
_UNITS = "--type=service,socket,timer,mount --plain --no-legend --no-pager"
_UNIT_LISTS = f"systemctl list-units {_UNITS} && systemctl list-unit-files {_UNITS}"
_SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/forwarding",
    "net/ipv6/conf/all/forwarding",
    "net/ipv4/conf/all/rp_filter",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/bridge/bridge-nf-call-arptables",
    "kernel/dmesg_restrict",
)
_READ_SYSCTLS = f"cd /proc/sys && grep -H . {' '.join(_SYSCTLS)} 2>/dev/null; true"
_LEASES = "[ -d /var/lib/incus/networks ] || exit 0; find /var/lib/incus/networks -name dnsmasq.leases -exec grep -H . {} + ; true"
_NO_SYSTEMD = "not been booted with systemd"


def _query(probe: str, url: str) -> Probe:
    return Probe(probe, ("incus", "query", "--raw", f"local:{url}"), "picture", timeout_s=_QUERY_S, limit_bytes=_LARGE)


def _ip(probe: str, *words: str) -> Probe:
    return Probe(probe, ("ip", "-j", *words), "picture", limit_bytes=_LARGE)


_KERNEL = (
    _ip("link", "-d", "link", "show"),
    _ip("addr", "-d", "addr", "show"),
    _ip("routes-4", "-4", "route", "show", "table", "all"),
    _ip("routes-6", "-6", "route", "show", "table", "all"),
    _ip("rules-4", "-4", "rule", "show"),
    _ip("rules-6", "-6", "rule", "show"),
    Probe("vlans", ("bridge", "-j", "vlan", "show"), "picture", limit_bytes=_LARGE),
    Probe("nft", ("nft", "-j", "list", "ruleset"), "picture", limit_bytes=_LARGE),
    Probe("sockets", ("ss", "-Hltunp"), "picture", limit_bytes=_LARGE),
    Probe("units", ("sh", "-c", _UNIT_LISTS), "picture", timeout_s=20, limit_bytes=_LARGE),
    Probe("sysctl", ("sh", "-c", _READ_SYSCTLS), "picture"),
    Probe("leases", ("sh", "-c", _LEASES), "picture", limit_bytes=_LARGE),
)
_INCUS = (_query("server", picture_incus.SERVER), _query("guests", picture_incus.GUESTS))
# A host may lack these programs; then it has nothing of what they show.
_OPTIONAL = frozenset({"vlans", "nft", "units"})


_UNEXPECTED = (ValueError, KeyError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True)
class Picture:
    """What a host has at one time. things: kind and name -> key -> value. unread: what could not be read -> why.

    member: its name in the cluster; "" in none, or if it is unknown. raw: what the kernel has, with the links of guests under their own
    names; compared where the guests are unknown.
    """

    things: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    member: str = ""
    raw: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)


def take(targets: Mapping[str, Target], touches: Sequence[Touch]) -> dict[str, Picture]:
    """Return a picture of each host. touches: name the Incus objects to look at."""
    with ThreadPoolExecutor(max(1, len(targets))) as pool:
        found = pool.map(lambda name: _take(targets[name], touches), targets)
        return dict(zip(targets, found, strict=True))


def _take(target: Target, touches: Sequence[Touch]) -> Picture:
    objects = tuple(dict.fromkeys((each.kind, each.name) for each in touches if each.is_object))
    try:
        with open_session(target) as session:
            found = parse(run_probes(session, (*_KERNEL, *_INCUS)))
            queries = [
                _query(f"object-{number}", picture_incus.url_of(Touch(*each), found.member))
                for number, each in enumerate(objects)
            ]
            return with_objects(found, objects, run_probes(session, queries))
    except ConnectionFailed as cause:
        return Picture(unread={"host": cause.failure.reason})


def parse(answers: Mapping[str, Answer]) -> Picture:
    """Return the picture that the answers of the probes show, without objects."""
    raw: Things = {}
    unread: dict[str, str] = {}
    for probe, reader in picture_kernel.READERS.items():
        if (text := _text(probe, answers, unread)) is not None:
            try:
                raw |= reader(text)
            except _UNEXPECTED as cause:
                unread[probe] = f"unexpected output: {str(cause)[:100]}"
    server, guests = (_metadata(probe, answers, unread) for probe in ("server", "guests"))
    things, member = {place: dict(values) for place, values in raw.items()}, ""
    try:
        member = picture_incus.server_name(server) if server else ""
        if server and guests is not None:
            things |= picture_incus.guests(guests, member, things)
    except _UNEXPECTED as cause:
        unread["server" if server and not member else "guests"] = f"unexpected answer of Incus: {str(cause)[:100]}"
    return Picture(_without_idle_leases(things), unread, member, raw)


def with_objects(picture: Picture, objects: Sequence[tuple[str, str]], answers: Mapping[str, Answer]) -> Picture:
    """Return the picture with Incus objects. objects: their kinds and names, in the order of their probes."""
    things, unread = dict(picture.things), dict(picture.unread)
    for number, (kind, name) in enumerate(objects):
        probe = f"object-{number}"
        failures: dict[str, str] = {}
        try:
            if content := _metadata(probe, answers, failures):
                things[kind, name] = picture_incus.flat(content)
        except _UNEXPECTED as cause:
            failures[probe] = f"unexpected answer of Incus: {str(cause)[:100]}"
        unread |= {f"{kind} {name}": why for why in failures.values()}
    return replace(picture, things=things, unread=unread)


def _text(probe: str, answers: Mapping[str, Answer], unread: dict[str, str]) -> str | None:
    """Return what a program printed; None if it failed, with the reason in ``unread``, or if the host does not have it."""
    answer = answers.get(probe)
    if answer is None:
        unread[probe] = "no answer"
        return None
    if probe in _OPTIONAL and (
        answer.rc == 127
        or (answer.failure and answer.failure.kind is FailureKind.MISSING)
        or _NO_SYSTEMD in answer.stderr
    ):
        return None
    if answer.failure or answer.rc != 0:
        lines = answer.stderr.strip().splitlines()
        unread[probe] = answer.failure.reason if answer.failure else (lines or [f"exit status {answer.rc}"])[-1][:200]
        return None
    return answer.stdout


def _metadata(probe: str, answers: Mapping[str, Answer], unread: dict[str, str]) -> Any:
    """Return what Incus answered; None if it gave no answer, with the reason in ``unread``, or if there is no such object."""
    text = _text(probe, answers, unread)
    if text is None:
        return None
    try:
        return picture_incus.metadata(text)
    except picture_incus.NotThere:
        return None
    except ValueError as cause:
        unread[probe] = str(cause)
        return None


def _without_idle_leases(things: Things) -> Things:
    """Leave out leases of addresses that no running guest has: they end by themselves."""
    used = {word for (kind, _), values in things.items() if kind == "guest" for word in values["addresses"].split()}
    return {place: values for place, values in things.items() if place[0] != "lease" or values["address"] in used}
