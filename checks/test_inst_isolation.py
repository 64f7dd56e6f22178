"""Checks of INST: what isolates containers from the host and from each other: privileges, nesting, id maps and the guest API.

They cover instances of all projects, stopped ones too, each with the configuration that its profiles give.
"""

from sigsrv import ClusterFacts, Require, Site, finding_id, policy
from sigsrv.facts.resources import Instance
from sigsrv.judge.instance_keys import InstanceKeys
from sigsrv.judge.instance_status import is_unknown, may_run

_MAPS_NOTHING = ("", "[]", "null")  # values of volatile.idmap.*
_GUEST_API, _IMAGES, _ISOLATED = "security.guestapi", "security.guestapi.images", "security.idmap.isolated"


@policy("INST-007")
def test_user_instances_have_their_own_id_map_and_no_guest_api(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Checks the guest API and the id map of instances in the kinds of projects that the site's user_hardening lists.

    In all other projects, it checks only that the guest API gives no images of the host.
    """
    keys = InstanceKeys("INST-007", facts, site, require)
    for instance, host in require.each(facts.instances):
        config = instance.expanded_config
        entry = site.project(instance.project)
        hardened = entry is not None and entry.kind in site.user_hardening
        # A privileged container has no id map: INST-001 reports it.
        isolates = hardened and instance.type == "container" and config["security.privileged"] == "false"
        forbidden = (_IMAGES, _GUEST_API) if hardened else (_IMAGES,)
        expected = [f"{key} is false" for key in forbidden]
        if isolates:
            expected.append(f"{_ISOLATED} is true and in effect")
        wrong = {key: "false" for key in forbidden if config[key] == "true"}
        fault, renew = "", False
        if isolates and config[_ISOLATED] == "false":
            wrong[_ISOLATED] = "true"
        elif isolates and _ISOLATED not in site.exempt_keys("INST-007", instance.resource):
            fault, renew = _id_map_fault(instance)
        if fault and not renew and is_unknown(instance) and not wrong:
            reason = f"the status is {instance.status}, which does not show which id map the container runs with"
            require.unknown(instance.resource, reason, host=host)
        elif entry is None and not wrong:
            because = finding_id("PROJ-008", facts.name, instance.project)
            reason = f"the site file has no entry for project {instance.project}"
            require.not_applicable(instance.resource, reason, because, host)
        else:
            keys.record(
                instance,
                host,
                wrong,
                expected=", ".join(reversed(expected)),
                observed="as expected" + ("" if hardened else "; the guest API itself is allowed in this project"),
                fault=fault,
                live=(_GUEST_API, _IMAGES),
                set_first=(f"{_ISOLATED}=false", f"{_ISOLATED}=true") if renew else (),
                restart=bool(fault),
            )


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
