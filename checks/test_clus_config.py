"""Checks of CLUS: the database of the cluster and its thresholds."""

from collections.abc import Sequence

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.config import OFFLINE_AFTER, OFFLINE_AFTER_S
from sigsrv.facts.members import Member
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.cluster_members import is_standalone
from sigsrv.judge.server_settings import server_fix, server_setting
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
    wanted = site.cluster
    expected = (
        f"{_count(wanted.voters_min, 'voter')} or more, one leader, {OFFLINE_AFTER} {wanted.offline_threshold}, "
        f"{_HEALING_AFTER} {wanted.healing_threshold}"
    )
    with require.finding(facts.name, expected) as finding:
        refused, settings = [], []
        with finding.clause():
            refused += _missing_roles(facts.incus.members, wanted.voters_min, finding)
        config = facts.incus.config
        healing = bool(wanted.healing_threshold)
        with finding.clause():
            healing_s = seconds(config.get(_HEALING_AFTER), 0, _HEALING_AFTER)
            healing = healing or healing_s > 0
            finding.require(healing_s == wanted.healing_threshold, f"{_HEALING_AFTER} {healing_s}")
            if healing_s != wanted.healing_threshold:
                settings.append(server_setting(_HEALING_AFTER, str(wanted.healing_threshold)))
        with finding.clause():
            offline_s = seconds(config.get(OFFLINE_AFTER), OFFLINE_AFTER_S, OFFLINE_AFTER)
            finding.require(offline_s == wanted.offline_threshold, f"{OFFLINE_AFTER} {offline_s}")
            wait_s = ""
            if offline_s > wanted.offline_threshold:
                # Members stay Offline until the first heartbeat at the new, shorter interval.
                wait_s = str(max(wanted.offline_threshold, offline_s // 2) + _SPREAD_S)
                refused += _reasons_not_to_lower(offline_s, healing)
            if offline_s != wanted.offline_threshold:
                settings.insert(0, server_setting(OFFLINE_AFTER, str(wanted.offline_threshold), wait_s=wait_s))
        finding.fix |= server_fix(settings, [*refused, *finding.unknown_reasons])


def _missing_roles(members: Sequence[Member], voters_min: int, finding: Clauses) -> list[str]:
    """Record the clauses about the database roles. Return those that are violated: no setting of the server fixes them."""
    voters = sorted(member.name for member in members if "database" in member.roles)
    leaders = sorted(member.name for member in members if "database-leader" in member.roles)
    missing = []
    if len(voters) < voters_min:
        missing.append(f"{_count(len(voters), 'voter')} of at least {voters_min}")
    if len(leaders) != 1:
        missing.append(f"{_count(len(leaders), 'leader')} of the database")
    for each in missing:
        finding.violated(each)
    finding.holds(
        f"{_count(len(voters), 'voter')} ({', '.join(voters) or 'none'}), leader {', '.join(leaders) or 'none'}"
    )
    if len(members) == 2:
        finding.note = "with two members, no setting gives a quorum while the voter is away"
    return missing


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
