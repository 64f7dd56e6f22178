"""Checks of VOL: the snapshots of critical instances and protected volumes."""

import glob
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sigsrv import ClusterFacts, Require, Site, finding_id, policy
from sigsrv.judge.ages import DAY_S, HOUR_S, age_s, collected_of, utc
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.instance_status import STOPPED
from sigsrv.judge.protected import Protected, each_protected, protects_anything
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import boolean, split_list

_EXPIRY_S = {"S": 1, "M": 60, "H": HOUR_S, "d": DAY_S, "w": 7 * DAY_S, "m": 31 * DAY_S, "y": 366 * DAY_S}


@policy("VOL-001")
def test_snapshots_are_scheduled_and_taken(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks schedule, expiry and age of the snapshots of each critical instance and protected volume.

    A schedule alone proves nothing: in a restricted project that does not allow snapshots, Incus skips it and logs nothing.
    """
    if not protects_anything(site, require):
        return
    hours = site.thresholds.snapshot_hours
    expected = f"a schedule and an expiry of snapshots, and a snapshot from the last {hours} hours"
    for item in each_protected(facts, site, require):
        with require.finding(item.resource, expected, host=item.host) as finding:
            finding.fix |= _fix(item.kind, item.pool, item.project, item.name) | {"target": item.member}
            _require_schedule(finding, item, hours)
            with finding.clause():
                if not _may_have_snapshots(facts, item.project):
                    finding.violated(f"the project {item.project} is restricted and does not allow snapshots")
                    finding.fix["allow"] = "yes"
            _require_newest(finding, item, collected_of(facts, item.host), hours)
            finding.fix["copies"] = _copies(finding.fix, item)
    _require_volumes(facts, site, require)


def _require_schedule(finding: Clauses, item: Protected, hours: int) -> None:
    if not any(word.lower() != "@never" for word in split_list(item.config.get("snapshots.schedule"))):
        finding.violated("snapshots.schedule is not set")
        finding.fix["schedule"] = "@daily" if hours >= 24 else "@hourly"
    if not item.config.get("snapshots.expiry", "").strip():
        finding.violated("snapshots.expiry is not set: old snapshots are never deleted")
        finding.fix["expiry"] = "2w"


def _copies(fix: Mapping[str, Any], item: Protected) -> str:
    """Return how many snapshots there are at one time because of the fix; "" if the expiry is unknown.

    A fix that sets no schedule adds none but the one that it takes.
    """
    now = 1 if fix["snapshot"] else 0
    if not fix["schedule"]:
        return str(now)
    expiry = (fix["expiry"] or item.config.get("snapshots.expiry", "")).split()
    if not all(re.fullmatch(r"[0-9]{1,9}[SMHdwmy]", word) for word in expiry):
        return ""
    kept_s = sum(int(word[:-1]) * _EXPIRY_S[word[-1]] for word in expiry)
    return str(now + math.ceil(kept_s / (DAY_S if fix["schedule"] == "@daily" else HOUR_S)))


def _may_have_snapshots(facts: ClusterFacts, project: str) -> bool:
    """Return whether a project allows snapshots. Raises EvidenceError if Incus does not list the project."""
    found = facts.incus.project(project)
    if found is None:
        raise EvidenceError(f"Incus does not list the project {project}")
    return found.config["restricted"] != "true" or found.config.get("restricted.snapshots") == "allow"


def _require_newest(finding: Clauses, item: Protected, now: float, hours: int) -> None:
    """Record whether the newest snapshot is recent. Raises EvidenceError if that can't be determined."""
    stopped = item.config.get("snapshots.schedule.stopped")
    if item.status == STOPPED and not boolean(stopped, False, "snapshots.schedule.stopped"):
        finding.holds("stopped, so Incus takes no snapshot")
        return
    late, observed = _newest(item, now, hours)
    finding.require(not late, observed)
    finding.fix["snapshot"] = "yes" if late else ""


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
    pools = {pool.name for pool in facts.incus.pools}
    for name in site.protected_volumes:
        pool = name.partition("/")[0]
        if glob.has_magic(name):
            continue
        with suppress(EvidenceError):  # each_protected recorded an error for this pool
            if pool in pools and any(volume.resource == name for volume in facts.incus.volumes(pool)):
                continue
            root = None if pool in pools else _reports_pool(facts, site, pool)
            require(
                name,
                False,
                expected="a custom volume of this name",
                observed="no custom volume of this name",
                fix=_fix("volume", *name.split("/")),
                root=root,
            )


def _reports_pool(facts: ClusterFacts, site: Site, name: str) -> str | None:
    """Return the id of the finding that reports a missing pool; None if the site file has no such pool on these hosts."""
    hosts = (host for host in facts.hosts for pool in site.pools if pool.name == name and pool.is_on(host))
    return next((finding_id("POOL-001", host, name) for host in hosts), None)


def _fix(kind: str, pool: str, project: str, name: str) -> dict[str, str]:
    """Return the values for the remediation ``schedule-snapshots``, with nothing to do yet."""
    fix = {"kind": kind, "pool": pool, "project": project, "name": name, "target": ""}
    return fix | {"schedule": "", "expiry": "", "allow": "", "snapshot": "", "copies": "0"}
