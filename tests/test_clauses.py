"""Tests the engine of verdicts: the clauses of a finding, its roots, and the proof that each resource is accounted for."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from sigsrv.authoring import document
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.reading import recording, united
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate, with_roots_checked
from sigsrv.judge.require import Require
from sigsrv.model import data, policy, site_file
from sigsrv.model.errors import EvidenceError, FailureKind
from sigsrv.model.finding import Finding, Severity, Verdict, Waiver
from sigsrv.model.forms import Forms
from sigsrv.remediate.rescan import regressions, seen
from sigsrv.scan.judging import waive
from sigsrv.scan.options import DEMO, Options
from sigsrv.scan.plan import prepare

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))
PLAN = prepare(Options(evidence=DEMO))
FAIL, ERROR, PASS, NOT_APPLICABLE = Verdict.FAIL, Verdict.ERROR, Verdict.PASS, Verdict.NOT_APPLICABLE
ROOT = "NET-004@minisrv/br0"


def a_require(exempt=None, policy_id="NET-001"):
    content = document.document()
    content["site"]["exempt"] = exempt or {}
    return Require(POLICIES[policy_id], site_file.parse(content["site"]), "minisrv", "minisrv")


def finding_with(*clauses, exempt=None):
    """Return the finding that clauses make. A clause is the name of a method of ``Clauses`` and its arguments."""
    require = a_require(exempt)
    with require.finding("br0", "wanted") as finding:
        for name, *arguments in clauses:
            getattr(finding, name)(*arguments)
    (found,) = require.findings
    return found


VIOLATED, UNKNOWN, HOLDS, NOTHING = (
    ("violated", "bad"),
    ("unknown", "no answer"),
    ("holds", "good"),
    ("nothing", "none"),
)


@pytest.mark.parametrize(
    ("clauses", "verdict", "observed", "reason"),
    [
        ([VIOLATED, UNKNOWN, HOLDS, NOTHING], FAIL, "bad; good", "unknown: no answer"),
        ([UNKNOWN, VIOLATED], FAIL, "bad", "unknown: no answer"),
        ([HOLDS, UNKNOWN, NOTHING], ERROR, "good", "no answer"),
        ([UNKNOWN, UNKNOWN], ERROR, "", "no answer"),
        ([HOLDS, NOTHING], NOT_APPLICABLE, "", "none"),
        ([HOLDS, ("holds", "fine"), HOLDS, ("holds", "")], PASS, "good; fine", ""),
        ([("require", True, "good"), ("require", False, "bad")], FAIL, "bad; good", ""),
    ],
)
def test_a_violated_clause_beats_an_unknown_one_and_that_beats_one_that_holds(clauses, verdict, observed, reason):
    """The finding shows each clause once: violated ones first, unknown ones in its reason."""
    found = finding_with(*clauses)

    assert (found.verdict, found.observed, found.reason) == (verdict, observed, reason)


def test_evidence_error_in_a_clause_is_one_unknown_clause():
    """The check goes on with the next clause. The finding points to the root of the error."""
    require = a_require()
    with require.finding("br0", "wanted") as finding:
        with finding.clause():
            raise EvidenceError("no answer", FailureKind.DOWN, "minisrv")
        finding.holds("good")

    (found,) = require.findings
    assert (found.verdict, found.observed, found.because) == (ERROR, "good", "HOST-002@minisrv/minisrv")
    assert finding.unknown_reasons == ("no answer",)


def test_evidence_error_outside_of_a_clause_keeps_the_clauses_before():
    """It ends the block, not the check."""
    require = a_require()
    with require.finding("br0", "wanted") as finding:
        finding.violated("bad")
        raise EvidenceError("no answer")

    assert [(found.verdict, found.reason) for found in require.findings] == [(FAIL, "unknown: no answer")]


def test_finding_without_a_clause_is_an_error():
    """The check forgot the resource. ``otherwise`` says that violated clauses are the only ones."""
    assert finding_with().verdict is ERROR

    require = a_require()
    with require.finding("br0", "wanted", otherwise="nothing is wrong"):
        pass
    assert [(found.verdict, found.observed) for found in require.findings] == [(PASS, "nothing is wrong")]


def test_error_that_is_recorded_later_does_not_hide_a_failure():
    """The failure stays known. A pass becomes an error."""
    for holds, verdict in ((False, FAIL), (True, ERROR)):
        require = a_require()
        require("br0", holds, expected="x", observed="y")
        require.unknown("br0", "no answer")

        (found,) = require.findings
        assert (found.verdict, "no answer" in found.reason) == (verdict, True)


EXEMPT = {"NET-001": [{"match": "br0", "reason": "a laboratory"}]}


@pytest.mark.parametrize(
    ("clauses", "verdict"),
    [
        ([VIOLATED, UNKNOWN], NOT_APPLICABLE),
        ([HOLDS], NOT_APPLICABLE),
        ([UNKNOWN, HOLDS], ERROR),
        ([("violated", "bad", ROOT)], NOT_APPLICABLE),
    ],
)
def test_exemption_covers_a_failure_and_a_pass_but_no_error(clauses, verdict):
    """An exempted failure is not left to a root any more."""
    found = finding_with(*clauses, exempt=EXEMPT)

    assert (found.verdict, found.own, found.because) == (verdict, None, None)


def test_failure_is_left_to_roots_only_if_each_violated_clause_has_one():
    """Otherwise the root would not report all of it."""
    left = finding_with(("violated", "bad", ROOT), ("violated", "worse", "NET-007@cluster/br0"), UNKNOWN)

    assert (left.verdict, left.because, left.own.verdict) == (NOT_APPLICABLE, ROOT, FAIL)
    assert left.roots == (ROOT, "NET-007@cluster/br0")
    assert finding_with(("violated", "bad", ROOT), VIOLATED).verdict is FAIL


def a_finding(policy_id, verdict, because=None, sees=False, **more):
    """Return a finding on br0 of minisrv. sees: it saw a failure itself, which ``because`` reports."""
    found = Finding(policy_id, "title", Severity.HIGH, "minisrv", "br0", verdict, "", "bad", because=because, **more)
    own = dataclasses.replace(found, verdict=FAIL, because=None) if sees else None
    return dataclasses.replace(found, own=own, roots=(because,) if sees else ())


def checked(*findings):
    return {each.policy: each.verdict for each in with_roots_checked(findings)}


@pytest.mark.parametrize(
    ("root", "seen_failure", "nothing_to_judge"),
    [
        ({"verdict": FAIL}, NOT_APPLICABLE, NOT_APPLICABLE),
        ({"verdict": NOT_APPLICABLE, "reason": "the site exempts it: a laboratory"}, FAIL, NOT_APPLICABLE),
        ({"verdict": Verdict.WAIVED}, FAIL, NOT_APPLICABLE),
        ({"verdict": PASS}, FAIL, ERROR),
        ({"verdict": ERROR}, FAIL, NOT_APPLICABLE),
        ({"verdict": NOT_APPLICABLE, "reason": "no such bridge"}, FAIL, ERROR),
        ({}, FAIL, ERROR),
    ],
    ids=["fails", "exempt", "waived", "passes", "error", "nothing to judge", "not judged"],
)
def test_root_that_does_not_fail_excuses_no_failure_that_was_seen(root, seen_failure, nothing_to_judge):
    """A finding that saw a failure fails by itself. One that saw nothing to judge stays so if the root is exempt."""
    roots = [a_finding("NET-004", **root)] if root else []

    assert checked(a_finding("NET-002", NOT_APPLICABLE, ROOT, sees=True), *roots)["NET-002"] is seen_failure
    assert checked(a_finding("NET-002", NOT_APPLICABLE, ROOT), *roots)["NET-002"] is nothing_to_judge


def test_host_that_does_not_answer_is_reported_by_an_error():
    """HOST-001 never fails. Its error reports the failure that another host saw, such as a member that is Offline."""
    host = dataclasses.replace(a_finding("HOST-001", ERROR), resource="minisrv")

    assert checked(a_finding("CLUS-005", NOT_APPLICABLE, host.id, sees=True), host)["CLUS-005"] is NOT_APPLICABLE
    other = dataclasses.replace(host, policy="HOST-002")
    assert checked(a_finding("CLUS-005", NOT_APPLICABLE, other.id, sees=True), other)["CLUS-005"] is FAIL


@pytest.mark.parametrize("end", [{"verdict": FAIL}, {"verdict": Verdict.WAIVED}])
@pytest.mark.parametrize("middle_sees", [True, False])
def test_chain_of_roots_is_followed_to_its_end(end, middle_sees):
    """XHOST-001 leaves a failure to NET-007, which leaves it to NET-004. One of the three must fail."""
    last = a_finding("NET-004", **end)
    middle = a_finding("NET-007", NOT_APPLICABLE, last.id, sees=middle_sees)
    first = a_finding("XHOST-001", NOT_APPLICABLE, middle.id, sees=True)

    found = checked(first, middle, last)

    reported = end["verdict"] is FAIL
    assert found["NET-007"] is (FAIL if middle_sees and not reported else NOT_APPLICABLE)
    assert found["XHOST-001"] is (NOT_APPLICABLE if reported or middle_sees else FAIL)


def test_each_root_must_report_its_part():
    """One of two roots is waived, so its part of the failure is reported by no finding."""
    one, other = a_finding("NET-004", FAIL), a_finding("NET-007", FAIL)
    found = dataclasses.replace(a_finding("CLUS-005", NOT_APPLICABLE, one.id, sees=True), roots=(one.id, other.id))

    assert checked(found, one, other)["CLUS-005"] is NOT_APPLICABLE
    assert checked(found, one, dataclasses.replace(other, verdict=Verdict.WAIVED))["CLUS-005"] is FAIL


def test_two_findings_that_point_at_each_other_do_not_hide_a_failure():
    """One of them fails, and reports it for both."""
    one = a_finding("NET-004", NOT_APPLICABLE, "NET-007@minisrv/br0", sees=True)
    other = a_finding("NET-007", NOT_APPLICABLE, one.id, sees=True)

    assert sorted(checked(one, other).values()) == [FAIL, NOT_APPLICABLE]
    assert (
        ERROR
        in checked(
            a_finding("NET-004", NOT_APPLICABLE, other.id), a_finding("NET-007", NOT_APPLICABLE, one.id)
        ).values()
    )


def waived_by(findings, *waivers, at):
    plan = dataclasses.replace(PLAN, waivers=waivers)
    evidences = {"minisrv": dataclasses.replace(document.evidence_of(document.document(), "minisrv"), collected=at)}
    return {each.policy: each for each in waive(plan, evidences, findings)}


def a_waiver(policy_id, until):
    return Waiver(
        policy_id, "minisrv", "br0", "Ada", "known", datetime.fromtimestamp(until, UTC), None, "waivers.yaml:3"
    )


def test_waived_root_excuses_itself_alone():
    """What was left to it fails by itself, and needs a waiver of its own."""
    root, left = a_finding("NET-004", FAIL), a_finding("NET-007", NOT_APPLICABLE, ROOT, sees=True)

    found = waived_by([root, left], a_waiver("NET-004", 2000), at=1000)
    assert (found["NET-004"].verdict, found["NET-007"].verdict) == (Verdict.WAIVED, FAIL)

    found = waived_by([root, left], a_waiver("NET-004", 2000), a_waiver("NET-007", 2000), at=1000)
    assert {each.verdict for each in found.values()} == {Verdict.WAIVED}


def test_expired_waiver_is_named_once():
    """The root is waived, so the other finding fails. Its own waiver has ended, and so has that of a third finding."""
    findings = [
        a_finding("NET-004", FAIL),
        a_finding("NET-005", FAIL),
        a_finding("NET-007", NOT_APPLICABLE, ROOT, sees=True),
    ]
    waivers = (a_waiver("NET-004", 2000), a_waiver("NET-005", 500), a_waiver("NET-007", 500))

    found = waived_by(findings, *waivers, at=1000)

    assert [found[key].reason.count("expired on") for key in ("NET-004", "NET-005", "NET-007")] == [0, 1, 1]
    assert found["NET-007"].verdict is FAIL


def judged(content, policy_id, checks=CHECKS, hosts=("sigsrv", "minisrv")):
    site = site_file.parse(content["site"])
    facts = {
        each.name: HostFacts(each.name, each.member, document.evidence_of(content, each.name))
        for each in site.hosts
        if each.name in hosts
    }
    judging = (
        POLICIES[policy_id] if checks is CHECKS else dataclasses.replace(POLICIES[policy_id], rule=None, forms=Forms())
    )
    return {found.id: found for found in evaluate([judging], checks, site, facts)}


def skip_all(facts, site, require):
    """Skip everything, as a check does that forgets a resource."""


@pytest.mark.parametrize(
    ("policy_id", "resource"),
    [
        ("INST-005", "default/db"),
        ("POOL-001", "nvme"),
        ("ACL-004", "default/user-isolate"),
        ("VOL-001", "nvme/default/web-data"),
        ("PROJ-008", "default"),
        ("NET-004", "userbr0"),
    ],
)
def test_resource_that_a_check_skips_is_an_error(policy_id, resource):
    """A check that leaves it out says why; then it has no finding."""
    at = {each.resource: each for each in judged(document.document(), policy_id, {policy_id: skip_all}).values()}
    reason = f"{policy_id} did not judge this {POLICIES[policy_id].examines}"
    assert (at[resource].verdict, at[resource].reason) == (ERROR, reason)

    def check(facts, site, require):
        require.leave_out(resource, "it is of another kind")

    assert resource not in {
        each.resource for each in judged(document.document(), policy_id, {policy_id: check}).values()
    }


def test_bridge_that_a_check_skips_is_an_error_without_the_list_of_links():
    """The site file lists the bridges too. A check that judges each of them needs no list."""
    content = document.document()
    content["minisrv"]["failures"]["link"] = {"kind": "denied", "reason": "refused"}

    def check(facts, site, require):
        require("userbr0", True, expected="a", observed="b")

    with recording(set()) as frame:
        at = judged(content, "NET-003", {"NET-003": check})

    assert at["NET-003@minisrv/userbr0"].verdict is PASS
    assert united(frame).names == ("login",)
    assert (at["NET-003@minisrv/sigsrvbr0"].verdict, at["NET-003@minisrv/sigsrvbr0"].reason) == (
        ERROR,
        "NET-003 did not judge this bridge",
    )


def test_run_without_a_finding_says_what_was_left_out():
    """The one finding is not-applicable, with how many resources were left out, and why."""

    def check(facts, site, require):
        require.leave_out_others("it is of another kind")

    (found,) = judged(document.document(), "ACL-004", {"ACL-004": check}).values()

    assert found.verdict is NOT_APPLICABLE
    assert found.reason == "nothing to examine: 2 left out: it is of another kind"


INSTANCES = [key for key, each in POLICIES.items() if each.examines == "instance"]


@pytest.mark.parametrize("policy_id", INSTANCES)
def test_instance_on_an_unknown_member_keeps_its_findings(policy_id):
    """It is an error: an attacker who can change the location in the database must not take the instance out of the report."""
    content = document.document()
    content["cluster"]["instances"]["db"]["location"] = "elsewhere"

    found = [each for each in judged(content, policy_id).values() if each.resource == "default/db"]

    assert [each.verdict for each in found] == [ERROR]
    assert "elsewhere, which is no host of the site" in found[0].reason


@pytest.mark.parametrize("policy_id", INSTANCES)
def test_instance_on_a_host_that_was_not_selected_is_left_out(policy_id):
    """The host is a host of the site, so its instances have findings in a run that selects it."""
    content = document.document()
    assert content["cluster"]["instances"]["db"]["location"] == "minisrv"

    found = judged(content, policy_id, hosts=("sigsrv",))

    assert "default/db" not in {each.resource for each in found.values()}
    assert ERROR not in {each.verdict for each in found.values()}


def test_failure_that_was_left_to_a_fixed_root_is_no_regression():
    """It was there before the fix. A failure that nothing saw before is one."""
    root, left = a_finding("NET-004", FAIL), a_finding("NET-007", NOT_APPLICABLE, ROOT, sees=True)
    after = [dataclasses.replace(root, verdict=PASS), left.own]

    assert regressions([root, left], after) == []
    assert regressions([root, dataclasses.replace(left, own=None, roots=())], after) == [left.own]


def test_failure_that_is_left_to_a_root_is_not_fixed():
    """A fix is verified by what its own finding sees, not by who reports it."""
    assert seen(a_finding("NET-007", NOT_APPLICABLE, ROOT, sees=True)) is FAIL
    assert seen(a_finding("NET-007", NOT_APPLICABLE, ROOT)) is NOT_APPLICABLE
