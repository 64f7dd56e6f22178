"""Checks of VOL: the use and the configuration of custom volumes."""

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.volumes import Volume, VolumeUser
from sigsrv.judge.ages import DAY_S, age_s, collected_of, utc
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.custom_volumes import each_volume

_YOUNG_DAYS = 7  # a new volume may be unused for so long
_DAEMON_KEYS = ("storage.backups_volume", "storage.images_volume", "storage.logs_volume")


@policy("VOL-003")
def test_custom_volume_is_in_use(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks whether an instance, a profile or the Incus daemon uses each custom volume.

    ISO images, protected volumes and volumes younger than 7 days pass without a user.
    """
    for volume, host in each_volume(facts, require):
        expected = f"used, protected, or younger than {_YOUNG_DAYS} days"
        with require.finding(volume.resource, expected, host=host) as finding:
            _require_use(finding, volume, host, facts, site)


def _require_use(finding: Clauses, volume: Volume, host: str, facts: ClusterFacts, site: Site) -> None:
    """Record whether a volume may stay. Raises EvidenceError if that can't be determined: one reason to stay is enough."""

    def decisive(users: frozenset[VolumeUser]) -> object:
        return users or _exception(volume, host, facts, site)

    if users := facts.users(volume, decisive):
        names = sorted(use.name if use.kind == "other" else f"{use.kind} {use.project}/{use.name}" for use in users)
        finding.holds(", ".join(names))
    elif reason := _exception(volume, host, facts, site):
        finding.holds(reason)
    elif volume.created is None:
        finding.unknown(f"nothing uses {volume.resource}, and Incus does not know how old it is")
    else:
        age = age_s(volume.created, collected_of(facts, host), f"the volume {volume.resource}")
        finding.require(age < _YOUNG_DAYS * DAY_S, f"unused, created {utc(volume.created)}")


def _exception(volume: Volume, host: str, facts: ClusterFacts, site: Site) -> str:
    """Return why a volume without instances and profiles may stay, "" if nothing allows it."""
    if volume.content_type == "iso":
        return "an ISO image"
    if site.is_protected(volume.resource):
        return "protected by the site"
    keys = _daemon_keys(facts, host, f"{volume.pool}/{volume.name}") if volume.project == "default" else []
    return f"used by Incus itself: {', '.join(keys)}" if keys else ""


def _daemon_keys(facts: ClusterFacts, host: str, volume: str) -> list[str]:
    """Return the configuration keys by which a daemon uses a volume.

    Only the daemon of the volume's host counts. If all members share the volume, each daemon counts.
    """
    daemons = [facts.hosts[host]] if host in facts.hosts else list(facts.hosts.values())
    return sorted({key for each in daemons for key in _DAEMON_KEYS if each.incus.config.get(key) == volume})
