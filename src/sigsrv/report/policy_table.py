"""The catalogue as a terminal table, and as data for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from sigsrv.model.finding import Severity
from sigsrv.model.policy import Policy
from sigsrv.report import phrases

# The families in display order, with their subjects. A site's own families follow them.
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
    """Group policies by family: families in display order, policies by id."""
    places = {family: place for place, family in enumerate(FAMILIES)}
    ordered = sorted(policies, key=lambda each: (places.get(each.family, len(places)), each.family, each.id))
    return [(family, list(members)) for family, members in groupby(ordered, key=lambda each: each.family)]


def family_label(family: str) -> str:
    """Return a family with its subject: ``net: bridges and VLANs``."""
    return f"{family}: {FAMILIES[family]}" if family in FAMILIES else family


def styled(text: str, code: str, color: bool) -> str:
    """Wrap a text in an SGR code (ECMA-48); unchanged if ``color`` is false."""
    return f"\x1b[{code}m{text}\x1b[0m" if color else text


def table(policies: Sequence[Policy], width: int = 80, color: bool = False) -> str:
    """Return the table of policies, by family: id, severity, title, and whether a script fixes it. width: columns."""
    column = max((len(each.id) for each in policies), default=0)
    room = max(width - column - 20, 20)
    lines = [styled(f"{'id':<{column}}  severity  {'title':<{room}}  fix", _DIM, color)]
    for family, members in by_family(policies):
        lines += ["", styled(f"{family_label(family)} ({len(members)})", BOLD, color)]
        for each in members:
            first, *rest = textwrap.wrap(phrases.visible(each.title), room) or [""]
            fixed = "script" if each.remediation else ""
            severity = styled(f"{each.severity.value:<8}", _COLORS[each.severity], color)
            lines.append(f"{each.id:<{column}}  {severity}  {first:<{room}}  {fixed}".rstrip())
            lines += [f"{'':<{column + 12}}{line}" for line in rest]
    return "\n".join([*lines, "", *textwrap.wrap(_counts(policies), width)]) + "\n"


def _counts(policies: Sequence[Policy]) -> str:
    severities = [(severity, sum(each.severity is severity for each in policies)) for severity in Severity]
    numbers = ", ".join(f"{number} {severity.value}" for severity, number in severities if number)
    scripted = sum(each.remediation is not None for each in policies)
    return f"{phrases.count(len(policies), 'policy', 'policies')}: {numbers}; a script fixes {scripted}"


def as_dict(policy: Policy) -> dict[str, Any]:
    """Return one entry of ``sigsrv policies list --format json``."""
    return {
        "id": policy.id,
        "title": policy.title,
        "severity": policy.severity.value,
        "family": policy.family,
        "examines": policy.examines,
        "scope": "host" if policy.on_hosts else "cluster",
        "decided_by": policy.decided_by,
        "why": policy.why,
        "traps": policy.traps,
        "remediation": policy.remediation,
        "by_hand": policy.by_hand or None,
        "why_by_hand": policy.why_by_hand or None,
        "controls": {name: list(ids) for name, ids in policy.controls.items()},
        "source": list(policy.source),
    }
