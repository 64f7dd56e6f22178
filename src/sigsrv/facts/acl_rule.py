"""A rule of a network ACL.

Source: Incus REST API, doc/rest-api.yaml (NetworkACLRule); shared/api/network_acl.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sigsrv.facts.parsing import one_of, string
from sigsrv.model.values import split_list

Direction = Literal["ingress", "egress"]
Action = Literal["allow", "allow-stateless", "reject", "drop"]
State = Literal["enabled", "logged", "disabled"]
Protocol = Literal["", "tcp", "udp", "icmp4", "icmp6"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
_ACTIONS: tuple[Action, ...] = get_args(Action)
_STATES: tuple[State, ...] = get_args(State)
_PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
_EFFECTIVE = ("enabled", "logged")


@dataclass(frozen=True)
class NamedAddresses:
    """An address set that an ACL rule names."""

    name: str
    """The name as the rule has it: ``$NAME``."""
    addresses: str
    """The addresses, as a comma-separated list; empty for none."""


@dataclass(frozen=True)
class AclRule:
    """A rule of an ACL, as written."""

    direction: Direction
    """``ingress`` or ``egress``, as seen from the instance."""
    action: Action
    """``allow``, ``allow-stateless``, ``reject`` or ``drop``."""
    state: State
    """``enabled``, ``logged`` (enabled, and the host logs each match) or ``disabled``."""
    source: str = ""
    """The sources that match, as a comma-separated list; empty for any."""
    destination: str = ""
    """The destinations that match, as a comma-separated list; empty for any."""
    protocol: Protocol = ""
    """The protocol that matches: ``tcp``, ``udp``, ``icmp4`` or ``icmp6``; empty for any."""
    source_port: str = ""
    """The source ports that match, as a comma-separated list of ports and ranges; empty for any."""
    destination_port: str = ""
    """The destination ports that match, as a comma-separated list of ports and ranges; empty for any."""
    icmp_type: str = ""
    """The ICMP type that matches, as a number; empty for any."""
    icmp_code: str = ""
    """The ICMP code that matches, as a number; empty for any."""

    sets: tuple[NamedAddresses, ...] = ()
    """The address sets that the rule names, with their addresses; without unknown ones."""

    @property
    def set_names(self) -> tuple[str, ...]:
        """Return the names of the address sets that the rule names, each with its ``$``."""
        return tuple(word for word in split_list(f"{self.source},{self.destination}") if word.startswith("$"))

    @property
    def takes_effect(self) -> bool:
        """Return whether the rule is enabled, with or without logging."""
        return self.state in _EFFECTIVE

    @property
    def allows(self) -> bool:
        """Return whether the rule allows matching packets."""
        return self.action.startswith("allow")

    @property
    def peer(self) -> str:
        """Return the other side: the source for ingress, the destination for egress."""
        return self.source if self.direction == "ingress" else self.destination

    def __str__(self) -> str:
        words = [self.direction, self.action]
        parts = {"from": self.source, "to": self.destination, "protocol": self.protocol}
        parts |= {"from port": self.source_port, "port": self.destination_port}
        parts |= {"type": self.icmp_type, "code": self.icmp_code}
        return " ".join([*words, *(f"{name} {value}" for name, value in parts.items() if value)])


def acl_rule(row: Mapping[str, Any], direction: Direction, where: str) -> AclRule:
    """Read a rule from its row. where: the ACL, for messages.

    Incus leaves out empty keys. An unknown key may restrict or widen the rule, so it raises TypeError. Raises KeyError or ValueError
    if a key is missing or has another type.
    """
    written: dict[str, Any] = {
        key: string(value, f"{where}: {key}").strip()
        for key, value in row.items()
        if key not in ("action", "state", "protocol", "description")
    }
    if "sets" in written:  # a field of the record, and no key of a rule
        raise TypeError(f"{where}: sets: an unknown key")
    return AclRule(
        direction,
        one_of(row["action"], _ACTIONS, f"{where}: action"),
        one_of(row["state"], _STATES, f"{where}: state"),
        protocol=one_of(row.get("protocol", ""), _PROTOCOLS, f"{where}: protocol"),
        **written,
    )
