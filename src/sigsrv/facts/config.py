"""The boolean configuration keys of each kind of resource, with their defaults.

Incus stores strings. A boolean has several spellings, and an unset key has its default. Source: Incus,
shared/util/boolean.go; doc/config_options.txt (types and defaults).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from sigsrv.facts.lowlevel import INTERCEPTION
from sigsrv.facts.parsing import strings
from sigsrv.model.values import boolean


@dataclass(frozen=True)
class Keys:
    """Says of a mapping that it is a configuration of Incus. The schema of the facts reads it."""

    entity: str
    """The entity that has the keys, as ``model.incus_keys`` names it."""
    booleans: frozenset[str] = frozenset()
    """The keys whose value is always ``true`` or ``false``."""
    filled_in: bool = True
    """Whether the configuration always has the keys of ``booleans``."""


@dataclass(frozen=True)
class Values:
    """Says of a text which values Incus gives it.

    Reading accepts any other value too, so that one odd resource does not make a whole list unreadable. A rule that examines such a
    resource gets ``error`` for it.
    """

    known: tuple[str, ...]
    """The values."""
    may_grow: bool = False
    """Whether newer versions add values. Then any value is accepted, except one in a rule that looks like a mistyped known one."""


OFFLINE_AFTER = "cluster.offline_threshold"
OFFLINE_AFTER_S = 20  # the default of this key

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
    "security.syscalls.blacklist_default": True,  # older name of deny_default
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
VOLUME_BOOLEANS: Mapping[str, bool] = {
    "security.shared": False,
    "security.shifted": False,
    "security.unmapped": False,
}
SERVER_BOOLEANS: Mapping[str, bool] = {
    "core.https_allowed_credentials": False,
    "core.metrics_authentication": True,
    "core.syslog_socket": False,
    "core.trust_ca_certificates": False,
    "images.auto_update_cached": True,
}


Config = Mapping[str, str]
ServerConfig = Annotated[Config, Keys("server", frozenset(SERVER_BOOLEANS))]
MemberConfig = Annotated[Config, Keys("member")]
ProjectConfig = Annotated[Config, Keys("project", frozenset(PROJECT_BOOLEANS))]
InstanceConfig = Annotated[Config, Keys("instance")]
ExpandedConfig = Annotated[Config, Keys("instance", frozenset(INSTANCE_BOOLEANS))]
Device = Annotated[Config, Keys("device")]
ExpandedDevice = Annotated[Config, Keys("device", frozenset().union(*DEVICE_BOOLEANS.values()), filled_in=False)]
NetworkConfig = Annotated[Config, Keys("network", frozenset(NETWORK_BOOLEANS), filled_in=False)]
PoolConfig = Annotated[Config, Keys("pool")]
VolumeConfig = Annotated[Config, Keys("volume", frozenset(VOLUME_BOOLEANS))]


def normalised(config: Mapping[str, Any], booleans: Mapping[str, bool], where: str) -> dict[str, str]:
    """Return a configuration in which each key of ``booleans`` (key -> default) is "true" or "false", also the unset ones.

    Raises ValueError if a value is not text, EvidenceError if the value of a boolean key is not a boolean.
    """
    return filled_in(strings(config, where), booleans, where)


def filled_in(config: Mapping[str, str], booleans: Mapping[str, bool], where: str) -> dict[str, str]:
    """Return a configuration as ``normalised`` does, if its values are known to be text. Raises EvidenceError."""
    found = dict(config)
    for key, default in booleans.items():
        value = found.get(key)
        is_true = boolean(value, default, f"{where}: {key}") if value else default  # most keys are unset
        found[key] = "true" if is_true else "false"
    return found
