"""Tests the recording: what a fact stands on, what a guard is, and which reads belong to which finding."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from sigsrv.authoring import document
from sigsrv.collect.evidence import Answer, Evidence
from sigsrv.facts.parsing import api, output
from sigsrv.facts.reading import Frame, Source, fact, guard, recording, united
from sigsrv.judge.require import Require
from sigsrv.model import policy, site_file
from sigsrv.model.errors import EvidenceError

POLICY = policy.load()["NET-001"]
EVIDENCE = Evidence("a", 0.0, probes={name: Answer(name, 0, f"{name}\n") for name in ("link", "nft", "addr")})


@dataclass(frozen=True)
class Facts:
    evidence: Evidence = EVIDENCE
    computed: list[str] = field(default_factory=list)

    @fact
    def link(self) -> str:
        self.computed.append("link")
        return output(self.evidence, "link")

    @fact
    def both(self) -> str:
        return self.link + output(self.evidence, "nft")

    @fact
    def lost(self) -> str:
        self.computed.append("lost")
        return output(self.evidence, "missing")

    @fact
    def guarded(self) -> str:
        guard(lambda: self.link)
        return output(self.evidence, "nft")

    @fact
    def broken(self) -> str:
        raise ZeroDivisionError


def read_by(*names: str, facts: Facts | None = None) -> Frame:
    """Return the frame that the facts of these names were read in."""
    facts = facts or Facts()
    with recording(set()) as frame:
        for name in names:
            getattr(facts, name)
    return frame


def sources(frame: Frame) -> set[Source]:
    return set(united(frame).sources)


def test_a_fact_stands_on_what_it_reads_and_on_what_its_facts_read():
    found = united(read_by("both"))

    assert found.sources == {Source("a", "link"), Source("a", "nft")}
    assert found.facts == {"Facts.both", "Facts.link"}


def test_a_fact_that_was_computed_before_stands_on_the_same():
    """Nearly every policy reads a fact that another policy computed."""
    facts = Facts()
    assert facts.both == "link\nnft\n"

    assert sources(read_by("both", facts=facts)) == {Source("a", "link"), Source("a", "nft")}
    assert facts.computed == ["link"]


def test_a_fact_that_cannot_be_read_raises_again_without_a_second_try_and_stands_on_what_it_tried():
    facts = Facts()
    raised = []
    with recording(set()) as frame:
        for _ in range(3):
            with pytest.raises(EvidenceError) as caught:
                _ = facts.lost
            raised.append(caught.value)

    assert facts.computed == ["lost"]
    assert raised[0] is raised[2]
    assert len(caught.traceback) == 2  # this test and the descriptor: it does not grow with each reader
    assert sources(frame) == {Source("a", "missing")}


def test_a_bug_in_a_fact_is_not_kept_and_closes_its_frame():
    facts = Facts()
    with recording(set()) as frame:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                _ = facts.broken
        _ = facts.link

    assert sources(frame) == {Source("a", "link")}


def test_a_guard_is_no_source():
    """The fact is still read, so that it raises if it can't be."""
    facts = Facts()

    assert sources(read_by("guarded", facts=facts)) == {Source("a", "nft")}
    assert facts.computed == ["link"]


def test_nothing_is_recorded_without_a_frame():
    frame = read_by("link")
    _ = Facts().both

    assert sources(frame) == {Source("a", "link")}


def test_a_fact_cannot_be_set():
    """Like a field of a frozen record."""
    facts = Facts()

    with pytest.raises(AttributeError):
        facts.__class__.__dict__["link"].__set__(facts, "other")


def test_a_request_to_the_api_is_a_source_with_its_url():
    with recording(set()) as frame, pytest.raises(EvidenceError):
        api(EVIDENCE, "/1.0/networks?recursion=1")

    assert sources(frame) == {Source("a", "/1.0/networks?recursion=1")}


@pytest.fixture
def require() -> Require:
    return Require(POLICY, site_file.parse(document.document()["site"]), "a", "a")


def stands_on(require: Require, check) -> dict[str, tuple[str, ...]]:
    require.run(check)
    return {found.resource: found.stands_on for found in require.findings}


def passes(require: Require, resource: str) -> None:
    require(resource, True, expected="x", observed="x")


def test_a_finding_stands_on_what_the_check_read_before_it(require):
    """Probes come first, then paths of the API."""
    facts = Facts()

    def check() -> None:
        _ = facts.link
        passes(require, "first")
        _ = facts.both
        passes(require, "second")

    assert stands_on(require, check) == {"first": ("link",), "second": ("link", "nft")}


def test_what_a_block_reads_belongs_to_its_resource(require):
    """A finding that the check records after the block has it too; another resource does not."""
    facts = Facts()

    def check() -> None:
        _ = facts.link
        with require.about("late"):
            text = output(EVIDENCE, "addr")
        with require.about("one"):
            output(EVIDENCE, "nft")
            passes(require, "one")
        passes(require, "other")
        require("late", bool(text), expected="x", observed="x")

    assert stands_on(require, check) == {"one": ("link", "nft"), "late": ("addr", "link"), "other": ("link",)}


def test_what_the_clauses_of_a_finding_read_belongs_to_it(require):
    """The engine records the finding at the end of the block."""

    def check() -> None:
        with require.finding("one", "x") as finding:
            finding.require(bool(output(EVIDENCE, "nft")), "x")
        passes(require, "other")

    assert stands_on(require, check) == {"one": ("nft",), "other": ()}


def test_an_error_in_a_block_stands_on_what_could_not_be_read(require):
    def check() -> None:
        with require.about("one"):
            output(EVIDENCE, "missing")

    assert stands_on(require, check) == {"one": ("missing",)}


def test_what_a_block_reads_of_a_pool_belongs_to_its_volumes(require):
    """The finding's resource says what contains it."""

    def check() -> None:
        with require.about("nvme"):
            output(EVIDENCE, "nft")
        for resource in ("nvme/default/data", "nvme2/default/data"):
            passes(require, resource)

    assert stands_on(require, check) == {"nvme/default/data": ("nft",), "nvme2/default/data": ()}


def test_a_frame_around_a_check_gets_what_the_check_read(require):
    def check() -> None:
        output(EVIDENCE, "link")
        with require.about("one"):
            output(EVIDENCE, "nft")

    with recording(set()) as frame:
        require.run(check)

    assert sources(frame) == {Source("a", "link"), Source("a", "nft")}
