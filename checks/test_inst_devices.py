"""Checks of INST: the devices of instances of all projects, with those that profiles give.

A device of type ``none`` is no device: it masks the device of a profile.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Config, Instance
from sigsrv.judge.clauses import Clauses
from sigsrv.model.values import boolean

_TRUSTED = (
    "security.trusted"  # of a virtual function of SR-IOV: the guest may change its MAC address and see all frames
)
_FILTERS = {"mac": "security.mac_filtering", "ipv4": "security.ipv4_filtering", "ipv6": "security.ipv6_filtering"}


@policy("INST-010")
def test_nics_filter_spoofed_addresses(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks the security.*_filtering keys of each NIC on a network that the site's antispoof lists, and security.trusted of all NICs.

    An IP filter counts as a MAC filter too. A trusted NIC may change its MAC address and see the frames of others, on whatever network.
    """
    for instance, host in require.each(facts.instances):
        trusted = sorted(name for name, nic in instance.expanded_devices.items() if nic.get(_TRUSTED) and _is_nic(nic))
        wanted = {
            name: (nic, kinds)
            for name, nic in sorted(instance.expanded_devices.items())
            if _is_nic(nic) and (kinds := site.antispoof.get(nic.get("network") or nic.get("parent") or ""))
        }
        if not wanted and not trusted:
            require.leave_out(
                instance.resource, "no NIC on a network whose NICs must filter, and no NIC with security.trusted"
            )
            continue
        expected = [f"{name} filters {', '.join(kinds)}" for name, (_, kinds) in wanted.items()]
        expected += [f"{name}: {_TRUSTED} is false" for name in trusted]
        with require.finding(instance.resource, "; ".join(expected), host=host) as finding:
            for name in trusted:
                with finding.clause():
                    value = instance.expanded_devices[name][_TRUSTED]
                    is_trusted = boolean(value, False, f"{name}: {_TRUSTED}")
                    finding.require(not is_trusted, f"{name}: {_TRUSTED} is {value}")
            for name, (nic, kinds) in wanted.items():
                lacks = _missing(nic, kinds)
                origin = facts.incus.device_origin(instance, name)
                by_profile = "" if origin in (None, "instance") else f" (from profile {origin})"
                finding.require(not lacks, f"{name}: {lacks or 'filters'}{by_profile}")
            nics = [_to_filter(name, nic, kinds) for name, (nic, kinds) in wanted.items() if _missing(nic, kinds)]
            _add_fix(finding, instance, nics, trusted)


def _is_nic(device: Config) -> bool:
    return device.get("type") == "nic"


def _add_fix(finding: Clauses, instance: Instance, nics: Iterable[Mapping[str, Any]], trusted: Iterable[str]) -> None:
    """Give the finding the values for the remediation ``filter-nics``, and why a script must not do it.

    trusted: the NICs with security.trusted, about which a person decides: the guest may need it.
    """
    nics = list(nics)
    loose = [f"{name} has {_TRUSTED}, which only a person may take from a guest" for name in trusted]
    loose += [
        f"{nic['name']} has no {kind}.address, which {_FILTERS[kind]} needs"
        for nic in nics
        for kind in ("ipv4", "ipv6")
        if _FILTERS[kind] in nic["filters"] and f"{kind}.address" not in nic["given"]
    ]
    finding.fix.update(instance=instance.name, project=instance.project, nics=nics, refuse="; ".join(loose))


def _to_filter(name: str, nic: Config, kinds: Iterable[str]) -> dict[str, Any]:
    """Return what the remediation needs to know of a NIC.

    filters: the keys to set. addresses: what IP filters let pass. given: the keys of these addresses.
    """
    filters = [_FILTERS[kind] for kind in kinds if not _filters(nic, kind)]
    given = {
        key: nic[key]
        for kind in ("ipv4", "ipv6")
        if _FILTERS[kind] in filters and nic.get(key := f"{kind}.address", "") not in ("", "none")
    }
    return {
        "name": name,
        "filters": filters,
        "properties": sorted(nic),
        "addresses": list(given.values()),
        "given": list(given),
    }


def _missing(nic: Config, kinds: Iterable[str]) -> str:
    return ", ".join(f"no {kind}" for kind in kinds if not _filters(nic, kind))


def _filters(nic: Config, kind: str) -> bool:
    return any(nic[key] == "true" for each, key in _FILTERS.items() if kind in ("mac", each))
