"""Evidence -> findings: evaluate all policies, then apply waivers, then select."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.clusters import clusters
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.limits import watching
from sigsrv.judge import selecting
from sigsrv.judge.evaluate import evaluate, with_roots_checked
from sigsrv.model import waiver
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import Finding, LeftOut, Verdict, ordered
from sigsrv.model.managed import Manager
from sigsrv.scan.known import KnownObjects
from sigsrv.scan.plan import Plan


def facts_of(plan: Plan, evidences: Mapping[str, Evidence]) -> dict[str, HostFacts]:
    """Return the facts of the hosts of a plan, in the order of the site."""
    return {host.name: HostFacts(host.name, host.member, evidences[host.name]) for host in plan.hosts}


def judge(plan: Plan, evidences: Mapping[str, Evidence], left_out: list[LeftOut] | None = None) -> tuple[Finding, ...]:
    """Return the findings of all policies, with waivers applied. left_out: gets what the policies do not concern.

    The selection has no effect here, so verifying a fix always covers all policies.
    """
    with _garbage_collector_paused():
        facts = facts_of(plan, evidences)
        found = evaluate(plan.policies.values(), plan.checks, plan.site, facts, left_out)
        return with_known(waive(plan, evidences, found), facts, plan.site.managed_by)


def with_known(
    findings: Iterable[Finding], facts: Mapping[str, HostFacts], managers: Sequence[Manager] = ()
) -> tuple[Finding, ...]:
    """Give each finding that a script can fix what was read of its cluster: its permanent fix must keep what an object has.

    managers: who manages what, for whether the fix lasts.
    """
    known: dict[str, KnownObjects] = {}
    for cluster in clusters(facts):
        known |= dict.fromkeys((cluster.name, *cluster.hosts), KnownObjects(cluster, managers))
    return tuple(
        dataclasses.replace(each, known=known.get(each.host))
        if each.remediation and each.verdict in (Verdict.FAIL, Verdict.WAIVED)
        else each
        for each in findings
    )


@contextmanager
def _garbage_collector_paused() -> Iterator[None]:
    """Pause Python's collector of cyclic garbage.

    An evaluation makes many objects, which stay, and no cycles. The collector would look at all of them again and again: a third of the
    time for 10,000 instances.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def waive(plan: Plan, evidences: Mapping[str, Evidence], findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Mark findings as ``waived`` if a waiver of the plan accepts them at the time of the evidence.

    A waived finding excuses no other one: what it was the root of is checked again, and may be waived by itself.
    """
    if not plan.waivers:
        return tuple(findings)
    at = evidence_time(evidences)
    found = ordered(waiver.apply(findings, plan.waivers, at))
    while (checked := with_roots_checked(found)) != found:
        found = tuple(
            new if new == old else waiver.apply([new], plan.waivers, at)[0]
            for old, new in zip(found, checked, strict=True)
        )
    return found


def evidence_time(evidences: Mapping[str, Evidence]) -> float:
    """Return when the newest evidence was collected, in seconds since the epoch."""
    return max(each.collected for each in evidences.values())


def selected(plan: Plan, evidences: Mapping[str, Evidence], findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the selected findings. Raises UsageError if ``--project`` matches no project."""
    return selecting.select(plan.selection, findings, plan.policies, _projects(plan, evidences))


@watching()
def _projects(plan: Plan, evidences: Mapping[str, Evidence]) -> set[str] | None:
    """Return the names of all projects; None if they could not be read."""
    names: set[str] = set()
    for cluster in clusters(facts_of(plan, evidences)):
        try:
            names |= {project.name for project in cluster.incus.projects}
        except EvidenceError:
            return None
    return names
