"""The evidence of a plan's hosts: from them (``live``), or from a folder."""

from __future__ import annotations

import time
from pathlib import Path

from sigsrv.collect import evidence
from sigsrv.collect.evidence import Evidence, Failure
from sigsrv.collect.probes import ProbeOptions, select
from sigsrv.model import data, waiver
from sigsrv.model.errors import FailureKind
from sigsrv.model.finding import new_run_id
from sigsrv.model.site import Site
from sigsrv.scan.judging import time_of
from sigsrv.scan.options import DEMO, Options
from sigsrv.scan.plan import Plan


def wants(desired: Site, host: str) -> ProbeOptions:
    """What of a site decides which probes are run on one of its hosts."""
    backups = desired.backups
    return ProbeOptions(
        zfs=desired.has_zfs,
        units=tuple(dict.fromkeys(b.vlan.persisted_by for b in desired.bridges if b.vlan.persisted_by)),
        journal_hours=desired.thresholds.journal_hours,
        backups=backups.dir if backups and backups.host == host else None,
    )


def collect(plan: Plan, keep_open: bool = False) -> dict[str, Evidence]:
    """The evidence of the plan's hosts: from them, or from the folder that was named; kept, where that was asked for.

    keep_open: leave the sessions open for a user's own checks. Raises UsageError for a folder that is none.
    """
    options = plan.options
    if options.evidence:
        kept = saved(options)
        missing = Failure(FailureKind.ABSENT, f"{options.evidence}: no evidence of this host")
        at = max((each.collected for each in kept.values()), default=time.time())
        absent = {host.name: Evidence(host.name, at, failure=missing) for host in plan.hosts}
        found = {host.name: kept.get(host.name) or absent[host.name] for host in plan.hosts}
        waiver.check_time(plan.waivers, time_of(found), plan.site.waivers_max_days, live=False)
    else:
        from sigsrv.scan import live  # what asks hosts (testinfra, pylxd) takes longer to import than evidence to judge

        probes = {host.name: select(wants(plan.site, host.name)) for host in plan.hosts}
        found = live.collect(plan, probes, keep_open)
    if options.save:
        evidence.save(Path(options.save), new_run_id(time.time()), found)
    return found


def saved(options: Options) -> dict[str, Evidence]:
    """The evidence that was kept in the folder that was named, by host. Raises UsageError."""
    folder = data.DEMO / "evidence" if options.evidence == DEMO else Path(options.evidence or "")
    return evidence.load(folder, options.unverified)
