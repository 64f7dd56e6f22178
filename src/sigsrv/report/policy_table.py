"""The catalogue as a table for the terminal, and as data for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from sigsrv.model.finding import Severity
from sigsrv.model.policy import Policy
from sigsrv.report import phrases

# What the families are about, in the order in which they are shown; a site's own families follow.
FAMILIES: Mapping[str, str] = {
    "host": "hosts",
    "clus": "the cluster",
    "net": "bridges and VLANs",
    "xhost": "what must be the same on every host",
    "acl": "network ACLs and isolation",
    "auth": "access to Incus",
    "proj": "projects",
    "inst": "instances",
    "img": "images",
    "pool": "storage pools",
    "vol": "volumes, snapshots and backups",
}
_COLORS = {Severity.CRITICAL: "1;31", Severity.HIGH: "31", Severity.MEDIUM: "33", Severity.LOW: "36"}


BOLD, _DIM = "1", "2"


def by_family(policies: Iterable[Policy]) -> list[tuple[str, list[Policy]]]:
    """The policies of each family, families in their order, policies by id."""
    places = {family: place for place, family in enumerate(FAMILIES)}
    ordered = sorted(policies, key=lambda each: (places.get(each.family, len(places)), each.family, each.id))
    return [(family, list(members)) for family, members in groupby(ordered, key=lambda each: each.family)]


def about(family: str) -> str:
    """A family with what it is about: ``net: bridges and VLANs``."""
    return f"{family}: {FAMILIES[family]}" if family in FAMILIES else family


def painted(text: str, code: str, color: bool) -> str:
    """A text in a color or weight of the terminal (ECMA-48, SGR); as it is where there is no color."""
    return f"\x1b[{code}m{text}\x1b[0m" if color else text


def table(policies: Sequence[Policy], width: int = 80, color: bool = False) -> str:
    """A line for each policy, by family: id, severity, what holds, and whether a script puts it right."""
    column = max((len(each.id) for each in policies), default=0)
    room = max(width - column - 20, 20)
    lines = [painted(f"{'id':<{column}}  severity  {'what holds':<{room}}  fix", _DIM, color)]
    for family, members in by_family(policies):
        lines += ["", painted(f"{about(family)} ({len(members)})", BOLD, color)]
        for each in members:
            first, *rest = textwrap.wrap(phrases.visible(each.title), room) or [""]
            fixed = "script" if each.remediation else ""
            severity = painted(f"{each.severity.value:<8}", _COLORS[each.severity], color)
            lines.append(f"{each.id:<{column}}  {severity}  {first:<{room}}  {fixed}".rstrip())
            lines += [f"{'':<{column + 12}}{line}" for line in rest]
    return "\n".join([*lines, "", *textwrap.wrap(_counts(policies), width)]) + "\n"


def _counts(policies: Sequence[Policy]) -> str:
    severities = [(severity, sum(each.severity is severity for each in policies)) for severity in Severity]
    said = ", ".join(f"{number} {severity.value}" for severity, number in severities if number)
    scripted = sum(each.remediation is not None for each in policies)
    return f"{phrases.count(len(policies), 'policy', 'policies')}: {said}; a script puts {scripted} right"


def as_dict(policy: Policy) -> dict[str, Any]:
    """A policy for programs; what ``sigsrv policies list --format json`` prints of each."""
    return {
        "id": policy.id,
        "title": policy.title,
        "severity": policy.severity.value,
        "family": policy.family,
        "examines": policy.examines,
        "scope": "host" if policy.on_hosts else "cluster",
        "decided_by": "check" if policy.rule is None else "rule",
        "why": policy.why,
        "traps": policy.traps,
        "remediation": policy.remediation,
        "by_hand": policy.by_hand or None,
        "controls": {name: list(ids) for name, ids in policy.controls.items()},
        "source": list(policy.source),
    }
