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


def rule_on(kind, rule):
    """Return a policy with a rule for a kind of resource."""
    return dataclasses.replace(
        POLICIES["PROJ-001"], id="SITE-001", examines=kind, match={}, rule=rule, expected="something", observe="/name"
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
        ("certificate", {"SITE-001@cluster/c2f6b633b1ff"}),
        ("image", {"SITE-001@cluster/default/1f00a1f00b1f"}),
        ("project", {"SITE-001@cluster/default", "SITE-001@cluster/user-john"}),
        ("volume", {"SITE-001@sigsrv/nvme/default/web-data"}),
        ("instance", {"SITE-001@sigsrv/default/web", "SITE-001@minisrv/default/db", "SITE-001@minisrv/user-john/vm"}),
    ],
)
def test_rule_examines_each_resource_of_its_kind(kind, ids):
    """Each resource has one finding, on its host or on the cluster. The rule gets the facts of the resource."""
    assert verdicts_of(kind) == dict.fromkeys(ids, Verdict.PASS)
    assert set(verdicts_of(kind, rule={"required": ["no such fact"]}).values()) == {Verdict.FAIL}


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
