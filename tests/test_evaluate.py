"""How findings are made of policies and facts, and what is never a pass."""

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

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))


def judged(checks, content=None, policy_id="NET-001"):
    content = content or document.document()
    desired = site_file.parse(content["site"])
    hosts = {
        each.name: HostFacts(each.name, each.member, document.evidence_of(content, each.name)) for each in desired.hosts
    }
    return {finding.id: finding for finding in evaluate([POLICIES[policy_id]], checks, desired, hosts)}


def a_finding(verdict=Verdict.PASS, **more):
    return Finding("NET-001", "title", Severity.HIGH, "sigsrv", "br0", verdict, "", "", **more)


def test_a_check_that_breaks_is_an_error_and_not_a_pass():
    """A bug of a check says so on each host, and hides nothing that it recorded before."""

    def check(facts, desired, require):
        require("known", False, expected="x", observed="y")
        raise ZeroDivisionError("oops")

    found = judged({"NET-001": check})

    assert found["NET-001@sigsrv/sigsrv"].verdict is Verdict.ERROR
    assert "ZeroDivisionError: oops" in found["NET-001@sigsrv/sigsrv"].reason
    assert found["NET-001@sigsrv/known"].verdict is Verdict.FAIL


def test_a_check_that_examines_nothing_is_not_applicable_and_says_so():
    """An empty list never makes a green pass."""
    found = judged({"NET-001": lambda facts, desired, require: None})

    assert {f.verdict for f in found.values()} == {Verdict.NOT_APPLICABLE}
    assert "nothing to examine" in found["NET-001@sigsrv/sigsrv"].reason


def test_a_policy_without_a_check_is_an_error():
    """A policy that nobody looks at is unknown."""
    assert {f.verdict for f in judged({}).values()} == {Verdict.ERROR}


def test_a_plain_assert_is_a_finding_on_the_host():
    """Its message is what was observed."""

    def check(facts, desired, require):
        assert facts.name == "sigsrv", "this is not sigsrv"

    found = judged({"NET-001": check})

    assert found["NET-001@minisrv/minisrv"].verdict is Verdict.FAIL
    assert "this is not sigsrv" in found["NET-001@minisrv/minisrv"].observed


def test_two_verdicts_of_one_resource_are_an_error():
    """A check that contradicts itself is believed in neither."""

    def check(facts, desired, require):
        require("br0", False, expected="x", observed="y")
        require("br0", True, expected="x", observed="y")

    assert judged({"NET-001": check})["NET-001@sigsrv/br0"].verdict is Verdict.ERROR


def test_what_can_t_be_told_after_a_verdict_of_the_same_resource_is_unknown_and_why():
    """It is no contradiction: the reason is what could not be looked at."""

    def check(facts, desired, require):
        require(facts.name, True, expected="x", observed="x")
        raise EvidenceError("nft is refused", host=facts.name)

    found = judged({"NET-001": check})["NET-001@sigsrv/sigsrv"]

    assert (found.verdict, found.reason, found.remediation) == (Verdict.ERROR, "nft is refused", None)


def test_what_is_known_of_one_resource_stands_beside_what_is_not_of_another():
    """An error within ``about`` is the error of that resource alone."""

    def check(facts, desired, require):
        with require.about("lost"):
            raise EvidenceError("no answer", FailureKind.DOWN, facts.name)
        require("seen", True, expected="x", observed="x")

    found = judged({"NET-001": check})

    assert found["NET-001@sigsrv/lost"].verdict is Verdict.ERROR
    assert found["NET-001@sigsrv/lost"].because == "HOST-002@sigsrv/sigsrv"
    assert found["NET-001@sigsrv/seen"].verdict is Verdict.PASS


@pytest.mark.parametrize("policy_id", [key for key, each in POLICIES.items() if each.on_hosts and key != "HOST-001"])
def test_a_host_that_is_away_has_one_error_for_each_policy(policy_id):
    """No policy passes on a host that could not be read; each names the root finding. The other host is judged in full."""
    before = judged(CHECKS, policy_id=policy_id)
    content = document.document()
    content["minisrv"]["failure"] = {"kind": "unreachable", "reason": "no route to host"}

    found = judged(CHECKS, content, policy_id)

    away = [finding for finding in found.values() if finding.host == "minisrv"]
    assert [(f.id, f.verdict, f.because) for f in away] == [
        (f"{policy_id}@minisrv/minisrv", Verdict.ERROR, "HOST-001@minisrv/minisrv")
    ]
    assert [f for f in found.values() if f.host == "sigsrv"] == [f for f in before.values() if f.host == "sigsrv"]


@pytest.mark.parametrize("policy_id", [key for key, each in POLICIES.items() if each.on_hosts and key != "HOST-001"])
def test_an_alias_that_leads_to_another_host_tells_nothing_of_this_one(policy_id):
    """Whatever complies there is the other host's: one failure at the members of the cluster, and each policy of the host unknown."""
    content = document.document()
    content["minisrv"]["server"] = {"environment": {"server_name": "sigsrv"}}

    found = {key: each for key, each in judged(CHECKS, content, policy_id).items() if "@minisrv/" in key}

    assert {each.verdict for each in found.values()} == {Verdict.ERROR}
    assert {each.because for each in found.values()} == {"CLUS-006@cluster/minisrv"}
    assert judged(CHECKS, content, "CLUS-006")["CLUS-006@cluster/minisrv"].verdict is Verdict.FAIL


@pytest.mark.parametrize("policy_id", [key for key, each in POLICIES.items() if each.on_site])
def test_hosts_of_which_one_is_another_are_not_compared(policy_id):
    """A host is always the same as itself."""
    content = document.document()
    content["minisrv"]["server"] = {"environment": {"server_name": "sigsrv"}}

    found = judged(CHECKS, content, policy_id).values()

    assert [(each.verdict, each.because) for each in found] == [(Verdict.ERROR, "CLUS-006@cluster/minisrv")]


@pytest.mark.parametrize(
    ("policy_id", "lists"),
    [
        ("PROJ-008", {"projects": {"stranger": {"config": {}}}}),
        ("ACL-002", {"network_acls": {"user-isolate": {"project": "default", "ingress": [], "egress": []}}}),
    ],
)
def test_a_daemon_of_another_cluster_is_not_asked_for_what_this_one_has(policy_id, lists):
    """The first host's alias leads there: what it lists is not what the site's cluster has."""
    content = document.document()
    content["sigsrv"]["server"] = {"environment": {"server_name": "elsewhere"}}
    content["sigsrv"]["lists"] = lists

    found = judged(CHECKS, content, policy_id)

    assert {key: each.verdict for key, each in found.items()} == {
        key: each.verdict for key, each in judged(CHECKS, document.document(), policy_id).items()
    }


@pytest.mark.parametrize("policy_id", ["NET-007", "VOL-002"])
def test_what_a_policy_of_the_cluster_asks_of_each_host_is_asked_of_that_host(policy_id):
    """What the probes of another host tell is not believed there either."""
    content = document.document()
    content["sigsrv"]["server"] = {"environment": {"server_name": "minisrv"}}

    found = judged(CHECKS, content, policy_id).values()

    assert "CLUS-006@cluster/sigsrv" in {each.because for each in found if each.verdict is Verdict.ERROR}


def test_a_check_that_looks_at_no_fact_does_not_pass_on_a_host_that_is_away():
    """A host that could not be read is error whatever a check would say of it."""

    def check(facts, desired, require):
        require("br0", True, expected="x", observed="x")

    content = document.document()
    content["minisrv"]["failure"] = {"kind": "unreachable", "reason": "no route to host"}

    found = judged({"NET-001": check}, content)

    assert {key: f.verdict for key, f in found.items()} == {
        "NET-001@sigsrv/br0": Verdict.PASS,
        "NET-001@minisrv/minisrv": Verdict.ERROR,
    }


@pytest.mark.parametrize("policy_id", [key for key in POLICIES if key != "HOST-001"])
def test_no_policy_passes_where_nothing_could_be_read(policy_id):
    """With no host reachable, every policy is unknown."""
    content = document.document()
    for host in ("sigsrv", "minisrv"):
        content[host]["failure"] = {"kind": "unreachable", "reason": "no route to host"}

    assert {finding.verdict for finding in judged(CHECKS, content, policy_id).values()} == {Verdict.ERROR}


COMPARED = [key for key, each in POLICIES.items() if each.on_site]


@pytest.mark.parametrize("policy_id", COMPARED)
@pytest.mark.parametrize(
    ("host", "reason"), [("sigsrv", "only minisrv was selected"), ("minisrv", "only sigsrv was selected")]
)
def test_one_host_alone_is_compared_with_none(policy_id, host, reason):
    """Where only one host of the site was selected there is nothing to compare: said so, and no pass."""
    content = document.document()
    small, hosts = document.facts_of(content)
    left = {name: facts for name, facts in hosts.items() if name != host}

    (found,) = on_site(POLICIES[policy_id], CHECKS[policy_id], small, left)

    assert (found.id, found.verdict) == (f"{policy_id}@cluster/cluster", Verdict.NOT_APPLICABLE)
    assert reason in found.reason


@pytest.mark.parametrize("policy_id", COMPARED)
def test_a_host_that_is_away_leaves_nothing_to_compare(policy_id):
    """One error, because of the way to that host; a site of one host has nothing to compare at all."""
    content = document.document()
    content["minisrv"]["failure"] = {"kind": "unreachable", "reason": "no route to host"}
    (found,) = judged(CHECKS, content, policy_id).values()
    assert (found.verdict, found.because) == (Verdict.ERROR, "HOST-001@minisrv/minisrv")

    content["site"] |= {"hosts": [{"name": "sigsrv"}], "auth": {}}
    (found,) = judged(CHECKS, content, policy_id).values()
    assert (found.verdict, found.reason) == (Verdict.NOT_APPLICABLE, "the site has one host")


@pytest.mark.parametrize("kind", ["denied", "down", "timeout", "garbled"])
@pytest.mark.parametrize(
    "policy_id", [key for key in POLICIES if not key.startswith(("NET", "HOST", "AUTH-004", "XHOST-001"))]
)
def test_no_policy_on_incus_passes_where_its_api_gave_no_answer(policy_id, kind):
    """An account without rights, a daemon that is down or slow: not one pass on what it would have told."""
    content = document.document()
    for host in ("sigsrv", "minisrv"):
        content[host]["failures"]["api"] = {"kind": kind, "reason": "no answer"}

    found = {finding.verdict for finding in judged(CHECKS, content, policy_id).values()}

    assert Verdict.ERROR in found or policy_id == "CLUS-001"
    assert Verdict.PASS not in found


@pytest.mark.parametrize("policy_id", POLICIES)
@pytest.mark.parametrize("section", ["bridges", "pools", "projects"])
def test_an_empty_site_makes_no_fault_and_no_lie(policy_id, section):
    """Without a section of the site its policies have nothing to examine, and say that."""
    content = document.document()
    del content["site"][section]
    before = judged(CHECKS, policy_id=policy_id)

    found = judged(CHECKS, content, policy_id)

    assert found
    assert all(f.verdict is not Verdict.PASS or before.get(key) for key, f in found.items())


def test_an_exemption_is_not_applicable_and_says_why():
    """What the site allows for good is no failure, and no pass."""
    content = document.document()
    content["site"]["exempt"] = {"NET-001": [{"match": "sigsrv*", "reason": "it is a laboratory"}]}
    content["minisrv"]["links"]["sigsrv0"]["master"] = "userbr0"

    found = judged(CHECKS, content)

    assert found["NET-001@minisrv/sigsrvbr0"].verdict is Verdict.NOT_APPLICABLE
    assert "it is a laboratory" in found["NET-001@minisrv/sigsrvbr0"].reason


def test_an_exemption_never_hides_what_could_not_be_read():
    """Unknown stays unknown, whatever the site exempts."""
    content = document.document()
    content["site"]["exempt"] = {"NET-001": [{"match": "*", "reason": "it is a laboratory"}]}
    content["minisrv"]["failures"]["link"] = {"kind": "timeout", "reason": "no end"}

    assert judged(CHECKS, content)["NET-001@minisrv/minisrv"].verdict is Verdict.ERROR


def test_an_excuse_without_a_judge_is_an_error():
    """not-applicable because of a finding that nobody made, or that passed, would be a hole."""
    left = dataclasses.replace(a_finding(Verdict.NOT_APPLICABLE, because="NET-004@sigsrv/br0"), policy="NET-002")
    root = dataclasses.replace(a_finding(Verdict.FAIL), policy="NET-004")

    assert [f.verdict for f in with_roots_checked([left])] == [Verdict.ERROR]
    assert [f.verdict for f in with_roots_checked([left, dataclasses.replace(root, verdict=Verdict.PASS)])] == [
        Verdict.ERROR,
        Verdict.PASS,
    ]
    assert [f.verdict for f in with_roots_checked([left, root])] == [Verdict.NOT_APPLICABLE, Verdict.FAIL]


@pytest.mark.parametrize(
    ("root", "verdict"),
    [
        ({"reason": "there is nothing of that kind"}, Verdict.ERROR),
        ({"reason": "it is left to another", "because": "HOST-001@sigsrv/sigsrv"}, Verdict.NOT_APPLICABLE),
        ({"reason": "the site exempts it: a laboratory"}, Verdict.NOT_APPLICABLE),
    ],
    ids=["nothing to judge", "an excuse of its own", "exempted"],
)
def test_an_excuse_by_what_finds_nothing_to_judge_is_an_error(root, verdict):
    """Both would be not applicable, each for the other's sake, and nobody would tell."""
    left = dataclasses.replace(a_finding(Verdict.NOT_APPLICABLE, because="NET-004@sigsrv/br0"), policy="NET-002")
    other = dataclasses.replace(a_finding(Verdict.NOT_APPLICABLE), policy="NET-004", **root)

    assert with_roots_checked([left, other])[0].verdict is verdict


def test_equal_facts_give_equal_findings():
    """The same evidence, twice and in another order of its rows, gives the same findings."""
    content = document.document()
    turned = copy.deepcopy(content)
    for host in ("sigsrv", "minisrv"):
        turned[host]["links"] = dict(reversed(turned[host]["links"].items()))
    turned["cluster"]["instances"] = dict(reversed(turned["cluster"]["instances"].items()))

    for policy_id in POLICIES:
        assert judged(CHECKS, content, policy_id) == judged(CHECKS, turned, policy_id)


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        ("default/web1", "INST-001@h/default/web1"),
        ("a b", "INST-001@h/a%20b"),
        ("$(reboot)", "INST-001@h/%24%28reboot%29"),
        ("~;'\"\n<é", "INST-001@h/%7E%3B%27%22%0A%3C%C3%A9"),
    ],
)
def test_a_finding_s_id_can_be_pasted_into_a_shell(resource, text):
    """All but letters, digits and ._:- is percent-encoded, and comes back as it was."""
    assert finding_id("INST-001", "h", resource) == text
    assert parse_finding_id(text) == ("INST-001", "h", resource)


@pytest.mark.parametrize("text", ["", "NET-001", "NET-001@", "NET-001@host", "NET-001@host/", "@host/x", "a/b@c"])
def test_what_is_no_finding_s_id_is_refused(text):
    """A mistyped id is a mistake of use, with an example of a right one."""
    with pytest.raises(UsageError, match="is not a finding id"):
        parse_finding_id(text)


def test_unknown_wins_over_failures_in_the_exit_code():
    """0 compliant, 1 findings, 3 unknown; a run without findings, or where all is not applicable, is no success."""

    def run(*verdicts, hosts=()):
        findings = tuple(dataclasses.replace(a_finding(v), resource=str(i)) for i, v in enumerate(verdicts))
        return Run("r", "", "", "0", "s", hosts, findings).exit_code

    assert run(Verdict.PASS, Verdict.NOT_APPLICABLE) == 0
    assert run(Verdict.PASS, Verdict.FAIL) == 1
    assert run(Verdict.FAIL, Verdict.ERROR) == 3
    assert run() == 3
    assert run(Verdict.NOT_APPLICABLE, Verdict.NOT_APPLICABLE) == 3
    assert run(Verdict.WAIVED, Verdict.NOT_APPLICABLE) == 0
