"""facts.listening: the TCP sockets of one host that wait for connections.

Room: facts. May import errors and collect. Source: ss(8), ``ss -Hltn``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.reading import output, reading

_ANY = "*"  # as ss writes it: IPv6 and IPv4 alike
_LOCAL = re.compile(r"(?P<address>\*|\[[^\]]+\]|[^:\[\]]+)(?:%(?P<link>\S+))?:(?P<port>[0-9]+)")


@dataclass(frozen=True)
class Listener:
    """address: ``*`` for any of both families, else an IP address as Python writes it; link: the interface it is bound to, or ""."""

    address: str
    port: int
    link: str = ""

    @property
    def is_wildcard(self) -> bool:
        """Whether it takes connections to any address of the host (of one interface, where it is bound to that)."""
        return self.address in (_ANY, "0.0.0.0", "::")  # noqa: S104  what is looked for

    @property
    def is_loopback(self) -> bool:
        """Whether it takes connections of the host itself only."""
        return not self.is_wildcard and ip_address(self.address).is_loopback

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}{f'%{self.link}' if self.link else ''}:{self.port}"


def listeners(document: str, host: str = "") -> tuple[Listener, ...]:
    """The sockets of ``ss -Hltn``, in its order; none where it printed nothing, for a host may have none.

    Raises EvidenceError where a line is none of a listening socket.
    """
    with reading("ss", host):
        return tuple(_listener(line) for line in document.splitlines())


def _listener(line: str) -> Listener:
    columns = line.split()
    if len(columns) < 5 or columns[0] != "LISTEN":
        raise ValueError(f"{line[:80]!r} is no listening socket")
    found = _LOCAL.fullmatch(columns[3])
    if found is None:
        raise ValueError(f"{columns[3]!r} is no address and port")
    address, _, link = found["address"].strip("[]").partition("%")  # a link may stand within the brackets
    port = int(found["port"])
    if not 0 < port < 65536:
        raise ValueError(f"{port} is no port")
    if address != _ANY:
        address = str(ip_address(address))
    return Listener(address, port, found["link"] or link)


def of_host(evidence: Evidence) -> tuple[Listener, ...]:
    """The listening sockets of a host. Raises EvidenceError where ss gave no answer."""
    return listeners(output(evidence, "listen"), evidence.host)
