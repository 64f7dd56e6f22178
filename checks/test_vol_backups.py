"""Checks of VOL: the backups of critical instances and protected volumes."""

import posixpath
from collections.abc import Sequence

from sigsrv import ClusterFacts, HostFacts, Require, Site, policy
from sigsrv.judge.ages import DAY_S, age_s, utc
from sigsrv.judge.backup_files import BackupFiles, Pattern, glob_of, patterns_of
from sigsrv.judge.protected import Protected, each_protected, protects_anything
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import Backups

_POOLS = "/var/lib/incus/storage-pools"


@policy("VOL-002")
def test_newest_backup_is_recent_and_outside_the_pool(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks age, size and place of the newest backup of each critical instance and protected volume.

    It looks at the files in the site's backup directory: Incus keeps no record of what it exports.
    """
    if not protects_anything(site, require):
        return
    read = _read(facts, site.backups)
    for item in each_protected(facts, site, require):
        with require.about(item.resource, item.host):
            if isinstance(read, EvidenceError):
                raise read
            _require_backup(item, facts, *read, site.thresholds.backup_days, require)


def _read(facts: ClusterFacts, backups: Backups | None) -> tuple[Backups, HostFacts, BackupFiles] | EvidenceError:
    """Return the settings of the backups, the host that stores them and its files. Return the error if they can't be determined."""
    if backups is None:
        return EvidenceError("the site file does not say where the backups are (backups: host, dir, pattern)")
    try:
        patterns = patterns_of(facts, backups)
        holder = facts.hosts.get(backups.host) or facts.standalone.get(backups.host)
        if holder is None:
            return EvidenceError(f"the backups are on {backups.host}, which this scan did not read")
        return backups, holder, BackupFiles(holder.backups.files(backups.dir), patterns)
    except EvidenceError as cause:
        return cause


def _require_backup(
    item: Protected,
    facts: ClusterFacts,
    backups: Backups,
    holder: HostFacts,
    files: BackupFiles,
    days: int,
    require: Require,
) -> None:
    names = glob_of(backups, item.project, item.name)
    mine = Pattern(item.kind, item.resource, item.project, facts.name, item.member, names)
    newest = files.newest(mine)
    if newest is None:
        observed = f"no file in {backups.dir} matches"
        faults = [observed]
    else:
        faults = _pool_faults(item, backups, holder)  # only now: a file that does not exist is on no file system
        age = age_s(newest.changed, holder.collected, f"the newest backup of {item.resource}")
        observed = f"the newest backup is from {utc(newest.changed)}, {newest.size} bytes"
        faults += [observed] if age > days * DAY_S or newest.size == 0 else []
    if not faults:
        _require_unique(mine, files)
    require(
        item.resource,
        not faults,
        expected=f"a file {mine.glob} from the last {days} days in {backups.dir} on {backups.host}, outside its pool",
        observed="; ".join(faults or [observed]),
        host=item.host,
    )


def _require_unique(mine: Pattern, files: BackupFiles) -> None:
    """Raise EvidenceError if the file may belong to another instance or volume.

    A missing or old backup needs no such question: it is missing or old for both.
    """
    for other in files.same_glob(mine):
        hint = "add {project} to backups.pattern, which makes their names differ"
        if other.project == mine.project:
            hint = "rename one of them"
        raise EvidenceError(
            f"the backups of {mine.resource} have the same file names as those of the {other.kind} "
            f"{other.resource} of {other.member or other.cluster}: {hint}"
        )


def _pool_faults(item: Protected, backups: Backups, holder: HostFacts) -> list[str]:
    """Return whether the backup directory is in the pool of the data itself: both would be lost together.

    Raises EvidenceError if that can't be determined.
    """
    place = holder.backups.place
    if not item.pool or item.host != holder.name:
        return []
    pool = holder.incus.pool_at(item.pool, holder.member)
    if pool is None:
        raise EvidenceError(f"{holder.name}: there is no pool {item.pool}")
    zpool = pool.config.get("zfs.pool_name", "").partition("/")[0]
    folders = [f"{_POOLS}/{item.pool}", *([pool.config.get("source", "")] if pool.driver == "dir" else [])]
    paths = (posixpath.normpath(backups.dir), place.target)
    if (zpool and place.zpool == zpool) or any(_is_below(path, folders) for path in paths):
        return [f"{backups.dir} is in the pool {item.pool} itself"]
    return []


def _is_below(path: str, folders: Sequence[str]) -> bool:
    """Return whether a path is one of some folders, or below it. An empty name is no folder."""
    below = tuple(posixpath.normpath(folder).rstrip("/") + "/" for folder in folders if folder)
    return (path.rstrip("/") + "/").startswith(below)
