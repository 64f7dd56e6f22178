"""Checks of INST: instances of all projects, stopped ones too, with what their profiles give them."""

import posixpath
from fnmatch import fnmatchcase

from sigsrv.evaluate import policy

_STOPPED = ("Stopped",)
_UNSURE = ("Error", "Unknown")  # the member that it is on did not answer
_NOT_OF_THE_HOST = ("ceph:", "cephfs:", "tmpfs:", "tmpfs-overlay:")
_BUILT_IN = ("cloud-init:config", "agent:config")


@policy("INST-001")
def test_containers_are_not_privileged(facts, site, require):
    """Neither configured as privileged, by whatever profile, nor still running so after the key was put right."""
    for instance, host in facts.instances.read:
        if instance.type != "container":
            continue
        configured = instance.expanded_config["security.privileged"] == "true"
        id_map = instance.config.get("volatile.idmap.current", "")
        running = instance.status not in (*_STOPPED, *_UNSURE)
        unmapped = id_map in ("", "[]", "null")
        expected = "security.privileged is false or unset, and the container runs with an id map"
        if instance.status in _UNSURE and not configured and unmapped:
            require.unknown(
                instance.resource, f"whether it runs privileged: its status is {instance.status}", host=host
            )
            continue
        origin = facts.first(lambda incus, i=instance: incus.origin(i, "security.privileged"))
        by = "" if origin in (None, "instance") else f" (from profile {origin})"
        pending = running and unmapped and not configured
        if configured:
            seen = f"security.privileged is true{by}"
        elif pending:
            seen = "not configured as privileged, but it runs without an id map: a restart is pending"
        else:
            seen = f"not privileged, {instance.status}"
        require(
            instance.resource,
            not configured and not pending,
            expected=expected,
            observed=seen,
            host=host,
            fix={"instance": instance.name, "project": instance.project},
        )


@policy("INST-004")
def test_instances_mount_no_host_paths(facts, site, require):
    """A disk without a pool is a path of the host, unless it is one that Incus makes or that the site allows."""
    for instance, host in facts.instances.read:
        found = {
            name: device
            for name, device in sorted(instance.expanded_devices.items())
            if device.get("type") == "disk" and not device.get("pool") and not _allowed(instance, device, site)
        }
        first = next(iter(found), "")
        origin = facts.first(lambda incus, i=instance, d=first: incus.device_origin(i, d)) if first else None
        require(
            instance.resource,
            not found,
            expected="no disk whose source is a path of the host",
            observed="; ".join(f"{name}: {device.get('source', 'no source')}" for name, device in found.items())
            or "none",
            reason=f"{first} comes from profile {origin}" if origin not in (None, "instance") else "",
            host=host,
            fix={
                "instance": instance.name,
                "project": instance.project,
                "devices": [_device(instance, name, device) for name, device in found.items()],
            },
        )


def _device(instance, name, device):
    properties = [f"{key}={value}" for key, value in sorted(device.items()) if key != "type"]
    return {"name": name, "own": name in instance.devices, "properties": properties}


def _allowed(instance, device, site):
    source = device.get("source", "")
    if source in _BUILT_IN or source.startswith(_NOT_OF_THE_HOST):
        return True
    if not source.startswith("/"):
        return False
    path = posixpath.normpath(source)
    readonly = device.get("readonly", "").lower() in ("true", "1", "yes", "on")
    return any(
        fnmatchcase(instance.resource, entry.instance)
        and fnmatchcase(path, entry.source)
        and (readonly or not entry.readonly)
        for entry in site.host_paths
    )
