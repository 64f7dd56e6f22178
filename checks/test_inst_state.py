"""Checks of INST: how instances of all projects boot, and which state they are in."""

from fnmatch import fnmatchcase

from sigsrv import ClusterFacts, Require, Site, finding_id, policy
from sigsrv.judge.instance_keys import InstanceKeys
from sigsrv.judge.instance_status import STOPPED
from sigsrv.model.values import is_true

_RUNNING = ("Running", "Ready")  # a guest reports Ready through the guest API
_LASTING = (*_RUNNING, STOPPED, "Frozen")  # all others are errors, or in the middle of a change
_PROTECTION = ("boot.autostart", "security.protection.delete")


@policy("INST-013")
def test_instances_are_as_expected_and_critical_ones_are_protected(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Checks that each instance is running, stopped or frozen, and neither in an error nor in the middle of a change.

    An instance that the site calls critical must exist, run, start with its host, and be protected from deletion.
    """
    keys = InstanceKeys("INST-013", facts, site, require)
    _require_critical(facts, site, require)
    online = _online(facts)
    for instance, host in require.each(facts.instances):
        if instance.status == "Unknown":
            require.unknown(instance.resource, "the daemon did not report the state in time", host=host)
            continue
        if instance.status == "Error" and online is not None and instance.location not in online:
            because = finding_id("CLUS-001", facts.name, instance.location)
            require.not_applicable(instance.resource, f"member {instance.location} is not Online", because, host)
            continue
        critical = site.is_critical(instance.resource)
        allowed = "Running" if critical else "Running, Stopped or Frozen"
        in_state = instance.status in (_RUNNING if critical else _LASTING)
        protection = _PROTECTION if critical else ()
        wrong = {key: "true" for key in protection if not is_true(instance.expanded_config.get(key, ""))}
        startable = instance.status in (STOPPED, "Frozen")
        refuse = (
            "" if in_state or startable else f"the status is {instance.status}: find out why with incus info --show-log"
        )
        if not in_state and not wrong and instance.status == STOPPED and facts.hosts[host].is_evacuated:
            because = finding_id("CLUS-004", facts.name, instance.location)
            require.not_applicable(instance.resource, f"member {instance.location} is evacuated", because, host)
            continue
        keys.record(
            instance,
            host,
            wrong,
            expected=", ".join([allowed, *(f"{key} is true" for key in protection)]),
            observed=f"{instance.status}, critical and protected" if critical else instance.status,
            fault="" if in_state else f"the status is {instance.status}",
            live=tuple(wrong),
            start=critical and startable,
            refuse=refuse,
        )


def _require_critical(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Record each critical name that no instance has, on any member.

    If the site has several standalone hosts, it does not say which of them should have the instance.
    """
    listed = facts.incus.listed_instances
    for glob in dict.fromkeys(site.critical):
        if any(fnmatchcase(instance.resource, glob) for instance in listed):
            continue
        if facts.name != "cluster" and len(site.hosts) > 1:
            reason = f"{facts.name} is a standalone host, and the site does not say on which host {glob} must be"
            require.not_applicable(glob, reason)
            continue
        refuse = f"no instance has the name {glob}: restore it, or remove the name from the site file"
        fix = {"instance": glob, "project": "", "set": [], "unset": [], "restart": False, "start": False}
        require(
            glob,
            False,
            expected="an instance of this name",
            observed="no instance of this name",
            fix={**fix, "refuse": refuse},
        )


def _online(facts: ClusterFacts) -> frozenset[str] | None:
    """Return the names of the members that are Online, None for a standalone host."""
    if not facts.incus.server.clustered:
        return None
    return frozenset(member.name for member in facts.incus.members if member.status == "Online")
