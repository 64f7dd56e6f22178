"""Checks of INST and PROJ: the networks of NICs, of instances and of the profiles that give them."""

from collections.abc import Iterator, Mapping

from sigsrv import ClusterFacts, Require, Site, finding_id, policy
from sigsrv.facts.resources import Config
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.site_projects import defer_undeclared

_OF_PROFILES = "PROJ-009"


@policy("INST-011")
def test_nics_attach_only_to_the_site_s_managed_networks(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at the NICs of each instance, with those of its profiles, and at the networks that Incus manages.

    A bridged NIC that names a managed bridge as its parent is on that network: Incus loads the network for it. PROJ-009 reports a NIC of a
    profile once, instead of each instance with the profile.
    """
    for instance, host in require.each(facts.instances):
        expected = f"NICs only on {_listed(site.networks_of(instance.project))}"
        with require.finding(instance.resource, expected, host=host, otherwise="no nic device") as finding:
            defer_undeclared(finding, facts, site, instance.project)
            for name, nic in _nics(instance.expanded_devices):
                with finding.clause():
                    if _is_allowed(nic, instance.project, facts, site):
                        finding.holds(_shown(nic))
                        continue
                    origin = facts.incus.device_origin(instance, name)
                    if origin in (None, "instance"):
                        finding.violated(f"{name}: {_shown(nic)}")
                    else:
                        owner = facts.incus.owner(instance.project, "features.profiles")
                        root = finding_id(_OF_PROFILES, facts.name, f"{owner}/{origin}")
                        finding.violated(f"{name}: {_shown(nic)} (from profile {origin})", root=root)


@policy("PROJ-009")
def test_profiles_give_nics_only_on_the_site_s_managed_networks(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the NICs that each profile of a project gives, used or not, and at the networks that Incus manages."""
    for profile in facts.incus.profiles:
        expected = f"NICs only on {_listed(site.networks_of(profile.project))}"
        nics = dict(_nics(profile.devices))
        if not nics:
            require.leave_out(f"{profile.project}/{profile.name}", "the profile gives no NIC")
            continue
        with require.finding(f"{profile.project}/{profile.name}", expected) as finding:
            defer_undeclared(finding, facts, site, profile.project)
            for name, nic in nics.items():
                _judge_nic(finding, name, nic, profile.project, facts, site)


def _judge_nic(finding: Clauses, name: str, nic: Config, project: str, facts: ClusterFacts, site: Site) -> None:
    with finding.clause():
        finding.require(_is_allowed(nic, project, facts, site), f"{name}: {_shown(nic)}")


def _nics(devices: Mapping[str, Config]) -> Iterator[tuple[str, Config]]:
    return ((name, device) for name, device in sorted(devices.items()) if device.get("type") == "nic")


def _is_allowed(nic: Config, project: str, facts: ClusterFacts, site: Site) -> bool:
    """Return whether a NIC is on a network that its project may use. Raises EvidenceError if a parent may be such a network.

    For a bridged NIC without a network, Incus looks for a managed bridge with the name of its parent, in project default.
    """
    allowed = site.networks_of(project)
    if network := nic.get("network", "").strip():
        return network in allowed
    parent = nic.get("parent", "").strip()
    if nic.get("nictype", "").strip() != "bridged" or parent not in allowed:
        return False
    return any(each.name == parent and each.managed and each.type == "bridge" for each in facts.incus.networks)


def _shown(nic: Config) -> str:
    if nic.get("network"):
        return f"network {nic['network']}"
    return f"no network, {nic.get('nictype') or 'no nictype'}, parent {nic.get('parent') or 'none'}"


def _listed(names: tuple[str, ...]) -> str:
    return f"the networks {', '.join(names)}" if names else "no network"
