"""The approval of a plan by a second person: ``sigsrv-remediate FINDING ... --approve HASH``, and what a run needs of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sigsrv.commands.remediate_ask import confirmed
from sigsrv.commands.remediate_show import field, refusals, say, when
from sigsrv.commands.terminal import COMPLIANT, FINDINGS
from sigsrv.model.finding import timestamp
from sigsrv.model.site import Site
from sigsrv.remediate import approval, windows
from sigsrv.remediate.hosts import Hosts
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.journal_rows import Approval
from sigsrv.remediate.persons import me
from sigsrv.remediate.planning import FixPlan
from sigsrv.remediate.present import with_values


@dataclass(frozen=True)
class Standing:
    """How a plan stands with its approval.

    plan: its hash. is_needed: whether the site wants an approval. given: the valid one. problem: why none is valid.
    """

    plan: str
    is_needed: bool
    given: Approval | None
    problem: str

    @property
    def reason(self) -> str:
        """Return the approval in words, for the journal; "" if the plan needs none."""
        return f"plan {self.plan[:16]} approved by {self.given.who}" if self.given else ""


def standing(fix_plan: FixPlan, confirm_s: float, site: Site, journal: Journal | None) -> Standing:
    """Return how a plan stands. Its steps have the values that they replace. journal: None if there is none yet."""
    plan = approval.plan_hash(fix_plan, confirm_s, site)
    if not approval.is_needed(fix_plan, site):
        return Standing(plan, False, None, "")
    known = journal.approvals() if journal else []
    given = approval.valid(known, plan, site, me(), windows.now())
    return Standing(plan, True, given, "" if given else approval.why_not(known, plan, site, me()))


def checker(found: Standing | None, hosts: Hosts, confirm_s: float) -> Callable[[FixPlan], bool]:
    """Return whether a plan that is made again is still the one that was approved. found: None if it needs no approval."""

    def is_the_same(now: FixPlan) -> bool:
        if found is None:
            return True
        now = replace(now, steps=with_values(now.steps, hosts.look))
        return approval.plan_hash(now, confirm_s, hosts.site) == found.plan

    return is_the_same


def as_dict(found: Standing | None) -> dict[str, Any]:
    """Return the hash of a plan and its approval as JSON data."""
    if found is None:
        return {}
    given = {"by": found.given.who, "at": timestamp(found.given.at)} if found.given else None
    return {"plan_sha256": found.plan, "approval": {"needed": found.is_needed, "given": given}}


def show(found: Standing) -> None:
    """Show the hash of a plan, and the approval that it has if it needs one."""
    field("plan", found.plan)
    if found.given:
        field("approved", f"by {found.given.who}, {when(found.given.at)}")
    say()


def approve(found: Standing, wanted: str, site: Site, journal: Journal, reason: str, sure: bool) -> int:
    """Ask, and record the approval of the plan that was shown. wanted: the hash on the command line. Returns the exit status."""
    if wanted != found.plan:
        refusals([f"the plan is another one than {wanted[:16]}...: it has the hash {found.plan}. Read it again"])
        return FINDINGS
    if not sure and not confirmed("approve this plan?"):
        say("nothing was approved")
        return FINDINGS
    person = me()
    journal.approve(Approval(time.time(), found.plan, site.name, person.who, person.uid, person.login_uid, reason))
    say(f"approved: plan {found.plan[:16]}, for {site.maintenance.approval_hours:g} h; another person can run it now")
    return COMPLIANT
