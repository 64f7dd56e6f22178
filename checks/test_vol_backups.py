"""Checks of VOL: the backups of critical instances and protected volumes."""

import posixpath
from collections.abc import Sequence

from sigsrv import ClusterFacts, HostFacts, Require, Site, policy
from sigsrv.judge.ages import DAY_S, age_s, utc
from sigsrv.judge.backup_files import BackupFiles, Pattern, glob_of, patterns_of
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.protected import Protected, each_protected, protects_anything
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import Backups

_POOLS = "/var/lib/incus/storage-pools"


@policy("VOL-002")
def test_newest_backup_is_recent_and_outside_the_pool(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks age, size and place of the newest backup of each critical instance and protected volume.

    It looks at the files in the site's backup directory: Incus keeps no record of what it exports. If the backups are on no host of the
    site, the files prove only their dates: the backup job writes them.
    """
    if not protects_anything(site, require):
        return
    patterns, unread = patterns_of(facts, site.backups) if site.backups else ([], [])
    read: list[BackupFiles] = []
    for item in each_protected(facts, site, require):
        with require.finding(item.resource, "a recent backup outside its pool", host=item.host) as finding:
            if site.backups is None:
                raise EvidenceError("the site file does not say where the backups are (backups: host, dir, pattern)")
            if not site.backups.host:
                finding.unknown(
                    f"the backups are at {site.backups.external}, and nothing proves their date (backups.proof)"
                )
                continue
            _require_backup(finding, item, facts, site.backups, site.thresholds.backup_days, patterns, unread, read)
            finding.fix.update(_export_fix(finding, item, site.backups))


def _require_backup(
    finding: Clauses,
    item: Protected,
    facts: ClusterFacts,
    backups: Backups,
    days: int,
    patterns: Sequence[Pattern],
    unread: Sequence[EvidenceError],
    read: list[BackupFiles],
) -> None:
    """Record age and size of the newest backup, its place, and whether its name belongs to this item alone.

    A pattern that is unknown can only take a file away from the item. So a backup that is missing or too old is a failure without it.
    read: gets the files of the directory, which are matched with the patterns once for all items.
    """
    mine = Pattern(
        item.kind, item.resource, item.project, facts.name, item.member, glob_of(backups, item.project, item.name)
    )
    place, what = f"in {backups.dir} on {backups.host}", "the newest backup"
    finding.expected = f"a file {mine.glob} from the last {days} days {place}, outside its pool"
    if backups.external:
        what = f"the newest proof of a backup at {backups.external}"
        finding.expected = (
            f"a file {mine.glob} from the last {days} days {place}, as proof of a backup at {backups.external}"
        )
    holder = facts.hosts.get(backups.host) or facts.standalone.get(backups.host)
    if holder is None:
        raise EvidenceError(f"the backups are on {backups.host}, which this scan did not read")
    with finding.clause():
        listed = holder.backups.files(backups.dir)
        if not read:
            read.append(BackupFiles(listed, patterns))
        newest = read[0].newest(mine)
        if newest is None:
            finding.violated(f"no file in {backups.dir} matches")
            return  # a folder that does not exist is on no file system
        age = age_s(newest.changed, holder.collected, f"{what} of {item.resource}")
        is_bad = age > days * DAY_S or (newest.size == 0 and not unread and not backups.external)
        size = "" if backups.external else f", {newest.size} bytes"
        finding.require(not is_bad, f"{what} is from {utc(newest.changed)}{size}")
    with finding.clause():
        if not backups.external and _is_in_its_pool(item, backups, holder):
            finding.violated(f"{backups.dir} is in the pool {item.pool} itself")
    with finding.clause():
        for cause in unread:
            raise cause
        _require_unique(mine, read)


def _export_fix(finding: Clauses, item: Protected, backups: Backups) -> dict[str, str]:
    """Return the values for the remediation ``export-backup``, with why a script must not make the backup."""
    pattern = backups.pattern.replace("{name}", item.name).replace("{project}", item.project)
    before, star, after = pattern.partition("*")
    decide = list(finding.unknown_reasons)
    if backups.external:
        decide.append(f"the backups are at {backups.external}: run the backup job of {item.resource}")
    if item.host != backups.host:
        decide.append(
            f"{item.resource} is on {item.host}: look at the free space in /var/lib/incus/backups there, then export it on {backups.host}"
        )
    if not star or any(sign in before + after for sign in "*?[]/") or not after.endswith((".tar.gz", ".tgz")):
        decide.append(f"backups.pattern {backups.pattern} does not say how to name a new file of incus export")
    if any(text.endswith("itself") for text in finding.violations):
        decide.append(f"{backups.dir} is in the pool of the data: choose another disk")
    return {
        "kind": item.kind,
        "name": item.name,
        "project": item.project,
        "pool": item.pool,
        "folder": backups.dir,
        "before": before,
        "after": after,
        "refuse": "; ".join(decide),
    }


def _require_unique(mine: Pattern, read: Sequence[BackupFiles]) -> None:
    """Raise EvidenceError if the file may belong to another instance or volume."""
    for other in (each for files in read for each in files.same_glob(mine)):
        hint = "add {project} to backups.pattern, which makes their names differ"
        if other.project == mine.project:
            hint = "rename one of them"
        raise EvidenceError(
            f"the backups of {mine.resource} have the same file names as those of the {other.kind} "
            f"{other.resource} of {other.member or other.cluster}: {hint}"
        )


def _is_in_its_pool(item: Protected, backups: Backups, holder: HostFacts) -> bool:
    """Return whether the backup directory is in the pool of the data itself: both would be lost together.

    Raises EvidenceError if that can't be determined.
    """
    place = holder.backups.place
    if not item.pool or item.host != holder.name:
        return False
    pool = holder.incus.pool_at(item.pool, holder.member)
    if pool is None:
        raise EvidenceError(f"{holder.name}: there is no pool {item.pool}")
    zpool = pool.config.get("zfs.pool_name", "").partition("/")[0]
    folders = [f"{_POOLS}/{item.pool}", *([pool.config.get("source", "")] if pool.driver == "dir" else [])]
    paths = (posixpath.normpath(backups.dir), place.target)
    return bool(zpool and place.zpool == zpool) or any(_is_below(path, folders) for path in paths)


def _is_below(path: str, folders: Sequence[str]) -> bool:
    """Return whether a path is one of some folders, or below it. An empty name is no folder."""
    below = tuple(posixpath.normpath(folder).rstrip("/") + "/" for folder in folders if folder)
    return (path.rstrip("/") + "/").startswith(below)
