"""Checks of VOL: custom volumes, snapshots of what must not be lost, and its backups."""

import fnmatch
import glob
import posixpath
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from sigsrv import policy
from sigsrv.facts.clusters import clusters
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import boolean, size_bytes, split_list

_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S
_YOUNG_S = 7 * _DAY_S  # a new volume may wait so long for its first user
_DAEMON_KEYS = ("storage.backups_volume", "storage.images_volume", "storage.logs_volume")
_POOLS = "/var/lib/incus/storage-pools"


@dataclass(frozen=True)
class Kept:
    """What must not be lost: a critical instance, or a protected volume. host: the one that has it; pool: that its data is in."""

    kind: str  # instance or volume
    resource: str
    host: str
    project: str
    name: str
    pool: str
    config: dict
    snapshots: tuple | None  # None: not known
    status: str = ""
    target: str = ""  # the member that a volume is on; "" of an instance


def _volumes(facts, require):
    """Each custom volume with its host. A pool whose volumes can't be read is an error of its own."""
    for pool in facts.incus.pools:
        with require.about(pool.name):
            yield from facts.volumes(pool.name)


def _kept(facts, site, require):
    """What the site says must not be lost, as far as it could be read; the rest is recorded."""
    if site.critical:
        for instance, host in require.each(facts.instances.where(lambda each: site.is_critical(each.resource))):
            yield _instance(instance, host)
    for volume, host in _volumes(facts, require) if site.protected_volumes else ():
        if site.is_protected(volume.resource):
            yield Kept(
                "volume",
                volume.resource,
                host,
                volume.project,
                volume.name,
                volume.pool,
                volume.config,
                volume.snapshots,
                target=volume.location,
            )


def _instance(instance, host):
    roots = [d["pool"] for d in instance.expanded_devices.values() if d.get("path") == "/" and d.get("pool")]
    return Kept(
        "instance",
        instance.resource,
        host,
        instance.project,
        instance.name,
        roots[0] if roots else "",
        instance.expanded_config,
        instance.snapshots,
        instance.status,
    )


def _now(facts, host):
    """When the evidence was collected that tells of a host: ages are counted from then."""
    return (facts.hosts.get(host) or next(iter(facts.hosts.values()))).collected


def _age(then, now, what):
    """Seconds since a time. Raises EvidenceError where it lies ahead by more than clocks differ."""
    if then - now > _HOUR_S:
        raise EvidenceError(f"{what} is of {_day(then)}, after the evidence was collected")
    return now - then


def _day(then):
    return f"{datetime.fromtimestamp(then, UTC):%Y-%m-%d %H:%M} UTC"


def _names_something(site, require):
    found = bool(site.critical or site.protected_volumes)
    if not found:
        require.not_applicable(reason="the site names no critical instance and no protected volume")
    return found


@policy("VOL-001")
def test_snapshots_are_scheduled_and_really_taken(facts, site, require):
    """A schedule alone proves nothing: in a restricted project Incus skips it and says nothing."""
    if not _names_something(site, require):
        return
    projects = {project.name: project for project in facts.incus.projects}
    for kept in _kept(facts, site, require):
        with require.about(kept.resource, kept.host):
            _judge_snapshots(kept, projects, _now(facts, kept.host), site.thresholds.snapshot_hours, require)
    _require_named(facts, site, require)


def _judge_snapshots(kept, projects, now, hours, require):
    schedule = [word for word in split_list(kept.config.get("snapshots.schedule")) if word.lower() != "@never"]
    expiry = kept.config.get("snapshots.expiry", "").strip()
    if kept.project not in projects:
        raise EvidenceError(f"no project {kept.project}")
    project = projects[kept.project].config
    allowed = project["restricted"] != "true" or project.get("restricted.snapshots") == "allow"
    faults = [] if schedule else ["snapshots.schedule is not set"]
    faults += [] if expiry else ["snapshots.expiry is not set: they pile up"]
    faults += [] if allowed else [f"the project {kept.project} is restricted and does not allow snapshots"]
    stopped = kept.config.get("snapshots.schedule.stopped")
    if kept.status == "Stopped" and not boolean(stopped, False, "snapshots.schedule.stopped"):
        late, seen = False, "stopped: none is taken of it"
    else:
        try:
            late, seen = _late(kept, now, hours)
        except EvidenceError as cause:
            if not faults:
                raise
            late, seen = False, cause.reason
    require(
        kept.resource,
        not faults and not late,
        expected=f"a schedule and an expiry of snapshots, and one of the last {hours} hours",
        observed="; ".join([*faults, seen]),
        host=kept.host,
        fix=_fix(kept.kind, kept.pool, kept.project, kept.name)
        | {
            "target": kept.target,
            "schedule": "" if schedule else ("@daily" if hours >= 24 else "@hourly"),
            "expiry": "" if expiry else "2w",
            "allow": "" if allowed else "yes",
            "snapshot": "yes" if late else "",
        },
    )


def _late(kept, now, hours):
    """Whether the newest snapshot is too old, and what is known of it. Raises EvidenceError where that can't be told."""
    if kept.snapshots is None:
        raise EvidenceError(f"the snapshots of {kept.resource} are not known: Incus did not tell its state in time")
    known = [taken for taken in kept.snapshots if taken is not None]
    age = _age(max(known), now, f"the newest snapshot of {kept.resource}") if known else None
    if age is not None and age <= hours * _HOUR_S:
        return False, f"the newest snapshot is of {_day(max(known))}"
    if len(known) < len(kept.snapshots):
        raise EvidenceError(f"Incus does not know when a snapshot of {kept.resource} was taken")
    return True, f"the newest snapshot is of {_day(max(known))}" if known else "there is no snapshot"


def _require_named(facts, site, require):
    """A protected volume that the site names in full must exist. Hosts that are in no cluster can't tell for each other."""
    if facts.name != "cluster" and len(site.hosts) > 1:
        return
    for name in site.protected_volumes:
        pool = name.partition("/")[0]
        if glob.has_magic(name) or pool not in {each.name for each in facts.incus.pools}:
            continue  # a pool that is missing is for POOL-001 to say, one that can't be read has its error already
        try:
            listed = facts.incus.volumes(pool)
        except EvidenceError:
            continue
        if name not in {volume.resource for volume in listed}:
            require(
                name,
                False,
                expected="a custom volume of this name",
                observed="there is no such volume",
                fix=_fix("volume", *name.split("/")),
            )


def _fix(kind, pool, project, name):
    """What the remediation needs, with nothing to do."""
    fix = {"kind": kind, "pool": pool, "project": project, "name": name, "target": ""}
    return fix | {"schedule": "", "expiry": "", "allow": "", "snapshot": ""}


@policy("VOL-002")
def test_newest_backup_is_recent(facts, site, require):
    """Judged by the files in the site's folder: what Incus exports it keeps no record of."""
    if not _names_something(site, require):
        return
    patterns = []
    for kept in _kept(facts, site, require):
        with require.about(kept.resource, kept.host):
            if site.backups is None:
                raise EvidenceError("the site does not say where backups are kept (backups: host, dir, pattern)")
            patterns = patterns or _patterns(facts, site)
            _judge_backup(kept, facts, site, patterns, require)


@dataclass(frozen=True, order=True)
class Pattern:
    """What the files of an instance or a custom volume are called. whole: the cluster that it is in, or the host in none."""

    kind: str
    resource: str
    project: str
    whole: str
    location: str  # the member that a volume is on; "" of an instance, which is one in the whole
    glob: str

    def matches(self, file):
        return fnmatch.fnmatchcase(file.name, self.glob)


def _patterns(facts, site):
    """Those of all instances and volumes of the site, of members that were not selected too: a file must be told from the others'.

    Hosts in no cluster may keep theirs in one folder, so what the others have is read as well. Raises EvidenceError where it can't be.
    """
    found = []
    for each in clusters({**facts.hosts, **facts.standalone, **facts.others}):
        pools = each.incus.pools
        volumes = [volume for pool in pools for volume in each.incus.volumes(pool.name)]
        instances = each.incus.listed_instances
        found += [_pattern(site, "instance", instance, each.name) for instance in instances]
        found += [_pattern(site, "volume", volume, each.name, volume.location) for volume in volumes]
    return sorted(found)


def _pattern(site, kind, named, whole, location=""):
    values = {"{name}": glob.escape(named.name), "{project}": glob.escape(named.project)}
    files = re.sub(r"\{name\}|\{project\}", lambda found: values[found[0]], site.backups.pattern)
    return Pattern(kind, named.resource, named.project, whole, location, files)


def _judge_backup(kept, facts, site, patterns, require):
    wanted, days = site.backups, site.thresholds.backup_days
    holder = facts.hosts.get(wanted.host) or facts.standalone.get(wanted.host)
    if holder is None:
        raise EvidenceError(f"the backups are on {wanted.host}, which was not looked at")
    mine = _pattern(site, kept.kind, kept, facts.name, kept.target)
    others = [each for each in patterns if each != mine]
    newest = _newest(mine, others, holder.backups.files(wanted.dir))
    if newest is None:
        seen = f"no file in {wanted.dir} matches"
        faults = [seen]
    else:
        faults = _same_storage(kept, facts, site, holder)  # only now: what is not there is on no file system
        age = _age(newest.changed, holder.collected, f"the newest backup of {kept.resource}")
        seen = f"the newest is of {_day(newest.changed)}, {newest.size} bytes"
        faults += [seen] if age > days * _DAY_S or newest.size == 0 else []
    if not faults:
        _told_apart(mine, others)
    require(
        kept.resource,
        not faults,
        expected=f"a file {mine.glob} of the last {days} days in {wanted.dir} on {wanted.host}, outside of its own pool",
        observed="; ".join(faults or [seen]),
        host=kept.host,
    )


def _newest(mine, others, files):
    """The newest file that is of this one, or of what names can't tell from it; None where there is none.

    web-* matches the files of web-db too: a file belongs to the longest of all globs that it matches.
    """
    rivals = [each for each in others if each.glob != mine.glob and len(each.glob) >= len(mine.glob)]
    return next((each for each in files if mine.matches(each) and not any(o.matches(each) for o in rivals)), None)


def _told_apart(mine, others):
    """Raises EvidenceError where a file may be another's. What is missing or too old is so for both, and needs no telling."""
    for other in others:
        if other.glob == mine.glob:
            hint = "with {project} in backups.pattern those of two projects differ"
            if other.project == mine.project:
                hint = "one of them needs another name"
            raise EvidenceError(
                f"names of files do not tell {mine.resource} from the {other.kind} {other.resource} "
                f"of {other.location or other.whole}: {hint}"
            )


def _same_storage(kept, facts, site, holder):
    """What is wrong with the place of the backups: lost with the pool, they are none."""
    place = holder.backups.place
    if not kept.pool or kept.host != holder.name:
        return []
    pool = holder.incus.pool_at(kept.pool, holder.member)
    if pool is None:
        raise EvidenceError(f"{holder.name}: there is no pool {kept.pool}")
    zpool = pool.config.get("zfs.pool_name", "").partition("/")[0]
    folders = {f"{_POOLS}/{kept.pool}"} | ({pool.config.get("source", "")} if pool.driver == "dir" else set())
    at = [posixpath.normpath(site.backups.dir), place.target]
    if (zpool and place.zpool == zpool) or any(_is_below(path, folder) for path in at for folder in folders if folder):
        return [f"{site.backups.dir} is in the pool {kept.pool} itself"]
    return []


def _is_below(path, folder):
    return (path.rstrip("/") + "/").startswith(posixpath.normpath(folder).rstrip("/") + "/")


@policy("VOL-003")
def test_custom_volume_is_in_use(facts, site, require):
    """Images of discs lie ready on purpose; what is protected, or the daemon's own, needs no instance."""
    for volume, host in _volumes(facts, require):
        with require.about(volume.resource, host):
            holds, seen = _used(volume, host, facts, site)
            require(
                volume.resource, holds, expected="used, protected, or younger than 7 days", observed=seen, host=host
            )


def _used(volume, host, facts, site):
    users = facts.users(volume, decisive=lambda users: users or _needed_anyway(volume, host, facts, site))
    if users:
        return True, [use.name if use.kind == "other" else f"{use.kind} {use.project}/{use.name}" for use in users]
    if needed := _needed_anyway(volume, host, facts, site):
        return True, needed
    if volume.created is None:
        raise EvidenceError(f"nothing uses {volume.resource}, and Incus does not know how old it is")
    young = _age(volume.created, _now(facts, host), f"the volume {volume.resource}") < _YOUNG_S
    return young, f"used by nothing, made on {_day(volume.created)}"


def _needed_anyway(volume, host, facts, site):
    """Why a volume that no instance uses may stay; "" if nothing says so."""
    if volume.content_type == "iso":
        return "an ISO image"
    if site.is_protected(volume.resource):
        return "protected by the site"
    keys = _keys_of_daemons(facts, host, f"{volume.pool}/{volume.name}") if volume.project == "default" else []
    return f"used by Incus itself: {', '.join(keys)}" if keys else ""


def _keys_of_daemons(facts, host, volume):
    """The keys by which a daemon uses a volume: that of the host that has it, of each where the whole cluster does."""
    daemons = [facts.hosts[host]] if host in facts.hosts else facts.hosts.values()
    return sorted({key for each in daemons for key in _DAEMON_KEYS if each.incus.config.get(key) == volume})


@policy("VOL-004")
def test_custom_volume_is_not_shared_unmapped_or_unlimited(facts, site, require):
    """Several guests on one block device, ids that are the host's own, and a volume that may fill the pool."""
    for volume, host in _volumes(facts, require):
        with require.about(volume.resource, host):
            _judge_config(volume, host, site, require)


def _judge_config(volume, host, site, require):
    exempt = site.exempt_keys("VOL-004", volume.resource)
    entry = site.project(volume.project)
    faults = [
        f"{key} is true"
        for key in ("security.shared", "security.unmapped")
        if volume.config[key] == "true" and key not in exempt
    ]
    free = (entry is not None and entry.kind == "system") or "size" in exempt
    if not free and not _is_limited(volume):
        faults.append(f"size is {volume.config.get('size') or 'not set'}")
    require(
        volume.resource,
        not faults,
        expected="not shared, not unmapped" + ("" if free else ", with a size"),
        observed="; ".join(faults) or "as expected",
        reason="; ".join(f"the site exempts {key}: {reason}" for key, reason in sorted(exempt.items())),
        host=host,
    )


def _is_limited(volume):
    """Whether it has a size: Incus takes 0 for none. Raises EvidenceError where what it has is no size."""
    try:
        return size_bytes(volume.config.get("size", "").strip() or 0) > 0
    except ValueError as cause:
        raise EvidenceError(f"volume {volume.resource}: size: {cause}") from cause
