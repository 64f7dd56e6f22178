"""Which configuration keys are booleans, by kind of resource, and their defaults.

Incus stores strings; a boolean may be written in many ways, and an unset key is its default. Source: Incus,
shared/util/boolean.go; doc/config_options.txt (types and defaults).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sigsrv.facts.lowlevel import INTERCEPTION
from sigsrv.facts.parsing import string
from sigsrv.model.values import boolean

OFFLINE_AFTER = "cluster.offline_threshold"
OFFLINE_AFTER_S = 20  # where nobody set it

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


def normalised(config: Mapping[str, Any], booleans: Mapping[str, bool], where: str) -> dict[str, str]:
    """A configuration with each of ``booleans`` (key -> default) as "true" or "false", the unset ones too.

    Raises ValueError where a value is no text, EvidenceError where a boolean is none.
    """
    found = {key: string(value, f"{where}: {key}") for key, value in config.items()}
    for key, default in booleans.items():
        found[key] = "true" if boolean(config.get(key), default, f"{where}: {key}") else "false"
    return found
