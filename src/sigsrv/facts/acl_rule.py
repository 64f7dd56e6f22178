"""A rule of a network ACL.

Source: Incus REST API, doc/rest-api.yaml (NetworkACLRule); shared/api/network_acl.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.facts.parsing import string, text

_EFFECTIVE = frozenset({"enabled", "logged"})
_STATES = _EFFECTIVE | {"disabled"}
_ACTIONS = frozenset({"allow", "allow-stateless", "reject", "drop"})


@dataclass(frozen=True)
class AclRule:
    """A rule of an ACL, as written."""

    direction: str
    """``ingress`` or ``egress``, as seen from the instance."""
    action: str
    """``allow``, ``allow-stateless``, ``reject`` or ``drop``."""
    state: str
    """``enabled``, ``logged`` (enabled, and the host logs each match) or ``disabled``."""
    source: str = ""
    """The sources that match, as a comma-separated list; empty for any."""
    destination: str = ""
    """The destinations that match, as a comma-separated list; empty for any."""
    protocol: str = ""
    """The protocol that matches: ``tcp``, ``udp``, ``icmp4`` or ``icmp6``; empty for any."""
    source_port: str = ""
    """The source ports that match, as a comma-separated list of ports and ranges; empty for any."""
    destination_port: str = ""
    """The destination ports that match, as a comma-separated list of ports and ranges; empty for any."""
    icmp_type: str = ""
    """The ICMP type that matches, as a number; empty for any."""
    icmp_code: str = ""
    """The ICMP code that matches, as a number; empty for any."""

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


def acl_rule(row: Mapping[str, Any], direction: str, where: str) -> AclRule:
    """Read a rule from its row. where: the ACL, for messages.

    Incus leaves out empty keys. An unknown key may restrict or widen the rule, so it raises TypeError. Raises KeyError or ValueError
    if a key is missing or has another type.
    """
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
        raise ValueError(f"{where}: {rule.state!r} is not a state, or {rule.action!r} not an action of a rule")
    return rule
