"""What the restrictions of a project forbid, by the same rules as Incus.

Incus checks a restriction only when a resource is edited, and then refuses the edit. It leaves alone what existed before the
restriction. A project cannot have a restriction that its Incus version does not know. Source: Incus,
internal/server/project/permissions.go; doc/config_options.txt ("project-restricted").
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from sigsrv.facts.lowlevel import BPFFS, INTERCEPT, RAW
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import boolean, split_list

Config = Mapping[str, str]
Ranges = tuple[tuple[int, int], ...]

_DEFAULTS: Mapping[str, str] = {  # of the restrictions that concern an instance's configuration
    "restricted.containers.interception": "block",
    "restricted.containers.lowlevel": "block",
    "restricted.containers.nesting": "block",
    "restricted.containers.privilege": "unprivileged",
    "restricted.devices.disk": "managed",
    "restricted.devices.gpu": "block",
    "restricted.devices.infiniband": "block",
    "restricted.devices.nic": "managed",
    "restricted.devices.pci": "block",
    "restricted.devices.proxy": "block",
    "restricted.devices.unix-block": "block",
    "restricted.devices.unix-char": "block",
    "restricted.devices.unix-hotplug": "block",
    "restricted.devices.usb": "block",
    "restricted.virtual-machines.lowlevel": "block",
    "restricted.virtual-machines.nesting": "allow",
}
_DEVICES = frozenset({"gpu", "infiniband", "pci", "proxy", "unix-block", "unix-char", "unix-hotplug", "usb"})
_CONFIG_DRIVES = ("cloud-init:config", "agent:config")
_INTERCEPTION = (
    frozenset(  # restricted.containers.interception=allow allows these; all other interception keys are low-level
        INTERCEPT + name for name in ("bpf", "bpf.devices", "mknod", "mount", "mount.fuse", "setxattr", "sysinfo")
    )
)
_ANY = frozenset({"boot.host_shutdown_action", "boot.host_shutdown_timeout", "limits.memory.oom_priority"})
_SELINUX = frozenset(f"security.selinux.{name}" for name in ("domain", "label_rootfs", "level", "type"))
_APART = frozenset({"raw.idmap", "security.syscalls.allow"})  # has its own check below; is not restricted
_LOW_LEVEL: Mapping[str, frozenset[str]] = {
    "container": _ANY
    | _SELINUX
    | (frozenset(RAW["container"]) - _APART)
    | {"limits.memory.swap", "security.guestapi.images"},
    "virtual-machine": _ANY | _SELINUX | frozenset(RAW["virtual-machine"]) | {"limits.memory.hugepages"},
}


def restriction(project: Config, key: str) -> str:
    """Return the value of a restriction in a project; Incus's default if it is unset."""
    return project.get(key) or _DEFAULTS.get(key, "")


def forbidden_keys(project: Config, kind: str, config: Config) -> Iterator[str]:
    """Yield what a restricted project forbids in the configuration of an instance or a profile, one line each.

    kind: ``container``, ``virtual-machine`` or ``profile``; a profile must satisfy the restrictions for both. config: the keys that
    are set, for an instance also by its profiles. Raises EvidenceError if the value of a boolean key is not a boolean, if a range of ids
    can't be read, or if the kind is another one.
    """
    if kind not in (*_LOW_LEVEL, "profile"):
        raise EvidenceError(f"{kind!r} is not a kind of instance")
    kinds = [each for each in _LOW_LEVEL if kind in (each, "profile")]
    blocked = [each for each in kinds if restriction(project, f"restricted.{each}s.lowlevel") != "allow"]
    yield from (f"{key} is set" for key in sorted({key for kind in blocked for key in _low_level(kind, config)}))
    if "container" in kinds:
        yield from _forbidden_of_containers(project, kind, config)
    elif restriction(project, "restricted.virtual-machines.nesting") == "block" and boolean(
        config.get("security.nesting"), True, "security.nesting"
    ):
        yield "security.nesting is not false"
    if blocked and "raw.idmap" in config and not _within(config["raw.idmap"], project):
        yield "raw.idmap maps ids outside restricted.idmap.uid and restricted.idmap.gid"


def _low_level(kind: str, config: Config) -> set[str]:
    """Return the keys of a configuration that are low-level for a kind of instance."""
    found = config.keys() & _LOW_LEVEL[kind]
    if kind == "container":
        found |= {key for key in config if key.startswith((BPFFS, INTERCEPT)) and key not in _INTERCEPTION}
    return found


def _forbidden_of_containers(project: Config, kind: str, config: Config) -> Iterator[str]:
    privilege = restriction(project, "restricted.containers.privilege")
    if privilege != "allow" and boolean(config.get("security.privileged"), False, "security.privileged"):
        yield "security.privileged is true"
    if privilege == "isolated" and not boolean(
        config.get("security.idmap.isolated"), kind == "profile", "security.idmap.isolated"
    ):
        yield "security.idmap.isolated is not true"
    nesting = restriction(project, "restricted.containers.nesting")
    if nesting != "allow" and boolean(config.get("security.nesting"), False, "security.nesting"):
        yield "security.nesting is true"
    if restriction(project, "restricted.containers.interception") != "allow":
        for key in sorted(_INTERCEPTION & set(config)):
            if config[key].lower() not in ("", "false", "0", "no", "off"):
                yield f"{key} is {config[key]}"


def forbidden_device(project: Config, device: Config) -> Iterator[str]:
    """Yield what a restricted project forbids in a device of an instance or a profile, one line each.

    Raises EvidenceError if the value of a boolean key of the project is not a boolean.
    """
    kind = device.get("type", "")
    if kind in _DEVICES and restriction(project, f"restricted.devices.{kind}") != "allow":
        yield f"a device of type {kind}"
    elif kind == "nic":
        yield from _forbidden_nic(project, device)
    elif kind == "disk":
        yield from _forbidden_disk(project, device)


def _forbidden_nic(project: Config, device: Config) -> Iterator[str]:
    allowed = restriction(project, "restricted.devices.nic")
    network, parent = device.get("network", ""), device.get("parent", "")
    access = split_list(project.get("restricted.networks.access"))
    if allowed == "block":
        yield "a NIC"
    elif not network and allowed != "allow":
        yield f"a NIC on {parent or 'no parent'}, which is not a managed network"
    elif access and (network or parent) not in ("", *access):
        own = bool(network) and boolean(project.get("features.networks"), False, "features.networks")
        if not own:
            yield f"a NIC on {network or parent}"


def _forbidden_disk(project: Config, device: Config) -> Iterator[str]:
    allowed = restriction(project, "restricted.devices.disk")
    pool, path, source = (device.get(key, "") for key in ("pool", "path", "source"))
    pools = split_list(project.get("restricted.storage-pools.access"))
    if pool and pools and pool not in pools:
        yield f"a disk in the pool {pool}"
    if (path == "/" and pool) or (not path and source in _CONFIG_DRIVES):
        return
    if allowed == "block":
        yield "a disk"
    elif not pool and (allowed != "allow" or not _is_below(source, project)):
        yield f"a disk with source {source or 'unset'}, which is not in a pool"


def _is_below(source: str, project: Config) -> bool:
    """Return whether a path of the host is below one of restricted.devices.disk.paths. Without that key, every path is."""
    paths = project.get("restricted.devices.disk.paths", "")
    return not paths or any(_cleaned(source).startswith(_cleaned(each)) for each in paths.split(","))


def _cleaned(path: str) -> str:
    """Return a path as Incus compares it, with a slash at the end. For / that is //, and only / itself starts with //."""
    return re.sub("^/+", "/", posixpath.normpath(path)) + "/"


def ranges(value: str) -> Ranges:
    """Return the first and last id of each range in ``1000,2000-2999``. Raises EvidenceError if the text is malformed."""
    found = []
    for word in split_list(value):
        match = re.fullmatch(r"([0-9]{1,20})(?:-([0-9]{1,20}))?", word)
        if match is None:
            raise EvidenceError(f"{word[:40]!r} is not a range of ids")
        found.append((int(match[1]), int(match[2] or match[1])))
    return tuple(found)


def _within(mapped: str, project: Config) -> bool:
    """Return whether each line of a raw.idmap maps host ids that the project allows. A malformed line is not allowed."""
    allowed = {key: ranges(project.get(f"restricted.idmap.{key}", "")) for key in ("uid", "gid")}
    for line in filter(None, mapped.split("\n")):
        match = re.fullmatch(r"(both|uid|gid) ([0-9]{1,20})(?:-([0-9]{1,20}))? [0-9]+(?:-[0-9]+)?", line)
        if match is None:
            return False
        first, last = int(match[2]), int(match[3] or match[2])
        for key in ("uid", "gid") if match[1] == "both" else (match[1],):
            if not any(low <= first and last <= high for low, high in allowed[key]):
                return False
    return True
