"""The facts of live hosts -> a site file for a person to correct.

A draft says what was found, never that it is right: a weakness is left out or commented out, so that it is a finding until a person
decides, and what fails already is marked. Nothing is guessed: what could not be read is named, and is not in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from sigsrv.collect.evidence import Evidence
from sigsrv.draft import network, resources, server
from sigsrv.draft.document import Document, Entry, Marks, Section
from sigsrv.draft.found import Found
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.incus import IncusFacts
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import Finding, Verdict
from sigsrv.model.policy import Policy
from sigsrv.model.site import Thresholds
from sigsrv.report import phrases

# Where a person looks for a finding, by the kind of resource that its policy examines.
_SECTIONS: Mapping[str, tuple[str, ...]] = {
    "bridge": ("bridges", "networks_extra"),
    "network": ("bridges", "networks_extra"),
    "acl": ("acls",),
    "pool": ("pools",),
    "project": ("projects",),
    "host": ("hosts",),
    "member": ("hosts",),
}
_GIB = 1024**3
_ONLY_YOU = (
    "What only you know, and no host tells: isolate, extra_ports, acls_exact and persisted_by of bridges, antispoof,",
    "protected_volumes, instance_limits, exempt (what your design allows for good), and where backups are:",
)


@dataclass(frozen=True)
class Origin:
    """Where a draft comes from. name: the site's; at: when the hosts were so, RFC 3339.

    options: by host, what the command line says of the way to it; notes: what it says that no site file holds.
    """

    name: str
    at: str
    options: Mapping[str, Mapping[str, object]]
    notes: tuple[str, ...] = ()


def facts_of(evidences: Mapping[str, Evidence]) -> dict[str, HostFacts]:
    """The facts of hosts whose names in the cluster nobody has said yet: each is the member that its daemon says."""
    return {host: HostFacts(host, _member(host, evidence), evidence) for host, evidence in evidences.items()}


def _member(host: str, evidence: Evidence) -> str:
    try:
        told = IncusFacts(evidence).server
    except EvidenceError:
        return host
    return told.name if told.clustered and told.name else host


def draft(facts: Mapping[str, HostFacts], origin: Origin) -> Document:
    """A site file of what the hosts told."""
    found = Found(dict(facts))
    hosts = server.hosts(found, origin.options, origin.notes)
    bridges, extra = network.sections(found)
    pools = resources.pools(found)
    networks = [entry.names[0] for section in (bridges, extra) for entry in section.entries if not entry.off]
    storage = [entry.names[0] for entry in pools.entries if not entry.off]
    projects = resources.projects(found, networks, storage)
    sections = (
        Section("version", value=1),
        Section("name", value=origin.name),
        hosts,
        bridges,
        extra,
        network.acls(found),
        pools,
        projects,
        resources.proxies(found),
        resources.host_paths(found),
        resources.critical(found),
        server.auth(found),
        server.cluster(found),
        server.incus(found),
        server.images(found),
        _thresholds(),
        _backups(next(iter(facts))),
    )
    return Document(sections, tuple(found.unread))


def _thresholds() -> Section:
    lines = [
        f"  {key}: {value if key != 'pool_free_min' else f'{value // _GIB}GiB'}"
        for key, value in asdict(Thresholds()).items()
    ]
    notes = (
        "From where on it is a finding: these are the defaults. Uncomment what is to be otherwise here.",
        "thresholds:",
    )
    return Section("thresholds", (*notes, *lines))


def _backups(host: str) -> Section:
    return Section(
        "backups", (*_ONLY_YOU, f'backups: {{host: {host}, dir: /srv/backups, pattern: "{{name}}-*.tar.gz"}}')
    )


def head(document: Document, origin: Origin, hosts: Iterable[str]) -> list[str]:
    """What a person must know first."""
    lines = [
        f"What `sigsrv init` found on {', '.join(hosts)} at {origin.at}: that is how it is, not how it ought to be.",
        "Correct it, then scan with it. Until then:",
        '- "fails already" marks what does not hold as things are, at the entry concerned or at the end of this file',
        "- a line of YAML that is commented out waits for you: it is a weakness as it was found, or asks something",
    ]
    if document.unread:
        lines += ["Could not be read, and is not in this file:", *(f"- {line}" for line in document.unread)]
    return lines


def marks(document: Document, findings: Sequence[Finding], policies: Mapping[str, Policy]) -> tuple[Marks, list[str]]:
    """What is to be said of the findings of a drafted site: at its entries, and at the end for those that concern none."""
    at: dict[tuple[str, str], list[str]] = {}
    rest = []
    for finding in phrases.worst_first(finding for finding in findings if finding.verdict is Verdict.FAIL):
        place = _place(document, policies[finding.policy].examines, finding.resource)
        line = f"fails already: {finding.id}: {finding.observed or finding.reason or finding.title}"
        if place:
            at.setdefault(place, []).append(line)
        else:
            rest.append(line)
    tail = ["What fails already and is about no entry of this file:", *rest] if rest else []
    unknown = [finding for finding in findings if finding.verdict is Verdict.ERROR]
    if unknown:
        roots = [f"{finding.id}: {finding.reason}" for finding in phrases.worst_first(unknown) if not finding.because]
        follow = len(unknown) - len(roots)
        tail += ["What could not be determined, which is no pass:", *roots]
        tail += (
            [f"and {follow} that follow from what could not be read" if roots else f"{follow} findings"]
            if follow
            else []
        )
    return at, tail


def _place(document: Document, examined: str, resource: str) -> tuple[str, str] | None:
    """The entry that a resource is: its section's key and its first name."""
    wanted = _SECTIONS.get(examined, ())
    found: Iterable[tuple[str, Entry]] = (
        (section.key, entry) for section in document.sections if section.key in wanted for entry in section.entries
    )
    return next(((key, entry.names[0]) for key, entry in found if resource in entry.names), None)
