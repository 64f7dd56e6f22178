"""What throw-away namespaces of the hosts saw of each other and of instances, with ``--probe``.

Evidence without the probe is of a scan without ``--probe``: it says nothing of frames.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address
from typing import Any

from sigsrv.collect.evidence import Evidence
from sigsrv.collect.frames_script import ID
from sigsrv.facts.parsing import boolean_of, integer, mapping, parsed, parsing, refuse, rows, string, text
from sigsrv.model.errors import EvidenceError, FailureKind

_KINDS = ("small", "full", "tagged", "tagged-full", "six")
_UNSEEN = frozenset({"FAILED", "INCOMPLETE"})  # a neighbour that did not answer; ip-neighbour(8)


@dataclass(frozen=True)
class Replies:
    """What ping counted: how many it sent, and how many replies there were. Something passes where there was one at least."""

    sent: int
    received: int

    @property
    def passed(self) -> bool:
        return self.received > 0


@dataclass(frozen=True)
class Port:
    """A throw-away namespace on a bridge. number: 1, 2 ... of its bridge and host.

    refused: why it could not be made, None where it was; address: its IPv4 address, "" where it was not made.
    """

    bridge: str
    number: int
    address: str
    refused: str | None


@dataclass(frozen=True)
class Path:
    """What was sent from a namespace to another one, or to an instance, on the same bridge.

    host: the other side's; peer: the other namespace's number, None for an instance; instance: PROJECT/INSTANCE/NIC, "" for a namespace.
    mac: the other side's own; seen: the one that answered for its address by ARP, None where none did. size: bytes of a full packet, 0
    where none was to be sent. small, six: replies to IPv4 and to IPv6; tagged: to IPv4 within an 802.1ad tag, which no ACL looks into;
    full, tagged_full: to packets of full size. None: not sent.
    """

    bridge: str
    port: int
    host: str
    peer: int | None
    instance: str
    address: str
    mac: str
    seen: str | None
    size: int
    small: Replies
    full: Replies | None
    tagged: Replies | None
    tagged_full: Replies | None
    six: Replies | None


@dataclass(frozen=True)
class Frames:
    """All that was sent from one host."""

    host: str
    ports: tuple[Port, ...]
    paths: tuple[Path, ...]

    def on(self, bridge: str) -> tuple[Port, ...]:
        """The namespaces on a bridge. Raises EvidenceError where one could not be made there, or none was to be."""
        mine = tuple(port for port in self.ports if port.bridge == bridge)
        for port in mine:
            if port.refused is not None:
                raise EvidenceError(f"{self.host}: no frame was sent on {bridge}: {port.refused}", host=self.host)
        if not mine:
            raise EvidenceError(f"{self.host}: no frame was sent on {bridge}", host=self.host)
        return mine


@dataclass(frozen=True)
class Sent:
    """What was sent on one bridge, and from where. here, source: the host, and the address of the namespace there."""

    here: str
    source: str
    path: Path


def exchanged(hosts: Iterable[Frames], bridge: str) -> tuple[Sent, ...]:
    """All that was sent on a bridge, by the hosts in their order.

    Raises EvidenceError where something is missing: from each namespace something was sent to each other one.
    """
    every = tuple(hosts)
    ends = {(each.host, port.number): port for each in every for port in each.on(bridge)}
    found = [
        Sent(each.host, ends[each.host, path.port].address, path)
        for each in every
        for path in each.paths
        if path.bridge == bridge
    ]
    sent = Counter((each.here, each.path.port, each.path.host, each.path.peer) for each in found if each.path.peer)
    for here in ends:
        for there in ends:
            if here != there and sent[(*here, *there)] != 1:
                reason = f"{here[0]}: it is not told whether a frame from it reaches {there[0]} on {bridge}"
                raise EvidenceError(reason, host=here[0])
    return tuple(found)


def frames(document: str, host: str) -> Frames:
    """What was sent from one host. document: the probe ``frames``, a JSON document as ``collect.frames`` keeps it.

    Raises EvidenceError for anything else: also for a line that does not say what ping counted, and for a namespace that went away
    meanwhile.
    """
    with parsing("frames", host):
        told = mapping(parsed(document), "answer")
        ports = tuple(_port(row) for row in rows(told["ports"], "ports"))
        paths = tuple(_path(row) for row in rows(told["paths"], "paths"))
        made = {(port.bridge, port.number) for port in ports if port.refused is None}
        if len({(port.bridge, port.number) for port in ports}) < len(ports):
            raise ValueError("ports: one is there twice")
        if any((path.bridge, path.port) not in made for path in paths):
            raise ValueError("paths: from a namespace that was not made")
        return Frames(host, ports, paths)


def _port(row: Mapping[str, Any]) -> Port:
    bridge, number = text(row["bridge"], "bridge"), integer(row["port"], "port")
    if "failure" in row:
        return Port(bridge, number, "", string(row["failure"], "failure"))
    text(row["mac"], "mac")
    integer(row["mtu"], "mtu")
    boolean_of(row["tagged"], "tagged")
    return Port(bridge, number, str(IPv4Address(text(row["address"], "address"))), None)


def _path(row: Mapping[str, Any]) -> Path:
    bridge, host, address = (text(row[key], key) for key in ("bridge", "host", "address"))
    where = f"{bridge}: to {address} on {host}"
    if "gone" in row:
        raise ValueError(f"{where}: the namespace was gone before it sent")
    instance = text(row["instance"], f"{where}: instance") if "instance" in row else ""
    peer = None if instance else integer(row["peer"], f"{where}: peer")
    replies = {kind: _replies(row[kind], f"{where}: {kind}") for kind in _KINDS if kind in row}
    small, tagged = replies["small"], replies.get("tagged")
    for answered, kind in ((small, "full"), (tagged, "tagged-full")):
        if answered and answered.passed and not instance and kind not in replies:
            raise ValueError(f"{where}: nothing is told of {kind}")
    return Path(
        bridge=bridge,
        port=integer(row["port"], f"{where}: port"),
        host=host,
        peer=peer,
        instance=instance,
        address=address,
        mac=text(row["mac"], f"{where}: mac").lower(),
        seen=_seen(row["arp"], address, where),
        size=0 if instance else integer(row["size"], f"{where}: size"),
        small=small,
        full=replies.get("full"),
        tagged=tagged,
        tagged_full=replies.get("tagged-full"),
        six=replies.get("six"),
    )


def _replies(line: Any, where: str) -> Replies:
    """The line in which ping counts. Source: ping(8) of iputils."""
    said = re.match(r"(\d{1,6}) packets transmitted, (\d{1,6}) received[,\s]", text(line, where))
    if said is None:
        raise ValueError(f"{where}: {line[:100]!r} is no count of replies")
    found = Replies(int(said[1]), int(said[2]))
    if not 0 < found.sent >= found.received:
        raise ValueError(f"{where}: {found.received} replies to {found.sent}")
    return found


def _seen(document: Any, address: str, where: str) -> str | None:
    """The MAC that answered for an address. document: ``ip -j neigh show``, a JSON array; empty where nobody was asked."""
    found = None
    for row in rows(parsed(text(document, f"{where}: arp")), f"{where}: arp"):
        state = row["state"]
        if row["dst"] != address or not isinstance(state, list):
            raise ValueError(f"{where}: arp: of another address, or without a state")
        if "lladdr" in row and not _UNSEEN & set(state):
            found = text(row["lladdr"], f"{where}: lladdr").lower()
    return found


@dataclass(frozen=True)
class FrameFacts:
    """What one host tells of frames that were sent from it."""

    evidence: Evidence

    @property
    def were_sent(self) -> bool:
        """Whether it was to send some: the scan was one with ``--probe``."""
        return self.evidence.probes.get(ID) is not None

    @cached_property
    def sent(self) -> Frames:
        """All that was sent. Raises EvidenceError, also where this host alone was not asked to."""
        host, answer = self.evidence.host, self.evidence.probes.get(ID)
        if answer is None:
            raise EvidenceError(f"{host}: this evidence has no probe {ID}", FailureKind.ABSENT, host)
        if answer.failure:
            raise refuse(answer.failure, host)
        if answer.rc != 0:
            raise EvidenceError(f"{host}: probe {ID} ended with {answer.rc}: {answer.stderr[:160]}", host=host)
        return frames(answer.stdout, host)
