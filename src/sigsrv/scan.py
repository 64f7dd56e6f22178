"""scan: a site's hosts -> evidence -> facts -> findings -> a run. Changes nothing on a host.

Room: above evaluate, below what is done with findings. pytest, ``sigsrv scan`` and the verification of a fix all go through here.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sigsrv import __version__, data, policy, site
from sigsrv.collect import Evidence, Failure, Target, collect_all, evidence, unreachable
from sigsrv.collect.probes import select
from sigsrv.errors import FailureKind, UsageError
from sigsrv.evaluate import Check, evaluate, load_checks
from sigsrv.facts import HostFacts
from sigsrv.finding import Finding, HostState, Run, ordered
from sigsrv.policy import Policy
from sigsrv.site import Site, SiteHost

DEMO = "demo"


@dataclass(frozen=True)
class Options:
    """What a user may say about a scan; None: what the site says. evidence: a folder, or ``demo`` for the shipped one."""

    hosts: str | None = None
    site: str | None = None
    ssh_config: str | None = None
    identity_file: str | None = None
    sudo: bool = False
    sudo_user: str | None = None
    timeout_s: float | None = None
    evidence: str | None = None


@dataclass(frozen=True)
class Plan:
    """All that a scan needs, read and found in order before the first host is asked."""

    site: Site
    hosts: tuple[SiteHost, ...]
    policies: Mapping[str, Policy]
    checks: Mapping[str, Check]
    options: Options


def prepare(options: Options, checks: Mapping[str, Check] | None = None) -> Plan:
    """Read policies, checks and site. checks: instead of the shipped ones. Raises UsageError; then nothing was scanned."""
    policies = policy.load()
    demo = options.evidence == DEMO
    path = data.DEMO / "site.yaml" if demo and options.site is None else site.find(options.site)
    desired = site.load(path, policies)
    if options.ssh_config and not Path(options.ssh_config).is_file():
        raise UsageError(f"--ssh-config: {options.ssh_config}: no such file")
    found = load_checks(data.folder("checks")) if checks is None else checks
    return Plan(desired, desired.select(options.hosts), policies, found, options)


def target(host: SiteHost, options: Options) -> Target:
    """How a host is reached: what the user says wins over the site file."""
    return Target(
        name=host.name,
        address=host.address,
        ssh_config=options.ssh_config or host.ssh_config,
        identity_file=options.identity_file,
        sudo=options.sudo or host.sudo,
        sudo_user=options.sudo_user,
        timeout_s=options.timeout_s or host.timeout_s,
    )


def collect(plan: Plan) -> dict[str, Evidence]:
    """The evidence of the plan's hosts: from them, or from the folder that was named. Raises UsageError for a folder that is none."""
    if plan.options.evidence:
        folder = data.DEMO / "evidence" if plan.options.evidence == DEMO else Path(plan.options.evidence)
        kept = evidence.load(folder)
        missing = Failure(FailureKind.ABSENT, f"{folder}: no evidence of this host")
        return {host.name: kept.get(host.name) or unreachable(host.name, missing) for host in plan.hosts}
    targets = [(target(host, plan.options), host.member) for host in plan.hosts]
    return collect_all(targets, select(zfs=plan.site.has_zfs))


def facts_of(plan: Plan, evidences: Mapping[str, Evidence]) -> dict[str, HostFacts]:
    """The facts of the plan's hosts, in the order of the site."""
    return {host.name: HostFacts(host.name, host.member, evidences[host.name]) for host in plan.hosts}


def judge(plan: Plan, evidences: Mapping[str, Evidence]) -> tuple[Finding, ...]:
    """The findings of all policies."""
    return evaluate(plan.policies.values(), plan.checks, plan.site, facts_of(plan, evidences))


def timestamp(seconds: float) -> str:
    """A time as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_run_id(now: float) -> str:
    """The id of a run: its time, and a word so that two of one second differ."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def run_of(plan: Plan, evidences: Mapping[str, Evidence], findings: Iterable[Finding], started: float) -> Run:
    """The run of some findings. started: seconds since the epoch.

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
        hosts=tuple(_state(evidences[host.name]) for host in plan.hosts),
        findings=ordered(findings),
    )


def _state(collected: Evidence) -> HostState:
    failed = collected.failed
    state = "unreachable" if collected.failure else "partial" if failed else "ok"
    reason = collected.failure.reason if collected.failure else ""
    asked = len(collected.probes) + len(collected.api)
    return HostState(collected.host, state, collected.seconds, asked, failed, reason)


def scan(plan: Plan) -> tuple[Run, dict[str, Evidence]]:
    """Collect and judge: the run and what it stands on."""
    started = time.time()
    evidences = collect(plan)
    return run_of(plan, evidences, judge(plan, evidences), started), evidences
