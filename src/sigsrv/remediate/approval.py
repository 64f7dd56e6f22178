"""Says whether a second person has approved a plan. The approval is for the hash of exactly this plan, and is valid for some hours.

The hash covers all that the plan shows: steps in their order, both scripts of each, the hosts and objects that they change, and the facts
that they stand on, that is each finding with what was observed and the values that the declared changes replace.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import datetime

from sigsrv.model.finding import timestamp
from sigsrv.model.site import Site
from sigsrv.remediate.journal_rows import Approval
from sigsrv.remediate.persons import Person
from sigsrv.remediate.plan_json import as_dict
from sigsrv.remediate.planning import FixPlan

_HASHED = ("steps", "in_all", "verify_with")
_AHEAD_S = 60.0  # an approval may be this much in the future: two processes read the clock

HashOf = Callable[[FixPlan], str]


def plan_hash(fix_plan: FixPlan, confirm_s: float, site: Site) -> str:
    """Return the SHA-256 of a plan, in hexadecimal digits. Its steps have the values that they replace (``present.with_values``)."""
    content = as_dict(fix_plan, confirm_s, site.verify_with)
    hashed = {"site": site.name, **{key: content[key] for key in _HASHED}}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode(errors="surrogatepass")).hexdigest()


def is_needed(fix_plan: FixPlan, site: Site) -> bool:
    """Report whether the site file wants a second person to approve the plan."""
    return site.maintenance.needs_approval({step.fix.disruption for step in fix_plan.steps})


def valid(approvals: Iterable[Approval], plan: str, site: Site, person: Person, now: datetime) -> Approval | None:
    """Return the newest valid approval of a plan by another person; None if there is none. person: who is about to run it."""
    oldest = now.timestamp() - site.maintenance.approval_hours * 3600
    found = [
        each
        for each in approvals
        if (each.plan, each.site) == (plan, site.name)
        and oldest <= each.at <= now.timestamp() + _AHEAD_S
        and Person(each.who, each.uid, each.login_uid).is_other(person)
    ]
    return max(found, key=lambda each: each.at, default=None)


def why_not(approvals: Iterable[Approval], plan: str, site: Site, person: Person) -> str:
    """Return why no approval of a plan is valid."""
    hours = f"{site.maintenance.approval_hours:g} h"
    own = [each for each in approvals if (each.plan, each.site) == (plan, site.name)]
    if not own:
        return (
            f"the plan needs the approval of a second person, not older than {hours}; there is none of plan {plan[:16]}"
        )
    latest = max(own, key=lambda each: each.at)
    if not Person(latest.who, latest.uid, latest.login_uid).is_other(person):
        return f"plan {plan[:16]} was approved by {latest.who}, who may be you: another person must approve it"
    return f"the approval of plan {plan[:16]} by {latest.who} is of {timestamp(latest.at)}, older than {hours}"
