"""Hosts -> evidence -> facts -> findings -> run.

A scan changes nothing on a host, except the temporary namespaces of ``--probe``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sigsrv import __version__
from sigsrv.collect import urls
from sigsrv.collect.evidence import Evidence
from sigsrv.collect.probes import select
from sigsrv.facts.unanswered import REFUSED, unanswered
from sigsrv.model import waiver
from sigsrv.model.finding import Finding, HostState, LeftOut, Run, WaiverUse, ordered, timestamp
from sigsrv.model.ids import new_run_id
from sigsrv.scan.collecting import collect, probe_options
from sigsrv.scan.judging import evidence_time, facts_of, judge, selected
from sigsrv.scan.notices import notices_of
from sigsrv.scan.options import DEMO
from sigsrv.scan.plan import Plan

_MAX_LISTED = 6  # missing probes that a host's reason lists, at most


def _review(plan: Plan, evidences: Mapping[str, Evidence], judged: Sequence[Finding]) -> tuple[WaiverUse, ...]:
    left_out = {host.name for host in plan.site.hosts} - {host.name for host in plan.hosts}
    return waiver.review(plan.waivers, judged, evidence_time(evidences), policies=plan.policies, left_out=left_out)


def run_of(
    plan: Plan,
    evidences: Mapping[str, Evidence],
    findings: Sequence[Finding],
    started: float,
    judged: Sequence[Finding],
    left_out: Sequence[LeftOut] = (),
) -> Run:
    """Return the run of some findings.

    started: seconds since the epoch. judged: all findings, also those outside the selection. left_out: what the policies do not concern;
    the run has that of the selected ones.
    A run of saved evidence has the time of the evidence, because that is when the hosts were in this state.
    """
    began, ended = started, time.time()
    if plan.options.evidence:
        began = min(seen.collected for seen in evidences.values())
        ended = max(seen.collected + seen.seconds for seen in evidences.values())
    return Run(
        id=new_run_id(started),
        started=timestamp(began),
        finished=timestamp(ended),
        version=__version__,
        site=plan.site.name,
        hosts=tuple(_state(plan, evidences[host.name]) for host in plan.hosts),
        findings=ordered(findings),
        selected=part_text(plan, plan.selection.text),
        site_file=str(plan.site.path.absolute()) if plan.site.path else "",
        evidence=_evidence(plan),
        waivers=_review(plan, evidences, judged),
        left_out=tuple(each for each in left_out if each.policy in plan.selection.policies),
        notices=notices_of(facts_of(plan, evidences), judged),
    )


def part_text(plan: Plan, policies: str) -> str:
    """Return which part of the policies and of the hosts a run has; "" if all. policies: describes the part of the policies."""
    scanned, every = len(plan.hosts), len(plan.site.hosts)
    names = ", ".join(host.name for host in plan.hosts)
    return ", ".join(
        part for part in (policies, f"{scanned} of {every} hosts ({names})" if scanned < every else "") if part
    )


def _evidence(plan: Plan) -> str:
    given = plan.options.evidence or ""
    return str(Path(given).absolute()) if given and given != DEMO else given


def _missing_evidence(plan: Plan, collected: Evidence) -> list[str]:
    """Return the probes and URLs that a scan needs today and that the saved evidence of a host lacks."""
    probes = [
        probe.id for probe in select(probe_options(plan.site, collected.host)) if probe.id not in collected.probes
    ]
    return [*probes, *(address for address in (urls.SERVER, *urls.WANTED) if address not in collected.api)]


def _state(plan: Plan, collected: Evidence) -> HostState:
    unread = unanswered(collected)
    failed = tuple(dict.fromkeys(each.name for each in unread))
    missing = _missing_evidence(plan, collected)
    state = "unreachable" if collected.failure else "ok"
    if unread:
        state = "limited" if all(each.kind == REFUSED for each in unread) else "partial"
    more = f" and {len(missing) - _MAX_LISTED} more" if len(missing) > _MAX_LISTED else ""
    reason = f"this evidence lacks {', '.join(missing[:_MAX_LISTED])}{more}" if missing else ""
    reason = collected.failure.reason if collected.failure else reason
    asked = len(collected.probes) + len(collected.api)
    return HostState(collected.host, state, collected.seconds, asked, failed, reason)


def scan(plan: Plan) -> tuple[Run, dict[str, Evidence]]:
    """Collect and judge; return the run and the evidence behind it."""
    started = time.time()
    evidences = collect(plan)
    left_out: list[LeftOut] = []
    judged = judge(plan, evidences, left_out)
    return run_of(plan, evidences, selected(plan, evidences, judged), started, judged, left_out), evidences
