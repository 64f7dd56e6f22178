"""Tests the checks of PROJ with standalone hosts: the site file does not say which of them must have a project."""

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


def findings_of(content, hosts=BOTH):
    desired, facts = document.facts_of(content)
    return {found.id: found for found in evaluate(POLICIES, CHECKS, desired, {name: facts[name] for name in hosts})}


def with_infra(*alone, on=None):
    """Return the example evidence with a project of the site on one host. Some hosts are standalone."""
    content = document.document()
    content["site"]["projects"].insert(0, {"match": "infra", "kind": "system"})
    for name in alone:
        content[name]["server"]["environment"] = {"server_clustered": False}
    if on:
        content[on]["lists"]["projects"] = {"infra": {"config": {}}}
    return content


@pytest.mark.parametrize("alone", [BOTH, ("minisrv",)])
def test_project_on_another_host_is_not_missing_on_a_standalone_one(alone):
    """The other host may be in a cluster or standalone."""
    found = findings_of(with_infra(*alone, on="sigsrv"))["PROJ-008@minisrv/infra"]

    assert found.verdict == "not-applicable"
    assert found.reason == "minisrv is in no cluster and has no such project; sigsrv has it"


def test_project_that_no_host_has_is_missing_on_each():
    """Each standalone host has a failure, because there is no other finding for it."""
    found = findings_of(with_infra(*BOTH))

    assert {found[f"PROJ-008@{host}/infra"].verdict for host in BOTH} == {"fail"}


def test_project_is_missing_in_a_cluster_even_if_a_standalone_host_has_it():
    """The projects in the site file are those of the cluster."""
    assert findings_of(with_infra("minisrv", on="minisrv"))["PROJ-008@cluster/infra"].verdict == "fail"


@pytest.mark.parametrize(
    ("failure", "because"),
    [
        ({"failures": {urls.PROJECTS: {"kind": "denied", "reason": "refused"}}}, None),
        ({"failure": {"kind": "unreachable", "reason": "refused"}}, "HOST-001@sigsrv/sigsrv"),
    ],
)
def test_project_is_an_error_if_another_host_is_unreadable(failure, because):
    """The project may be on the host that could not be read."""
    content = with_infra(*BOTH)
    content["sigsrv"] |= failure

    found = findings_of(content)["PROJ-008@minisrv/infra"]

    assert (found.verdict, found.reason, found.because) == ("error", "refused", because)


def test_project_may_be_on_an_unselected_host():
    """The scan did not read that host, so the verdict is not-applicable."""
    found = findings_of(with_infra(*BOTH), ["minisrv"])["PROJ-008@minisrv/infra"]

    assert found.verdict == "not-applicable"
    assert found.reason.endswith("sigsrv may have it and was not scanned")
