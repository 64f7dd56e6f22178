"""Checks of INST: the devices of instances of all projects, with what their profiles give; a device of type none is none."""

import posixpath
from fnmatch import fnmatchcase
from ipaddress import ip_address

from sigsrv import finding_id, policy

_NOT_OF_THE_HOST = ("ceph:", "cephfs:", "tmpfs:", "tmpfs-overlay:")  # versions without tmpfs: refuse such a source
_BUILT_IN = ("cloud-init:config", "agent:config")
_PASSED_THROUGH = ("gpu", "infiniband", "pci", "unix-block", "unix-char", "unix-hotplug", "usb")
_FILTERS = {"mac": "security.mac_filtering", "ipv4": "security.ipv4_filtering", "ipv6": "security.ipv6_filtering"}


def _of_types(instance, *types):
    return {name: device for name, device in sorted(instance.expanded_devices.items()) if device.get("type") in types}


def _shown(facts, instance, name, text):
    origin = facts.incus.device_origin(instance, name)
    return f"{name}: {text}" + ("" if origin in (None, "instance") else f" (from profile {origin})")


def _none_of(facts, require, instance, host, found, expected, seen):
    """Record whether an instance has none of some devices. found: name -> what to show of it."""
    require(
        instance.resource,
        not found,
        expected=expected,
        observed="; ".join(_shown(facts, instance, name, text) for name, text in found.items()) or seen,
        host=host,
        fix={
            "instance": instance.name,
            "project": instance.project,
            "devices": [_device(facts, instance, name) for name in found],
        },
    )


def _device(facts, instance, name):
    own = instance.devices.get(name, {})
    return {
        "name": name,
        "type": instance.expanded_devices[name]["type"],
        "own": name in instance.devices,
        "given": facts.incus.profile_with_device(instance, name) is not None,
        "properties": [f"{key}={value}" for key, value in sorted(own.items()) if key != "type"],
    }


@policy("INST-004")
def test_instances_mount_no_host_paths(facts, site, require):
    """A disk without a pool is a path of the host, unless it is one that Incus makes or that the site allows."""
    for instance, host in require.each(facts.instances):
        found = {
            name: device.get("source", "no source")
            for name, device in _of_types(instance, "disk").items()
            if not device.get("pool") and not _allowed(instance, device, site)
        }
        _none_of(facts, require, instance, host, found, "no disk whose source is a path of the host", "none")


def _allowed(instance, device, site):
    source = device.get("source", "")
    if source in _BUILT_IN or source.startswith(_NOT_OF_THE_HOST):
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
def test_instances_have_no_host_devices(facts, site, require):
    """Whatever of the host's hardware or device nodes is handed to a guest. A tpm is emulated."""
    for instance, host in require.each(facts.instances):
        found = {
            name: " ".join(device[key] for key in ("type", "source", "path", "address", "vendorid") if device.get(key))
            for name, device in _of_types(instance, *_PASSED_THROUGH).items()
        }
        _none_of(facts, require, instance, host, found, "no device of the host", "none")


@policy("INST-009")
def test_proxy_devices_are_on_the_list_of_the_site(facts, site, require):
    """Where it listens and where it connects to; a wildcard address only where the site spells it out."""
    require.if_nothing("no instance has a proxy device")
    for instance, host in require.each(facts.instances):
        if proxies := _of_types(instance, "proxy"):
            found = {
                name: f"{device.get('listen')} -> {device.get('connect')}"
                for name, device in proxies.items()
                if not _listed(instance, device, site)
            }
            listed = ", ".join(f"{device.get('listen')} -> {device.get('connect')}" for device in proxies.values())
            _none_of(facts, require, instance, host, found, "only proxy devices of the site's list", listed)


def _listed(instance, device, site):
    listen, connect = device.get("listen", ""), device.get("connect", "")
    on_host = device.get("bind", "host") in ("", "host")
    if not on_host and connect.startswith("unix:"):  # a guest reaches a socket of the host
        return False
    return any(
        fnmatchcase(instance.resource, entry.instance)
        and _matches(listen, entry.listen, by_word=on_host and _is_wildcard(listen))
        and _matches(connect, entry.connect)
        for entry in site.proxies
    )


def _matches(text, glob, by_word=False):
    """Whether an address is one that a glob stands for, as a whole or part by part: brackets of IPv6 are no glob's.

    by_word: its middle part must be the glob's, letter for letter.
    """
    has, may = _parts(text), _parts(glob)
    part_by_part = None not in (*has, *may) and all(map(fnmatchcase, has, may))
    return has[1] == may[1] and part_by_part if by_word else part_by_part or fnmatchcase(text, glob)


def _parts(address):
    """Protocol, address without brackets, ports; a socket has no ports. None as address: there is no such part."""
    protocol, _, rest = address.partition(":")
    if protocol == "unix":
        return protocol, rest, ""
    host, colon, ports = rest.rpartition(":")
    return protocol, host.removeprefix("[").removesuffix("]") if colon else None, ports


def _is_wildcard(listen):
    """Whether it listens on all addresses. Incus takes ``tcp::80`` for that too, and each way to write zero."""
    protocol, address, _ = _parts(listen)
    if protocol == "unix":
        return False
    try:
        found = ip_address(address)
    except ValueError:  # none at all
        return True
    return (getattr(found, "ipv4_mapped", None) or found).is_unspecified


@policy("INST-010")
def test_nics_filter_spoofing(facts, site, require):
    """On the bridges that the site names. A filter of addresses filters the MAC as well."""
    bridges = ", ".join(sorted(site.antispoof))
    require.if_nothing(f"no instance has a NIC on {bridges or 'a bridge that the site wants filtered'}")
    for instance, host in require.each(facts.instances):
        nics = [
            (name, nic, site.antispoof[bridge])
            for name, nic in _of_types(instance, "nic").items()
            if (bridge := nic.get("network") or nic.get("parent")) in site.antispoof
        ]
        missing = {
            name: ", ".join(f"no {kind}" for kind in wanted if not _filters(nic, kind)) for name, nic, wanted in nics
        }
        if nics:
            require(
                instance.resource,
                not any(missing.values()),
                expected="; ".join(f"{name} filters {', '.join(wanted)}" for name, _, wanted in nics),
                observed="; ".join(
                    _shown(facts, instance, name, lacks or "filters") for name, lacks in missing.items()
                ),
                host=host,
            )


def _filters(nic, kind):
    return any(nic[key] == "true" for each, key in _FILTERS.items() if kind in ("mac", each))


@policy("INST-011")
def test_nics_attach_to_managed_networks_of_the_site(facts, site, require):
    """By their name, and to those that the project may use: what is attached to a link of the host passes Incus by."""
    for instance, host in require.each(facts.instances):
        nics = _of_types(instance, "nic")
        if site.project(instance.project) is None:
            because = finding_id("PROJ-008", facts.name, instance.project)
            reason = f"no entry of the site is for project {instance.project}"
            require.not_applicable(instance.resource, reason, because, host)
            continue
        allowed = site.networks_of(instance.project)
        wrong = {name: nic for name, nic in nics.items() if nic.get("network") not in allowed}
        require(
            instance.resource,
            not wrong,
            expected=f"NICs only on networks {', '.join(allowed) or 'of the site, which has none for its project'}",
            observed="; ".join(_shown(facts, instance, name, _attached(nic)) for name, nic in (wrong or nics).items())
            or "no NIC",
            host=host,
        )


def _attached(nic):
    return ", ".join(f"{key} {nic[key]}" for key in ("network", "nictype", "parent") if nic.get(key)) or "nothing named"
