"""The resources of Incus, each read from its row in an API answer: instances, networks, ACLs, pools.

Configuration values are normalised as Incus parses them. A function that takes a row raises KeyError, TypeError or ValueError if a
key is missing or has another type; ``incus`` turns that into an EvidenceError. Source: Incus REST API, doc/rest-api.yaml.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

from sigsrv.facts.acl_rule import DIRECTIONS, AclRule, acl_rule
from sigsrv.facts.config import (
    NETWORK_BOOLEANS,
    PROJECT_BOOLEANS,
    Config,
    Device,
    ExpandedConfig,
    ExpandedDevice,
    InstanceConfig,
    NetworkConfig,
    ProjectConfig,
    Values,
    filled_in,
    normalised,
)
from sigsrv.facts.parsing import mapping, rows, strings, text, texts
from sigsrv.facts.restrictions import ranges
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import FALSE, is_true, size_bytes, split_list

__all__ = ["Config"]

MAPS_NOTHING = ("", "[]", "null")  # values of volatile.idmap.*
# The member did not answer; sigsrv's own status of a state that did not arrive in time.
UNKNOWN_STATUS = frozenset({"Error", "Unknown"})
InstanceType = Literal["container", "virtual-machine"]
INSTANCE_TYPES: tuple[InstanceType, ...] = get_args(InstanceType)
InstanceStatus = Annotated[  # shared/api/status_code.go; Unknown: set by sigsrv
    str, Values(("Running", "Ready", "Stopped", "Frozen", "Error", "Starting", "Stopping", "Unknown"), may_grow=True)
]
NetworkType = Annotated[
    str,
    Values(("bridge", "macvlan", "sriov", "ovn", "physical", "bond", "vlan", "loopback", "unknown"), may_grow=True),
]
NetworkStatus = Annotated[str, Values(("Created", "Pending", "Errored", "Unknown", "Unavailable", ""))]


@dataclass(frozen=True)
class Project:
    """A project of Incus."""

    name: str
    """The project's name."""
    config: ProjectConfig
    """The configuration, with its booleans filled in as ``true`` or ``false``."""

    @property
    def allows_root_uid(self) -> bool:
        """Return whether instances may map the user id 0 of the host. Raises EvidenceError if the ranges are malformed."""
        return any(first == 0 for first, _ in ranges(self.config.get("restricted.idmap.uid", "")))

    @property
    def allows_root_gid(self) -> bool:
        """Return whether instances may map the group id 0 of the host. Raises EvidenceError if the ranges are malformed."""
        return any(first == 0 for first, _ in ranges(self.config.get("restricted.idmap.gid", "")))

    @property
    def limits(self) -> frozenset[str]:
        """Return the keys ``limits.*`` that limit something, with those in ``unread_limits``. A value below 0 is no limit."""
        limits = {key: value for key, value in self.config.items() if key.startswith("limits.") and value}
        return frozenset(key for key, value in limits.items() if not value.startswith("-") and _amount(value) != 0)

    @property
    def unread_limits(self) -> tuple[str, ...]:
        """Return the keys ``limits.*`` whose value is neither a number nor a size. Incus accepts no such value."""
        limits = {key: value for key, value in self.config.items() if key.startswith("limits.") and value}
        return tuple(sorted(k for k, value in limits.items() if not value.startswith("-") and _amount(value) is None))

    @property
    def limited_pools(self) -> frozenset[str]:
        """Return the storage pools whose use by the project has a limit of its own."""
        prefix = "limits.disk.pool."
        return frozenset(
            key.removeprefix(prefix)
            for key, value in self.config.items()
            if key.startswith(prefix) and value and not value.startswith("-")
        )

    @property
    def disk_paths(self) -> tuple[str, ...]:
        """Return the paths of the host that disks may use if disks of the host are allowed; empty for all paths."""
        paths = split_list(self.config.get("restricted.devices.disk.paths"))
        limited = all(path.startswith("/") and posixpath.normpath(path).strip("/") for path in paths)
        return paths if limited else ()


def _amount(value: str) -> int | None:
    """Return a number or a size; None if it is neither."""
    try:
        return size_bytes(value)
    except ValueError:
        return None


@dataclass(frozen=True)
class Profile:
    """A profile of a project."""

    name: str
    """The profile's name."""
    project: str
    """The project that has the profile."""
    config: InstanceConfig
    """The configuration keys, as written."""
    devices: Mapping[str, Device]
    """The devices by name, each with its keys as written."""


@dataclass(frozen=True)
class InstanceUsage:
    """What a container uses of its host, as its member reported it."""

    memory_bytes: int
    """The most memory in bytes since the container started; the memory now if the kernel counts no maximum."""
    processes: int
    """The number of processes."""


@dataclass(frozen=True)
class Instance:
    """An instance of any project."""

    name: str
    """The instance's name."""
    project: str
    """The instance's project."""
    location: str
    """The member that the instance is on; ``none`` on a server in no cluster."""
    type: InstanceType
    """``container`` or ``virtual-machine``."""
    status: InstanceStatus
    """``Running``, ``Ready`` (reported by the guest), ``Stopped``, ``Frozen``, ``Error`` (its member did not answer), ``Unknown`` ..."""
    config: InstanceConfig
    """The instance's own configuration keys, as written, without those of its profiles."""
    expanded_config: ExpandedConfig
    """The configuration with that of the profiles, and its booleans filled in as ``true`` or ``false``."""
    expanded_devices: Mapping[str, ExpandedDevice]
    """The devices by name, with those of the profiles, and their booleans filled in as ``true`` or ``false``."""
    devices: Mapping[str, Device]
    """The instance's own devices by name, as written, without those of its profiles."""
    profiles: tuple[str, ...]
    """The names of the profiles, in the order in which Incus applies them: a later one wins."""
    snapshots: tuple[float | None, ...] | None
    """When each snapshot was taken, in seconds since the epoch (None: unknown to Incus); None if the answer has no snapshots."""
    usage: InstanceUsage | None
    """The memory and processes of a container; None for a virtual machine, or if its member did not report them."""
    addresses: Mapping[str, tuple[str, ...]]
    """The IPv4 addresses inside the guest, by MAC address in lower case (loopback: empty); empty if its member reported none."""

    @cached_property
    def resource(self) -> str:
        """Return the instance's name in findings: ``PROJECT/NAME``."""
        return f"{self.project}/{self.name}"

    @property
    def may_run(self) -> bool:
        """Return whether the instance may have processes: its status is any other than ``Stopped``."""
        return self.status != "Stopped"

    @property
    def is_unmapped(self) -> bool:
        """Return whether the processes of a container have no id map: root in the container is root on the host.

        Raises EvidenceError if there is no id map and the status does not show whether the container has processes.
        """
        if not self.may_run or self.config.get("volatile.idmap.current", "") not in MAPS_NOTHING:
            return False
        if self.status in UNKNOWN_STATUS:
            reason = f"the status is {self.status}, which does not show whether the container runs privileged"
            raise EvidenceError(reason)
        return True

    @property
    def needs_cold_start(self) -> bool:
        """Return whether the firmware settings of a virtual machine changed while it ran. They take effect at its next cold start."""
        return self.may_run and is_true(self.config.get("volatile.apply_nvram", ""))

    @property
    def has_own_firmware(self) -> bool:
        """Return whether a virtual machine was created with keys for Secure Boot or with firmware variables of its own."""
        return any(key.startswith(("initial.secureboot.", "initial.nvram")) for key in self.expanded_config)

    @property
    def image_says_secure_boot(self) -> bool:
        """Return whether the image of a virtual machine says that it can boot with Secure Boot. False if it says nothing, as an own ISO."""
        return is_true(self.expanded_config.get("image.requirements.secureboot", ""))

    @property
    def image_allows_secure_boot(self) -> bool:
        """Return whether the image of a virtual machine can boot with Secure Boot, as the image itself says. True if it says nothing."""
        return self.expanded_config.get("image.requirements.secureboot", "").lower() not in FALSE


@dataclass(frozen=True)
class UnreadInstance:
    """An instance of which only the name is known."""

    name: str
    """The instance's name."""
    project: str
    """The instance's project."""
    location: str
    """The member that the instance is on."""
    reason: str = ""
    """Why its row could not be read; empty if its member did not answer the daemon that listed it."""

    @property
    def resource(self) -> str:
        """Return the instance's name in findings: ``PROJECT/NAME``."""
        return f"{self.project}/{self.name}"


@dataclass(frozen=True)
class Network:
    """A network, as the cluster or as one member has it."""

    name: str
    """The network's name."""
    managed: bool
    """Whether Incus manages the network; false for a link of the host that Incus only lists."""
    type: NetworkType
    """The type of network, for example ``bridge`` or ``physical``."""
    status: NetworkStatus
    """``Created``, ``Pending``, ``Errored``, ``Unknown`` or ``Unavailable``; empty for an unmanaged network."""
    locations: tuple[str, ...]
    """The members that have the network; empty for an unmanaged network."""
    config: NetworkConfig
    """The configuration; for a managed bridge with its booleans filled in as ``true`` or ``false``."""


@dataclass(frozen=True)
class NetworkAcl:
    """A network ACL."""

    name: str
    """The ACL's name."""
    project: str
    """The project that has the ACL."""
    rules: tuple[AclRule, ...]
    """The rules of both directions, also the disabled ones. Their order has no meaning."""

    @property
    def enabled(self) -> int:
        """Return how many rules take effect."""
        return sum(rule.takes_effect for rule in self.rules)

    @property
    def disabled(self) -> int:
        """Return how many rules are disabled."""
        return len(self.rules) - self.enabled


def config_of(value: Any, what: str) -> Config:
    """Read a configuration or a device. Incus writes all values as text. A client without access gets ``null``: ValueError."""
    return strings(value, what)


def devices_of(value: Any, what: str) -> dict[str, Config]:
    """Read devices, by name."""
    return {str(name): config_of(device, f"{what} {name}") for name, device in mapping(value, what).items()}


def project(row: Mapping[str, Any]) -> Project:
    """Read a project from its row, with its booleans filled in. Raises as ``instance``."""
    name = text(row["name"], "name")
    return Project(name, normalised(mapping(row["config"], name), PROJECT_BOOLEANS, f"project {name}"))


def network(row: Mapping[str, Any]) -> Network:
    """Read a network from its row in the list, or in one member's answer."""
    name = text(row["name"], "name")
    if not isinstance(row["managed"], bool):
        raise ValueError(f"network {name}: managed: not a boolean")
    status = text(row["status"], "status") if row["managed"] else ""
    locations = locations_of(row, f"network {name}") if row["managed"] else ()
    kind = text(row["type"], "type")
    config = config_of(row["config"], f"network {name}: config")
    if row["managed"] and kind == "bridge":
        config = filled_in(config, NETWORK_BOOLEANS, f"network {name}")
    return Network(name, row["managed"], kind, status, locations, config)


def locations_of(row: Mapping[str, Any], what: str) -> tuple[str, ...]:
    """Read the members that have a resource. A daemon in no cluster may answer ``null``."""
    return texts(row["locations"], f"{what}: locations")


def network_acl(row: Mapping[str, Any]) -> NetworkAcl:
    """Read an ACL from its row. Source: Incus, shared/api/network_acl.go."""
    name = text(row["name"], "name")
    rules = tuple(
        acl_rule(each, way, f"ACL {name}") for way in DIRECTIONS for each in rows(row[way], f"ACL {name}: {way}")
    )
    return NetworkAcl(name, text(row["project"], f"ACL {name}: project"), rules)
