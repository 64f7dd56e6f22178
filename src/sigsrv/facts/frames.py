"""The frames that a scan with ``--probe`` sends between temporary namespaces of the hosts, and to instances.

Evidence without the probe ``frames`` comes from a scan without ``--probe`` and says nothing about frames.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from sigsrv.collect.evidence import Evidence
from sigsrv.collect.frames_script import ID
from sigsrv.facts import reading
from sigsrv.facts.parsing import boolean_of, integer, mapping, parsed, parsing, refuse, rows, string, text
from sigsrv.facts.reading import fact
from sigsrv.model.errors import EvidenceError, FailureKind

_KINDS = ("small", "full", "tagged", "tagged-full", "six")
_UNSEEN = frozenset({"FAILED", "INCOMPLETE"})  # a neighbour that did not answer; ip-neighbour(8)


@dataclass(frozen=True)
class Replies:
    """The counts of one ping."""

    sent: int
    """How many packets ping sent; at least 1."""
    received: int
    """How many replies ping received."""

    @property
    def passed(self) -> bool:
        """Return whether at least one reply came."""
        return self.received > 0


@dataclass(frozen=True)
class Port:
    """A temporary namespace with a port in a bridge."""

    bridge: str
    """The bridge's name."""
    number: int
    """The namespace's number on its bridge and host: 1, 2 ..."""
    address: str
    """The namespace's IPv4 address; empty if it could not be created."""
    refused: str | None
    """Why the namespace could not be created; None if it was created."""


@dataclass(frozen=True)
class Path:
    """What a namespace sent to another namespace, or to an instance, on the same bridge."""

    bridge: str
    """The bridge's name."""
    port: int
    """The number of the namespace that sent."""
    host: str
    """The host of the target."""
    peer: int | None
    """The number of the target namespace; None if the target is an instance."""
    instance: str
    """The target as ``PROJECT/INSTANCE/NIC``; empty if the target is a namespace."""
    address: str
    """The target's IPv4 address."""
    mac: str
    """The target's own MAC address, in lower case."""
    seen: str | None
    """The MAC address that answered ARP for the target's address, in lower case; None if none answered."""
    size: int
    """The bytes of a full-size packet; 0 if no full-size packet is sent."""
    small: Replies
    """The replies to small IPv4 packets."""
    full: Replies | None
    """The replies to full-size IPv4 packets; None if none were sent."""
    tagged: Replies | None
    """The replies to small IPv4 packets inside an 802.1ad tag, which no ACL inspects; None if none were sent."""
    tagged_full: Replies | None
    """The replies to full-size IPv4 packets inside an 802.1ad tag; None if none were sent."""
    six: Replies | None
    """The replies to IPv6 packets; None if none were sent."""


@dataclass(frozen=True)
class Frames:
    """Everything that was sent from one host."""

    host: str
    """The host's name."""
    ports: tuple[Port, ...]
    """The temporary namespaces of the host, also those that could not be created."""
    paths: tuple[Path, ...]
    """What each namespace sent, one entry per target."""

    def on(self, bridge: str) -> tuple[Port, ...]:
        """Return the namespaces on a bridge. Raises EvidenceError if one could not be created or none was planned there."""
        mine = tuple(port for port in self.ports if port.bridge == bridge)
        for port in mine:
            if port.refused is not None:
                raise EvidenceError(f"{self.host}: no frame was sent on {bridge}: {port.refused}", host=self.host)
        if not mine:
            raise EvidenceError(f"{self.host}: no frame was sent on {bridge}", host=self.host)
        return mine


@dataclass(frozen=True)
class Sent:
    """What was sent on one bridge, with its sender."""

    here: str
    """The host of the sender."""
    source: str
    """The IPv4 address of the namespace that sent."""
    path: Path
    """The target and the replies."""


def sent_on(hosts: Iterable[Frames], bridge: str) -> tuple[Sent, ...]:
    """Return everything that some hosts sent on a bridge, in the order of the hosts. Raises EvidenceError as ``Frames.on``."""
    return tuple(
        Sent(each.host, port.address, path)
        for each in hosts
        for port in each.on(bridge)
        for path in each.paths
        if (path.bridge, path.port) == (bridge, port.number)
    )


def exchanged(hosts: Iterable[Frames], bridge: str) -> tuple[Sent, ...]:
    """Return everything that was sent on a bridge, in the order of the hosts.

    Raises EvidenceError if something is missing: each namespace sends to each other namespace.
    """
    every = tuple(hosts)
    ends = [(each.host, port.number) for each in every for port in each.on(bridge)]
    found = sent_on(every, bridge)
    sent = Counter((each.here, each.path.port, each.path.host, each.path.peer) for each in found if each.path.peer)
    for here in ends:
        for there in ends:
            if here != there and sent[(*here, *there)] != 1:
                reason = f"{here[0]}: the evidence does not say whether a frame from it reaches {there[0]} on {bridge}"
                raise EvidenceError(reason, host=here[0])
    return found


def frames(document: str, host: str) -> Frames:
    """Return what was sent from one host.

    document: the output of the probe ``frames``, a JSON document that ``collect.frames`` writes. Raises EvidenceError if it is
    malformed, if a line lacks ping's counts, or if a namespace disappeared before it sent.
    """
    with parsing("frames", host):
        answer = mapping(parsed(document), "answer")
        ports = tuple(_port(row) for row in rows(answer["ports"], "ports"))
        paths = tuple(_path(row) for row in rows(answer["paths"], "paths"))
        made = {(port.bridge, port.number) for port in ports if port.refused is None}
        if len({(port.bridge, port.number) for port in ports}) < len(ports):
            raise ValueError("ports: one is listed twice")
        if any((path.bridge, path.port) not in made for path in paths):
            raise ValueError("paths: from a namespace that was not created")
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
        raise ValueError(f"{where}: the namespace disappeared before it sent")
    instance = text(row["instance"], f"{where}: instance") if "instance" in row else ""
    peer = None if instance else integer(row["peer"], f"{where}: peer")
    replies = {kind: _replies(row[kind], f"{where}: {kind}") for kind in _KINDS if kind in row}
    small, tagged = replies["small"], replies.get("tagged")
    for answered, kind in ((small, "full"), (tagged, "tagged-full")):
        if answered and answered.passed and not instance and kind not in replies:
            raise ValueError(f"{where}: no replies of kind {kind}")
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
    """Read ping's line of counts. Source: ping(8) of iputils."""
    reported = re.match(r"([0-9]{1,6}) packets transmitted, ([0-9]{1,6}) received[,\s]", text(line, where))
    if reported is None:
        raise ValueError(f"{where}: {line[:100]!r} is not a count of replies")
    found = Replies(int(reported[1]), int(reported[2]))
    if not 0 < found.sent >= found.received:
        raise ValueError(f"{where}: {found.received} replies to {found.sent}")
    return found


def _seen(document: Any, address: str, where: str) -> str | None:
    """Return the MAC address that answered for an address.

    document: the output of ``ip -j neigh show``, a JSON array; empty if no address was resolved.
    """
    found = None
    for row in rows(parsed(text(document, f"{where}: arp")), f"{where}: arp"):
        state = row["state"]
        if row["dst"] != address or not isinstance(state, list):
            raise ValueError(f"{where}: arp: another address, or no state")
        if "lladdr" in row and not _UNSEEN & set(state):
            found = text(row["lladdr"], f"{where}: lladdr").lower()
    return found


@dataclass(frozen=True)
class FrameFacts:
    """The frames that were sent from one host."""

    evidence: Evidence
    """The evidence of the host."""

    @property
    def were_sent(self) -> bool:
        """Return whether this host had to send frames: the scan ran with ``--probe``."""
        reading.note(self.evidence.host, ID)
        return self.evidence.probes.get(ID) is not None

    @fact
    def sent(self) -> Frames:
        """Return everything that was sent. Raises EvidenceError, also if this host had to send nothing."""
        host, answer = self.evidence.host, self.evidence.probes.get(ID)
        reading.note(host, ID)
        if answer is None:
            raise EvidenceError(f"{host}: this evidence has no probe {ID}", FailureKind.ABSENT, host)
        if answer.failure:
            raise refuse(answer.failure, host, ID)
        if answer.rc != 0:
            raise EvidenceError(f"{host}: probe {ID} ended with {answer.rc}: {answer.stderr[:160]}", host=host)
        return frames(answer.stdout, host)
