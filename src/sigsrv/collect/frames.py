"""Frames sent between throw-away namespaces of the hosts, over the sessions that are open; the probe ``frames``.

Three phases, each on all hosts at the same time: namespaces are made, frames are sent, and in any case all is taken away. What comes
back is kept as evidence: a JSON document for each host, of what was asked and the lines that the host answered. It reads
``{"ports": [...], "paths": [...]}``; ``facts.frames`` has the meaning of both.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_interface
from typing import Any

from sigsrv.collect import frames_script as scripts
from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.collect.frames_script import ID
from sigsrv.collect.probes import Probe
from sigsrv.collect.running import probed
from sigsrv.collect.session import OPEN, ConnectionFailed, Session
from sigsrv.model.errors import FailureKind

COMMAND = "frames between throw-away namespaces"
PHASE_S = 30  # for each of the three phases, unless a host has more time for everything
_IP_ICMP = 28  # bytes of a packet that are not ping's own
_TAG = 4  # bytes of a tag
_MACHINE = 'a host needs iproute2, util-linux and the ping of iputils for it ("apt-get install iputils-ping")'


class Refused(Exception):
    """A phase gave nothing on a host. failure: why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


@dataclass(frozen=True)
class Port:
    """A namespace that is wanted: one end of a veth pair in it, the other a port of a bridge. number: 1, 2 ... of its bridge and host.

    candidates: addresses with their prefix that nobody is known to have; tag: the address of the link for tagged frames, and tag_id the
    number in the tag; six: whether IPv6 is tried too.
    """

    bridge: str
    number: int
    candidates: tuple[str, ...]
    tag: str
    tag_id: int
    six: bool
    link: str
    outer: str  # the MAC of the bridge's port
    mac: str


@dataclass(frozen=True)
class InstancePort:
    """An instance's NIC on a bridge, which is asked from the first namespace of each host. name: PROJECT/INSTANCE/NIC."""

    bridge: str
    host: str
    name: str
    mac: str
    address: str


@dataclass(frozen=True)
class FramePlan:
    """What is done on each host, by its name."""

    ports: Mapping[str, tuple[Port, ...]]
    instance_ports: tuple[InstancePort, ...] = ()


@dataclass(frozen=True)
class ThrowawayNamespace:
    """A namespace that is there. address: with its prefix; mtu: bytes, its bridge's; tagged: whether it has a link for tagged frames."""

    host: str
    port: Port
    pid: int
    mtu: int
    address: str
    tagged: bool

    @property
    def ip(self) -> str:
        return self.address.partition("/")[0]


def life_s(phase_s: int) -> int:
    """After so many seconds a host has taken away by itself what was made there. phase_s: what each phase may take."""
    return 2 * phase_s + 10


def link_local(mac: str) -> str:
    """The IPv6 address that the kernel makes of a MAC. Source: RFC 4291, appendix A."""
    octets = [int(octet, 16) for octet in mac.split(":")]
    octets = [octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]]
    return str(IPv6Address((0xFE80 << 112) | int.from_bytes(bytes(octets))))


def exchange(found: Mapping[str, Evidence], wanted: FramePlan) -> dict[str, Evidence]:
    """The evidence of hosts whose sessions are open, with what their throw-away namespaces told of each other beside it.

    However it ends, what was made is taken away; a host that nobody reaches any more does so by itself. Never raises for what a host
    does or does not do: that is the answer of its probe ``frames``.
    """
    began = time.monotonic()
    rounds = {name: _Round(seen, wanted, OPEN.get(name)) for name, seen in found.items() if seen.failure is None}
    with ThreadPoolExecutor(max_workers=max(1, 2 * len(rounds))) as pool:
        try:
            _each(pool, rounds.values(), _Round.setup)
            made = [each for one in rounds.values() for each in one.made]
            _each(pool, rounds.values(), lambda one: one.send(made))
        finally:
            _each(pool, rounds.values(), _Round.teardown)
    took = time.monotonic() - began
    return {
        name: replace(seen, seconds=seen.seconds + took, probes={**seen.probes, ID: rounds[name].answer})
        if name in rounds
        else seen
        for name, seen in found.items()
    }


def _each(pool: ThreadPoolExecutor, rounds: Iterable[_Round], phase: Callable[[_Round], None]) -> None:
    """A phase on all hosts; it ends when it has ended on all. Interrupted, what has begun is waited for: it ends in its time."""
    futures = [pool.submit(phase, one) for one in rounds]
    try:
        for future in futures:
            future.result()
    finally:
        wait(futures)


class _Round:
    """One host in an exchange: what was made there, and what came back."""

    def __init__(self, seen: Evidence, wanted: FramePlan, session: Session | None) -> None:
        self._seen = seen
        self._name = seen.host
        self._ports = wanted.ports.get(seen.host, ())
        self._instance_ports = wanted.instance_ports
        self._session = session
        self._word = secrets.token_hex(16)
        self._limit_s = int(max(PHASE_S, session.target.timeout_s if session else 0))
        self._begun = False
        self._failure: Failure | None = None
        self._refused: dict[int, str] = {}
        self._paths: list[dict[str, Any]] = []
        self.made: list[ThrowawayNamespace] = []

    @property
    def life_s(self) -> int:
        return life_s(self._limit_s)

    def setup(self) -> None:
        """Make the namespaces. Those that could not be made have their reason."""
        for index, port in enumerate(self._ports):
            if not port.candidates:
                self._refused[index] = f"there is no free address on {port.bridge}"
        rows = [
            (str(index), p.bridge, p.link, p.outer, p.mac, p.tag, str(p.tag_id), *p.candidates)
            for index, p in enumerate(self._ports)
            if p.candidates
        ]
        if self._session is None:
            self._failure = self._no_session()
        elif rows:
            self._begun = True
            self._guarded(lambda: self._read_setup(self._run("setup", scripts.setup(self._word, self.life_s, rows))))
            if self._failure and self._failure.kind in (FailureKind.MISSING, FailureKind.DENIED):
                self._begun = False  # the script made nothing, and another one would not run either

    def _no_session(self) -> Failure:
        if any(answer.failure is None for answer in self._seen.probes.values()):
            return Failure(
                FailureKind.TIMEOUT, f"{self._name}: the host's time was used up before a frame could be sent"
            )
        reason = f"{self._name} is asked over its API alone: no frame can be sent from there"
        return Failure(FailureKind.ABSENT, reason)

    def _read_setup(self, output: str) -> None:
        for line in output.splitlines():
            if lacks := re.fullmatch(r"lack (.+)", line):
                reason = f"{self._name}: there is no {lacks[1]}: {_MACHINE}"
                raise Refused(Failure(FailureKind.MISSING, reason))
            if refused := re.fullmatch(r"refused (.+)", line):
                raise Refused(Failure(FailureKind.DENIED, f"{self._name}: no namespace can be made: {refused[1]}"))
            if told := re.fullmatch(r"port (\d{1,4}) no (.*)", line):
                self._refused[int(told[1])] = told[2].strip()
            elif told := re.fullmatch(r"port (\d{1,4}) ok (\d{1,9}) (\d{2,6}) (\S+) (yes|no)", line):
                port = self._ports[int(told[1])] if int(told[1]) < len(self._ports) else None
                if port is None or told[4] not in port.candidates:
                    raise Refused(Failure(FailureKind.GARBLED, f"{self._name}: {line[:100]!r}"))
                self.made.append(
                    ThrowawayNamespace(self._name, port, int(told[2]), int(told[3]), told[4], told[5] == "yes")
                )
        for index, port in enumerate(self._ports):
            if index not in self._refused and not any(each.port is port for each in self.made):
                self._refused[index] = "nothing was told of it"

    def send(self, made: Iterable[ThrowawayNamespace]) -> None:
        """Send from each namespace to each other one on its bridge, and to instances."""
        others, rows = list(made), []
        for one in self.made:
            for other in others:
                if other.port.bridge == one.port.bridge and other is not one:
                    rows.append(self._to_port(one, other))
            if one.port.number == 1:
                for station in self._instance_ports:
                    if station.bridge == one.port.bridge:
                        rows.append(self._to_instance_port(one, station))
        if rows and self._failure is None:
            calls = [(str(number), *row) for number, row in enumerate(rows)]
            self._guarded(lambda: self._read_sent(self._run("send", scripts.send(self._word, calls))))

    def _to_port(self, one: ThrowawayNamespace, other: ThrowawayNamespace) -> tuple[str, ...]:
        size = min(one.mtu, other.mtu)
        path = {"host": other.host, "peer": other.port.number, "mac": other.port.mac, "address": other.ip, "size": size}
        self._paths.append({"bridge": one.port.bridge, "port": one.port.number, **path})
        content = size - _IP_ICMP
        tagged = str(ip_interface(other.port.tag).ip) if one.tagged and other.tagged else ""
        six = link_local(other.port.mac) if one.port.six and other.port.six else ""
        return str(one.pid), other.ip, str(content), tagged, str(content - _TAG), six

    def _to_instance_port(self, one: ThrowawayNamespace, station: InstancePort) -> tuple[str, ...]:
        path = {"host": station.host, "instance": station.name, "mac": station.mac, "address": station.address}
        self._paths.append({"bridge": one.port.bridge, "port": one.port.number, **path})
        return str(one.pid), station.address, "", "", "", ""

    def _read_sent(self, output: str) -> None:
        """Lay what came back beside what was asked. A line that belongs to nothing spoils all of it."""
        for line in output.splitlines():
            told = re.fullmatch(r"said (\d{1,6}) (small|full|tagged|tagged-full|six|arp|gone)(?: (.*))?", line)
            if told is None or int(told[1]) >= len(self._paths) or told[2] in self._paths[int(told[1])]:
                raise Refused(Failure(FailureKind.GARBLED, f"{self._name}: {line[:100]!r} is no answer to a frame"))
            self._paths[int(told[1])][told[2]] = (told[3] or "").strip()

    def teardown(self) -> None:
        """Take away what was made, and see that it is gone. Does nothing where nothing was begun."""
        if self._session is None or not self._begun:
            return
        later = f"the host takes it away by itself within {self.life_s} s"
        try:
            output = self._run("teardown", scripts.teardown(self._word, [port.link for port in self._ports]))
        except (Refused, ConnectionFailed) as cause:
            reason = f"{cause.failure.reason}; what was made there for --probe was not seen to go: {later}"
            self._failure = Failure(cause.failure.kind, reason)
            return
        if output != "left\n":
            left = " ".join(output.split()[1:]) or "nobody knows what"
            self._failure = Failure(FailureKind.GARBLED, f"{self._name}: {left} is still there: {later}")

    def _run(self, phase: str, code: str) -> str:
        """What a script of ours printed, under the rights of root. Raises Refused and ConnectionFailed."""
        assert self._session
        self._session.extend(self._limit_s + 5)
        probe = Probe(f"{ID}-{phase}", ("sh", "-c", code), "collect.frames", timeout_s=self._limit_s, root=True)
        answer = probed(self._session, [probe])[probe.id]
        if answer.failure:
            reason = f"{self._name}: --probe, {phase}: {answer.failure.reason}"
            if answer.failure.kind is FailureKind.TIMEOUT:  # its own words hold the whole script
                reason = f"{self._name}: --probe, {phase}: no end in {self._limit_s} s"
            raise Refused(Failure(answer.failure.kind, reason))
        if answer.rc != 0:
            said = " ".join(answer.stderr.split())[:160] or f"exit status {answer.rc}"
            kind = FailureKind.DENIED if "sudo" in said else FailureKind.GARBLED
            raise Refused(Failure(kind, f"{self._name}: --probe needs root there: {said}" if "sudo" in said else said))
        return answer.stdout

    def _guarded(self, phase: Callable[[], None]) -> None:
        """Run a phase; what ends it is the answer of this host, and the others go on."""
        try:
            phase()
        except (Refused, ConnectionFailed) as cause:
            self._failure, self.made = cause.failure, []

    @property
    def answer(self) -> Answer:
        """What the probe ``frames`` answered on this host."""
        if self._failure:
            return Answer(COMMAND, failure=self._failure)
        made = {id(each.port): each for each in self.made}
        ports = []
        for index, port in enumerate(self._ports):
            row: dict[str, Any] = {"bridge": port.bridge, "port": port.number, "mac": port.mac}
            if there := made.get(id(port)):
                row |= {"address": there.ip, "mtu": there.mtu, "tagged": there.tagged}
            ports.append(row if there else {**row, "failure": self._refused.get(index, "nothing was told of it")})
        return Answer(COMMAND, 0, json.dumps({"ports": ports, "paths": self._paths}, indent=1))
