"""Checks of INST: the devices of instances of all projects, with those that profiles give.

A device of type ``none`` is no device: it masks the device of a profile.
"""

from collections.abc import Mapping

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Config, Instance

_FILTERS = {"mac": "security.mac_filtering", "ipv4": "security.ipv4_filtering", "ipv6": "security.ipv6_filtering"}


def _devices(instance: Instance, *types: str) -> dict[str, Config]:
    """Return the devices of some types by name, in the order of their names."""
    return {name: device for name, device in sorted(instance.expanded_devices.items()) if device.get("type") in types}


def _shown(facts: ClusterFacts, instance: Instance, found: Mapping[str, str]) -> str:
    """Return devices as one line, each with the profile that it comes from. found: device name -> text."""
    parts = []
    for name, text in found.items():
        origin = facts.incus.device_origin(instance, name)
        parts.append(f"{name}: {text}" + ("" if origin in (None, "instance") else f" (from profile {origin})"))
    return "; ".join(parts)


@policy("INST-010")
def test_nics_filter_spoofed_addresses(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks the security.*_filtering keys of each NIC on a network that the site's antispoof lists.

    An IP filter counts as a MAC filter too.
    """
    networks = ", ".join(sorted(site.antispoof))
    require.if_nothing(f"no instance has a NIC on {networks or 'a network whose NICs must filter'}")
    for instance, host in require.each(facts.instances):
        wanted, missing = {}, {}
        for name, nic in _devices(instance, "nic").items():
            network = nic.get("network") or nic.get("parent")
            if network is not None and network in site.antispoof:
                wanted[name] = site.antispoof[network]
                missing[name] = ", ".join(f"no {kind}" for kind in wanted[name] if not _filters(nic, kind))
        if not wanted:
            require.leave_out(instance.resource, "no NIC on a network whose NICs must filter")
        else:
            require(
                instance.resource,
                not any(missing.values()),
                expected="; ".join(f"{name} filters {', '.join(kinds)}" for name, kinds in wanted.items()),
                observed=_shown(facts, instance, {name: lacks or "filters" for name, lacks in missing.items()}),
                host=host,
            )


def _filters(nic: Config, kind: str) -> bool:
    return any(nic[key] == "true" for each, key in _FILTERS.items() if kind in ("mac", each))
