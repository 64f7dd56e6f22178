"""The bridges of the site file, each with its VLAN. Some values may differ from host to host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

Config = Mapping[str, str]


@dataclass(frozen=True)
class Vlan:
    """The VLAN interface of a bridge.

    persisted_by: the systemd unit that attaches the interface at boot, if Incus does not.
    """

    interface: str
    id: int
    kinds: tuple[str, ...] = ("vlan",)
    parent: str | None = None
    persisted_by: str | None = None


@dataclass(frozen=True)
class SiteBridge:
    """A bridge. subnet: CIDR, None if the site file does not set it. gateway: the bridge's address in it. mtu: bytes.

    members: names of the hosts on which the bridge carries its VLAN, None for all. by_host: the bridge as each host has it, if values
    differ; the bridge itself then has what all hosts have in common.
    """

    name: str
    vlan: Vlan
    acls: tuple[str, ...] = ()
    acls_exact: bool = False
    acl_default: Mapping[str, str] = field(default_factory=dict)
    subnet: str | None = None
    gateway: str | None = None
    mtu: int = 1500
    extra_ports: tuple[str, ...] = ()
    config: Config = field(default_factory=lambda: {"ipv6.address": "none"})
    isolate: bool = False
    members: tuple[str, ...] | None = None
    by_host: Mapping[str, SiteBridge] = field(default_factory=dict)

    def is_on(self, host: str) -> bool:
        """Return whether the bridge carries its VLAN on a host."""
        return self.members is None or host in self.members

    @property
    def only_on(self) -> str:
        """Return why there is nothing to judge on another host."""
        return f"the site file has this bridge only on {', '.join(self.members or ()) or 'no host'}"

    def on(self, host: str) -> SiteBridge:
        """Return the bridge with the values of one host."""
        return self.by_host.get(host, self)

    def among(self, hosts: Iterable[str]) -> SiteBridge:
        """Return the bridge with the values that some hosts have in common.

        A value that differs is not set. Of interfaces that differ all names are in one text, which no link can have as its name.
        """
        own = [self.by_host[host] for host in hosts if host in self.by_host and self.is_on(host)]
        if not own:
            return self
        vlan = Vlan(
            " or ".join(dict.fromkeys(each.vlan.interface for each in own)),
            self.vlan.id,
            self.vlan.kinds,
            _common(each.vlan.parent for each in own),
            _common(each.vlan.persisted_by for each in own),
        )
        subnet, gateway = _common(each.subnet for each in own), _common(each.gateway for each in own)
        return replace(self, vlan=vlan, subnet=subnet, gateway=gateway)


def _common(values: Iterable[str | None]) -> str | None:
    """Return the value that all have; None if they differ."""
    found = set(values)
    return found.pop() if len(found) == 1 else None
