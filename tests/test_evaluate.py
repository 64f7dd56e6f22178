"""Tests how findings are made from policies and facts, and what must never be a pass."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from sigsrv.authoring import document
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate, on_site, with_roots_checked
from sigsrv.model import data, policy, site_file
from sigsrv.model.errors import EvidenceError, FailureKind, UsageError
from sigsrv.model.finding import Finding, Run, Severity, Verdict, finding_id, parse_finding_id
from sigsrv.model.forms import Forms
from tests.whole_site import whole_document

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))


def findings_of(checks, content=None, policy_id="NET-001"):
    content = content or document.document()
    desired = site_file.parse(content["site"])
    hosts = {
        each.name: HostFacts(each.name, each.member, document.evidence_of(content, each.name)) for each in desired.hosts
    }
    judging = (
        POLICIES[policy_id] if checks is CHECKS else dataclasses.replace(POLICIES[policy_id], rule=None, forms=Forms())
    )
    return {finding.id: finding for finding in evaluate([judging], checks, desired, hosts)}


def a_finding(verdict=Verdict.PASS, **more):
    return Finding("NET-001", "title", Severity.HIGH, "sigsrv", "br0", verdict, "", "", **more)


def test_check_that_raises_is_an_error():
    """Each host gets an error that shows the exception. Findings that the check recorded before are kept."""

    def check(facts, desired, require):
        require("known", False, expected="x", observed="y")
        raise ZeroDivisionError("oops")

    found = findings_of({"NET-001": check})

    assert found["NET-001@sigsrv/sigsrv"].verdict is Verdict.ERROR
    assert "ZeroDivisionError: oops" in found["NET-001@sigsrv/sigsrv"].reason
    assert found["NET-001@sigsrv/known"].verdict is Verdict.FAIL


def test_check_that_examines_nothing_is_not_applicable():
    """The reason says so. An empty list never becomes a pass."""
    found = findings_of({"HOST-004": lambda facts, desired, require: None}, policy_id="HOST-004")

    assert {f.verdict for f in found.values()} == {Verdict.NOT_APPLICABLE}
    assert "nothing to examine" in found["HOST-004@sigsrv/sigsrv"].reason


def test_policy_without_a_check_is_an_error():
    """Without a check, nothing evaluates the policy."""
    assert {f.verdict for f in findings_of({}).values()} == {Verdict.ERROR}


def test_plain_assert_is_a_failure_on_the_host():
    """The finding shows the message of the assert."""

    def check(facts, desired, require):
        assert facts.name == "sigsrv", "this is not sigsrv"

    found = findings_of({"NET-001": check})

    assert found["NET-001@minisrv/minisrv"].verdict is Verdict.FAIL
    assert "this is not sigsrv" in found["NET-001@minisrv/minisrv"].observed


def test_two_verdicts_for_one_resource_are_an_error():
    """The check contradicts itself, so neither verdict counts."""

    def check(facts, desired, require):
        require("br0", False, expected="x", observed="y")
        require("br0", True, expected="x", observed="y")

    assert findings_of({"NET-001": check})["NET-001@sigsrv/br0"].verdict is Verdict.ERROR


def test_evidence_error_after_a_verdict_makes_that_verdict_an_error():
    """This is no contradiction. The reason names the evidence that could not be read."""

    def check(facts, desired, require):
        require(facts.name, True, expected="x", observed="x")
        raise EvidenceError("nft is refused", host=facts.name)

    found = findings_of({"NET-001": check})["NET-001@sigsrv/sigsrv"]

    assert (found.verdict, found.reason, found.remediation) == (Verdict.ERROR, "nft is refused", None)


def test_error_of_one_resource_leaves_another_unchanged():
    """An error inside ``about`` affects only that resource."""

    def check(facts, desired, require):
        with require.about("lost"):
            raise EvidenceError("no answer", FailureKind.DOWN, facts.name)
        require("seen", True, expected="x", observed="x")

    found = findings_of({"NET-001": check})

    assert found["NET-001@sigsrv/lost"].verdict is Verdict.ERROR
    assert found["NET-001@sigsrv/lost"].because == "HOST-002@sigsrv/sigsrv"
    assert found["NET-001@sigsrv/seen"].verdict is Verdict.PASS


@pytest.mark.parametrize("policy_id", [key for key, each in POLICIES.items() if each.on_hosts and key != "HOST-001"])
def test_unreachable_host_has_one_error_for_each_policy(policy_id):
    """No policy passes on that host, and each names the root finding. The other host's findings are unchanged."""
    before = findings_of(CHECKS, policy_id=policy_id)
    content = document.document()
    content["minisrv"]["failure"] = {"kind": "unreachable", "reason": "no route to host"}

    found = findings_of(CHECKS, content, policy_id)

    unreachable = [finding for finding in found.values() if finding.host == "minisrv"]
    assert [(f.id, f.verdict, f.because) for f in unreachable] == [
        (f"{policy_id}@minisrv/minisrv", Verdict.ERROR, "HOST-001@minisrv/minisrv")
    ]
    assert [f for f in found.values() if f.host == "sigsrv"] == [f for f in before.values() if f.host == "sigsrv"]


@pytest.mark.parametrize("policy_id", [key for key, each in POLICIES.items() if each.on_hosts and key != "HOST-001"])
def test_alias_of_another_host_is_an_error_in_each_policy(policy_id):
    """The facts are those of the other host. CLUS-006 fails, and each policy of this host is an error."""
    content = document.document()
    content["minisrv"]["server"] = {"environment": {"server_name": "sigsrv"}}

    found = {key: each for key, each in findings_of(CHECKS, content, policy_id).items() if "@minisrv/" in key}

    assert {each.verdict for each in found.values()} == {Verdict.ERROR}
    assert {each.because for each in found.values()} == {"CLUS-006@cluster/minisrv"}
    assert findings_of(CHECKS, content, "CLUS-006")["CLUS-006@cluster/minisrv"].verdict is Verdict.FAIL


@pytest.mark.parametrize("policy_id", [key for key, each in POLICIES.items() if each.on_site])
def test_hosts_are_not_compared_if_one_is_another(policy_id):
    """A host always equals itself, so the comparison would pass."""
    content = document.document()
    content["minisrv"]["server"] = {"environment": {"server_name": "sigsrv"}}

    found = findings_of(CHECKS, content, policy_id).values()

    assert [(each.verdict, each.because) for each in found] == [(Verdict.ERROR, "CLUS-006@cluster/minisrv")]


@pytest.mark.parametrize(
    ("policy_id", "lists"),
    [
        ("PROJ-008", {"projects": {"stranger": {"config": {}}}}),
        ("ACL-002", {"network_acls": {"user-isolate": {"project": "default", "ingress": [], "egress": []}}}),
    ],
)
def test_daemon_of_another_cluster_is_not_asked(policy_id, lists):
    """The first host's alias connects to another cluster. Its lists are not those of the site's cluster."""
    content = document.document()
    content["sigsrv"]["server"] = {"environment": {"server_name": "elsewhere"}}
    content["sigsrv"]["lists"] = lists

    found = findings_of(CHECKS, content, policy_id)

    assert {key: each.verdict for key, each in found.items()} == {
        key: each.verdict for key, each in findings_of(CHECKS, document.document(), policy_id).items()
    }


@pytest.mark.parametrize("policy_id", ["NET-007", "VOL-002"])
def test_cluster_policy_ignores_probes_of_another_host(policy_id):
    """A cluster policy that needs probes of each host gets an error for an alias of another host."""
    content = document.document()
    content["sigsrv"]["server"] = {"environment": {"server_name": "minisrv"}}

    found = findings_of(CHECKS, content, policy_id).values()

    assert "CLUS-006@cluster/sigsrv" in {each.because for each in found if each.verdict is Verdict.ERROR}


def test_check_without_facts_does_not_pass_on_an_unreachable_host():
    """An unreachable host is an error, whatever the check records."""

    def check(facts, desired, require):
        require("br0", True, expected="x", observed="x")

    content = document.document()
    content["minisrv"]["failure"] = {"kind": "unreachable", "reason": "no route to host"}

    found = findings_of({"HOST-004": check}, content, "HOST-004")

    assert {key: f.verdict for key, f in found.items()} == {
        "HOST-004@sigsrv/br0": Verdict.PASS,
        "HOST-004@minisrv/minisrv": Verdict.ERROR,
    }


@pytest.mark.parametrize("policy_id", [key for key in POLICIES if key != "HOST-001"])
def test_no_policy_passes_if_nothing_was_read(policy_id):
    """If no host is reachable, each policy is an error."""
    content = whole_document()
    for host in ("sigsrv", "minisrv"):
        content[host]["failure"] = {"kind": "unreachable", "reason": "no route to host"}

    assert {finding.verdict for finding in findings_of(CHECKS, content, policy_id).values()} == {Verdict.ERROR}


COMPARED = [key for key, each in POLICIES.items() if each.on_site]


@pytest.mark.parametrize("policy_id", COMPARED)
@pytest.mark.parametrize(
    ("host", "reason"), [("sigsrv", "only minisrv was selected"), ("minisrv", "only sigsrv was selected")]
)
def test_single_selected_host_is_not_compared(policy_id, host, reason):
    """Nothing can be compared: the verdict is not-applicable, and the reason names the selected host."""
    content = document.document()
    small, hosts = document.facts_of(content)
    selected = {name: facts for name, facts in hosts.items() if name != host}

    (found,) = on_site(POLICIES[policy_id], CHECKS[policy_id], small, selected, [])

    assert (found.id, found.verdict) == (f"{policy_id}@cluster/cluster", Verdict.NOT_APPLICABLE)
    assert reason in found.reason


@pytest.mark.parametrize("policy_id", COMPARED)
def test_unreachable_host_is_not_compared(policy_id):
    """There is one error, and it points to HOST-001 of that host. A site with a single host is not-applicable."""
    content = document.document()
    content["minisrv"]["failure"] = {"kind": "unreachable", "reason": "no route to host"}
    (found,) = findings_of(CHECKS, content, policy_id).values()
    assert (found.verdict, found.because) == (Verdict.ERROR, "HOST-001@minisrv/minisrv")

    content["site"] |= {"hosts": [{"name": "sigsrv"}], "auth": {}}
    (found,) = findings_of(CHECKS, content, policy_id).values()
    assert (found.verdict, found.reason) == (Verdict.NOT_APPLICABLE, "the site has one host")


@pytest.mark.parametrize("kind", ["denied", "down", "timeout", "garbled"])
@pytest.mark.parametrize(
    "policy_id", [key for key in POLICIES if not key.startswith(("NET", "HOST", "AUTH-004", "AUTH-007", "XHOST-001"))]
)
def test_no_incus_policy_passes_without_an_api_answer(policy_id, kind):
    """The account may lack rights, or the daemon may be down or slow. No policy passes without its answers."""
    content = whole_document()
    for host in ("sigsrv", "minisrv"):
        content[host]["failures"]["api"] = {"kind": kind, "reason": "no answer"}

    found = {finding.verdict for finding in findings_of(CHECKS, content, policy_id).values()}

    assert Verdict.ERROR in found or policy_id == "CLUS-001"
    assert Verdict.PASS not in found


@pytest.mark.parametrize("policy_id", POLICIES)
@pytest.mark.parametrize("section", ["bridges", "pools", "projects"])
def test_missing_site_section_gives_no_new_pass(policy_id, section):
    """Policies about a missing section of the site file have nothing to examine."""
    content = document.document()
    del content["site"][section]
    before = findings_of(CHECKS, policy_id=policy_id)

    found = findings_of(CHECKS, content, policy_id)

    assert found
    assert all(f.verdict is not Verdict.PASS or before.get(key) for key, f in found.items())


def test_exemption_is_not_applicable_with_its_reason():
    """An exemption is neither a failure nor a pass."""
    content = document.document()
    content["site"]["exempt"] = {"NET-001": [{"match": "sigsrv*", "reason": "it is a laboratory"}]}
    content["minisrv"]["links"]["sigsrv0"]["master"] = "userbr0"

    found = findings_of(CHECKS, content)

    assert found["NET-001@minisrv/sigsrvbr0"].verdict is Verdict.NOT_APPLICABLE
    assert "it is a laboratory" in found["NET-001@minisrv/sigsrvbr0"].reason


def test_exemption_never_hides_an_error():
    """Unreadable evidence stays an error, even if the site file exempts it."""
    content = document.document()
    content["site"]["exempt"] = {"NET-001": [{"match": "*", "reason": "it is a laboratory"}]}
    content["minisrv"]["failures"]["link"] = {"kind": "timeout", "reason": "no end"}

    assert findings_of(CHECKS, content)["NET-001@minisrv/minisrv"].verdict is Verdict.ERROR


def test_not_applicable_without_a_failing_root_finding_is_an_error():
    """A root finding that is missing, or that passed, would hide the problem."""
    dependent = dataclasses.replace(a_finding(Verdict.NOT_APPLICABLE, because="NET-004@sigsrv/br0"), policy="NET-002")
    root = dataclasses.replace(a_finding(Verdict.FAIL), policy="NET-004")

    assert [f.verdict for f in with_roots_checked([dependent])] == [Verdict.ERROR]
    assert [f.verdict for f in with_roots_checked([dependent, dataclasses.replace(root, verdict=Verdict.PASS)])] == [
        Verdict.ERROR,
        Verdict.PASS,
    ]
    assert [f.verdict for f in with_roots_checked([dependent, root])] == [Verdict.NOT_APPLICABLE, Verdict.FAIL]


@pytest.mark.parametrize(
    ("root", "verdict"),
    [
        ({"reason": "there is nothing of that kind"}, Verdict.ERROR),
        ({"reason": "another policy reports it", "because": "HOST-001@sigsrv/sigsrv"}, Verdict.NOT_APPLICABLE),
        ({"reason": "the site exempts it: a laboratory"}, Verdict.NOT_APPLICABLE),
    ],
    ids=["nothing to examine", "not-applicable because of another", "exempted"],
)
def test_root_finding_that_had_nothing_to_examine_is_an_error(root, verdict):
    """Both findings would be not-applicable because of each other, and no finding would report the problem."""
    dependent = dataclasses.replace(a_finding(Verdict.NOT_APPLICABLE, because="NET-004@sigsrv/br0"), policy="NET-002")
    other = dataclasses.replace(a_finding(Verdict.NOT_APPLICABLE), policy="NET-004", **root)

    assert with_roots_checked([dependent, other])[0].verdict is verdict


def test_equal_facts_give_equal_findings():
    """The same evidence gives the same findings, also if its rows are in another order."""
    content = document.document()
    reordered = copy.deepcopy(content)
    for host in ("sigsrv", "minisrv"):
        reordered[host]["links"] = dict(reversed(reordered[host]["links"].items()))
    reordered["cluster"]["instances"] = dict(reversed(reordered["cluster"]["instances"].items()))

    for policy_id in POLICIES:
        assert findings_of(CHECKS, content, policy_id) == findings_of(CHECKS, reordered, policy_id)


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        ("default/web1", "INST-001@h/default/web1"),
        ("a b", "INST-001@h/a%20b"),
        ("~root", "INST-001@h/%7Eroot"),
        ("$(reboot)", "INST-001@h/%24%28reboot%29"),
        ("~;'\"\n<é", "INST-001@h/%7E%3B%27%22%0A%3C%C3%A9"),
    ],
)
def test_finding_id_is_safe_in_a_shell(resource, text):
    """All characters except letters, digits and ._:- are percent-encoded. Parsing restores them."""
    assert finding_id("INST-001", "h", resource) == text
    assert parse_finding_id(text) == ("INST-001", "h", resource)


def test_a_slash_in_the_name_of_a_host_does_not_begin_the_resource():
    """Only the resource may have slashes."""
    assert finding_id("INST-001", "a/b", "c/d") == "INST-001@a%2Fb/c/d"
    assert parse_finding_id("INST-001@a%2Fb/c/d") == ("INST-001", "a/b", "c/d")


@pytest.mark.parametrize("text", ["", "NET-001", "NET-001@", "NET-001@host", "NET-001@host/", "@host/x", "a/b@c"])
def test_invalid_finding_id_is_refused(text):
    """A mistyped id is wrong use, and the message shows a valid one."""
    with pytest.raises(UsageError, match="is not a finding id"):
        parse_finding_id(text)


def test_errors_outrank_failures_in_the_exit_code():
    """0 compliant, 1 failures, 3 errors. A run with no findings, or only not-applicable ones, is no success."""

    def run(*verdicts, hosts=()):
        findings = tuple(dataclasses.replace(a_finding(v), resource=str(i)) for i, v in enumerate(verdicts))
        return Run("r", "", "", "0", "s", hosts, findings).exit_code

    assert run(Verdict.PASS, Verdict.NOT_APPLICABLE) == 0
    assert run(Verdict.PASS, Verdict.FAIL) == 1
    assert run(Verdict.FAIL, Verdict.ERROR) == 3
    assert run() == 3
    assert run(Verdict.NOT_APPLICABLE, Verdict.NOT_APPLICABLE) == 3
    assert run(Verdict.WAIVED, Verdict.NOT_APPLICABLE) == 0
