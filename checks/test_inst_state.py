"""Checks of INST: how instances of all projects boot, and which state they are in."""

from fnmatch import fnmatchcase

from sigsrv import ClusterFacts, HostFacts, Require, Site, finding_id, policy
from sigsrv.facts.resources import Instance
from sigsrv.judge.instance_keys import InstanceKeys
from sigsrv.judge.instance_status import STOPPED
from sigsrv.model.values import is_true

_RUNNING = ("Running", "Ready")  # a guest reports Ready through the guest API
_LASTING = (*_RUNNING, STOPPED, "Frozen")  # all others are errors, or in the middle of a change
_PROTECTION = ("boot.autostart", "security.protection.delete")
_NO_START = "security.protection.start"  # Incus starts no such instance, not even after a reboot of the host


@policy("INST-013")
def test_instances_are_as_expected_and_critical_ones_are_protected(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Checks that each instance is running, stopped or frozen, and neither in an error nor in the middle of a change.

    An instance that the site calls critical must exist, run, start with its host, be protected from deletion, and not from a start.
    """
    keys = InstanceKeys("INST-013", facts, site)
    _require_critical(facts, site, require)
    for instance, host in require.each(facts.instances):
        status, critical = instance.status, site.is_critical(instance.resource)
        allowed = "Running" if critical else "Running, Stopped or Frozen"
        protection = _PROTECTION if critical else ()
        with require.finding(
            instance.resource,
            ", ".join(
                [
                    allowed,
                    *(f"{key} is true" for key in protection),
                    *([f"{_NO_START} is not true"] if critical else []),
                ]
            ),
            host=host,
            otherwise=f"{status}, critical and protected" if critical else status,
        ) as finding:
            wrong = {key: "true" for key in protection if not is_true(instance.expanded_config.get(key, ""))}
            if critical and is_true(instance.expanded_config.get(_NO_START, "")):
                wrong[_NO_START] = "false"
            startable, refuse = status in (STOPPED, "Frozen"), ""
            if status == "Unknown":
                finding.unknown("the daemon did not report the state in time")
            elif status not in (_RUNNING if critical else _LASTING):
                why, root = "", None
                with finding.clause():
                    why, root = _reported(instance, facts.hosts[host], facts)
                finding.violated(f"the status is {status}{why}", root)
                if root or not startable:
                    refuse = f"the status is {status}{why or ': find out why with incus info --show-log'}"
            start = critical and startable
            keys.judge(finding, instance, wrong, live=tuple(wrong), start=start, refuse=refuse)


def _reported(instance: Instance, host: HostFacts, facts: ClusterFacts) -> tuple[str, str | None]:
    """Return what of its member explains the status of an instance, and the id of the finding that reports it; "" and None if nothing.

    Raises EvidenceError if the members can't be read.
    """
    at = instance.location
    if instance.status == STOPPED and host.is_evacuated:
        return f"; member {at} is evacuated", finding_id("CLUS-004", facts.name, at)
    if instance.status != "Error" or not facts.incus.server.clustered:
        return "", None
    if any(member.name == at and member.status == "Online" for member in facts.incus.members):
        return "", None
    return f"; member {at} is not Online", finding_id("CLUS-001", facts.name, at)


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
