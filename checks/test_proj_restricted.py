"""Checks of PROJ: the restrictions of restricted projects, and what is in these projects."""

from collections.abc import Collection, Iterable, Mapping

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Config
from sigsrv.facts.restrictions import forbidden
from sigsrv.judge.site_projects import each_project, each_restricted_project
from sigsrv.model.values import split_list

_NIC = "restricted.devices.nic"
_NETWORKS = "restricted.networks.access"
_POOLS = "restricted.storage-pools.access"
_POOLS_EXTENSION = "projects_restricted_storage_pool_access"


def _project_keys(values: Mapping[str, str]) -> Mapping[str, list[dict[str, str]]]:
    """Return the values for the remediation ``set-project-config``. An empty value unsets its key."""
    return {"keys": [{"name": name, "value": value} for name, value in sorted(values.items())]}


@policy("PROJ-004")
def test_restricted_project_lists_the_networks_that_it_may_use(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the networks that each restricted project may use, and at the pools if the server can restrict them.

    An empty list allows all networks or pools.
    """
    for project, _ in each_project(each_restricted_project(facts, require), site, require):
        with require.about(project.name):
            networks, pools = site.networks_of(project.name), site.pools_of(project.name)
            keys, faults = _networks(project.config, networks)
            expected = f"{_NETWORKS} lists only {_listed(networks)}"
            if _POOLS_EXTENSION in facts.incus.extensions:
                pool_keys, pool_faults = _pools(facts, project.config, pools)
                keys, faults = {**keys, **pool_keys}, faults + pool_faults
                expected += f"; {_POOLS} lists only {_listed(pools)}"
            observed = "; ".join(faults) or "as expected"
            require(project.name, not faults, expected=expected, observed=observed, fix=_project_keys(keys))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _networks(config: Config, allowed: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Return the keys to set and what is wrong. The list does not limit a NIC that uses no managed network."""
    nic, access = config.get(_NIC, ""), split_list(config.get(_NETWORKS))
    if nic == "block":
        return {}, []
    keys: dict[str, str] = {}
    faults = []
    if nic not in ("", "managed"):
        keys[_NIC] = ""
        faults.append(f"{_NIC} is {nic}")
    if not access or not set(access) <= set(allowed):
        kept = [name for name in access if name in allowed] or sorted(allowed)
        keys |= {_NETWORKS: ",".join(kept)} if kept else {_NIC: "block"}
        faults.append(f"{_NETWORKS} is {','.join(access) or 'unset, which allows every network'}")
    return keys, faults


def _pools(facts: ClusterFacts, config: Config, allowed: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Return the keys to set and what is wrong."""
    access = split_list(config.get(_POOLS))
    usable = access or tuple(pool.name for pool in facts.incus.pools)
    if set(usable) <= set(allowed):
        return {}, []
    kept = [name for name in usable if name in allowed]
    return {_POOLS: ",".join(kept)}, [f"{_POOLS} is {','.join(access) or 'unset, which allows every pool'}"]


@policy("PROJ-007")
def test_restricted_project_contains_nothing_that_its_restrictions_forbid(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the instances and the profiles of each restricted project.

    Incus checks only edits against the restrictions. What was there before stays, and blocks every later edit of the project.
    """
    restricted = {project.name: project.config for project in each_restricted_project(facts, require)}
    expected = "nothing that the restrictions of the project forbid"
    for instance, host in require.each(facts.instances.where(lambda each: each.project in restricted)):
        with require.about(instance.resource, host):
            written = facts.incus.written(instance)
            config = {key: value for key, value in instance.expanded_config.items() if key in written}
            found = forbidden(restricted[instance.project], instance.type, config, instance.expanded_devices)
            require(instance.resource, not found, expected=expected, observed="; ".join(found) or "nothing", host=host)
    for name, project in restricted.items():
        with require.about(name):
            if project["features.profiles"] != "true":
                reason = (
                    "this project has no profiles of its own; its instances are checked together with their profiles"
                )
                require.not_applicable(name, reason)
                continue
            profiles = sorted(
                (each for each in facts.incus.profiles if each.project == name), key=lambda profile: profile.name
            )
            faults = [
                f"profile {each.name}: {fault}"
                for each in profiles
                for fault in forbidden(project, "profile", each.config, each.devices)
            ]
            observed = "; ".join(faults) or "nothing"
            require(name, not faults, expected=f"profiles with {expected}", observed=observed)
