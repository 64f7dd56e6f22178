"""The URLs that a host's Incus daemon is asked for."""

from __future__ import annotations

from urllib.parse import quote

SERVER = "/1.0"
INSTANCES = "/1.0/instances?recursion=2&all-projects=true"
INSTANCES_CONFIG = "/1.0/instances?recursion=1&all-projects=true"  # from the database: without the state of members
MEMBERS = "/1.0/cluster/members?recursion=1"
WARNINGS = "/1.0/warnings?recursion=1"
PROJECTS = "/1.0/projects?recursion=1"
PROFILES = "/1.0/profiles?recursion=1&all-projects=true"
NETWORKS = "/1.0/networks?recursion=1"  # of project default: bridges live nowhere else
NETWORK_ACLS = "/1.0/network-acls?recursion=1&all-projects=true"
POOLS = "/1.0/storage-pools?recursion=1"
CERTIFICATES = "/1.0/certificates?recursion=1"
IMAGES = "/1.0/images?recursion=1&all-projects=true"
OPERATIONS = "/1.0/operations?recursion=1&all-projects=true"  # tokens of images belong to the image's project
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


def _segment(name: str) -> str:
    """A name in a URL, whatever it is made of: a name that no URL can have must not end the collection."""
    return quote(name, safe="", errors="surrogatepass")


def pool_url(pool: str, member: str) -> str:
    """A pool as one member has it: member-specific keys and its status there."""
    return f"/1.0/storage-pools/{_segment(pool)}?target={_segment(member)}"


def pool_resources_url(pool: str, member: str | None) -> str:
    """What is used and free of a pool on one member: ``space`` and ``inodes``. member: None on a server that is in no cluster."""
    target = f"?target={_segment(member)}" if member else ""
    return f"/1.0/storage-pools/{_segment(pool)}/resources{target}"


def volumes_url(pool: str) -> str:
    """The volumes of a pool on all members, of all projects; snapshots are among them, as ``VOLUME/SNAPSHOT``."""
    return f"/1.0/storage-pools/{_segment(pool)}/volumes?recursion=1&all-projects=true"


def network_url(network: str, member: str) -> str:
    """A network as one member has it: member-specific keys, its status there."""
    return f"/1.0/networks/{_segment(network)}?target={_segment(member)}"
