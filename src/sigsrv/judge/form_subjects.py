"""The resources that a policy with forms judges, each with its facts and its entry of the site file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge import examined
from sigsrv.judge.form_values import Subject
from sigsrv.judge.require import Require
from sigsrv.model.forms import Joined
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site


def subjects(
    policy: Policy, facts: HostFacts | ClusterFacts, site: Site, require: Require
) -> Iterator[tuple[Subject, Any]]:
    """Yield each resource that a policy examines, with the object that ``match`` looks at.

    Records ``error`` for each resource of which nothing is known, and ``not-applicable`` for an entry of the site file that does not
    concern the host. Raises EvidenceError if the resources could not be listed.
    """
    joined = policy.forms.joined
    if joined is not None and joined.each:
        for join in joined.with_.values():  # without the list, one error instead of one for each entry
            Subject(facts.name, facts.name, facts, {}).look_up(join.in_)
        for entry in _entries(joined, facts, site, require):
            yield Subject(facts.name, entry.name, facts, {"site": site, "entry": entry, "scope": facts}), entry
        return
    entry_of = _entries_of(policy.examines, site)
    for host, resource, each in examined.objects(policy.examines, facts, require):
        names = {"site": site, "entry": entry_of(resource, each), "scope": facts}
        yield Subject(host, resource, each, names), each


def _entries(joined: Joined, facts: HostFacts | ClusterFacts, site: Site, require: Require) -> Iterator[Any]:
    if joined.each == "bridges":
        for bridge in site.bridges:
            if isinstance(facts, HostFacts) and not bridge.is_on(facts.name):
                require.not_applicable(bridge.name, bridge.only_on)
            else:
                yield bridge
    elif joined.each == "projects":
        require.leave_out_others("no entry of the site file names it")
        yield from (entry for entry in site.projects if not entry.is_glob)
    for pool in site.pools if joined.each == "pools" else ():
        if isinstance(facts, HostFacts) and not pool.is_on(facts.name):
            hosts = ", ".join(pool.members or ())
            require.not_applicable(pool.name, f"the site file has this pool only on {hosts or 'no host'}")
        else:
            yield pool


def _entries_of(kind: str, site: Site) -> Callable[[str, Any], Any]:
    """Return what gives the entry of the site file for a resource and its facts; for an instance or a volume that of its project.

    A project without an entry gets the strictest requirements; None if there is no other entry.
    """
    if kind == "certificate":
        return lambda _, each: site.full_certificate(each.name, each.is_name_unique, each.fingerprint)
    if kind in ("instance", "volume"):
        return lambda _, each: site.project_or_strict(each.project)
    if kind == "project":
        return lambda resource, _: site.project_or_strict(resource)
    named: Mapping[str, Mapping[str, Any]] = {
        "bridge": {entry.name: entry for entry in site.bridges},
        "network": {entry.name: entry for entry in site.bridges},
        "pool": {entry.name: entry for entry in site.pools},
        "acl": {f"{entry.project}/{entry.name}": entry for entry in site.acls},
    }
    entries = named.get(kind, {})
    return lambda resource, _: entries.get(resource)
