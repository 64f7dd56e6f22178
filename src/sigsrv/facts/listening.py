"""The listening TCP sockets of one host, and the addresses in Incus's configuration.

Source: ss(8), ``ss -Hltn``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import output, parsing

_ANY = "*"  # in ss: any address, of IPv4 and IPv6
_WILDCARDS = frozenset({_ANY, "", "0", "0.0.0.0", "::"})  # noqa: S104  we only look for it; a resolver reads "0" as 0.0.0.0
_ENDPOINT = re.compile(r"(?:\[(?P<ipv6>[^\]\s]+)\]|(?P<host>[^:\[\]\s]*))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket."""

    address: str
    """The IP address that it listens on, in Python's spelling; ``*`` for any address of IPv4 and IPv6."""
    port: int
    """The TCP port."""
    link: str = ""
    """The interface that it is bound to; empty if it is bound to none."""

    @property
    def is_wildcard(self) -> bool:
        """Return whether it accepts connections to any address of the host, or of the interface that it is bound to."""
        return self.address in _WILDCARDS

    @property
    def is_loopback(self) -> bool:
        """Return whether it accepts connections only from the host itself."""
        return not self.is_wildcard and ip_address(self.address).is_loopback

    def __str__(self) -> str:
        return _joined(self.address + (f"%{self.link}" if self.link else ""), self.port)


@dataclass(frozen=True)
class Endpoint:
    """An address and a port from a configuration."""

    host: str
    """An IP address in Python's spelling, or a name in lower case; empty for any address."""
    port: int
    """The port."""

    @property
    def is_wildcard(self) -> bool:
        """Return whether it means any address of the host."""
        return self.host in _WILDCARDS

    @property
    def is_name(self) -> bool:
        """Return whether the host is a name that must be resolved."""
        try:
            return self.host != "" and not ip_address(self.host)
        except ValueError:
            return True

    def __str__(self) -> str:
        return _joined(self.host, self.port)


def endpoint(value: str, port: int) -> Endpoint:
    """Read an address as Incus accepts it: ``ADDRESS:PORT``, ``[IPV6]:PORT``, ``:PORT``, or an address alone.

    port: the port to use if the value names none. Raises EvidenceError if the value is malformed.
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
    """Return an IP address in its normal form. Raises ValueError if it is not an IP address."""
    found = ip_address(address)
    return str(found.ipv4_mapped or found) if isinstance(found, IPv6Address) else str(found)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listeners(document: str, host: str = "") -> tuple[Listener, ...]:
    """Return the sockets in the output of ``ss -Hltn``, in its order. Empty output is valid: a host may have no such socket.

    Raises EvidenceError if a line is not a listening socket.
    """
    with parsing("ss", host):
        return tuple(_listener(line) for line in document.splitlines())


def _listener(line: str) -> Listener:
    columns = line.split()
    if len(columns) < 5 or columns[0] != "LISTEN":
        raise ValueError(f"{line[:80]!r} is not a listening socket")
    place, _, number = columns[3].rpartition(":")
    address, _, link = place.partition("%")
    if place.startswith("["):
        inside, closed, after = place[1:].partition("]")
        address, _, link = inside.partition("%")  # the link may be inside the brackets
        link = after.removeprefix("%") or link
        if not closed or (after and not after.startswith("%")):
            raise ValueError(f"{columns[3]!r} is not an address and a port")
    elif ":" in address:
        raise ValueError(f"{columns[3]!r} is an address of IPv6 without brackets")
    if not number.isascii() or not number.isdigit() or not 0 < int(number) < 65536:
        raise ValueError(f"{number!r} is not a port")
    if address != _ANY:
        address = _written(address)
    return Listener(address, int(number), link)


def of_host(evidence: Evidence) -> tuple[Listener, ...]:
    """Return the listening sockets of a host. Raises EvidenceError if the probe failed."""
    return listeners(output(evidence, "listen"), evidence.host)
