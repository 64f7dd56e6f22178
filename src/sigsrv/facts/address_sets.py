"""Address sets: named lists of addresses, which ACL rules name as ``$NAME``.

Source: Incus REST API, doc/rest-api.yaml (NetworkAddressSet); doc/howto/network_address_sets.md. Incus 6.0 has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sigsrv.facts.acl_rule import AclRule, NamedAddresses
from sigsrv.facts.parsing import text, texts
from sigsrv.facts.resources import NetworkAcl

Sets = Mapping[tuple[str, str], str]
"""Project and name of each set -> its addresses, as a comma-separated list."""


def address_set(row: Mapping[str, Any]) -> tuple[tuple[str, str], str]:
    """Read an address set from its row. Raises KeyError or ValueError if a key is missing or has another type."""
    name = text(row["name"], "name")
    project = text(row["project"], f"address set {name}: project")
    return (project, name), ",".join(texts(row["addresses"], f"address set {name}: addresses"))


def with_sets(acl: NetworkAcl, sets: Sets) -> NetworkAcl:
    """Return an ACL whose rules know the addresses of the sets that they name: those of the ACL's own project."""
    return replace(acl, rules=tuple(_with_sets(rule, acl.project, sets) for rule in acl.rules))


def _with_sets(rule: AclRule, project: str, sets: Sets) -> AclRule:
    known = [(name, (project, name.removeprefix("$"))) for name in rule.set_names]
    return (
        replace(rule, sets=tuple(NamedAddresses(name, sets[key]) for name, key in known if key in sets))
        if known
        else rule
    )
