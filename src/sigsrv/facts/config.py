"""facts.config: configuration values as Incus parses them.

Room: facts. May import errors and collect. Incus stores strings; a boolean may be written in many ways, and an unset key is its default.
Source: Incus, shared/util/boolean.go; doc/config_options.txt (types and defaults).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sigsrv.errors import EvidenceError
from sigsrv.facts.lowlevel import INTERCEPTION
from sigsrv.facts.reading import string

OFFLINE_AFTER = "cluster.offline_threshold"
OFFLINE_AFTER_S = 20  # where nobody set it
TRUE = frozenset({"true", "1", "yes", "on"})
FALSE = frozenset({"false", "0", "no", "off"})
_POWERS = "kMGTPE"
_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{letter}B": 1000**power for power, letter in enumerate(_POWERS, 1)}
_UNITS |= {f"{letter.upper()}iB": 1024**power for power, letter in enumerate(_POWERS, 1)}

INSTANCE_BOOLEANS: Mapping[str, bool] = {
    "security.csm": False,
    "security.guestapi": True,
    "security.guestapi.images": False,
    "security.idmap.isolated": False,
    "security.nesting": False,
    "security.privileged": False,
    "security.protection.delete": False,
    "security.protection.shift": False,
    "security.secureboot": True,
    "security.syscalls.blacklist_default": True,  # the older name of deny_default
    "security.syscalls.deny_compat": False,
    "security.syscalls.deny_default": True,
    **dict.fromkeys(INTERCEPTION, False),
}
DEVICE_BOOLEANS: Mapping[str, Mapping[str, bool]] = {  # by the device's type
    "disk": {"readonly": False},
    "nic": {
        "security.ipv4_filtering": False,
        "security.ipv6_filtering": False,
        "security.mac_filtering": False,
        "security.port_isolation": False,
    },
}
PROJECT_BOOLEANS: Mapping[str, bool] = {
    "features.images": False,
    "features.networks": False,
    "features.networks.zones": False,
    "features.profiles": False,
    "features.storage.buckets": False,
    "features.storage.volumes": False,
    "restricted": False,
}
NETWORK_BOOLEANS: Mapping[str, bool] = {  # of a managed bridge
    "ipv4.dhcp": True,
    "ipv4.firewall": True,
    "ipv4.nat": False,
    "ipv4.routing": True,
    "ipv6.dhcp": True,
    "ipv6.dhcp.stateful": False,
    "ipv6.firewall": True,
    "ipv6.nat": False,
    "ipv6.routing": True,
    "security.acls.default.egress.logged": False,
    "security.acls.default.ingress.logged": False,
}
SERVER_BOOLEANS: Mapping[str, bool] = {
    "core.https_allowed_credentials": False,
    "core.metrics_authentication": True,
    "core.syslog_socket": False,
    "core.trust_ca_certificates": False,
    "images.auto_update_cached": True,
}


def boolean(value: Any, default: bool, where: str) -> bool:
    """A boolean key's value; None and "" are the default. Raises EvidenceError where it is no boolean of Incus."""
    if value is None or value == "":
        return default
    word = str(value).lower()
    if word not in TRUE | FALSE:
        raise EvidenceError(f"{where}: {value!r} is no boolean")
    return word in TRUE


def is_true(value: str) -> bool:
    """Whether a value is true, of a key that takes other words than booleans as well (``boot.autostart=last-state``)."""
    return value.lower() in TRUE


def words(value: Any) -> tuple[str, ...]:
    """A list, which Incus writes with commas; blanks and empty entries dropped."""
    return tuple(word for word in (part.strip() for part in str(value or "").split(",")) if word)


def seconds(value: Any, default: int, where: str) -> int:
    """A number of seconds; the default where it is unset. where: names the value in EvidenceError."""
    if value in (None, ""):
        return default
    if not isinstance(value, str) or not value.isascii() or not value.isdigit():
        raise EvidenceError(f"{where}: {value!r} is no number of seconds")
    return int(value)


def size_bytes(value: str | int) -> int:
    """A size as Incus writes it: ``5GiB`` is 1024^3, ``5GB`` 1000^3, a bare number bytes. Raises ValueError.

    Source: Incus, shared/units/units.go (ParseByteSizeString).
    """
    match = re.fullmatch(r"([0-9]+)([A-Za-z]*)", str(value))
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{value!r} is no size")
    return int(match[1]) * _UNITS[match[2]]


def normalised(config: Mapping[str, Any], booleans: Mapping[str, bool], where: str) -> dict[str, str]:
    """A configuration with each of ``booleans`` (key -> default) as "true" or "false", the unset ones too.

    Raises ValueError where a value is no text, EvidenceError where a boolean is none.
    """
    found = {key: string(value, f"{where}: {key}") for key, value in config.items()}
    for key, default in booleans.items():
        found[key] = "true" if boolean(config.get(key), default, f"{where}: {key}") else "false"
    return found
