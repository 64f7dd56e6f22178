"""The URLs that sigsrv reads from a host's Incus daemon."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

SERVER = "/1.0"
INSTANCES = "/1.0/instances?recursion=2&all-projects=true"
INSTANCES_CONFIG = "/1.0/instances?recursion=1&all-projects=true"  # from the database: does not wait for members
MEMBERS = "/1.0/cluster/members?recursion=1"
WARNINGS = "/1.0/warnings?recursion=1"
PROJECTS = "/1.0/projects?recursion=1"
PROFILES = "/1.0/profiles?recursion=1&all-projects=true"
NETWORKS = "/1.0/networks?recursion=1"  # project default: bridges exist only there
NETWORK_ACLS = "/1.0/network-acls?recursion=1&all-projects=true"
POOLS = "/1.0/storage-pools?recursion=1"
CERTIFICATES = "/1.0/certificates?recursion=1"
IMAGES = "/1.0/images?recursion=1&all-projects=true"
# All projects, because tokens of images belong to the image's project.
OPERATIONS = "/1.0/operations?recursion=1&all-projects=true"
WANTED = (
    MEMBERS,
    WARNINGS,
    PROJECTS,
    PROFILES,
    NETWORKS,
    NETWORK_ACLS,
    POOLS,
    CERTIFICATES,
    IMAGES,
    OPERATIONS,
    INSTANCES,
)


# What only some daemons have, each with the API extension that adds it. A daemon without the extension is not asked.
ADDRESS_SETS = "/1.0/network-address-sets?recursion=1&all-projects=true"
ZONES = "/1.0/network-zones?recursion=1&all-projects=true"
METADATA = "/1.0/metadata/configuration"  # asked only if the daemon has an API extension that sigsrv does not know
EXTENSION_OF = {
    ADDRESS_SETS: "network_address_set",
    ZONES: "network_zones_all_projects",
    METADATA: "metadata_configuration",
}
# Lists of one network, by the type of network that can have them, and lists of one pool.
NETWORK_LISTS = {
    "forwards": ("network_forward", ("bridge", "ovn")),
    "load-balancers": ("network_load_balancer", ("ovn",)),
    "peers": ("network_peer", ("ovn",)),
}
BUCKETS = "storage_buckets_all_projects"  # the API extension


def path(source: str) -> str:
    """Return a URL without its query, and with ``{name}`` for the name of a network or a pool; the id of a probe as it is.

    >>> path("/1.0/storage-pools/nvme/resources?target=minisrv")
    '/1.0/storage-pools/{name}/resources'
    """
    segments = source.partition("?")[0].split("/")
    if len(segments) > 3 and segments[2] in ("networks", "storage-pools"):
        segments[3] = "{name}"
    return "/".join(segments)


def place(url: str) -> str:
    """Return the network or the pool in a URL; "" if it has none."""
    segments = url.partition("?")[0].split("/")
    return unquote(segments[3]) if len(segments) > 3 and segments[2] in ("networks", "storage-pools") else ""


def _segment(name: str) -> str:
    """Return a name quoted for a URL. A name that no URL can contain must not abort the collection."""
    return quote(name, safe="", errors="surrogatepass")


def pool_url(pool: str, member: str) -> str:
    """Return the URL of a pool on one member: its member-specific keys and its status there."""
    return f"/1.0/storage-pools/{_segment(pool)}?target={_segment(member)}"


def pool_resources_url(pool: str, member: str | None) -> str:
    """Return the URL of a pool's used and total ``space`` and ``inodes`` on one member.

    member: None on a standalone host.
    """
    target = f"?target={_segment(member)}" if member else ""
    return f"/1.0/storage-pools/{_segment(pool)}/resources{target}"


def volumes_url(pool: str, full: bool = False) -> str:
    """Return the URL of a pool's volumes, on all members and in all projects. Includes snapshots: as rows ``VOLUME/SNAPSHOT``.

    full: see ``volumes_are_full``.
    """
    return f"/1.0/storage-pools/{_segment(pool)}/volumes?recursion={2 if full else 1}&all-projects=true"


def volumes_are_full(server: object) -> bool:
    """Return whether a daemon has the snapshots of a volume as a list in its row, and only with recursion=2.

    server: its answer to ``SERVER``; False for anything else. Source: Incus 7.0.2, API extension storage_volume_full.
    """
    listed = server.get("api_extensions") if isinstance(server, Mapping) else None
    return isinstance(listed, list) and "storage_volume_full" in listed


def network_url(network: str, member: str) -> str:
    """Return the URL of a network on one member: its member-specific keys and its status there."""
    return f"/1.0/networks/{_segment(network)}?target={_segment(member)}"


def network_list_url(network: str, name: str) -> str:
    """Return the URL of a list of one network. name: ``forwards``, ``load-balancers`` or ``peers``."""
    return f"/1.0/networks/{_segment(network)}/{name}?recursion=1"


def buckets_url(pool: str) -> str:
    """Return the URL of a pool's buckets, on all members and in all projects, without their keys."""
    return f"/1.0/storage-pools/{_segment(pool)}/buckets?recursion=1&all-projects=true"


# The paths of what only some daemons have. No policy needs the answer of every daemon, so one that refuses it is no fault by itself.
EXTRA_PATHS = frozenset(
    path(url) for url in (*EXTENSION_OF, *(network_list_url("n", name) for name in NETWORK_LISTS), buckets_url("n"))
)
# The paths of all URLs that sigsrv reads, as ``path`` returns them.
PATHS = EXTRA_PATHS | frozenset(
    path(url)
    for url in (
        SERVER,
        *WANTED,
        network_url("n", "m"),
        pool_url("n", "m"),
        pool_resources_url("n", "m"),
        volumes_url("n"),
    )
)
