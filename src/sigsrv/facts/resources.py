"""What Incus has, each kind from its row in an answer: instances, networks, ACLs, pools.

Values of configuration are normalised as Incus parses them. A function that takes a row raises KeyError, TypeError or ValueError
where something is missing or of another shape; ``incus`` makes that an EvidenceError. Source: Incus REST API, doc/rest-api.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.facts.config import DEVICE_BOOLEANS, INSTANCE_BOOLEANS, NETWORK_BOOLEANS, PROJECT_BOOLEANS, normalised
from sigsrv.facts.parsing import mapping, moment, rows, string, text, texts

Config = Mapping[str, str]
_WAYS = ("ingress", "egress")
_EFFECTIVE = frozenset({"enabled", "logged"})
_STATES = _EFFECTIVE | {"disabled"}
_ACTIONS = frozenset({"allow", "allow-stateless", "reject", "drop"})


@dataclass(frozen=True)
class Server:
    """The daemon itself. trusted: whether it showed us everything, or a filtered view.

    firewall: what it filters with, ``nftables`` or ``xtables``; zfs: the version of the ZFS that it can use, None where it can use
    none. What it does not say is "".
    """

    trusted: bool
    clustered: bool
    name: str
    version: str
    firewall: str
    kernel: str
    os: str
    os_version: str
    zfs: str | None


@dataclass(frozen=True)
class Project:
    name: str
    config: Config


@dataclass(frozen=True)
class Profile:
    name: str
    project: str
    config: Config
    devices: Mapping[str, Config]


@dataclass(frozen=True)
class InstanceUsage:
    """What an instance uses of its host, as its member saw it."""

    memory_bytes: int  # the most since it was started, where its kernel counts that; else now
    processes: int


@dataclass(frozen=True)
class Instance:
    """An instance of any project. config, devices: its own, as written; expanded_*: with its profiles, booleans filled in.

    snapshots: when each was taken, in seconds since the epoch, None among them where Incus does not know; None in all where
    the answer had no snapshots in it. usage: None of a virtual machine, and where nobody told. addresses: its IPv4 addresses as its
    guest has them, by the MAC of the NIC in lower case; none where nobody told.
    """

    name: str
    project: str
    location: str
    type: str  # container or virtual-machine
    status: str  # Running, Ready (its guest said so), Stopped, Frozen, Error (its member did not answer) ...
    config: Config
    expanded_config: Config
    expanded_devices: Mapping[str, Config]
    devices: Mapping[str, Config]
    profiles: tuple[str, ...]
    snapshots: tuple[float | None, ...] | None
    usage: InstanceUsage | None
    addresses: Mapping[str, tuple[str, ...]]

    @property
    def resource(self) -> str:
        return f"{self.project}/{self.name}"


@dataclass(frozen=True)
class UnreadInstance:
    """An instance that is known by name only: the member that it is on did not answer the daemon that was asked."""

    name: str
    project: str
    location: str

    @property
    def resource(self) -> str:
        return f"{self.project}/{self.name}"


@dataclass(frozen=True)
class Network:
    """A network, of the cluster or as one member has it. locations: the members that have it; of an unmanaged one, none.

    config: of a managed bridge, with its booleans filled in.
    """

    name: str
    managed: bool
    type: str
    status: str  # Created, Pending, Errored, Unknown, Unavailable; "" of an unmanaged one
    locations: tuple[str, ...]
    config: Config


@dataclass(frozen=True)
class AclRule:
    """A rule of an ACL, as written; what is "" is any. state: ``enabled``, ``logged`` (enabled, and told in the log), ``disabled``."""

    direction: str  # ingress or egress
    action: str  # allow, allow-stateless, reject or drop
    state: str
    source: str = ""
    destination: str = ""
    protocol: str = ""
    source_port: str = ""
    destination_port: str = ""
    icmp_type: str = ""
    icmp_code: str = ""

    @property
    def takes_effect(self) -> bool:
        return self.state in _EFFECTIVE

    @property
    def allows(self) -> bool:
        return self.action.startswith("allow")

    @property
    def peer(self) -> str:
        """The other side: where it comes from for ingress, where it goes to for egress."""
        return self.source if self.direction == "ingress" else self.destination

    def __str__(self) -> str:
        words = [self.direction, self.action]
        parts = {"from": self.source, "to": self.destination, "protocol": self.protocol}
        parts |= {"from port": self.source_port, "port": self.destination_port}
        parts |= {"type": self.icmp_type, "code": self.icmp_code}
        return " ".join([*words, *(f"{name} {value}" for name, value in parts.items() if value)])


@dataclass(frozen=True)
class NetworkAcl:
    """An ACL. rules: those of both directions, the disabled ones too. Their order means nothing."""

    name: str
    project: str
    rules: tuple[AclRule, ...]

    @property
    def enabled(self) -> int:
        """How many rules take effect."""
        return sum(rule.takes_effect for rule in self.rules)

    @property
    def disabled(self) -> int:
        return len(self.rules) - self.enabled


@dataclass(frozen=True)
class Pool:
    """A storage pool, of the cluster or as one member has it. locations: the members that have it."""

    name: str
    driver: str
    status: str
    locations: tuple[str, ...]
    config: Config


@dataclass(frozen=True)
class Space:
    """What a storage pool holds of one kind: bytes, or inodes. total is 0 where the kind does not exist."""

    total: int
    used: int

    @property
    def free(self) -> int:
        return self.total - self.used


@dataclass(frozen=True)
class PoolResources:
    """What is used and free of a pool on one member. space: bytes; inodes: their number, none on zfs and btrfs."""

    space: Space
    inodes: Space


def config_of(value: Any, what: str) -> dict[str, str]:
    """A configuration, or a device. Incus writes all values as text. What may not see it is shown ``null`` instead."""
    return {key: string(item, f"{what}: {key}") for key, item in mapping(value, what).items()}


def devices_of(value: Any, what: str) -> dict[str, dict[str, str]]:
    """Devices by name."""
    return {str(name): config_of(device, f"{what} {name}") for name, device in mapping(value, what).items()}


def instance(row: Mapping[str, Any]) -> Instance | UnreadInstance:
    """An instance from its row. Raises also EvidenceError, where a boolean is none.

    Of a member that is away Incus lists the instances with status Error and ``null`` for all of their configuration.
    """
    name = text(row["name"], "name")
    where = f"instance {row['project']}/{name}"
    if row["config"] is None and row["status"] == "Error":
        return UnreadInstance(
            name, text(row["project"], f"{where}: project"), text(row["location"], f"{where}: location")
        )
    return Instance(
        name=name,
        project=text(row["project"], f"{where}: project"),
        location=text(row["location"], f"{where}: location"),  # none, where there is no cluster
        type=text(row["type"], f"{where}: type"),
        status=text(row["status"], f"{where}: status"),
        config=config_of(row["config"], f"{where}: config"),
        expanded_config=normalised(
            mapping(row["expanded_config"], f"{where}: expanded_config"), INSTANCE_BOOLEANS, where
        ),
        expanded_devices={
            device: normalised(keys, DEVICE_BOOLEANS.get(keys.get("type", ""), {}), f"{where}: device {device}")
            for device, keys in devices_of(row["expanded_devices"], f"{where}: expanded_devices").items()
        },
        devices=devices_of(row["devices"], f"{where}: devices"),
        profiles=texts(row["profiles"], f"{where}: profiles"),
        snapshots=_snapshots(row, where),
        usage=_usage(row, f"{where}: state"),
        addresses=_addresses(row, f"{where}: state"),
    )


def _snapshots(row: Mapping[str, Any], where: str) -> tuple[float | None, ...] | None:
    """When each snapshot of an instance was taken. Incus writes ``null`` for none; only ``recursion=2`` tells of them."""
    if "snapshots" not in row:
        return None
    listed = rows(row["snapshots"] or [], f"{where}: snapshots")
    return tuple(moment(each["created_at"], f"{where}: a snapshot's created_at") for each in listed)


def _usage(row: Mapping[str, Any], what: str) -> InstanceUsage | None:
    """What a container used when it was looked at: only ``recursion=2`` tells, and not of a member that is away."""
    if row["type"] != "container" or row.get("state") is None:
        return None
    state = mapping(row["state"], what)
    memory = mapping(state["memory"], f"{what}: memory")
    numbers = (memory.get("usage", 0), memory.get("usage_peak", 0), state["processes"])
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int):
            raise ValueError(f"{what}: {number!r} is no count")
    return None if min(numbers) < 0 else InstanceUsage(max(numbers[:2]), numbers[2])  # -1: its cgroup did not tell


def _addresses(row: Mapping[str, Any], what: str) -> dict[str, tuple[str, ...]]:
    """The IPv4 addresses of an instance that runs, by MAC. Only ``recursion=2`` tells; ``null`` of one that is stopped."""
    state = mapping(row.get("state") or {}, what)
    found = {}
    for name, link in mapping(state.get("network") or {}, f"{what}: network").items():
        listed = rows(mapping(link, f"{what}: {name}")["addresses"], f"{what}: {name}: addresses")
        own = tuple(text(each["address"], f"{what}: {name}") for each in listed if each["family"] == "inet")
        found[string(link["hwaddr"], f"{what}: {name}: hwaddr").lower()] = own
    return found


def project(row: Mapping[str, Any]) -> Project:
    """A project from its row; its booleans are filled in. Raises as ``instance``."""
    name = text(row["name"], "name")
    return Project(name, normalised(mapping(row["config"], name), PROJECT_BOOLEANS, f"project {name}"))


def network(row: Mapping[str, Any]) -> Network:
    """A network from its row, of the list or of one member."""
    name = text(row["name"], "name")
    if not isinstance(row["managed"], bool):
        raise ValueError(f"network {name}: managed: not a boolean")
    status = text(row["status"], "status") if row["managed"] else ""
    locations = _locations(row, f"network {name}") if row["managed"] else ()
    kind = text(row["type"], "type")
    config = config_of(row["config"], f"network {name}: config")
    if row["managed"] and kind == "bridge":
        config = normalised(config, NETWORK_BOOLEANS, f"network {name}")
    return Network(name, row["managed"], kind, status, locations, config)


def _locations(row: Mapping[str, Any], what: str) -> tuple[str, ...]:
    """The members that have something. A daemon that is in no cluster may answer ``null``."""
    return texts(row["locations"], f"{what}: locations")


def network_acl(row: Mapping[str, Any]) -> NetworkAcl:
    """An ACL from its row. Source: Incus, shared/api/network_acl.go."""
    name = text(row["name"], "name")
    rules = tuple(_acl_rule(each, way, f"ACL {name}") for way in _WAYS for each in rows(row[way], f"ACL {name}: {way}"))
    return NetworkAcl(name, text(row["project"], f"ACL {name}: project"), rules)


def _acl_rule(row: Mapping[str, Any], direction: str, where: str) -> AclRule:
    """A rule from its row. Incus leaves out what is empty; what this does not know would narrow the rule, or widen it."""
    rule = AclRule(
        direction,
        text(row["action"], f"{where}: action"),
        text(row["state"], f"{where}: state"),
        **{
            key: string(value, f"{where}: {key}").strip()
            for key, value in row.items()
            if key not in ("action", "state", "description")
        },
    )
    if rule.state not in _STATES or rule.action not in _ACTIONS:
        raise ValueError(f"{where}: {rule.state!r} is no state, or {rule.action!r} no action of a rule")
    return rule


def space(value: Any, what: str) -> Space:
    """What a pool holds of one kind. ``used`` is left out of the answer where it is 0."""
    row = mapping(value, what)
    total, used = row["total"], row.get("used", 0)
    for number in (total, used):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ValueError(f"{what}: {number!r} is no count")
    if used > total:
        raise ValueError(f"{what}: {used} used of {total}")
    return Space(total, used)


def pool(row: Mapping[str, Any]) -> Pool:
    """A pool from its row, of the list or of one member."""
    name = text(row["name"], "name")
    driver, status = text(row["driver"], "driver"), text(row["status"], "status")
    return Pool(name, driver, status, _locations(row, f"pool {name}"), config_of(row["config"], f"pool {name}: config"))
