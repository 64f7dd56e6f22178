"""Checks of ACL: network access control lists."""

from sigsrv import finding_id, policy
from sigsrv.judge.site_resources import each_network, each_network_with_acls, nics_on, owner_of_networks
from sigsrv.model.values import split_list

_DIRECTIONS = ("ingress", "egress")


@policy("ACL-001")
def test_network_carries_the_acls_of_the_site(facts, site, require):
    """Every ACL that the site names is in the network's list."""
    known = {acl.name for acl in facts.incus.network_acls if acl.project == "default"}
    for bridge, network in each_network(facts, site, require):
        if not bridge.acls:
            require.not_applicable(bridge.name, "the site names no ACL for it")
            continue
        attached = split_list(network.config.get("security.acls"))
        missing = [acl for acl in bridge.acls if acl not in attached]
        foreign = [acl for acl in attached if acl not in bridge.acls] if bridge.acls_exact else []
        kept = [acl for acl in attached if acl not in foreign]
        only = "only " if bridge.acls_exact else ""
        require(
            bridge.name,
            not missing and not foreign,
            expected=f"{only}{', '.join(bridge.acls)} attached",
            observed=f"{', '.join(attached) or 'no ACL'} attached",
            reason=_absent(missing, known),
            fix={"network": bridge.name, "acls": ",".join([*kept, *missing]), "absent": _absent(missing, known)},
        )


def _absent(wanted, known):
    absent = [acl for acl in wanted if acl not in known]
    return f"there is no ACL {', '.join(absent)}" if absent else ""


@policy("ACL-002")
def test_acl_exists_and_has_rules_that_take_effect(facts, site, require):
    """Each ACL that the site, a network or a NIC names. A rule that is disabled is none."""
    found = {(acl.project, acl.name): acl for acl in facts.incus.network_acls}
    wanted = {(acl.project, acl.name): acl.min_rules for acl in site.acls}
    for network in facts.incus.networks:
        for name in split_list(network.config.get("security.acls")):
            wanted.setdefault(("default", name), 1)
    projects = facts.incus.projects
    instances = facts.instances
    for instance, _ in instances.known(decisive=lambda _: True):
        for device in instance.expanded_devices.values():
            if device.get("type") == "nic":
                for name in split_list(device.get("security.acls")):
                    wanted.setdefault((owner_of_networks(projects, instance.project), name), 1)
    for (project, name), least in sorted(wanted.items()):
        resource = f"{project}/{name}"
        acl = found.get((project, name))
        require(
            resource,
            acl is not None and acl.enabled >= least,
            expected=f"at least {least} rule{'s' if least != 1 else ''} enabled",
            observed=_rules(acl) if acl else "there is no such ACL",
        )
    instances.require_all()  # a NIC of an unread instance may name one more ACL


def _rules(acl):
    seen = f"{acl.enabled} enabled, {acl.disabled} disabled"
    return seen if acl.enabled else f"{seen}: where it is attached, its default action meets all traffic"


@policy("ACL-003")
def test_acl_default_action_is_not_a_silent_allow(facts, site, require):
    """What no rule names is rejected or dropped, or allowed because the site says so."""
    instances = facts.instances
    for bridge, network in each_network_with_acls(facts, site, require):
        with require.about(bridge.name):
            _judge_default_action(facts, instances, bridge, network, require)


def _judge_default_action(facts, instances, bridge, network, require):
    attached = split_list(network.config.get("security.acls"))
    known = instances.known(decisive=lambda _: True)
    nics = [nic for instance, _ in known for nic in _nics_with_acls(instance, bridge.name)]
    own = _allows(network.config, bridge, "the network") if attached else []
    others = [wrong for name, nic in nics for wrong in _allows(nic, bridge, f"NIC {name}")]
    if not own and not others:
        instances.require_all()  # a NIC of an unread instance may have a default action of its own
    if not attached and not nics:
        because = finding_id("ACL-001", facts.name, bridge.name) if bridge.acls else None
        require.not_applicable(bridge.name, "no ACL is attached: there is no default action", because=because)
        return
    wanted = {way: bridge.acl_default.get(way, "reject") for way in _DIRECTIONS}
    require(
        bridge.name,
        not own and not others,
        expected="; ".join(f"{way}: {_allowed(wanted[way])}" for way in _DIRECTIONS),
        observed="; ".join(own + others) or "; ".join(f"{way}: {_action(network.config, way)}" for way in _DIRECTIONS),
        reason="a NIC with ACLs of its own uses only its own default action" if others else "",
        fix={
            "network": bridge.name,
            **{way: wanted[way] if _silent(network.config, bridge, way) else "" for way in _DIRECTIONS},
            "nics": ", ".join(others),
        },
    )


def _nics_with_acls(instance, network):
    for name, device in nics_on(instance, network):
        if split_list(device.get("security.acls")):
            yield f"{instance.resource}/{name}", device


def _action(config, direction):
    return config.get(f"security.acls.default.{direction}.action") or "reject"  # Incus's default


def _silent(config, bridge, direction):
    """Whether what no rule names passes in that direction, and the site does not say so."""
    action = _action(config, direction)
    return action not in ("reject", "drop") and action != bridge.acl_default.get(direction)


def _allows(config, bridge, where):
    return [f"{where} has {_action(config, way)} for {way}" for way in _DIRECTIONS if _silent(config, bridge, way)]


def _allowed(action):
    return "reject or drop" if action in ("reject", "drop") else f"{action}, as the site says, or reject or drop"
