"""Checks of VOL: the snapshots of critical instances and protected volumes."""

import glob
from collections.abc import Mapping

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Config
from sigsrv.judge.ages import HOUR_S, age_s, collected_of, utc
from sigsrv.judge.instance_status import STOPPED
from sigsrv.judge.protected import Protected, each_protected, protects_anything
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import boolean, split_list


@policy("VOL-001")
def test_snapshots_are_scheduled_and_taken(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks schedule, expiry and age of the snapshots of each critical instance and protected volume.

    A schedule alone proves nothing: in a restricted project that does not allow snapshots, Incus skips it and logs nothing.
    """
    if not protects_anything(site, require):
        return
    projects = {project.name: project.config for project in facts.incus.projects}
    for item in each_protected(facts, site, require):
        with require.about(item.resource, item.host):
            now = collected_of(facts, item.host)
            _require_snapshots(item, projects, now, site.thresholds.snapshot_hours, require)
    _require_volumes(facts, site, require)


def _require_snapshots(
    item: Protected, projects: Mapping[str, Config], now: float, hours: int, require: Require
) -> None:
    if item.project not in projects:
        raise EvidenceError(f"Incus does not list the project {item.project}")
    project = projects[item.project]
    schedule = [word for word in split_list(item.config.get("snapshots.schedule")) if word.lower() != "@never"]
    expiry = item.config.get("snapshots.expiry", "").strip()
    allowed = project["restricted"] != "true" or project.get("restricted.snapshots") == "allow"
    faults = [] if schedule else ["snapshots.schedule is not set"]
    faults += [] if expiry else ["snapshots.expiry is not set: old snapshots are never deleted"]
    faults += [] if allowed else [f"the project {item.project} is restricted and does not allow snapshots"]
    stopped = item.config.get("snapshots.schedule.stopped")
    if item.status == STOPPED and not boolean(stopped, False, "snapshots.schedule.stopped"):
        late, observed = False, "stopped, so Incus takes no snapshot"
    else:
        try:
            late, observed = _newest(item, now, hours)
        except EvidenceError as cause:
            if not faults:
                raise
            late, observed = False, cause.reason  # it fails in any case
    require(
        item.resource,
        not faults and not late,
        expected=f"a schedule and an expiry of snapshots, and a snapshot from the last {hours} hours",
        observed="; ".join([*faults, observed]),
        host=item.host,
        fix=_fix(item.kind, item.pool, item.project, item.name)
        | {
            "target": item.member,
            "schedule": "" if schedule else ("@daily" if hours >= 24 else "@hourly"),
            "expiry": "" if expiry else "2w",
            "allow": "" if allowed else "yes",
            "snapshot": "yes" if late else "",
        },
    )


def _newest(item: Protected, now: float, hours: int) -> tuple[bool, str]:
    """Return whether the newest snapshot is too old, and what is known about it. Raises EvidenceError if that can't be determined."""
    if item.snapshots is None:
        raise EvidenceError(f"the snapshots of {item.resource} are unknown: Incus did not report its state in time")
    known = [taken for taken in item.snapshots if taken is not None]
    observed = "there is no snapshot"
    if known:
        observed = f"the newest snapshot is from {utc(max(known))}"
        if age_s(max(known), now, f"the newest snapshot of {item.resource}") <= hours * HOUR_S:
            return False, observed
    if len(known) < len(item.snapshots):
        raise EvidenceError(f"Incus does not know when a snapshot of {item.resource} was taken")
    return True, observed


def _require_volumes(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Record ``fail`` for each protected volume that the site names without a glob and that does not exist.

    A site of several standalone hosts does not say which of them should have the volume, so nothing is recorded there.
    """
    if facts.name != "cluster" and len(site.hosts) > 1:
        return
    for name in site.protected_volumes:
        pool = name.partition("/")[0]
        if glob.has_magic(name) or pool not in {each.name for each in facts.incus.pools}:
            continue  # POOL-001 reports a missing pool
        try:
            listed = facts.incus.volumes(pool)
        except EvidenceError:
            continue  # each_protected recorded an error for this pool
        if name not in {volume.resource for volume in listed}:
            require(
                name,
                False,
                expected="a custom volume of this name",
                observed="no custom volume of this name",
                fix=_fix("volume", *name.split("/")),
            )


def _fix(kind: str, pool: str, project: str, name: str) -> dict[str, str]:
    """Return the values for the remediation ``schedule-snapshots``, with nothing to do yet."""
    fix = {"kind": kind, "pool": pool, "project": project, "name": name, "target": ""}
    return fix | {"schedule": "", "expiry": "", "allow": "", "snapshot": ""}
