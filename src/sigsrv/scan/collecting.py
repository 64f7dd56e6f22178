"""Collects the evidence of the hosts of a plan: from the hosts (``live``) or from a folder."""

from __future__ import annotations

import time
from pathlib import Path

from sigsrv.collect import evidence
from sigsrv.collect.evidence import Evidence, Failure
from sigsrv.collect.probes import ProbeOptions, select
from sigsrv.model import data, waiver
from sigsrv.model.errors import FailureKind
from sigsrv.model.ids import new_run_id
from sigsrv.model.site import Site
from sigsrv.scan.judging import evidence_time
from sigsrv.scan.options import DEMO, Options
from sigsrv.scan.plan import Plan


def probe_options(desired: Site, host: str) -> ProbeOptions:
    """Return the settings of a site that decide which probes run on a host."""
    desired = desired.at(host)
    backups = desired.backups
    return ProbeOptions(
        zfs=desired.has_zfs,
        units=tuple(dict.fromkeys(b.vlan.persisted_by for b in desired.bridges if b.vlan.persisted_by)),
        journal_hours=desired.thresholds.journal_hours,
        backups=backups.dir if backups and backups.host == host else None,
    )


def collect(plan: Plan, keep_open: bool = False) -> dict[str, Evidence]:
    """Return the evidence of the hosts of a plan, from the hosts or from a folder; save it if ``--save`` is set.

    keep_open: leave the sessions open for a user's own checks. Raises UsageError if the folder holds no evidence.
    """
    options = plan.options
    if options.evidence:
        kept = load_saved(options)
        missing = Failure(FailureKind.ABSENT, f"{options.evidence}: no evidence of this host")
        at = max((each.collected for each in kept.values()), default=time.time())
        absent = {host.name: Evidence(host.name, at, failure=missing) for host in plan.hosts}
        found = {host.name: kept.get(host.name) or absent[host.name] for host in plan.hosts}
        waiver.check_time(plan.waivers, evidence_time(found), plan.site.waivers_max_days, live=False)
    else:
        from sigsrv.scan import live  # importing testinfra and pylxd takes longer than judging saved evidence

        probes = {host.name: select(probe_options(plan.site, host.name)) for host in plan.hosts}
        found = live.collect(plan, probes, keep_open)
    if options.save:
        evidence.save(Path(options.save), new_run_id(time.time()), found)
    return found


def load_saved(options: Options) -> dict[str, Evidence]:
    """Load the saved evidence, by host. Raises UsageError."""
    folder = data.DEMO / "evidence" if options.evidence == DEMO else Path(options.evidence or "")
    return evidence.load(folder, options.unverified)
