"""Checks of INST: what isolates containers from the host and from each other: privileges, nesting, id maps and the guest API.

They cover instances of all projects, stopped ones too, each with the configuration that its profiles give.
"""

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Instance
from sigsrv.judge.instance_keys import InstanceKeys
from sigsrv.judge.instance_status import is_unknown, may_run
from sigsrv.judge.site_projects import defer_undeclared

_MAPS_NOTHING = ("", "[]", "null")  # values of volatile.idmap.*
_GUEST_API, _IMAGES, _ISOLATED = "security.guestapi", "security.guestapi.images", "security.idmap.isolated"


@policy("INST-007")
def test_user_instances_have_their_own_id_map_and_no_guest_api(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Checks the guest API and the id map of instances in the kinds of projects that the site's user_hardening lists.

    In all other projects, it checks only that the guest API gives no images of the host. PROJ-008 reports a project without an entry in
    the site file; if it is exempt there, the project counts as one of kind user.
    """
    keys = InstanceKeys("INST-007", facts, site)
    for instance, host in require.each(facts.instances):
        config = instance.expanded_config
        # Images of the host are wrong in every kind of project. All else depends on the kind, which only the site file says.
        is_wrong_anyway = site.project(instance.project) is None and config[_IMAGES] == "true"
        hardened = not is_wrong_anyway and site.project_or_strict(instance.project).kind in site.user_hardening
        # A privileged container has no id map: INST-001 reports it.
        isolates = hardened and instance.type == "container" and config["security.privileged"] == "false"
        forbidden = (_IMAGES, _GUEST_API) if hardened else (_IMAGES,)
        expected = [f"{_ISOLATED} is true and in effect"] if isolates else []
        with require.finding(
            instance.resource,
            ", ".join([*expected, *(f"{key} is false" for key in reversed(forbidden))]),
            host=host,
            otherwise="as expected" + ("" if hardened else "; the guest API itself is allowed in this project"),
        ) as finding:
            if not is_wrong_anyway:
                defer_undeclared(finding, facts, site, instance.project)
            wrong = {key: "false" for key in forbidden if config[key] == "true"}
            fault, renew = "", False
            if isolates and config[_ISOLATED] == "false":
                wrong[_ISOLATED] = "true"
            elif isolates and _ISOLATED not in site.exempt_keys("INST-007", instance.resource):
                fault, renew = _id_map_fault(instance)
            if fault and not renew and is_unknown(instance):
                fault = ""
                finding.unknown(
                    f"the status is {instance.status}, which does not show which id map the container runs with"
                )
            keys.judge(
                finding,
                instance,
                wrong,
                live=(_GUEST_API, _IMAGES),
                set_first=(f"{_ISOLATED}=false", f"{_ISOLATED}=true") if renew else (),
                restart=bool(fault),
            )
            if fault:
                finding.violated(fault)


def _id_map_fault(instance: Instance) -> tuple[str, bool]:
    """Return what is wrong with the id map of a container that is configured as isolated, "" if nothing is.

    The second value is true if a restart is not enough: Incus makes a new id map only when the key changes.
    """
    base, current, following = (
        instance.config.get(f"volatile.idmap.{which}", "") for which in ("base", "current", "next")
    )
    if base in ("", "0"):  # for example after `config set KEY=`: Incus shows the profile's value but does not apply it
        return f"{_ISOLATED} is true, but the container still has the id map that all others share", True
    if may_run(instance) and (current in _MAPS_NOTHING or current != following):
        return "the container runs with another id map than the configured one: a restart is pending", False
    return "", False
