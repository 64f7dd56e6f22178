"""The lists of a restricted project: networks, pools and image servers, and the keys that a fix must set.

PROJ-004 judges them, and the fix of PROJ-001 sets them together with the restriction: a project that is restricted without them may use
every network, so PROJ-004 would fail, and the fix would be undone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.resources import Config, Project
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import finding_id
from sigsrv.model.site import Site
from sigsrv.model.values import split_list

NETWORKS = "restricted.networks.access"
POOLS = "restricted.storage-pools.access"
POOLS_EXTENSION = "projects_restricted_storage_pool_access"
_NIC = "restricted.devices.nic"
_SERVERS = "restricted.images.servers"
# Keys that PROJ-003 judges have one of these beginnings. They have no effect until the project is restricted.
_JUDGED = (
    "restricted.cluster.target",
    "restricted.containers.",
    "restricted.devices.",
    "restricted.idmap.",
    "restricted.virtual-machines.",
)
_STRICT = ("", "block", "isolated", "unprivileged", "managed")
_PATHS = "restricted.devices.disk.paths"  # has an effect only with restricted.devices.disk=allow, which is judged


class Listed(NamedTuple):
    """What is wrong with a list, or with what bypasses it, and the keys to set."""

    faults: tuple[str, ...] = ()
    keys: tuple[dict[str, str], ...] = ()


def networks_of(config: Config, allowed: Collection[str]) -> Listed:
    """Judge the networks that a project may use. The list does not limit a NIC that uses no managed network."""
    nic, access = config.get(_NIC, ""), split_list(config.get(NETWORKS))
    faults: list[str] = []
    keys: dict[str, dict[str, str]] = {}
    if nic == "block":
        return Listed()
    if nic not in ("", "managed"):
        keys[_NIC] = _key(_NIC, "")
        faults.append(f"{_NIC} is {nic}")
    if not access or not set(access) <= set(allowed):
        kept = [name for name in access if name in allowed] or sorted(allowed)
        keys |= {NETWORKS: _list_key(NETWORKS, access, kept)} if kept else {_NIC: _key(_NIC, "block")}
        faults.append(f"{NETWORKS} is {','.join(access) or 'unset, which allows every network'}")
    return Listed(tuple(faults), tuple(keys.values()))


def pools_of(facts: ClusterFacts, config: Config, allowed: Collection[str]) -> Listed:
    """Judge the pools that a project may use, if the server can restrict them.

    Raises EvidenceError if the extensions of the server are unknown, or if all pools are allowed and can't be listed.
    """
    if POOLS_EXTENSION not in facts.incus.extensions:
        return Listed()
    access = split_list(config.get(POOLS))
    usable = access or tuple(pool.name for pool in facts.incus.pools)
    if set(usable) <= set(allowed):
        return Listed()
    kept = [name for name in usable if name in allowed]
    keys = (_list_key(POOLS, access, kept),) if kept else ()  # an empty list would allow every pool
    return Listed((f"{POOLS} is {','.join(access) or 'unset, which allows every pool'}",), keys)


def servers_of(config: Config, site: Site) -> Listed:
    """Judge the image servers that a project may use, if there is a list. Incus compares the hosts of their URLs."""
    listed = split_list(config.get(_SERVERS))
    allowed = sorted({host for origin in site.image_origins if (host := urlsplit(origin).hostname)})
    foreign = [name for name in listed if name.lower() not in allowed]
    if not foreign:
        return Listed()
    kept = [name for name in listed if name not in foreign] or allowed
    keys = (_list_key(_SERVERS, listed, kept),) if kept else ()  # an empty list would allow every server
    return Listed((f"{_SERVERS} has {', '.join(foreign)}, which images.servers of the site file lacks",), keys)


def restriction(facts: ClusterFacts, site: Site, project: str) -> dict[str, Any]:
    """Return the values of the remediation ``restrict-project``.

    keys: what it sets together with ``restricted``, so that PROJ-004 passes afterwards. refuse: why a person must decide first.
    """
    if site.project(project) is None:
        declare = finding_id("PROJ-008", facts.name, project)
        return {"keys": [], "refuse": f"the site file does not say what the project may use: fix {declare} first"}
    try:
        found = facts.incus.project(project)
        if found is None:
            return {"keys": [], "refuse": f"Incus does not list the project {project}"}
        config = found.config
        listed = [
            networks_of(config, site.networks_of(project)),
            pools_of(facts, config, site.pools_of(project)),
            servers_of(config, site),
        ]
        loose = "; ".join(_loose(found))
    except EvidenceError as cause:
        return {"keys": [], "refuse": f"it is unknown which lists the project needs: {cause.reason}"}
    keys = [{"name": key["name"], "value": key["value"]} for each in listed for key in each.keys]
    decide = (
        f"the restriction would leave these open, so PROJ-003 would fail: {loose}. Unset them first" if loose else ""
    )
    return {"keys": sorted(keys, key=lambda key: key["name"]), "refuse": decide}


def _loose(project: Project) -> Iterator[str]:
    """Yield each key that PROJ-003 would report once the project is restricted. Raises EvidenceError for a range that can't be read."""
    fine = {_NIC, _PATHS}  # PROJ-004 judges the one, and the other counts only with restricted.devices.disk
    fine |= {"restricted.devices.disk"} if project.disk_paths else set()
    fine |= {"restricted.idmap.gid"} if not project.allows_root_gid else set()
    fine |= {"restricted.idmap.uid"} if not project.allows_root_uid else set()
    for key, value in sorted(project.config.items()):
        if key.startswith(_JUDGED) and key not in fine and value not in _STRICT:
            yield f"{key} is {value}"


def _list_key(name: str, old: Collection[str], new: Collection[str]) -> dict[str, str]:
    """Return a key with a list for the remediation ``set-project-config``: which names it puts in and takes out, and the whole list."""
    add, take = ([each for each in some if each not in others] for some, others in ((new, old), (old, new)))
    return {"name": name, "value": ",".join(new), "add": ",".join(add), "take": ",".join(take)}


def _key(name: str, value: str) -> dict[str, str]:
    """Return a key for the remediation ``set-project-config``. An empty value unsets it."""
    return {"name": name, "value": value}


OF_RULES: Mapping[str, Any] = {"restrict-project": restriction}
"""Remediations of policies with a rule that need values, each with a function of (facts, site, resource) that returns them."""
