"""Evidence -> findings: judged by all policies, then waived, then selected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.clusters import clusters
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge import selecting
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import waiver
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import Finding
from sigsrv.scan.plan import Plan


def facts_of(plan: Plan, evidences: Mapping[str, Evidence]) -> dict[str, HostFacts]:
    """The facts of the plan's hosts, in the order of the site."""
    return {host.name: HostFacts(host.name, host.member, evidences[host.name]) for host in plan.hosts}


def judge(plan: Plan, evidences: Mapping[str, Evidence]) -> tuple[Finding, ...]:
    """The findings of all policies, whatever was selected: what is proven of a fix is proven of everything.

    What somebody accepts is ``waived``.
    """
    return waive(plan, evidences, evaluate(plan.policies.values(), plan.checks, plan.site, facts_of(plan, evidences)))


def waive(plan: Plan, evidences: Mapping[str, Evidence], findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings with those ``waived`` that a waiver of the plan accepts at the time of the evidence."""
    return waiver.apply(findings, plan.waivers, time_of(evidences))


def time_of(evidences: Mapping[str, Evidence]) -> float:
    """The time of some evidence, in seconds since the epoch: when the newest of it was collected."""
    return max(each.collected for each in evidences.values())


def selected(plan: Plan, evidences: Mapping[str, Evidence], findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings of what was selected. Raises UsageError where a project was named that there is not."""
    return selecting.select(plan.selection, findings, plan.policies, _projects(plan, evidences))


def _projects(plan: Plan, evidences: Mapping[str, Evidence]) -> set[str] | None:
    """The names of all projects; None where they could not be read."""
    names: set[str] = set()
    for cluster in clusters(facts_of(plan, evidences)):
        try:
            names |= {project.name for project in cluster.incus.projects}
        except EvidenceError:
            return None
    return names
