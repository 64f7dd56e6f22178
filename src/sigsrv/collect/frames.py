"""Sends frames between temporary namespaces of the hosts, over the open sessions. Implements the probe ``frames``.

Three phases run on all hosts at the same time: create the namespaces, send frames, remove the namespaces. The last phase
always runs. Each host's evidence contains a JSON document with the requests and the lines that the host printed:
``{"ports": [...], "paths": [...]}``. ``facts.frames`` defines their meaning.
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
from sigsrv.collect.running import run_probes
from sigsrv.collect.session import OPEN, ConnectionFailed, Session
from sigsrv.model.errors import FailureKind

COMMAND = "frames between temporary namespaces"
PHASE_S = 30  # timeout of each of the three phases, unless the host's timeout is longer
_LIMIT_BYTES = 4 * 1024 * 1024  # of the output of a phase: a line of 200 bytes for each port, six for each path
_IP_ICMP = 28  # bytes of the IPv4 and ICMP headers in a packet of ping
_TAG = 4  # bytes of a VLAN tag
_REQUIRED = '--probe needs iproute2, util-linux and ping of iputils there ("apt-get install iputils-ping")'


_NOT_REPORTED = "the host reported nothing about it"


class PhaseFailed(Exception):
    """A phase failed on a host. failure: why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


@dataclass(frozen=True)
class Port:
    """A namespace to create: one end of a veth pair is inside, the other is a port of a bridge.

    number: 1, 2 ... per bridge and host. candidates: addresses with prefix that are not known to be in use.
    tag: the address of the link for tagged frames. tag_id: the VLAN id in the tag. six: whether to test IPv6 too.
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
    """An instance's NIC on a bridge. The first namespace of each host sends to it. name: PROJECT/INSTANCE/NIC."""

    bridge: str
    host: str
    name: str
    mac: str
    address: str


@dataclass(frozen=True)
class FramePlan:
    """What to create and test on each host, by host name."""

    ports: Mapping[str, tuple[Port, ...]]
    instance_ports: tuple[InstancePort, ...] = ()


@dataclass(frozen=True)
class TemporaryNamespace:
    """An existing namespace. address: with prefix. mtu: of its bridge, in bytes. tagged: it has a link for tagged frames."""

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
    """Return after how many seconds a host removes the namespaces by itself. phase_s: the timeout of each phase."""
    return 2 * phase_s + 10


def link_local(mac: str) -> str:
    """Return the IPv6 address that the kernel derives from a MAC. Source: RFC 4291, appendix A."""
    octets = [int(octet, 16) for octet in mac.split(":")]
    octets = [octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]]
    return str(IPv6Address((0xFE80 << 112) | int.from_bytes(bytes(octets))))


def exchange(found: Mapping[str, Evidence], wanted: FramePlan) -> dict[str, Evidence]:
    """Return the evidence of the hosts with open sessions, with the probe ``frames`` added.

    The namespaces are always removed at the end. If the connection to a host is lost, the host removes them by itself.
    Never raises for what a host does or does not do: the answer of its probe ``frames`` contains the failure.
    """
    began = time.monotonic()
    exchanges = {
        name: _HostExchange(seen, wanted, OPEN.get(name)) for name, seen in found.items() if seen.failure is None
    }
    with ThreadPoolExecutor(max_workers=max(1, 2 * len(exchanges))) as pool:
        try:
            _each(pool, exchanges.values(), _HostExchange.setup)
            made = [each for one in exchanges.values() for each in one.made]
            _each(pool, exchanges.values(), lambda one: one.send(made))
        finally:
            _each(pool, exchanges.values(), _HostExchange.teardown)
    took = time.monotonic() - began
    return {
        name: replace(seen, seconds=seen.seconds + took, probes={**seen.probes, ID: exchanges[name].answer})
        if name in exchanges
        else seen
        for name, seen in found.items()
    }


def _each(pool: ThreadPoolExecutor, exchanges: Iterable[_HostExchange], phase: Callable[[_HostExchange], None]) -> None:
    """Run a phase on all hosts and wait for all of them.

    After an interrupt, wait for the phases that already run: each ends at its timeout.
    """
    futures = [pool.submit(phase, one) for one in exchanges]
    try:
        for future in futures:
            future.result()
    finally:
        wait(futures)


class _HostExchange:
    """One host in an exchange: the namespaces created there, and the answers."""

    def __init__(self, evidence: Evidence, wanted: FramePlan, session: Session | None) -> None:
        self._evidence = evidence
        self._name = evidence.host
        self._ports = wanted.ports.get(evidence.host, ())
        self._instance_ports = wanted.instance_ports
        self._session = session
        self._word = secrets.token_hex(16)
        self._limit_s = int(max(PHASE_S, session.target.timeout_s if session else 0))
        self._started = False
        self._failure: Failure | None = None
        self._port_failures: dict[int, str] = {}
        self._paths: list[dict[str, Any]] = []
        self.made: list[TemporaryNamespace] = []

    @property
    def life_s(self) -> int:
        return life_s(self._limit_s)

    def setup(self) -> None:
        """Create the namespaces. For each one that can't be created, record the reason."""
        for index, port in enumerate(self._ports):
            if not port.candidates:
                self._port_failures[index] = f"no free address on {port.bridge}"
        rows = [
            (str(index), p.bridge, p.link, p.outer, p.mac, p.tag, str(p.tag_id), *p.candidates)
            for index, p in enumerate(self._ports)
            if p.candidates
        ]
        if self._session is None:
            self._failure = self._no_session()
        elif rows:
            self._started = True
            self._guarded(lambda: self._read_setup(self._run("setup", scripts.setup(self._word, self.life_s, rows))))
            if self._failure and self._failure.kind in (FailureKind.MISSING, FailureKind.DENIED):
                self._started = False  # the script created nothing, and a teardown script would not run either

    def _no_session(self) -> Failure:
        if any(answer.failure is None for answer in self._evidence.probes.values()):
            return Failure(
                FailureKind.TIMEOUT, f"{self._name}: the host's timeout expired before a frame could be sent"
            )
        reason = f"{self._name}: sigsrv uses only the HTTPS API of this host, so it can't send frames from it"
        return Failure(FailureKind.ABSENT, reason)

    def _read_setup(self, output: str) -> None:
        for line in output.splitlines():
            if lacks := re.fullmatch(r"lack (.+)", line):
                reason = f"{self._name}: there is no {lacks[1]}: {_REQUIRED}"
                raise PhaseFailed(Failure(FailureKind.MISSING, reason))
            if refused := re.fullmatch(r"refused (.+)", line):
                raise PhaseFailed(Failure(FailureKind.DENIED, f"{self._name}: can't create a namespace: {refused[1]}"))
            if match := re.fullmatch(r"port (\d{1,4}) no (.*)", line):
                self._port_failures[int(match[1])] = match[2].strip()
            elif match := re.fullmatch(r"port (\d{1,4}) ok (\d{1,9}) (\d{2,6}) (\S+) (yes|no)", line):
                port = self._ports[int(match[1])] if int(match[1]) < len(self._ports) else None
                if port is None or match[4] not in port.candidates:
                    raise PhaseFailed(Failure(FailureKind.GARBLED, f"{self._name}: {line[:100]!r}"))
                self.made.append(
                    TemporaryNamespace(self._name, port, int(match[2]), int(match[3]), match[4], match[5] == "yes")
                )
        for index, port in enumerate(self._ports):
            if index not in self._port_failures and not any(each.port is port for each in self.made):
                self._port_failures[index] = _NOT_REPORTED

    def send(self, made: Iterable[TemporaryNamespace]) -> None:
        """Send from each namespace to every other namespace on its bridge, and to instances."""
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

    def _to_port(self, one: TemporaryNamespace, other: TemporaryNamespace) -> tuple[str, ...]:
        size = min(one.mtu, other.mtu)
        path = {"host": other.host, "peer": other.port.number, "mac": other.port.mac, "address": other.ip, "size": size}
        self._paths.append({"bridge": one.port.bridge, "port": one.port.number, **path})
        content = size - _IP_ICMP
        tagged = str(ip_interface(other.port.tag).ip) if one.tagged and other.tagged else ""
        six = link_local(other.port.mac) if one.port.six and other.port.six else ""
        return str(one.pid), other.ip, str(content), tagged, str(content - _TAG), six

    def _to_instance_port(self, one: TemporaryNamespace, station: InstancePort) -> tuple[str, ...]:
        path = {"host": station.host, "instance": station.name, "mac": station.mac, "address": station.address}
        self._paths.append({"bridge": one.port.bridge, "port": one.port.number, **path})
        return str(one.pid), station.address, "", "", "", ""

    def _read_sent(self, output: str) -> None:
        """Store each line of the answer with its request. A line that matches no request invalidates the whole answer."""
        for line in output.splitlines():
            match = re.fullmatch(r"said (\d{1,6}) (small|full|tagged|tagged-full|six|arp|gone)(?: (.*))?", line)
            if match is None or int(match[1]) >= len(self._paths) or match[2] in self._paths[int(match[1])]:
                raise PhaseFailed(
                    Failure(FailureKind.GARBLED, f"{self._name}: {line[:100]!r} is not an answer to a frame")
                )
            self._paths[int(match[1])][match[2]] = (match[3] or "").strip()

    def teardown(self) -> None:
        """Remove the namespaces and check that they are gone. Does nothing if setup did not start."""
        if self._session is None or not self._started:
            return
        later = f"the host removes it by itself within {self.life_s} s"
        try:
            output = self._run("teardown", scripts.teardown(self._word, [port.link for port in self._ports]))
        except (PhaseFailed, ConnectionFailed) as cause:
            reason = f"{cause.failure.reason}; can't confirm that the host removed what --probe created: {later}"
            self._failure = Failure(cause.failure.kind, reason)
            return
        if output != "left\n":
            left = " ".join(output.split()[1:]) or "something unknown"
            self._failure = Failure(FailureKind.GARBLED, f"{self._name}: {left} still exists: {later}")

    def _run(self, phase: str, code: str) -> str:
        """Run a script of sigsrv as root and return its output. Raises PhaseFailed and ConnectionFailed."""
        assert self._session
        self._session.extend(self._limit_s + 5)
        command = ("sh", "-c", code)
        probe = Probe(f"{ID}-{phase}", command, "collect.frames", self._limit_s, _LIMIT_BYTES, root=True)
        answer = run_probes(self._session, [probe])[probe.id]
        if answer.failure:
            reason = f"{self._name}: --probe, {phase}: {answer.failure.reason}"
            if answer.failure.kind is FailureKind.TIMEOUT:  # its own reason contains the whole script
                reason = f"{self._name}: --probe, {phase}: not finished in {self._limit_s} s"
            raise PhaseFailed(Failure(answer.failure.kind, reason))
        if answer.rc != 0:
            message = " ".join(answer.stderr.split())[:160] or f"exit status {answer.rc}"
            kind = FailureKind.DENIED if "sudo" in message else FailureKind.GARBLED
            raise PhaseFailed(
                Failure(
                    kind, f"{self._name}: --probe needs root on the host: {message}" if "sudo" in message else message
                )
            )
        return answer.stdout

    def _guarded(self, phase: Callable[[], None]) -> None:
        """Run a phase. Its failure becomes the answer of this host; the other hosts continue."""
        try:
            phase()
        except (PhaseFailed, ConnectionFailed) as cause:
            self._failure, self.made = cause.failure, []

    @property
    def answer(self) -> Answer:
        """Return the answer of the probe ``frames`` on this host."""
        if self._failure:
            return Answer(COMMAND, failure=self._failure)
        made = {id(each.port): each for each in self.made}
        ports = []
        for index, port in enumerate(self._ports):
            row: dict[str, Any] = {"bridge": port.bridge, "port": port.number, "mac": port.mac}
            if namespace := made.get(id(port)):
                row |= {"address": namespace.ip, "mtu": namespace.mtu, "tagged": namespace.tagged}
            ports.append(row if namespace else {**row, "failure": self._port_failures.get(index, _NOT_REPORTED)})
        return Answer(COMMAND, 0, json.dumps({"ports": ports, "paths": self._paths}, indent=1))
