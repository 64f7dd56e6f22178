"""The API extensions of Incus, and its configuration keys by entity: ``server``, ``project``, ``instance``, ``network``, ``pool`` ...

``sigsrv/incus_keys/VERSION.json`` has those of one version, as its daemon describes them; ``lab/record-incus-keys`` writes it. A key
that any of these versions has is known. Names with a part that varies are patterns: ``environment.*``, ``volatile.<name>.hwaddr``,
``bgp.peers.NAME.asn``.

Never refused: ``user.*`` is the site's own. ``image.*`` copies the properties of an image, which its publisher names. ``volatile.*`` of
anything but an instance is Incus's own state, which Incus describes only for instances.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from sigsrv.model import data
from sigsrv.model.errors import nearest

ENTITIES = ("server", "member", "project", "instance", "device", "network", "pool", "volume")
_VARIES = re.compile(r"<[^<>]+>|\*|(?<=\.)[A-Z][A-Z_]+(?=\.|$)")  # the parts of a name that stand for any text
_FREE = {
    "instance": ("user.", "image.")
}  # the beginnings of names that the site or an image chooses; else only ``user.``
# What an entity is called in the files: the kinds of networks, pools, volumes and devices have a list each.
_LISTS = {
    "member": ("cluster",),
    "network": tuple(f"network_{kind}" for kind in ("bridge", "macvlan", "ovn", "physical", "sriov")),
}
_KINDS = {"pool": "storage_", "volume": "storage_volume_", "device": "device_"}
_NOT_POOLS = ("storage_volume_", "storage_bucket_")
# The lists of devices lack these keys, which decide which list is meant. Source: Incus, doc/reference/devices.md.
_OF_EVERY_DEVICE = {"device": {"type"}, "device_nic": {"nictype"}, "device_gpu": {"gputype"}}
# Incus accepts these and does not describe them: older names, and state of its own. Source: Incus, internal/instance/config.go.
_UNDESCRIBED = {
    "instance": {
        "security.syscalls.blacklist",
        "security.syscalls.blacklist_compat",
        "security.syscalls.blacklist_default",
        "security.syscalls.whitelist",
        "volatile.cloud-init.instance-id",
        "volatile.selinux.context",
        "volatile.vm.hotplug.memory",
    }
}
DEVICE_TYPES = (
    "disk",
    "gpu",
    "infiniband",
    "nic",
    "none",
    "pci",
    "proxy",
    "tpm",
    "unix-block",
    "unix-char",
    "unix-hotplug",
    "usb",
)


def versions() -> tuple[str, ...]:
    """Return the versions of Incus whose keys are known, the oldest first."""
    found = (path.stem for path in data.INCUS_KEYS.glob("*.json"))
    return tuple(sorted(found, key=lambda version: [int(number) for number in version.split(".")]))


@cache
def _files() -> Mapping[str, Mapping[str, Any]]:
    """Return the content of the file of each version."""
    return {each: json.loads((data.INCUS_KEYS / f"{each}.json").read_text(encoding="utf-8")) for each in versions()}


@cache
def extensions() -> frozenset[str]:
    """Return the API extensions of all known versions."""
    return frozenset(name for content in _files().values() for name in content["extensions"])


@cache
def keys(entity: str) -> Mapping[str, Mapping[str, str]]:
    """Return the keys of an entity in all known versions, each with its ``type`` and, if it is one word, its ``default``.

    entity: ``server``, ``project``, ``instance`` (also profiles), ``member``, ``network``, ``pool``, ``volume``, ``device``, or one kind:
    ``network_bridge``, ``storage_zfs``, ``storage_volume_dir``, ``device_disk``, ``device_nic``, ``device_nic_bridged``. Raises KeyError
    for an unknown entity.
    """
    found: dict[str, Mapping[str, str]] = {}
    for version in versions():  # the description of the newest version stays
        for name, rows in _files()[version]["keys"].items():
            if _is_of(name, entity):
                found |= rows
    if not found:
        raise KeyError(entity)
    more = _UNDESCRIBED.get(entity, set()).union(
        *(names for name, names in _OF_EVERY_DEVICE.items() if entity.startswith(name) or entity == "device")
    )
    return {key: {"type": ""} for key in more} | found


def _is_of(name: str, entity: str) -> bool:
    """Return whether a list of the files belongs to an entity."""
    if entity in _LISTS:
        return name in _LISTS[entity]
    if entity == "pool" and name.startswith(_NOT_POOLS):
        return False
    if entity in ("device_unix-block", "device_unix-char"):
        return name == "device_unix-char-block"
    return name == entity or name.startswith(_KINDS.get(entity, f"{entity}_" if entity.startswith("device_") else "\0"))


@cache
def _patterns(entity: str) -> tuple[re.Pattern[str], ...]:
    """Return the names with a part that varies as regular expressions. A part between two dots is one word, ``*`` is anything."""
    found = []
    for key in keys(entity):
        if _VARIES.search(key):
            fixed = [re.escape(part) for part in _VARIES.split(key)]
            varying = [".+" if part == "*" else "[^.]+" for part in _VARIES.findall(key)]
            found.append(re.compile("".join(a + b for a, b in zip(fixed, [*varying, ""], strict=True))))
    return tuple(found)


def sample(key: str) -> str:
    """Return a key as the files name it, with a word in place of each part that varies."""
    return _VARIES.sub("name", key)


def samples(entity: str) -> list[str]:
    """Return the names of keys of an entity, with a word in place of each part that varies, also of the site's own keys."""
    return [sample(key) for key in [*keys(entity), *(f"{each}name" for each in _free(entity))]]


def _free(entity: str) -> tuple[str, ...]:
    return _FREE.get(entity, ("user.",))


def known(entity: str, key: str) -> bool:
    """Return whether Incus has a configuration key, or the key is one that Incus lets the site or an image choose."""
    if "*" in key or key.endswith("."):
        return False  # a pattern, or the beginning of a name
    if key.startswith(_free(entity)):
        return True
    if key.startswith("volatile.") and entity != "instance":
        return True
    if entity == "pool" and key.startswith("volume."):  # the default of each new volume
        return known("volume", key.removeprefix("volume."))
    return (key in keys(entity) and not _VARIES.search(key)) or any(each.fullmatch(key) for each in _patterns(entity))


def described(entity: str, key: str) -> bool:
    """Return whether a known version describes a key of an entity, as the file of the version names both (``NAME`` for any word)."""
    return any(key in content["keys"].get(entity, {}) for content in _files().values())


@cache
def types(key: str) -> frozenset[str]:
    """Return the types that a configuration key has in the entities that have it, such as ``bool``; empty if none has it."""
    lists = [keys(entity) for entity in ENTITIES]
    return frozenset(rows[key]["type"] for rows in lists if key in rows) - {""}


@cache
def known_anywhere(key: str) -> bool:
    """Return whether an entity of any kind has a configuration key."""
    return any(known(entity, key) for entity in ENTITIES)


def hint(key: str, *entities: str) -> str:
    """Return a hint for an unknown key: the key of the entities that is closest to it, or the versions whose keys are known."""
    near = nearest(key, {each for entity in entities for each in keys(entity)})
    return near if near.startswith("did you mean") else f"Incus {' and '.join(versions())} have no such key"
