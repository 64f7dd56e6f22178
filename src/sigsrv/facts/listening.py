"""The TCP sockets of one host that wait for connections.

Source: ss(8), ``ss -Hltn``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import output, parsing

_ANY = "*"  # as ss writes it: IPv6 and IPv4 alike
_WILDCARDS = frozenset({_ANY, "", "0", "0.0.0.0", "::"})  # noqa: S104  what is looked for; a resolver takes "0" for 0.0.0.0
_ENDPOINT = re.compile(r"(?:\[(?P<ipv6>[^\]\s]+)\]|(?P<host>[^:\[\]\s]*))(?::(?P<port>[0-9]{1,5}))?")
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
        return self.address in _WILDCARDS

    @property
    def is_loopback(self) -> bool:
        """Whether it takes connections of the host itself only."""
        return not self.is_wildcard and ip_address(self.address).is_loopback

    def __str__(self) -> str:
        return _joined(self.address + (f"%{self.link}" if self.link else ""), self.port)


@dataclass(frozen=True)
class Endpoint:
    """An address that is set somewhere. host: an IP address as Python writes it, a name in lower case, or "" for any address."""

    host: str
    port: int

    @property
    def is_wildcard(self) -> bool:
        return self.host in _WILDCARDS

    @property
    def is_name(self) -> bool:
        """Whether somebody must resolve it first."""
        try:
            return self.host != "" and not ip_address(self.host)
        except ValueError:
            return True

    def __str__(self) -> str:
        return _joined(self.host, self.port)


def endpoint(value: str, port: int) -> Endpoint:
    """An address as Incus takes it: ``ADDRESS:PORT``, ``[IPV6]:PORT``, ``:PORT``, or an address alone. port: where it names none.

    Raises EvidenceError where it is none of that.
    """
    found = _ENDPOINT.fullmatch(value.strip())
    with parsing("address", ""):
        if found is None:
            return Endpoint(_written(value.strip()), port)  # IPv6 without brackets
        number = int(found["port"]) if found["port"] else port
        if not 0 < number < 65536:
            raise ValueError(f"{value!r} has no port")
        host = (found["ipv6"] or found["host"]).lower()
        try:
            return Endpoint(_written(host), number)
        except ValueError:
            if found["ipv6"]:
                raise
            return Endpoint(host, number)


def _written(address: str) -> str:
    """An IP address in one form. Raises ValueError where it is none."""
    found = ip_address(address)
    return str(found.ipv4_mapped or found) if isinstance(found, IPv6Address) else str(found)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listeners(document: str, host: str = "") -> tuple[Listener, ...]:
    """The sockets of ``ss -Hltn``, in its order; none where it printed nothing, for a host may have none.

    Raises EvidenceError where a line is none of a listening socket.
    """
    with parsing("ss", host):
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
        address = _written(address)
    return Listener(address, port, found["link"] or link)


def of_host(evidence: Evidence) -> tuple[Listener, ...]:
    """The listening sockets of a host. Raises EvidenceError where ss gave no answer."""
    return listeners(output(evidence, "listen"), evidence.host)
