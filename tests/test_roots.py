"""Tests findings that other findings explain: they are judged by themselves as soon as one of these reports nothing."""

from __future__ import annotations

import dataclasses

import pytest

from sigsrv.authoring import document
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.evaluate import evaluate, with_roots_checked
from sigsrv.model import policy, site_file
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import Finding, Severity, Verdict

POLICIES = policy.load()
FIRST, SECOND = "NET-004@sigsrv/br0", "NET-007@minisrv/br0"


def found_by(record, **changed):
    """Return the findings of CLUS-003, whose check records one finding. CLUS-001 has one failure, of the resource "known"."""
    content = document.document()
    content["site"]["exempt"] = changed.get("exempt", {})
    desired = site_file.parse(content["site"])
    hosts = {
        each.name: HostFacts(each.name, each.member, document.evidence_of(content, each.name)) for each in desired.hosts
    }

    def check(facts, desired, require):
        with require.finding("br0", "x") as finding:
            record(finding)

    def fail(facts, desired, require):
        require("known", False, expected="x", observed="y")

    found = evaluate(
        [POLICIES["CLUS-001"], POLICIES["CLUS-003"]], {"CLUS-001": fail, "CLUS-003": check}, desired, hosts
    )
    return {each.resource: each for each in found if each.policy == "CLUS-003"}


def root(finding_id, verdict, **more):
    policy_id, _, place = finding_id.partition("@")
    host, _, resource = place.partition("/")
    return Finding(policy_id, "title", Severity.HIGH, host, resource, verdict, "", "", **more)


def explained(*roots, verdict=Verdict.FAIL, **more):
    """Return a finding that is not-applicable because of other ones, with the verdict that it has by itself."""
    own = dataclasses.replace(root("XHOST-001@cluster/br0", verdict), **more)
    return dataclasses.replace(own, verdict=Verdict.NOT_APPLICABLE, because=roots[0], own=own, roots=roots)


def verdict_beside(finding, *others):
    return next(each.verdict for each in with_roots_checked([finding, *others]) if each.policy == finding.policy)


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (Verdict.FAIL, Verdict.FAIL, Verdict.NOT_APPLICABLE),
        (Verdict.FAIL, Verdict.WAIVED, Verdict.FAIL),
        (Verdict.WAIVED, Verdict.FAIL, Verdict.FAIL),
        (Verdict.FAIL, Verdict.ERROR, Verdict.FAIL),
        (Verdict.FAIL, Verdict.PASS, Verdict.FAIL),
        (Verdict.FAIL, Verdict.NOT_APPLICABLE, Verdict.FAIL),
    ],
)
def test_every_root_must_report(first, second, verdict):
    """One of two causes is accepted. The other one does not hide what the accepted one leads to."""
    assert verdict_beside(explained(FIRST, SECOND), root(FIRST, first), root(SECOND, second)) is verdict


def test_root_that_no_policy_judged_reports_nothing():
    """The finding counts by itself."""
    assert verdict_beside(explained(FIRST, SECOND), root(FIRST, Verdict.FAIL)) is Verdict.FAIL


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.PASS, Verdict.ERROR])
def test_finding_counts_by_itself_whatever_its_verdict_is(verdict):
    """Hosts that are alike pass, although NET-004 is waived."""
    assert verdict_beside(explained(FIRST, verdict=verdict), root(FIRST, Verdict.WAIVED)) is verdict


def test_root_whose_own_root_is_exempt_reports_nothing():
    """XHOST-001 because of NET-007, and NET-007 because of NET-004, which the site exempts: nothing reports the failure."""
    exempt = root(FIRST, Verdict.NOT_APPLICABLE, reason="the site exempts it: tunnels")
    between = root(SECOND, Verdict.NOT_APPLICABLE, because=FIRST)

    assert verdict_beside(explained(SECOND), between, root(FIRST, Verdict.FAIL)) is Verdict.NOT_APPLICABLE
    assert verdict_beside(explained(SECOND), between, exempt) is Verdict.FAIL


def test_finding_that_has_nothing_to_judge_by_itself_still_needs_its_root():
    """Its own verdict is not-applicable because of a finding that passed: then nothing looks at what is missing."""
    finding = explained(FIRST, verdict=Verdict.NOT_APPLICABLE, because=SECOND)

    assert verdict_beside(finding, root(FIRST, Verdict.WAIVED), root(SECOND, Verdict.PASS)) is Verdict.ERROR


@pytest.mark.parametrize(
    ("roots", "verdict"),
    [
        (["CLUS-001@cluster/known"], Verdict.NOT_APPLICABLE),
        (["CLUS-001@cluster/known", None], Verdict.FAIL),
        (["CLUS-001@cluster/known", "CLUS-001@cluster/other"], Verdict.FAIL),
    ],
)
def test_every_violated_clause_needs_a_root_that_reports_it(roots, verdict):
    """A violated clause that no other finding reports makes the finding fail."""

    def record(finding):
        for each in roots:
            finding.violated(f"because of {each}", each)

    assert found_by(record)["br0"].verdict is verdict


def test_reported_finding_shows_what_is_reported_and_what_was_seen():
    """An exemption of the finding itself is not a root."""

    def record(finding):
        finding.reported_by(FIRST, "there is no bridge")
        finding.violated("frames are lost")

    found = found_by(record, exempt={"CLUS-003": [{"match": "br0", "reason": "tests"}]})["br0"]

    assert (found.verdict, found.because) == (Verdict.NOT_APPLICABLE, None)
    assert found.reason == "the site exempts it: tests"


def test_common_unknown_is_one_error_beside_a_known_fault():
    """If nothing is violated, the scope has the error. If something is, the resource fails and names what is unknown."""

    def ask(finding):
        with finding.clause(on="cluster"):
            raise EvidenceError("no daemon answers")

    def ask_and_see(finding):
        ask(finding)
        finding.violated("the MTU differs")

    assert {key: each.verdict for key, each in found_by(ask).items()} == {"cluster": Verdict.ERROR}
    failed = found_by(ask_and_see)
    assert {key: each.verdict for key, each in failed.items()} == {"br0": Verdict.FAIL}
    assert failed["br0"].reason == "unknown: no daemon answers"
