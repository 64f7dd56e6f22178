"""What the restrictions of a project forbid, as Incus decides it.

Incus looks at this when something is edited, and refuses the edit; what was there before the restriction it leaves alone.
Restrictions that a version of Incus does not know none of its projects has. Source: Incus,
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

_DEFAULTS: Mapping[str, str] = {  # of those that concern what an instance is
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
    frozenset(  # what restricted.containers.interception=allow allows; all other keys of the kind are low-level
        INTERCEPT + name for name in ("bpf", "bpf.devices", "mknod", "mount", "mount.fuse", "setxattr", "sysinfo")
    )
)
_ANY = frozenset({"boot.host_shutdown_action", "boot.host_shutdown_timeout", "limits.memory.oom_priority"})
_SELINUX = frozenset(f"security.selinux.{name}" for name in ("domain", "label_rootfs", "level", "type"))
_APART = frozenset({"raw.idmap", "security.syscalls.allow"})  # judged by itself; not restricted
_LOW_LEVEL: Mapping[str, frozenset[str]] = {
    "container": _ANY
    | _SELINUX
    | (frozenset(RAW["container"]) - _APART)
    | {"limits.memory.swap", "security.guestapi.images"},
    "virtual-machine": _ANY | _SELINUX | frozenset(RAW["virtual-machine"]) | {"limits.memory.hugepages"},
}


def restriction(project: Config, key: str) -> str:
    """A restriction of a project, with Incus's default where it is unset."""
    return project.get(key) or _DEFAULTS.get(key, "")


def forbidden(project: Config, kind: str, config: Config, devices: Mapping[str, Config]) -> tuple[str, ...]:
    """What of an instance or a profile a restricted project forbids: a line each, none where all of it is allowed.

    kind: ``container``, ``virtual-machine`` or ``profile``, which must do for both. config: the keys that are written, of an
    instance those of its profiles among them; devices: likewise, by name. Raises EvidenceError where a boolean is none, and of an
    instance of another kind.
    """
    if kind not in (*_LOW_LEVEL, "profile"):
        raise EvidenceError(f"{kind!r} is no kind of instance")
    found = [*_forbidden_keys(project, kind, config)]
    for name, device in sorted(devices.items()):
        found += [f"{name}: {why}" for why in _forbidden_device(project, device)]
    return tuple(found)


def _forbidden_keys(project: Config, kind: str, config: Config) -> Iterator[str]:
    kinds = [each for each in _LOW_LEVEL if kind in (each, "profile")]
    blocked = [each for each in kinds if restriction(project, f"restricted.{each}s.lowlevel") != "allow"]
    for key, value in sorted(config.items()):
        if key == "raw.idmap":
            if blocked and not _within(value, project):
                yield "raw.idmap maps ids outside of restricted.idmap.uid and restricted.idmap.gid"
        elif any(_is_low_level(each, key) for each in blocked):
            yield f"{key} is set"
    if "container" in kinds:
        yield from _forbidden_of_containers(project, kind, config)
    elif restriction(project, "restricted.virtual-machines.nesting") == "block" and boolean(
        config.get("security.nesting"), True, "security.nesting"
    ):
        yield "security.nesting is not false"


def _is_low_level(kind: str, key: str) -> bool:
    if kind == "container" and (key.startswith(BPFFS) or (key.startswith(INTERCEPT) and key not in _INTERCEPTION)):
        return True
    return key in _LOW_LEVEL[kind]


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


def _forbidden_device(project: Config, device: Config) -> Iterator[str]:
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
        yield f"a NIC on {parent or 'nothing'}, which is no managed network"
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
        yield f"a disk of {source or 'nothing'}, which is in no pool"


def _is_below(source: str, project: Config) -> bool:
    """Whether a path of the host is in one of restricted.devices.disk.paths; without that key every path is."""
    paths = project.get("restricted.devices.disk.paths", "")
    return not paths or any(_cleaned(source).startswith(_cleaned(each)) for each in paths.split(","))


def _cleaned(path: str) -> str:
    """A path as Incus compares it, with a slash at its end. That of / is //, which no path but / itself begins with."""
    return re.sub("^/+", "/", posixpath.normpath(path)) + "/"


def ranges(value: str) -> Ranges:
    """Ranges of ids, ``1000,2000-2999``: first and last of each. Raises EvidenceError where it is anything else."""
    found = []
    for word in split_list(value):
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", word)
        if match is None:
            raise EvidenceError(f"{word!r} is no range of ids")
        found.append((int(match[1]), int(match[2] or match[1])))
    return tuple(found)


def _within(mapped: str, project: Config) -> bool:
    """Whether each line of a raw.idmap maps host ids that the project allows. A line that can't be read is not."""
    allowed = {key: ranges(project.get(f"restricted.idmap.{key}", "")) for key in ("uid", "gid")}
    for line in filter(None, mapped.split("\n")):
        match = re.fullmatch(r"(both|uid|gid) ([0-9]+)(?:-([0-9]+))? [0-9]+(?:-[0-9]+)?", line)
        if match is None:
            return False
        first, last = int(match[2]), int(match[3] or match[2])
        for key in ("uid", "gid") if match[1] == "both" else (match[1],):
            if not any(low <= first and last <= high for low, high in allowed[key]):
                return False
    return True
