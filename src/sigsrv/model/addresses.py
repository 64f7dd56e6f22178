"""Addresses: of proxy devices, as Incus writes them (``tcp:127.0.0.1:80``, ``udp:[::1]:53-54``, ``unix:/run/socket``), and of servers."""

from __future__ import annotations

from fnmatch import fnmatchcase
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

_PORTS = {"https": 443, "http": 80}


def matches(text: str, glob: str, same_address: bool = False) -> bool:
    """Return whether an address matches a glob, as a whole or part by part.

    Part by part, the brackets of an IPv6 address are not taken for a set of characters. same_address: whether the address without
    protocol and ports must equal the glob's, letter for letter.
    """
    (protocol, address, ports), (protocols, addresses, port_glob) = _parts(text), _parts(glob)
    by_parts = (
        address is not None
        and addresses is not None
        and fnmatchcase(protocol, protocols)
        and fnmatchcase(address, addresses)
        and fnmatchcase(ports, port_glob)
    )
    return by_parts and address == addresses if same_address else by_parts or fnmatchcase(text, glob)


def _parts(text: str) -> tuple[str, str | None, str]:
    """Split into protocol, address without brackets, and ports. A socket has no ports. The address is None if there is no such part."""
    protocol, _, rest = text.partition(":")
    if protocol == "unix":
        return protocol, rest, ""
    address, colon, ports = rest.rpartition(":")
    return protocol, address.removeprefix("[").removesuffix("]") if colon else None, ports


def is_wildcard(listen: str) -> bool:
    """Return whether a device listens on all addresses. Incus also accepts ``tcp::80`` for that, and every way to write zero."""
    protocol, address, _ = _parts(listen)
    if protocol == "unix":
        return False
    try:
        found = ip_address(address or "")
    except ValueError:  # no address at all
        return True
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_unspecified


def url_origin(server: str) -> str | None:
    """Return a server's URL in one spelling: with its port, and without a slash at its end. None if it names no server."""
    try:
        parts = urlsplit(server.strip())
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None:
        return None
    return f"{parts.scheme}://{parts.hostname.rstrip('.')}:{port}{parts.path.rstrip('/')}"
