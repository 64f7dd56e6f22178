"""Checks of PROJ: the restrictions of restricted projects, and what is in these projects."""

from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlsplit

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Config, Instance, Profile
from sigsrv.facts.restrictions import forbidden_device, forbidden_keys
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.site_projects import defer_undeclared, each_restricted_project, require_projects
from sigsrv.model.values import split_list

_NIC = "restricted.devices.nic"
_NETWORKS = "restricted.networks.access"
_POOLS = "restricted.storage-pools.access"
_SERVERS = "restricted.images.servers"
_POOLS_EXTENSION = "projects_restricted_storage_pool_access"


def _list_key(name: str, old: Collection[str], new: Collection[str]) -> dict[str, str]:
    """Return a key with a list for the remediation ``set-project-config``: which names it puts in and takes out, and the whole list."""
    add, take = ([each for each in some if each not in others] for some, others in ((new, old), (old, new)))
    return {"name": name, "value": ",".join(new), "add": ",".join(add), "take": ",".join(take)}


def _key(name: str, value: str) -> dict[str, str]:
    """Return a key for the remediation ``set-project-config``. An empty value unsets it."""
    return {"name": name, "value": value}


@policy("PROJ-004")
def test_restricted_project_lists_the_networks_that_it_may_use(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the networks that each restricted project may use, and at pools and image servers if the server can restrict them.

    An empty list allows all networks or pools. A list of image servers may be empty, because Incus then refuses local images too: IMG-002
    judges the images. PROJ-008 reports a project without an entry in the site file; if it is exempt there, the
    project may use none.
    """
    for project in each_restricted_project(facts, require):
        networks, pools = site.networks_of(project.name), site.pools_of(project.name)
        with require.finding(
            project.name, f"{_NETWORKS} lists only {_listed(networks)}", otherwise="as expected"
        ) as finding:
            defer_undeclared(finding, facts, site, project.name)
            keys = _networks(finding, project.config, networks)
            with finding.clause():
                if _POOLS_EXTENSION in facts.incus.extensions:
                    finding.expected += f"; {_POOLS} lists only {_listed(pools)}"
                    keys += _pools(finding, facts, project.config, pools)
            if project.config.get(_SERVERS):
                keys += _servers(finding, project.config, site)
            finding.fix["keys"] = sorted(keys, key=lambda key: key["name"])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _networks(finding: Clauses, config: Config, allowed: Collection[str]) -> list[dict[str, str]]:
    """Record what is wrong and return the keys to set. The list does not limit a NIC that uses no managed network."""
    nic, access = config.get(_NIC, ""), split_list(config.get(_NETWORKS))
    keys: dict[str, dict[str, str]] = {}
    if nic == "block":
        return []
    if nic not in ("", "managed"):
        keys[_NIC] = _key(_NIC, "")
        finding.violated(f"{_NIC} is {nic}")
    if not access or not set(access) <= set(allowed):
        kept = [name for name in access if name in allowed] or sorted(allowed)
        keys |= {_NETWORKS: _list_key(_NETWORKS, access, kept)} if kept else {_NIC: _key(_NIC, "block")}
        finding.violated(f"{_NETWORKS} is {','.join(access) or 'unset, which allows every network'}")
    return [*keys.values()]


def _pools(finding: Clauses, facts: ClusterFacts, config: Config, allowed: Collection[str]) -> list[dict[str, str]]:
    """Record what is wrong and return the keys to set. Raises EvidenceError if all pools are allowed and can't be listed."""
    access = split_list(config.get(_POOLS))
    usable = access or tuple(pool.name for pool in facts.incus.pools)
    if set(usable) <= set(allowed):
        return []
    finding.violated(f"{_POOLS} is {','.join(access) or 'unset, which allows every pool'}")
    kept = [name for name in usable if name in allowed]
    return [_list_key(_POOLS, access, kept)] if kept else []  # an empty list would allow every pool


def _servers(finding: Clauses, config: Config, site: Site) -> list[dict[str, str]]:
    """Record image servers that the site file does not list, and return the key to set. Incus compares the hosts of their URLs."""
    listed = split_list(config.get(_SERVERS))
    allowed = sorted({host for origin in site.image_origins if (host := urlsplit(origin).hostname)})
    foreign = [name for name in listed if name.lower() not in allowed]
    if not foreign:
        return []
    finding.violated(f"{_SERVERS} has {', '.join(foreign)}, which images.servers of the site file lacks")
    kept = [name for name in listed if name not in foreign] or allowed
    return [_list_key(_SERVERS, listed, kept)] if kept else []  # an empty list would allow every server


@policy("PROJ-007")
def test_restricted_project_contains_nothing_that_its_restrictions_forbid(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the instances and the profiles of each restricted project.

    Incus checks only edits against the restrictions. What was there before stays, and blocks every later edit of the project.
    """
    restricted = {project.name: project.config for project in each_restricted_project(facts, require)}
    expected = "nothing that the restrictions of the project forbid"
    with require.about(require.subject):
        require_projects((each.project for each in facts.incus.listed_instances), facts, require)
        for instance, host in require.each(facts.instances.where(lambda each: each.project in restricted)):
            with require.finding(instance.resource, expected, host=host, otherwise="nothing") as finding:
                _require_instance(finding, instance, restricted[instance.project], facts)
    own: dict[str, list[Profile]] = {}
    for name, project in restricted.items():
        if project["features.profiles"] != "true":
            reason = "this project has no profiles of its own; its instances are checked together with their profiles"
            require.not_applicable(name, reason)
            continue
        with require.finding(name, f"profiles with {expected}", otherwise="nothing") as finding:
            own = own or _by_project(facts.incus.profiles)
            for profile in own.get(name, ()):
                _require_profile(finding, profile, project)


def _by_project(profiles: Iterable[Profile]) -> dict[str, list[Profile]]:
    """Return the profiles of each project, sorted by name."""
    found: dict[str, list[Profile]] = {}
    for each in sorted(profiles, key=lambda each: each.name):
        found.setdefault(each.project, []).append(each)
    return found


def _require_instance(finding: Clauses, instance: Instance, project: Config, facts: ClusterFacts) -> None:
    _require_devices(finding, "", instance.expanded_devices, project)
    written = facts.incus.written(instance)
    config = {key: value for key, value in instance.expanded_config.items() if key in written}
    for fault in forbidden_keys(project, instance.type, config):
        finding.violated(fault)


def _require_profile(finding: Clauses, profile: Profile, project: Config) -> None:
    for key, value in sorted(profile.config.items()):
        with finding.clause():
            for fault in forbidden_keys(project, "profile", {key: value}):
                finding.violated(f"profile {profile.name}: {fault}")
    _require_devices(finding, f"profile {profile.name}: ", profile.devices, project)


def _require_devices(finding: Clauses, where: str, devices: Mapping[str, Config], project: Config) -> None:
    for name, device in sorted(devices.items()):
        with finding.clause():
            for fault in forbidden_device(project, device):
                finding.violated(f"{where}{name}: {fault}")
