"""Checks of projects of hosts that are in no cluster: which of them should have one the site does not say."""

from __future__ import annotations

import pytest

from sigsrv.authoring import document
from sigsrv.collect import urls
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import data, policy

POLICIES = [policy.load()["PROJ-008"]]
CHECKS = load_checks(data.folder("checks"))
BOTH = ("sigsrv", "minisrv")


def judged(content, hosts=BOTH):
    desired, facts = document.facts_of(content)
    return {found.id: found for found in evaluate(POLICIES, CHECKS, desired, {name: facts[name] for name in hosts})}


def with_infra(*alone, on=None):
    """The example's evidence with a project that the site names, on one host; some hosts are in no cluster."""
    content = document.document()
    content["site"]["projects"].insert(0, {"match": "infra", "kind": "system"})
    for name in alone:
        content[name]["server"]["environment"] = {"server_clustered": False}
    if on:
        content[on]["lists"]["projects"] = {"infra": {"config": {}}}
    return content


@pytest.mark.parametrize("alone", [BOTH, ("minisrv",)])
def test_a_project_that_another_host_has_is_not_missing_on_one_in_no_cluster(alone):
    """Whether that one is in a cluster or in none."""
    found = judged(with_infra(*alone, on="sigsrv"))["PROJ-008@minisrv/infra"]

    assert found.verdict == "not-applicable"
    assert found.reason == "minisrv is in no cluster and has no such project; sigsrv has it"


def test_a_project_that_no_host_has_is_missing_on_each():
    """Else nobody would tell of it."""
    found = judged(with_infra(*BOTH))

    assert {found[f"PROJ-008@{host}/infra"].verdict for host in BOTH} == {"fail"}


def test_a_project_is_missing_in_a_cluster_whatever_hosts_in_none_have():
    """What the site names is the cluster's first of all."""
    assert judged(with_infra("minisrv", on="minisrv"))["PROJ-008@cluster/infra"].verdict == "fail"


@pytest.mark.parametrize(
    ("failure", "because"),
    [
        ({"failures": {urls.PROJECTS: {"kind": "denied", "reason": "refused"}}}, None),
        ({"failure": {"kind": "unreachable", "reason": "refused"}}, "HOST-001@sigsrv/sigsrv"),
    ],
)
def test_a_project_that_a_host_may_have_is_neither_missing_nor_there(failure, because):
    """What the other host has could not be read."""
    content = with_infra(*BOTH)
    content["sigsrv"] |= failure

    found = judged(content)["PROJ-008@minisrv/infra"]

    assert (found.verdict, found.reason, found.because) == ("error", "refused", because)


def test_a_project_that_a_host_may_have_that_was_not_selected_is_not_missing():
    """Nobody asked that one, which is no alarm."""
    found = judged(with_infra(*BOTH), ["minisrv"])["PROJ-008@minisrv/infra"]

    assert found.verdict == "not-applicable"
    assert found.reason.endswith("sigsrv may have it and was not scanned")
