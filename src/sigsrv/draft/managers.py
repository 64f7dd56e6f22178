"""Drafts ``managed_by``: what NixOS and OpenTofu manage, as far as hosts and descriptions show it."""

from __future__ import annotations

from collections.abc import Iterable

from sigsrv.draft.document import Entry, Field, Section
from sigsrv.draft.facts import DraftFacts, schema_checked
from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.model.lasting import Change
from sigsrv.model.taking_back import says_tofu
from sigsrv.scan.known import KnownObjects

# What NixOS writes again at each switch or boot. Its network module leaves addresses of bridges to Incus.
_OF_NIXOS = ["link", "unit", "sysctl", "file", "group", "sshd"]


def section(facts: DraftFacts) -> Section:
    """Draft ``managed_by``. A fix of what a tool manages says that it does not last."""
    entries = []
    systems = facts.from_hosts("the operating system", _is_nixos)
    if nixos := [host for host, found in systems.items() if found]:
        fields = [Field("tool", "nixos"), Field("kinds", _OF_NIXOS)]
        fields += [Field("hosts", nixos)] if len(nixos) < len(facts.hosts) else []
        entries.append(Entry(("nixos",), tuple(fields)))
    kinds = [kind for kind in ("network", "project", "profile", "instance") if _says_tofu(facts, kind)]
    if kinds:
        note = "a description of one of them says so: leave out what OpenTofu does not manage"
        entries.append(Entry(("opentofu",), (Field("tool", "opentofu"), Field("kinds", kinds)), (note,)))
    return schema_checked(Section("managed_by", entries=tuple(entries)))


def _is_nixos(host: HostFacts) -> bool:
    return host.machine.os.is_any("nixos")


def _says_tofu(facts: DraftFacts, kind: str) -> bool:
    """Return whether the description of an object of a kind says that OpenTofu manages it."""
    changes = facts.rows_of(f"the {kind}s", lambda cluster: [(cluster, each) for each in _objects(cluster, kind)])
    found = (KnownObjects(cluster).object_of(change) for cluster, change in changes)
    return any(each is not None and says_tofu(each.description) for each in found)


def _objects(cluster: ClusterFacts, kind: str) -> Iterable[Change]:
    """Return the objects of a kind, each as an empty change of it. Raises EvidenceError."""
    incus = cluster.incus
    if kind == "network":
        return [Change(kind, each.name) for each in incus.networks if each.managed]
    if kind == "project":
        return [Change(kind, each.name) for each in incus.projects]
    if kind == "profile":
        return [Change(kind, each.name, each.project) for each in incus.profiles]
    return [Change(kind, each.name, each.project) for each in incus.listed_instances]
