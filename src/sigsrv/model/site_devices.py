"""What the site file allows devices of instances: paths of hosts, and proxies."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sigsrv.model import addresses

Config = Mapping[str, str]


@dataclass(frozen=True)
class HostPath:
    """A path of the host that instances may mount. instance, source: globs. readonly: only with ``readonly`` on the device."""

    instance: str
    source: str
    readonly: bool = False

    def allows(self, instance: str, device: Config) -> bool:
        """Return whether the entry allows a disk device of an instance, ``PROJECT/NAME``."""
        source = device.get("source", "")
        return (
            source.startswith("/")
            and fnmatchcase(instance, self.instance)
            and fnmatchcase(posixpath.normpath(source), self.source)
            and (device.get("readonly") == "true" or not self.readonly)
        )


@dataclass(frozen=True)
class SiteProxy:
    """An allowed proxy device. All three fields are globs. ``listen`` allows a wildcard address only if it spells it out."""

    instance: str
    listen: str
    connect: str

    def allows(self, instance: str, device: Config) -> bool:
        """Return whether the entry allows a proxy device of an instance, ``PROJECT/NAME``."""
        listen, connect = device.get("listen", ""), device.get("connect", "")
        on_host = device.get("bind", "host") in ("", "host")
        if not on_host and connect.startswith("unix:"):  # the guest would reach a socket of the host
            return False
        return (
            fnmatchcase(instance, self.instance)
            and addresses.matches(listen, self.listen, same_address=on_host and addresses.is_wildcard(listen))
            and addresses.matches(connect, self.connect)
        )
