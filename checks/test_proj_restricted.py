"""Checks of PROJ: the restrictions of restricted projects, and what is in these projects."""

from collections.abc import Iterable, Mapping

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Config, Instance, Profile
from sigsrv.facts.restrictions import forbidden_device, forbidden_keys
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.restricting import NETWORKS, POOLS, POOLS_EXTENSION, Listed, networks_of, pools_of, servers_of
from sigsrv.judge.site_projects import defer_undeclared, each_restricted_project, require_projects


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
            project.name, f"{NETWORKS} lists only {_listed(networks)}", otherwise="as expected"
        ) as finding:
            defer_undeclared(finding, facts, site, project.name)
            keys = [*_record(finding, networks_of(project.config, networks))]
            with finding.clause():
                if POOLS_EXTENSION in facts.incus.extensions:
                    finding.expected += f"; {POOLS} lists only {_listed(pools)}"
                keys += _record(finding, pools_of(facts, project.config, pools))
            keys += _record(finding, servers_of(project.config, site))
            finding.fix["keys"] = sorted(keys, key=lambda key: key["name"])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _record(finding: Clauses, listed: Listed) -> tuple[dict[str, str], ...]:
    """Record what is wrong with a list and return the keys to set."""
    for fault in listed.faults:
        finding.violated(fault)
    return listed.keys


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
