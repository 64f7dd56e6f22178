"""Compares pictures of the hosts: what differs, and what of it a fix does not declare. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sigsrv.collect.redact import REDACTED, redact
from sigsrv.model.fix import Fix
from sigsrv.model.touches import OBJECT_KINDS, Touch
from sigsrv.remediate.picture import Picture
from sigsrv.remediate.picture_kernel import READERS

_SHOWN = 12  # differences that a message names
_VALUE = 60  # characters of a value that a message shows
# Keys of a network that decide the addresses of its bridge, and so its routes and the sockets of its DHCP and DNS server.
_ADDRESS_KEYS = frozenset({"ipv4.address", "ipv6.address"})
_MEMBER_KEYS = frozenset(
    {"bridge.external_interfaces", "parent", "bgp.ipv4.nexthop", "bgp.ipv6.nexthop"}
)  # of a network
_INCUS = {"server", "guests"}  # without these answers, nobody knows which links belong to guests
# The probes whose answers show a kind of thing. Objects of Incus have a probe of their own.
_READ_BY: Mapping[str, set[str]] = {
    "link": {"link"},
    "port": {"link"},
    "address": {"addr"},
    "route": {"routes-4", "routes-6"},
    "rule": {"rules-4", "rules-6"},
    "port-vlan": {"vlans"},
    "nft": {"nft"},
    "socket": {"sockets"},
    "unit": {"units"},
    "sysctl": {"sysctl"},
    "lease": {"leases", *_INCUS},
    "guest": _INCUS,
}
_KINDS = {"link-routes": "route", "link-addresses": "address"}  # declared by the name of the link


@dataclass(frozen=True)
class Difference:
    """What differs in one thing. key: "" if the thing itself came or went. before, after: its value, "" for unset or absent.

    hosts: where it was seen. part_of: the link, project or other thing that it belonged to, for the message. values: keys and values of the
    thing that came or went.
    """

    kind: str
    name: str
    key: str
    before: str
    after: str
    hosts: tuple[str, ...] = ()
    part_of: str = ""
    values: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """Return the difference in words, as ``link vx24 is gone from userbr0 on minisrv``."""
        what = f"{self.kind} {self.name}".rstrip()
        where = f" on {' and '.join(self.hosts)}" if self.hosts else ""
        if self.key:
            before, after = _shown(self.key, self.before), _shown(self.key, self.after)
            return f"{what}: {self.key} is {after}, it was {before}{where}"
        if self.after:
            return f"{what} is new{f' in {self.part_of}' if self.part_of else ''}{where}"
        return f"{what} is gone{f' from {self.part_of}' if self.part_of else ''}{where}"


def _shown(key: str, value: str) -> str:
    value = str(redact({key: value})[key]) if value else "unset"
    line = " ".join(value.split())
    return line if len(line) <= _VALUE or line == REDACTED else f"{line[:_VALUE]}..."


def differences(before: Mapping[str, Picture], after: Mapping[str, Picture]) -> list[Difference]:
    """Return what differs, each thing once with all hosts on which it differs in the same way.

    What could not be read before is not compared. What could be read before and not after is a difference.
    """
    found: dict[Difference, list[str]] = {}
    for host, was in before.items():
        now = after.get(host, Picture(unread={"host": "there is no picture of it"}))
        for what, why in now.unread.items():
            if what not in was.unread:
                found.setdefault(Difference("unread", what, "can it be read", "yes", f"no: {why}"), []).append(host)
        if set(now.unread) - set(was.unread):
            continue  # what a part of it lacks would only repeat that
        old, new = was.things, now.things
        if was.unread.keys() & _INCUS:
            old, new = was.raw, now.raw
        for place in sorted({*old, *new}):
            if was.unread.keys() & _READ_BY.get(place[0], {" ".join(place)}):
                continue
            for each in _compared(place, old.get(place), new.get(place)):
                found.setdefault(each, []).append(host)
    return [replace(each, hosts=tuple(hosts)) for each, hosts in found.items()]


def _compared(
    place: tuple[str, str], was: Mapping[str, str] | None, now: Mapping[str, str] | None
) -> Iterable[Difference]:
    kind, name = place
    if was is None or now is None:
        values = was or now or {}
        part_of = values.get("master", "") or values.get("dev", "") if kind != "route" else ""
        had = tuple((key, value) for key, value in values.items() if value)
        yield Difference(kind, name, "", _summary(was), _summary(now), (), part_of, had)
        return
    for key in sorted({*was, *now}):
        if was.get(key, "") != now.get(key, ""):
            yield Difference(kind, name, key, was.get(key, ""), now.get(key, ""))


def _summary(values: Mapping[str, str] | None) -> str:
    return "" if values is None else ", ".join(f"{key} {value}" for key, value in values.items() if value) or "there"


def unread(pictures: Mapping[str, Picture], down: Collection[str]) -> list[str]:
    """Return what could not be read, a line for each. down: hosts whose Incus daemon is known to be unable to answer."""
    return [
        f"{host}: {what}: {why}"
        for host, each in pictures.items()
        for what, why in each.unread.items()
        if host not in down or what in READERS or what == "host"
    ]


def undeclared(found: Sequence[Difference], fix: Fix, exact: bool = True) -> list[Difference]:
    """Return the differences that the fix does not declare.

    exact: whether a declared value must be the value that is there now; an undo writes old values, which nothing declares.
    """
    declared = _Declared(fix, exact)
    return [each for each in found if not declared.covers(each)]


class _Declared:
    """What a fix declares: by its touches, and by the network that Incus sets up again."""

    def __init__(self, fix: Fix, exact: bool) -> None:
        self._fix = fix
        self._exact = exact
        self._touches: dict[tuple[str, str], list[Touch]] = {}
        for each in fix.touches:
            self._touches.setdefault((each.kind, each.name), []).append(each)
        self._moved = {each.name for each in fix.touches if each.kind == "network" and each.key in ("", *_ADDRESS_KEYS)}

    def covers(self, found: Difference) -> bool:
        """Return whether a difference is declared."""
        if self._fix.reaches == "host" and self._elsewhere(found):
            return False
        if self._is_declared(self._touches.get((found.kind, found.name), ()), found):
            return True
        link = _link(found)
        if any(found.kind == of and (kind, link) in self._touches for kind, of in _KINDS.items()):
            return True
        if found.kind in ("port", "port-vlan") and found.key == "" and self._moves(link):
            return True
        return self._is_of_reset_network(found, link) or self._is_of_touched_guest(found)

    def _elsewhere(self, found: Difference) -> bool:
        """Return whether a host has the difference that the fix does not run on, although the fix changes only its own host.

        A guest, and the configuration that all members share, may be changed from any member.
        """
        shared = found.kind in ("guest", "lease", *OBJECT_KINDS) and found.key not in _MEMBER_KEYS
        return not shared and any(host != self._fix.runs_on for host in found.hosts)

    def _is_declared(self, touches: Sequence[Touch], found: Difference) -> bool:
        """Return whether the touches of a thing declare a difference. What comes or goes is declared as a whole, or each of its keys is."""
        if any(not each.key and (not self._is_exact(each) or not found.after) for each in touches):
            return True
        if found.key:
            return self._is_key_declared(touches, found.key, found.after)
        after = dict(found.values) if found.after else {}
        return bool(found.values) and all(
            self._is_key_declared(touches, key, after.get(key, "")) for key, _ in found.values
        )

    def _is_key_declared(self, touches: Sequence[Touch], key: str, after: str) -> bool:
        return any(each.key == key and (not self._is_exact(each) or each.after == after) for each in touches)

    def _is_exact(self, touch: Touch) -> bool:
        return touch.is_exact and self._exact

    def _moves(self, link: str) -> bool:
        """Return whether the fix declares that a link gets another master: its options as a port come and go with that."""
        return any(each.key in ("", "master") for each in self._touches.get(("link", link), ()))

    def _is_of_reset_network(self, found: Difference, link: str) -> bool:
        networks = self._fix.resets
        if found.kind == "nft":
            return any(found.name.endswith(f".{each}") for each in networks)
        if found.kind == "socket":
            return bool(networks) and "dnsmasq" in f"{found.before} {found.after}"
        return link in networks and link in self._moved

    def _is_of_touched_guest(self, found: Difference) -> bool:
        """Return whether a lease changed with a guest that the fix declares: it may get another one when it starts."""
        return found.kind == "lease" and any(kind == "guest" for kind, _ in self._touches)


def _link(found: Difference) -> str:
    """Return the link that an address, a route or a port belongs to; "" if it belongs to none."""
    if found.kind in ("address", "port", "port-vlan"):
        return found.name.partition(" ")[0]
    words = found.name.split() if found.kind == "route" else []
    return words[words.index("dev") + 1] if "dev" in words[:-1] else ""


def named(found: Sequence[Difference]) -> str:
    """Return differences in words, in one line."""
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(each.text for each in found[:_SHOWN]) + more
