"""Tests the kinds of resources that a rule can examine, and what must never be a pass."""

from __future__ import annotations

import dataclasses
import json

import pytest

from sigsrv.authoring import document
from sigsrv.judge import examined
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate, evaluate_one
from sigsrv.model import data, policy
from sigsrv.model.finding import Verdict

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))
SCHEMA = json.loads((data.folder("policies") / "schema" / "policy.schema.json").read_text())
KINDS = SCHEMA["properties"]["examines"]["enum"]


def named_by(kind):
    """Return a fact with a text that each resource of a kind has."""
    return {"image": "project", "filesystem": "target"}.get(kind, "name")


def rule_on(kind, rule, match=None, observe=None):
    """Return a policy with a rule for a kind of resource."""
    return dataclasses.replace(
        POLICIES["PROJ-001"],
        id="SITE-001",
        examines=kind,
        match=match or {},
        rule=rule,
        expected="something",
        observe=observe or f"/{named_by(kind)}",
    )


def verdicts_of(kind, content=None, rule=None):
    desired, hosts = document.facts_of(content or document.document())
    return {f.id: f.verdict for f in evaluate([rule_on(kind, rule or {})], {}, desired, hosts)}


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        ("host", {"SITE-001@sigsrv/sigsrv", "SITE-001@minisrv/minisrv"}),
        ("bridge", {f"SITE-001@{host}/{name}" for host in ("sigsrv", "minisrv") for name in ("sigsrvbr0", "userbr0")}),
        ("pool", {f"SITE-001@{host}/{name}" for host in ("sigsrv", "minisrv") for name in ("nvme", "iso")}),
        ("cluster", {"SITE-001@cluster/cluster"}),
        ("member", {"SITE-001@cluster/sigsrv", "SITE-001@cluster/minisrv"}),
        ("network", {"SITE-001@cluster/sigsrvbr0", "SITE-001@cluster/userbr0", "SITE-001@cluster/eth0"}),
        ("acl", {"SITE-001@cluster/default/system-base", "SITE-001@cluster/default/user-isolate"}),
        ("certificate", {f"SITE-001@cluster/{each}" for each in ("c2f6b633b1ff", "3389423bc3d8", "97adbab91949")}),
        ("image", {"SITE-001@cluster/default/1f00a1f00b1f"}),
        ("project", {"SITE-001@cluster/default", "SITE-001@cluster/user-john"}),
        ("volume", {"SITE-001@sigsrv/nvme/default/web-data"}),
        ("instance", {"SITE-001@sigsrv/default/web", "SITE-001@minisrv/default/db", "SITE-001@minisrv/user-john/vm"}),
    ],
)
def test_rule_examines_each_resource_of_its_kind(kind, ids):
    """Each resource has one finding, on its host or on the cluster. The rule gets the facts of the resource."""
    assert verdicts_of(kind) == dict.fromkeys(ids, Verdict.PASS)
    assert set(verdicts_of(kind, rule={"properties": {named_by(kind): {"const": "other"}}}).values()) == {Verdict.FAIL}


def test_schema_and_engine_have_the_same_kinds():
    """The engine examines each kind where the policy says: on hosts or on the cluster."""
    assert set(KINDS) >= examined.KINDS | policy.ON_HOSTS
    assert set(examined.ON_A_HOST) <= policy.ON_HOSTS
    assert not set(examined.ON_A_CLUSTER) & policy.ON_HOSTS


@pytest.mark.parametrize("kind", KINDS)
def test_rule_on_missing_facts_is_an_error(kind):
    """A kind that rules can't examine, or whose facts no host has, is never a pass."""
    content = document.document()
    for host in ("sigsrv", "minisrv"):
        content[host]["failures"] = {
            "api": {"kind": "denied", "reason": "refused"},
            "link": {"kind": "denied", "reason": "refused"},
            "filesystems": {"kind": "denied", "reason": "refused"},
        }

    assert set(verdicts_of(kind, content).values()) == {Verdict.ERROR}
    if kind not in examined.KINDS:
        assert set(verdicts_of(kind).values()) == {Verdict.ERROR}


def test_cluster_without_members_is_an_error():
    """A cluster always has members, so an empty list is incomplete."""
    content = document.document()
    content["cluster"]["members"] = {}

    assert verdicts_of("member", content) == {"SITE-001@cluster/cluster": Verdict.ERROR}


def test_standalone_host_has_no_members_to_examine():
    """A policy that examined no resource is not-applicable."""
    content = document.document()
    content["cluster"]["server"]["environment"]["server_clustered"] = False

    assert verdicts_of("member", content) == {
        "SITE-001@sigsrv/sigsrv": Verdict.NOT_APPLICABLE,
        "SITE-001@minisrv/minisrv": Verdict.NOT_APPLICABLE,
    }


@pytest.mark.parametrize("policy_id", POLICIES)
def test_single_policy_gives_the_verdicts_of_the_whole_catalogue(policy_id):
    """This includes verdicts that point to another policy's finding: that policy is evaluated too."""
    for break_it in (
        lambda content: None,
        lambda content: content["minisrv"]["links"].clear() or content["minisrv"]["links"].update(lo={}),
        lambda content: content["cluster"]["networks"].pop("userbr0"),
        lambda content: content["cluster"]["pools"].clear(),
        lambda content: content["minisrv"]["failures"].update(api={"kind": "down", "reason": "no answer"}),
    ):
        content = document.document()
        break_it(content)
        small = document.facts_of(content)

        whole = [f for f in evaluate(POLICIES.values(), CHECKS, *small) if f.policy == policy_id]

        assert list(evaluate_one(POLICIES[policy_id], POLICIES, CHECKS, *small)) == whole


def findings_of(policy, content=None):
    return evaluate([policy], {}, *document.facts_of(content or document.document()))


@pytest.mark.parametrize("kind", sorted(examined.KINDS))
@pytest.mark.parametrize(
    "wrong",
    [
        {"rule": {"properties": {"nmae": {"const": "x"}}}},
        {"rule": {"required": ["nmae"]}},
        {"rule": {"not": {"anyOf": [{"properties": {"nmae": {"const": "x"}}}]}}},
        {"rule": {"properties": {"name": {"minimum": 3}}}},
        {"rule": {}, "match": {"properties": {"nmae": {"const": "x"}}}},
        {"rule": {}, "observe": "/nmae"},
    ],
    ids=repr,
)
def test_rule_that_names_no_fact_is_an_error_on_each_resource(kind, wrong):
    """Also if lint never saw it. Such a rule would pass every resource, or select none."""
    found = findings_of(rule_on(kind, **wrong))

    assert {f.id for f in found} == set(verdicts_of(kind))
    assert {f.verdict for f in found} == {Verdict.ERROR}
    assert all("the policy is wrong" in f.reason and "sigsrv policies lint" in f.reason for f in found)


def test_rule_that_names_no_configuration_key_is_an_error_on_each_resource():
    """An unset key is legal, so the rule would pass every instance."""
    found = findings_of(
        rule_on("instance", {"properties": {"config": {"properties": {"security.priviledged": False}}}})
    )

    assert {f.verdict for f in found} == {Verdict.ERROR}


@pytest.mark.parametrize(
    ("kind", "path", "value", "id_"),
    [
        ("network", ("networks", "userbr0", "status"), "Strange", "SITE-001@cluster/userbr0"),
        ("volume", ("volumes", "nvme", 0, "content_type"), "tape", "SITE-001@sigsrv/nvme/default/web-data"),
        ("instance", ("instances", "web", "type"), "vm", "SITE-001@sigsrv/default/web"),
        ("cluster", ("server", "environment", "firewall"), "ebtables", "SITE-001@cluster/cluster"),
    ],
)
def test_value_that_incus_does_not_give_is_an_error_of_its_resource_alone(kind, path, value, id_):
    """The other resources of the list are judged."""
    content = document.document()
    part = content["cluster"]
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    before = verdicts_of(kind)

    assert verdicts_of(kind, content) == before | {id_: Verdict.ERROR}
    assert before[id_] is Verdict.PASS
