"""Everything that the tests judge: the demo, both clean labs, the example document, and the document of each example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sigsrv.authoring import document, examples
from sigsrv.collect import evidence
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import data, policy, site_file
from sigsrv.model.finding import Finding
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site

CLEAN = Path(__file__).parent / "evidence" / "clean"
POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))

State = tuple[Sequence[Policy], Site, Mapping[str, HostFacts]]


def saved_states() -> Iterator[State]:
    """Yield all policies, the site and the facts of the demo and of each clean lab."""
    for site, folder in [(data.DEMO / "site.yaml", data.DEMO / "evidence")] + [
        (CLEAN / lab / "site.yaml", CLEAN / lab) for lab in ("ns", "vm")
    ]:
        desired, kept = site_file.load(site, POLICIES), evidence.load(folder)
        facts = {host.name: HostFacts(host.name, host.member, kept[host.name]) for host in desired.hosts}
        yield tuple(POLICIES.values()), desired, facts


def states() -> Iterator[State]:
    """Yield the saved states, the example document with all policies, and each example with its own policy."""
    yield from saved_states()
    yield (tuple(POLICIES.values()), *document.example_facts())
    for each in POLICIES.values():
        if each.rule is None:
            for _, _, example in examples.each_example(each):
                yield ((each,), *document.facts_of(document.patched(example["change"])))


def judged() -> Iterator[tuple[Finding, ...]]:
    """Yield the findings of each state."""
    for policies, site, facts in states():
        yield evaluate(policies, CHECKS, site, facts)
