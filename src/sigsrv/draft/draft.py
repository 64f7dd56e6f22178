"""Drafts a site file from the facts of live hosts, for a person to correct.

A draft describes the current state, not the desired one. A weakness is left out or commented out, so it stays a finding until a
person decides. Only the project ``default`` is exempt from PROJ-001, because the fix would disturb the system. Failures are marked. Nothing
is guessed: facts that could not be read are listed, and are not in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from sigsrv.collect.evidence import Evidence
from sigsrv.draft import managers, network, resources, server
from sigsrv.draft.document import Document, Entry, Marks, Section
from sigsrv.draft.facts import DraftFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.incus import IncusFacts
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import Finding, Verdict
from sigsrv.model.policy import Policy
from sigsrv.model.site import Thresholds
from sigsrv.report import phrases

# The sections where a person looks for a finding, by the kind of resource that its policy examines.
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
_NOT_DETECTABLE = (
    "Only you know these, sigsrv can't detect them: isolate, extra_ports, acls_exact and persisted_by of bridges,",
    "antispoof, protected_volumes, redundant, instance_limits, exempt (permanent exceptions of your design), and the",
    "backups. Backups on no host of the site: backups: {external: WHERE, proof: {host, dir, pattern}}. Else:",
)


@dataclass(frozen=True)
class Origin:
    """The origin of a draft. name: of the site; at: time of the evidence, RFC 3339.

    options: how the command line reaches each host, by host. notes: command line options that a site file can't contain.
    """

    name: str
    at: str
    options: Mapping[str, Mapping[str, object]]
    notes: tuple[str, ...] = ()


def facts_of(evidences: Mapping[str, Evidence]) -> dict[str, HostFacts]:
    """Return the facts of hosts without known member names: each host gets the name that its daemon reports."""
    return {host: HostFacts(host, _member(host, evidence), evidence) for host, evidence in evidences.items()}


def _member(host: str, evidence: Evidence) -> str:
    try:
        server_facts = IncusFacts(evidence).server
    except EvidenceError:
        return host
    return server_facts.name if server_facts.clustered and server_facts.name else host


def draft(facts: Mapping[str, HostFacts], origin: Origin) -> Document:
    """Draft a site file from the facts of the hosts."""
    known = DraftFacts(dict(facts))
    hosts = server.hosts(known, origin.options, origin.notes)
    bridges, extra = network.sections(known)
    pools = resources.pools(known)
    networks = [entry.names[0] for section in (bridges, extra) for entry in section.entries if not entry.commented]
    storage = [entry.names[0] for entry in pools.entries if not entry.commented]
    projects = resources.projects(known, networks, storage)
    sections = (
        Section("version", value=2),
        Section("name", value=origin.name),
        hosts,
        bridges,
        extra,
        network.acls(known),
        server.zones(known),
        pools,
        projects,
        resources.proxies(known),
        resources.host_paths(known),
        resources.critical(known),
        server.auth(known),
        server.cluster(known),
        server.incus(known),
        server.images(known),
        managers.section(known),
        resources.exempt(known),
        _thresholds(),
        _backups(next(iter(facts))),
    )
    return Document(sections, tuple(known.unread))


def _thresholds() -> Section:
    lines = [
        f"  {key}: {value if key != 'pool_free_min' else f'{value // _GIB}GiB'}"
        for key, value in asdict(Thresholds()).items()
    ]
    notes = (
        "Limits beyond which sigsrv reports a finding. These are the defaults; uncomment and change what differs.",
        "thresholds:",
    )
    return Section("thresholds", (*notes, *lines))


def _backups(host: str) -> Section:
    return Section(
        "backups", (*_NOT_DETECTABLE, f'backups: {{host: {host}, dir: /srv/backups, pattern: "{{name}}-*.tar.gz"}}')
    )


def head(document: Document, origin: Origin, hosts: Iterable[str]) -> list[str]:
    """Return the comment lines at the top of the file."""
    lines = [
        f"`sigsrv init` found this on {', '.join(hosts)} at {origin.at}: the current state, not the desired state.",
        "Correct this file, then scan with it. These things need your decision:",
        '- "fails already" marks a failure of the current state, at its entry or at the end of this file',
        "- a commented-out line of YAML is a weakness that was found, or a question",
    ]
    if "exempt" in document.data:
        lines.append("- an entry of exempt accepts a weakness that was found: keep it only if that is intended")
    if document.unread:
        lines += ["Could not be read, so it is not in this file:", *(f"- {line}" for line in document.unread)]
    return lines


def marks(document: Document, findings: Sequence[Finding], policies: Mapping[str, Policy]) -> tuple[Marks, list[str]]:
    """Return the comments about the findings of a drafted site: at its entries, and at the end for all others."""
    at: dict[tuple[str, str], list[str]] = {}
    rest = []
    for finding in phrases.worst_first(finding for finding in findings if finding.verdict is Verdict.FAIL):
        place = _entry_of(document, policies[finding.policy].examines, finding.resource)
        line = f"fails already: {finding.id}: {finding.observed or finding.reason or finding.title}"
        if place:
            at.setdefault(place, []).append(line)
        else:
            rest.append(line)
    tail = ["Fails already, without an entry in this file:", *rest] if rest else []
    unknown = [finding for finding in findings if finding.verdict is Verdict.ERROR]
    if unknown:
        roots = [f"{finding.id}: {finding.reason}" for finding in phrases.worst_first(unknown) if not finding.because]
        follow = len(unknown) - len(roots)
        tail += ["Could not be determined (this is not a pass):", *roots]
        tail += (
            [f"and {follow} that depend on data that could not be read" if roots else f"{follow} findings"]
            if follow
            else []
        )
    return at, tail


def _entry_of(document: Document, examined: str, resource: str) -> tuple[str, str] | None:
    """Return the section key and first name of the entry of a resource; None if there is no entry."""
    wanted = _SECTIONS.get(examined, ())
    found: Iterable[tuple[str, Entry]] = (
        (section.key, entry) for section in document.sections if section.key in wanted for entry in section.entries
    )
    return next(((key, entry.names[0]) for key, entry in found if resource in entry.names), None)
