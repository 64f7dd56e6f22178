"""Checks of XHOST: whether the instances of a redundant group are on different hosts."""

from collections import defaultdict

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Instance
from sigsrv.judge.clauses import Clauses
from sigsrv.model.site import RedundantGroup

_RUNNING = ("Running", "Ready")  # a guest reports Ready through the guest API


@policy("XHOST-005")
def test_redundant_instances_run_on_different_hosts(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at the host and at the status of each instance that the site file lists in a redundant group."""
    require.if_nothing("the site file lists no redundant instances")
    for group in site.redundant:
        with require.finding(group.name, "each of its instances runs, on a host of its own") as finding:
            _judge_group(finding, facts, group)


def _judge_group(finding: Clauses, facts: ClusterFacts, group: RedundantGroup) -> None:
    on: dict[str, list[str]] = defaultdict(list)
    for name in group.instances:
        with finding.clause():
            rows = _rows(facts, name)
            if not rows:
                finding.violated(f"there is no instance {name}")
            for instance, host in rows:
                on[host].append(name)
                finding.require(instance.status in _RUNNING, f"{name} is {instance.status} on {host}")
    for host, names in on.items():
        if len(names) > 1:
            finding.violated(
                f"{' and '.join(names)} are both on {host}"
                if len(names) == 2
                else f"all of {', '.join(names)} are on {host}"
            )


def _rows(facts: ClusterFacts, name: str) -> list[tuple[Instance, str]]:
    """Return an instance with its host: of servers in no cluster, each may have one of the name. Raises EvidenceError."""
    return list(facts.instances.where(lambda each: each.resource == name))
