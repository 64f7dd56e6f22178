"""Findings about configuration keys of instances, with the values for the remediation ``set-instance-config``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.resources import Config, Instance
from sigsrv.judge.clauses import Clauses
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import Site

_SHOWN = 60  # characters of a value that a finding shows
ALL = "*"


def shown_key(key: str, config: Config, origin: str | None = None) -> str:
    """Return a key with its value on one line. origin: ``instance``, or the profile that it comes from, which the text then names."""
    value = " ".join(config.get(key, "").split()) or "unset"
    if len(value) > _SHOWN:
        value = value[: _SHOWN - 3] + "..."
    return f"{key} is {value}" + ("" if origin in (None, "instance") else f" (from profile {origin})")


def instance_fix(
    facts: ClusterFacts,
    instance: Instance,
    wrong: Mapping[str, str],
    *,
    live: Collection[str] = (),
    set_first: Iterable[str] = (),
    restart: bool = False,
    start: bool = False,
    refuse: str = "",
) -> dict[str, Any]:
    """Return the values for the remediation ``set-instance-config``; the arguments are those of ``InstanceKeys.judge``."""
    return {
        "instance": instance.name,
        "project": instance.project,
        "set": [*set_first, *(f"{key}={value}" for key, value in wrong.items() if value)],
        "unset": [key for key, value in wrong.items() if not value],
        "restart": restart or (ALL not in live and bool(set(wrong) - set(live))),
        "start": start,
        "refuse": refuse or _set_by_profiles(facts, instance, wrong),
        "refuse_anywhere": refuse,
    }


def _set_by_profiles(facts: ClusterFacts, instance: Instance, wrong: Mapping[str, str]) -> str:
    """Return which keys to unset a profile gives, or that this is unknown; "" if there are none.

    Unsetting such a key on the instance does not help. A key that the fix sets is no problem: the instance overrides its profiles.
    """
    to_unset = [key for key, value in wrong.items() if not value]
    try:
        profiles = {key: facts.incus.profile_with(instance, key) for key in to_unset}
    except EvidenceError as cause:
        return f"a profile may give {', '.join(to_unset)}: {cause.reason}"
    return "; ".join(
        f"{key} comes from profile {name}: remove it there (--at profile does)"
        for key, name in profiles.items()
        if name is not None
    )


def known_origin(finding: Clauses, facts: ClusterFacts, instance: Instance, key: str) -> str | None:
    """Return where a key of an instance comes from. If that can't be read, record an unknown clause and return None."""
    with finding.clause():
        return facts.incus.origin(instance, key)
    return None


class InstanceKeys:
    """Records, for one policy, clauses about the configuration keys of instances.

    Keys that the site exempts by name for the policy are neither faults nor fixed. The finding's reason lists those that are wrong.
    """

    def __init__(self, policy_id: str, facts: ClusterFacts, site: Site) -> None:
        """Prepare to record.

        policy_id: The id of the policy, whose exemptions count.
        facts: The cluster or standalone host, which knows the profile that a key comes from.
        site: The site, which says which keys are exempt.
        """
        self._id, self._facts, self._site = policy_id, facts, site

    def judge(
        self,
        finding: Clauses,
        instance: Instance,
        wrong: Mapping[str, str],
        *,
        live: Collection[str] = (),
        set_first: Iterable[str] = (),
        restart: bool = False,
        start: bool = False,
        refuse: str = "",
    ) -> None:
        """Record a violated clause for each wrong key, and the values of the fix.

        finding: The clauses of the finding on the instance.
        instance: The instance whose keys the check has read.
        wrong: Each wrong key with the value that the fix sets. The value "" means that the fix unsets the key.
        live: The keys that take effect without a restart. A wrong key that is not in it makes the fix restart the instance.
        set_first: KEY=VALUE settings that the fix makes before all others. Incus acts on some keys only when their value changes.
        restart: Whether the fix must restart a running instance, whatever the keys need.
        start: Whether the fix must start the instance.
        refuse: Why a script must not make the fix. Without a reason here, the fix is refused only if it would unset a key that a profile
            gives or may give.
        """
        exempt = self._site.exempt_keys(self._id, instance.resource)
        finding.note = "; ".join(f"the site exempts {key}: {exempt[key]}" for key in wrong if key in exempt)
        to_fix = {key: value for key, value in wrong.items() if key not in exempt}
        for key in to_fix:
            origin = known_origin(finding, self._facts, instance, key)
            finding.violated(shown_key(key, instance.expanded_config, origin))
        finding.fix |= instance_fix(
            self._facts,
            instance,
            to_fix,
            live=live,
            set_first=set_first,
            restart=restart,
            start=start,
            refuse=refuse,
        )
