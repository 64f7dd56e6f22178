"""A site's hosts -> evidence -> facts -> findings -> a run. Changes nothing on a host, but for what ``--probe`` makes and takes away."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from sigsrv import __version__
from sigsrv.collect import urls
from sigsrv.collect.evidence import Evidence
from sigsrv.collect.probes import select
from sigsrv.model import waiver
from sigsrv.model.finding import Finding, HostState, Run, WaiverUse, new_run_id, ordered, timestamp
from sigsrv.scan.collecting import collect, wants
from sigsrv.scan.judging import judge, selected, time_of
from sigsrv.scan.plan import Plan

_NAMED = 6  # how many of the probes that evidence lacks are named


def _review(plan: Plan, evidences: Mapping[str, Evidence], judged: Sequence[Finding]) -> tuple[WaiverUse, ...]:
    left_out = {host.name for host in plan.site.hosts} - {host.name for host in plan.hosts}
    return waiver.review(plan.waivers, judged, time_of(evidences), policies=plan.policies, left_out=left_out)


def run_of(
    plan: Plan,
    evidences: Mapping[str, Evidence],
    findings: Sequence[Finding],
    started: float,
    judged: Sequence[Finding],
) -> Run:
    """The run of some findings. started: seconds since the epoch; judged: all that was found, whether it is in the run or not.

    Of saved evidence the run has the evidence's own time: what a reader wants to know is when the hosts were so.
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
        selected=plan.selection.text,
        waivers=_review(plan, evidences, judged),
    )


def _lacking(plan: Plan, collected: Evidence) -> list[str]:
    """What a scan of the site asks a host today, and saved evidence of it does not hold."""
    probes = [probe.id for probe in select(wants(plan.site, collected.host)) if probe.id not in collected.probes]
    return [*probes, *(address for address in (urls.SERVER, *urls.WANTED) if address not in collected.api)]


def _state(plan: Plan, collected: Evidence) -> HostState:
    failed, lacking = collected.failed, _lacking(plan, collected)
    state = "unreachable" if collected.failure else "partial" if failed else "ok"
    more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
    reason = f"this evidence has nothing of {', '.join(lacking[:_NAMED])}{more}" if lacking else ""
    reason = collected.failure.reason if collected.failure else reason
    asked = len(collected.probes) + len(collected.api)
    return HostState(collected.host, state, collected.seconds, asked, failed, reason)


def scan(plan: Plan) -> tuple[Run, dict[str, Evidence]]:
    """Collect and judge: the run and what it stands on."""
    started = time.time()
    evidences = collect(plan)
    judged = judge(plan, evidences)
    return run_of(plan, evidences, selected(plan, evidences, judged), started, judged), evidences
