"""Checks of INST: the devices of instances of all projects, with those that profiles give.

A device of type ``none`` is no device: it masks the device of a profile.
"""

import posixpath
from collections.abc import Mapping
from fnmatch import fnmatchcase
from ipaddress import IPv6Address, ip_address

from sigsrv import ClusterFacts, Require, Site, finding_id, policy
from sigsrv.facts.resources import Config, Instance

_NOT_ON_THE_HOST = ("ceph:", "cephfs:", "tmpfs:", "tmpfs-overlay:")  # a version of Incus without tmpfs refuses tmpfs:
_BUILT_IN = ("cloud-init:config", "agent:config")
_PASSED_THROUGH = ("gpu", "infiniband", "pci", "unix-block", "unix-char", "unix-hotplug", "usb")
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


def _require_none(
    facts: ClusterFacts,
    require: Require,
    instance: Instance,
    host: str,
    forbidden: Mapping[str, str],
    *,
    expected: str,
    observed: str,
) -> None:
    """Record ``fail`` if an instance has forbidden devices (name -> text), else ``pass``. observed: what a pass shows."""
    require(
        instance.resource,
        not forbidden,
        expected=expected,
        observed=_shown(facts, instance, forbidden) or observed,
        host=host,
        fix={
            "instance": instance.name,
            "project": instance.project,
            "devices": [_to_detach(facts, instance, name) for name in forbidden],
        },
    )


def _to_detach(facts: ClusterFacts, instance: Instance, name: str) -> dict[str, object]:
    """Return what the remediation ``detach-devices`` needs to know about a device."""
    own = instance.devices.get(name, {})
    return {
        "name": name,
        "type": instance.expanded_devices[name]["type"],
        "own": name in instance.devices,
        "given": facts.incus.profile_with_device(instance, name) is not None,
        "properties": [f"{key}={value}" for key, value in sorted(own.items()) if key != "type"],
    }


@policy("INST-004")
def test_instances_mount_no_host_paths(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks the source of each disk device. A disk without a pool is a host path, except for sources that Incus itself provides.

    The site can allow host paths.
    """
    for instance, host in require.each(facts.instances):
        forbidden = {
            name: device.get("source", "no source")
            for name, device in _devices(instance, "disk").items()
            if not device.get("pool") and not _may_mount(instance, device, site)
        }
        expected = "no disk whose source is a host path"
        _require_none(facts, require, instance, host, forbidden, expected=expected, observed="no host path")


def _may_mount(instance: Instance, device: Config, site: Site) -> bool:
    source = device.get("source", "")
    if source in _BUILT_IN or source.startswith(_NOT_ON_THE_HOST):
        return True
    if not source.startswith("/"):
        return False
    path = posixpath.normpath(source)
    return any(
        fnmatchcase(instance.resource, entry.instance)
        and fnmatchcase(path, entry.source)
        and (device["readonly"] == "true" or not entry.readonly)
        for entry in site.host_paths
    )


@policy("INST-005")
def test_no_host_device_is_passed_through_to_an_instance(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks each instance for devices that pass hardware or device nodes of the host through. A tpm is emulated and allowed."""
    for instance, host in require.each(facts.instances):
        forbidden = {
            name: " ".join(device[key] for key in ("type", "source", "path", "address", "vendorid") if device.get(key))
            for name, device in _devices(instance, *_PASSED_THROUGH).items()
        }
        expected = "no device of the host"
        _require_none(facts, require, instance, host, forbidden, expected=expected, observed=expected)


@policy("INST-009")
def test_proxy_devices_are_on_the_site_s_list(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks the listen and connect address of each proxy device against the site's list.

    A device that listens on all addresses passes only if an entry of the list spells out that address.
    """
    require.if_nothing("no instance has a proxy device")
    for instance, host in require.each(facts.instances):
        proxies = _devices(instance, "proxy")
        if not proxies:
            require.leave_out(instance.resource, "no proxy device")
        else:
            shown = {name: f"{device.get('listen')} -> {device.get('connect')}" for name, device in proxies.items()}
            forbidden = {
                name: shown[name] for name, device in proxies.items() if not _is_listed(instance, device, site)
            }
            expected, observed = "only proxy devices on the site's list", ", ".join(shown.values())
            _require_none(facts, require, instance, host, forbidden, expected=expected, observed=observed)


def _is_listed(instance: Instance, device: Config, site: Site) -> bool:
    listen, connect = device.get("listen", ""), device.get("connect", "")
    on_host = device.get("bind", "host") in ("", "host")
    if not on_host and connect.startswith("unix:"):  # the guest would reach a socket of the host
        return False
    return any(
        fnmatchcase(instance.resource, entry.instance)
        and _matches(listen, entry.listen, same_address=on_host and _is_wildcard(listen))
        and _matches(connect, entry.connect)
        for entry in site.proxies
    )


def _matches(text: str, glob: str, same_address: bool = False) -> bool:
    """Return whether an address matches a glob, as a whole or part by part.

    Part by part, the brackets of an IPv6 address are not taken for a set of characters. same_address: whether the address without
    protocol and ports must equal the glob's, letter for letter.
    """
    (protocol, address, ports), (protocols, addresses, port_glob) = _parts(text), _parts(glob)
    by_parts = (
        address is not None
        and addresses is not None
        and fnmatchcase(protocol, protocols)
        and fnmatchcase(address, addresses)
        and fnmatchcase(ports, port_glob)
    )
    return by_parts and address == addresses if same_address else by_parts or fnmatchcase(text, glob)


def _parts(text: str) -> tuple[str, str | None, str]:
    """Split into protocol, address without brackets, and ports. A socket has no ports. The address is None if there is no such part."""
    protocol, _, rest = text.partition(":")
    if protocol == "unix":
        return protocol, rest, ""
    address, colon, ports = rest.rpartition(":")
    return protocol, address.removeprefix("[").removesuffix("]") if colon else None, ports


def _is_wildcard(listen: str) -> bool:
    """Return whether a device listens on all addresses. Incus also accepts ``tcp::80`` for that, and every way to write zero."""
    protocol, address, _ = _parts(listen)
    if protocol == "unix":
        return False
    try:
        found = ip_address(address or "")
    except ValueError:  # no address at all
        return True
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_unspecified


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


@policy("INST-011")
def test_nics_attach_only_to_the_site_s_managed_networks(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks that each NIC names a managed network that the site allows for its project.

    A NIC that names a link of the host instead (nictype and parent) fails: it bypasses Incus.
    """
    for instance, host in require.each(facts.instances):
        if site.project(instance.project) is None:
            because = finding_id("PROJ-008", facts.name, instance.project)
            reason = f"the site file has no entry for project {instance.project}"
            require.not_applicable(instance.resource, reason, because, host)
            continue
        nics = _devices(instance, "nic")
        allowed = site.networks_of(instance.project)
        wrong = {name: nic for name, nic in nics.items() if nic.get("network") not in allowed}
        shown = {name: _attachment(nic) for name, nic in (wrong or nics).items()}
        require(
            instance.resource,
            not wrong,
            expected=f"NICs only on networks {', '.join(allowed)}"
            if allowed
            else "no NIC: the project may use no network",
            observed=_shown(facts, instance, shown) or "no NIC",
            host=host,
        )


def _attachment(nic: Config) -> str:
    shown = [f"{key} {nic[key]}" for key in ("network", "nictype", "parent") if nic.get(key)]
    return ", ".join(shown) or "no network and no parent"
