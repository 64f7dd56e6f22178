"""Reads the instances in the list of one Incus daemon, each from its row.

Only the name, the project and the location of every row are read at once. Source: Incus REST API, doc/rest-api.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sigsrv.facts.config import DEVICE_BOOLEANS, INSTANCE_BOOLEANS, filled_in, normalised
from sigsrv.facts.parsing import mapping, moment, one_of, parsing, rows, string, text, texts
from sigsrv.facts.resources import INSTANCE_TYPES, Instance, InstanceUsage, UnreadInstance, config_of, devices_of
from sigsrv.model import names
from sigsrv.model.errors import EvidenceError


@dataclass(frozen=True)
class InstanceRow:
    """An instance in the list of one daemon. Its row is read when somebody asks for it: of most, the own member's daemon is believed."""

    name: str
    """The instance's name."""
    project: str
    """The instance's project."""
    location: str
    """The member that the instance is on; ``none`` on a server in no cluster."""
    row: Mapping[str, Any]
    """The row as the daemon sent it."""

    @property
    def resource(self) -> str:
        """Return the instance's name in findings: ``PROJECT/NAME``."""
        return f"{self.project}/{self.name}"

    @cached_property
    def read(self) -> Instance | UnreadInstance:
        """Return the instance. A row that can't be read costs only this instance: an UnreadInstance with the reason.

        For a member that does not answer, Incus lists its instances with status Error and ``null`` instead of their configuration.
        """
        if self.row.get("status") == "Error" and self.row.get("config", "missing") is None:
            return UnreadInstance(self.name, self.project, self.location)
        try:
            with parsing("Incus API /1.0/instances", ""):
                if wrong := names.refusal("instance", self.resource):
                    raise ValueError(wrong)
                return _instance(self, f"instance {self.resource}")
        except EvidenceError as cause:
            return UnreadInstance(self.name, self.project, self.location, cause.reason)


def instance_row(row: Mapping[str, Any]) -> InstanceRow:
    """Read what is needed to say which instance a row is about.

    Raises KeyError, TypeError or ValueError if the row does not even have a name, a project and a location: then the list is not to be
    believed.
    """
    name = text(row["name"], "name")
    where = f"instance {row['project']}/{name}"
    return InstanceRow(
        name, text(row["project"], f"{where}: project"), text(row["location"], f"{where}: location"), row
    )


def _instance(listed: InstanceRow, where: str) -> Instance:
    row = listed.row
    if wrong := next(filter(None, map(names.device_refusal, mapping(row["expanded_devices"], "expanded_devices"))), ""):
        raise ValueError(f"{where}: {wrong}")
    return Instance(
        name=listed.name,
        project=listed.project,
        location=listed.location,
        type=one_of(row["type"], INSTANCE_TYPES, f"{where}: type"),
        status=text(row["status"], f"{where}: status"),
        config=config_of(row["config"], f"{where}: config"),
        expanded_config=normalised(
            mapping(row["expanded_config"], f"{where}: expanded_config"), INSTANCE_BOOLEANS, where
        ),
        expanded_devices={
            device: filled_in(keys, DEVICE_BOOLEANS.get(keys.get("type", ""), {}), f"{where}: device {device}")
            for device, keys in devices_of(row["expanded_devices"], f"{where}: expanded_devices").items()
        },
        devices=devices_of(row["devices"], f"{where}: devices"),
        profiles=texts(row["profiles"], f"{where}: profiles"),
        snapshots=_snapshots(row, where),
        usage=_usage(row, f"{where}: state"),
        addresses=_addresses(row, f"{where}: state"),
    )


def _snapshots(row: Mapping[str, Any], where: str) -> tuple[float | None, ...] | None:
    """Read when each snapshot was taken. Incus writes ``null`` if there is none. Only an answer to ``recursion=2`` has them."""
    if "snapshots" not in row:
        return None
    listed = rows(row["snapshots"] or [], f"{where}: snapshots")
    return tuple(moment(each["created_at"], f"{where}: a snapshot's created_at") for each in listed)


def _usage(row: Mapping[str, Any], what: str) -> InstanceUsage | None:
    """Read what a container uses. Only an answer to ``recursion=2`` has it, and only for a member that answers."""
    if row["type"] != "container" or row.get("state") is None:
        return None
    state = mapping(row["state"], what)
    memory = mapping(state["memory"], f"{what}: memory")
    numbers = (memory["usage"], memory.get("usage_peak", 0), state["processes"])
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int):
            raise ValueError(f"{what}: {number!r} is not a count")
    return None if min(numbers) < 0 else InstanceUsage(max(numbers[:2]), numbers[2])  # -1: the cgroup has no value


def _addresses(row: Mapping[str, Any], what: str) -> dict[str, tuple[str, ...]]:
    """Read the IPv4 addresses of a running instance, by MAC address.

    Only an answer to ``recursion=2`` has them; it has ``null`` for a stopped instance.
    """
    state = mapping(row.get("state") or {}, what)
    found = {}
    for name, link in mapping(state.get("network") or {}, f"{what}: network").items():
        listed = rows(mapping(link, f"{what}: {name}")["addresses"], f"{what}: {name}: addresses")
        own = tuple(text(each["address"], f"{what}: {name}") for each in listed if each["family"] == "inet")
        found[string(link["hwaddr"], f"{what}: {name}: hwaddr").lower()] = own
    return found
