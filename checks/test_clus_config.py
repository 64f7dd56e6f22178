"""Checks of CLUS: the database of the cluster and its thresholds."""

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.config import OFFLINE_AFTER, OFFLINE_AFTER_S
from sigsrv.judge.cluster_members import is_standalone
from sigsrv.judge.server_settings import server_setting
from sigsrv.model.values import seconds

_HEALING_AFTER = "cluster.healing_threshold"
_SPREAD_S = 3  # a heartbeat may come this much later than half of the threshold
_LONGEST_WAIT_S = 240  # after a threshold above this is lowered, members stay Offline for longer than a script may wait


@policy("CLUS-003")
def test_database_roles_and_cluster_thresholds_match_the_site_file(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the database roles of the members and at the offline and healing thresholds of the cluster.

    There must be enough voters and exactly one leader, and both thresholds must be those of the site file.
    """
    if is_standalone(facts, site, require):
        return
    members, config = facts.incus.first(lambda incus: (incus.members, incus.config))
    voters = sorted(member.name for member in members if "database" in member.roles)
    leaders = sorted(member.name for member in members if "database-leader" in member.roles)
    wanted = site.cluster
    faults = []
    if len(voters) < wanted.voters_min:
        faults.append(f"{_count(len(voters), 'voter')} of at least {wanted.voters_min}")
    if len(leaders) != 1:
        faults.append(f"{_count(len(leaders), 'leader')} of the database")
    offline_s = seconds(config.get(OFFLINE_AFTER), OFFLINE_AFTER_S, OFFLINE_AFTER)
    healing_s = seconds(config.get(_HEALING_AFTER), 0, _HEALING_AFTER)
    refused, settings = list(faults), []
    if offline_s != wanted.offline_threshold:
        wait_s = ""
        if offline_s > wanted.offline_threshold:
            # Members stay Offline until the first heartbeat at the new, shorter interval.
            wait_s = str(max(wanted.offline_threshold, offline_s // 2) + _SPREAD_S)
            refused += _reasons_not_to_lower(offline_s, bool(healing_s or wanted.healing_threshold))
        settings.append(server_setting(OFFLINE_AFTER, str(wanted.offline_threshold), wait_s=wait_s))
    if healing_s != wanted.healing_threshold:
        settings.append(server_setting(_HEALING_AFTER, str(wanted.healing_threshold)))
    observed = (
        f"{_count(len(voters), 'voter')} ({', '.join(voters) or 'none'}), leader {', '.join(leaders) or 'none'}, "
        f"{OFFLINE_AFTER} {offline_s}, {_HEALING_AFTER} {healing_s}"
    )
    if len(members) == 2:
        observed += "; with two members, no setting gives a quorum while the voter is away"
    require(
        facts.name,
        not faults and not settings,
        expected=f"{_count(wanted.voters_min, 'voter')} or more, one leader, {OFFLINE_AFTER} {wanted.offline_threshold}, "
        f"{_HEALING_AFTER} {wanted.healing_threshold}",
        observed=observed,
        fix={"settings": settings, "refused": "; ".join(refused)},
    )


def _reasons_not_to_lower(offline_s: int, healing: bool) -> list[str]:
    """Return why no script may lower the offline threshold. healing: whether healing is on, or the site file wants it on."""
    found = []
    if offline_s > _LONGEST_WAIT_S:
        found.append(
            f"lower {OFFLINE_AFTER} at a time when members may be Offline for {offline_s} s: "
            "the old interval stays for two more heartbeats"
        )
    if healing:
        found.append(
            f"lower {OFFLINE_AFTER} only while {_HEALING_AFTER} is 0: members are Offline until the next heartbeat"
        )
    return found


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
