"""Checks of VOL: the backups of critical instances and protected volumes."""

import glob
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sigsrv import ClusterFacts, HostFacts, Require, Site, policy
from sigsrv.facts.backups import BackupFile
from sigsrv.facts.clusters import clusters
from sigsrv.judge.ages import DAY_S, age_s, utc
from sigsrv.judge.protected import Protected, each_protected, protects_anything
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import Backups

_POOLS = "/var/lib/incus/storage-pools"


@dataclass(frozen=True, order=True)
class Pattern:
    """The names of the backup files of one instance or custom volume."""

    kind: str
    """``instance`` or ``volume``."""

    resource: str
    """``PROJECT/NAME`` or ``POOL/PROJECT/NAME``."""

    project: str
    """The name of its project."""

    cluster: str
    """The cluster, or the standalone host, that it is in."""

    member: str
    """The member that a volume is on; "" for an instance, whose name is unique in its cluster."""

    glob: str
    """The glob that the names of its files match."""

    def matches(self, file: BackupFile) -> bool:
        return fnmatchcase(file.name, self.glob)


@policy("VOL-002")
def test_newest_backup_is_recent_and_outside_the_pool(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks age, size and place of the newest backup of each critical instance and protected volume.

    It looks at the files in the site's backup directory: Incus keeps no record of what it exports.
    """
    if not protects_anything(site, require):
        return
    patterns: list[Pattern] = []
    for item in each_protected(facts, site, require):
        with require.about(item.resource, item.host):
            if site.backups is None:
                raise EvidenceError("the site file does not say where the backups are (backups: host, dir, pattern)")
            patterns = patterns or _patterns(facts, site.backups)
            _require_backup(item, facts, site.backups, site.thresholds.backup_days, patterns, require)


def _patterns(facts: ClusterFacts, backups: Backups) -> list[Pattern]:
    """Return the patterns of all instances and volumes of the site, also of members that were not selected.

    They are needed to decide which one a file belongs to. Clusters and standalone hosts may share one directory, so all of them count.
    Raises EvidenceError if one of them could not be read.
    """
    found = []
    for each in clusters({**facts.hosts, **facts.standalone, **facts.others}):
        for pool in each.incus.pools:
            for volume in each.incus.volumes(pool.name):
                files = _files(backups, volume.project, volume.name)
                found.append(Pattern("volume", volume.resource, volume.project, each.name, volume.location, files))
        for instance in each.incus.listed_instances:
            files = _files(backups, instance.project, instance.name)
            found.append(Pattern("instance", instance.resource, instance.project, each.name, "", files))
    return sorted(found)


def _files(backups: Backups, project: str, name: str) -> str:
    """Return the glob of the backup files of an instance or volume."""
    values = {"{name}": glob.escape(name), "{project}": glob.escape(project)}
    return re.sub(r"\{name\}|\{project\}", lambda found: values[found[0]], backups.pattern)


def _require_backup(
    item: Protected, facts: ClusterFacts, backups: Backups, days: int, patterns: Iterable[Pattern], require: Require
) -> None:
    holder = facts.hosts.get(backups.host) or facts.standalone.get(backups.host)
    if holder is None:
        raise EvidenceError(f"the backups are on {backups.host}, which this scan did not read")
    files = _files(backups, item.project, item.name)
    mine = Pattern(item.kind, item.resource, item.project, facts.name, item.member, files)
    others = [each for each in patterns if each != mine]
    newest = _newest(mine, others, holder.backups.files(backups.dir))
    if newest is None:
        observed = f"no file in {backups.dir} matches"
        faults = [observed]
    else:
        faults = _pool_faults(item, backups, holder)  # only now: a file that does not exist is on no file system
        age = age_s(newest.changed, holder.collected, f"the newest backup of {item.resource}")
        observed = f"the newest backup is from {utc(newest.changed)}, {newest.size} bytes"
        faults += [observed] if age > days * DAY_S or newest.size == 0 else []
    if not faults:
        _require_unique(mine, others)
    require(
        item.resource,
        not faults,
        expected=f"a file {mine.glob} from the last {days} days in {backups.dir} on {backups.host}, outside its pool",
        observed="; ".join(faults or [observed]),
        host=item.host,
    )


def _newest(mine: Pattern, others: Iterable[Pattern], files: Iterable[BackupFile]) -> BackupFile | None:
    """Return the newest file that belongs to ``mine``, or to another one with the same glob. None if there is none.

    A file belongs to the longest glob that it matches: web-* also matches the files of web-db. files: the newest first.
    """
    rivals = [each for each in others if each.glob != mine.glob and len(each.glob) >= len(mine.glob)]
    return next(
        (file for file in files if mine.matches(file) and not any(rival.matches(file) for rival in rivals)), None
    )


def _require_unique(mine: Pattern, others: Iterable[Pattern]) -> None:
    """Raise EvidenceError if the file may belong to another instance or volume.

    A missing or old backup needs no such question: it is missing or old for both.
    """
    for other in others:
        if other.glob == mine.glob:
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
