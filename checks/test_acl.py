"""Checks of ACL: network access control lists."""

from collections.abc import Collection, Iterable

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Config, NetworkAcl
from sigsrv.judge.site_resources import (
    Nic,
    acls_in_use,
    acls_of,
    each_network,
    each_network_with_acls,
    missing_acls,
    nics_of,
)
from sigsrv.model.site_bridges import SiteBridge

_DIRECTIONS = ("ingress", "egress")


@policy("ACL-001")
def test_network_has_the_acls_of_the_site_file_attached(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at security.acls of the network: it must name every ACL that the site file names for the bridge."""
    known = {acl.name for acl in facts.incus.network_acls if acl.project == "default"}
    for bridge, network in each_network(facts, site, require):
        if not bridge.acls:
            require.not_applicable(bridge.name, "the site file names no ACL for the bridge")
            continue
        attached = acls_of(network.config)
        missing = [acl for acl in bridge.acls if acl not in attached]
        foreign = [acl for acl in attached if acl not in bridge.acls] if bridge.acls_exact else []
        kept = [acl for acl in attached if acl not in foreign]
        only = "only " if bridge.acls_exact else ""
        absent = _absent(missing, known)
        require(
            bridge.name,
            not missing and not foreign,
            expected=f"{only}{', '.join(bridge.acls)} attached",
            observed=f"{', '.join(attached) or 'no ACL'} attached",
            reason=absent,
            fix={
                "network": bridge.name,
                "missing": missing,
                "foreign": foreign,
                "acls": ",".join([*kept, *missing]),
                "absent": absent,
            },
        )


def _absent(wanted: Iterable[str], known: Collection[str]) -> str:
    absent = [acl for acl in wanted if acl not in known]
    return f"there is no ACL {', '.join(absent)}" if absent else ""


@policy("ACL-002")
def test_acl_exists_and_has_enabled_rules(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at each ACL that the site file, a network or a NIC names, and counts its rules. Disabled rules do not count."""
    found = {(acl.project, acl.name): acl for acl in facts.incus.network_acls}
    wanted = dict.fromkeys(acls_in_use(facts, require), 1) | {
        (acl.project, acl.name): acl.min_rules for acl in site.acls
    }
    for (project, name), least in sorted(wanted.items()):
        acl = found.get((project, name))
        require(
            f"{project}/{name}",
            acl is not None and acl.enabled >= least,
            expected=f"at least {least} enabled rule{'s' if least != 1 else ''}",
            observed=_counted(acl) if acl else "there is no such ACL",
        )
    for project, name in found.keys() - wanted.keys():
        require.leave_out(f"{project}/{name}", "no network and no NIC names it, and the site file does not list it")


def _counted(acl: NetworkAcl) -> str:
    counted = f"{acl.enabled} enabled, {acl.disabled} disabled"
    return counted if acl.enabled else f"{counted}: its default action applies to all traffic where it is attached"


@policy("ACL-003")
def test_acl_default_action_allows_traffic_only_if_the_site_file_says_so(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the default action for both directions, of each network with ACLs and of each NIC on it with its own ACLs.

    An unset default action is reject.
    """
    for bridge, network in each_network_with_acls(facts, site, require):
        wanted = {way: bridge.acl_default.get(way, "reject") for way in _DIRECTIONS}
        expected = "; ".join(f"{way}: {_allowed(wanted[way])}" for way in _DIRECTIONS)
        with require.finding(bridge.name, expected) as finding:
            nics: list[Nic] = []
            with finding.clause(on=facts.name):
                nics = [nic for nic in nics_of(facts, bridge.name, partial=True) if nic.acls]
                with finding.clause():
                    facts.instances.require_all()  # a NIC of an unread instance may have its own default action
            attached = acls_of(network.config)
            if not attached and not nics:
                because = missing_acls(facts.name, bridge)
                finding.nothing("no ACL is attached, so there is no default action", because)
                continue
            for text in _undeclared(network.config, bridge, "the network") if attached else ():
                finding.violated(text)
            others = [text for nic in nics for text in _undeclared(nic.config, bridge, f"NIC {nic.resource}")]
            for text in others:
                finding.violated(text)
                finding.note = "a NIC with its own ACLs uses only its own default action"
            if not finding.is_violated:
                finding.holds("; ".join(f"{way}: {_action(network.config, way)}" for way in _DIRECTIONS))
            changes = {way: wanted[way] for way in _DIRECTIONS if _is_undeclared(network.config, bridge, way)}
            finding.fix.update(
                {"network": bridge.name, **dict.fromkeys(_DIRECTIONS, ""), **changes, "nics": ", ".join(others)}
            )


def _action(config: Config, direction: str) -> str:
    return config.get(f"security.acls.default.{direction}.action") or "reject"  # the default of Incus


def _is_undeclared(config: Config, bridge: SiteBridge, direction: str) -> bool:
    """Return whether the default action allows traffic in a direction although the site file does not say so."""
    action = _action(config, direction)
    return action not in ("reject", "drop") and action != bridge.acl_default.get(direction)


def _undeclared(config: Config, bridge: SiteBridge, where: str) -> list[str]:
    return [
        f"{where} has {_action(config, way)} for {way}" for way in _DIRECTIONS if _is_undeclared(config, bridge, way)
    ]


def _allowed(action: str) -> str:
    return "reject or drop" if action in ("reject", "drop") else f"{action} (as in the site file), reject or drop"
