"""Tests the checks of PROJ with standalone hosts: the site file does not say which of them must have a project."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from sigsrv.authoring import document
from sigsrv.collect import urls
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate, with_roots_checked
from sigsrv.model import data, policy
from sigsrv.model.finding import Verdict

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
        ({"failures": {urls.PROJECTS: {"kind": "denied", "reason": "refused"}}}, "HOST-011@sigsrv/sigsrv"),
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


def undeclared(policy_id, root):
    """Return the finding of a policy on a project without an entry in the site file, if PROJ-008 has the verdict ``root`` there."""
    content = document.document()
    content["site"]["projects"][1]["match"] = "guest-*"
    content["cluster"]["server"]["api_extensions"].append("projects_restricted_storage_pool_access")
    desired, facts = document.facts_of(content)
    found = {each.id: each for each in evaluate([*POLICIES, policy.load()[policy_id]], CHECKS, desired, facts)}
    reported = found["PROJ-008@cluster/user-john"]
    assert reported.verdict == "fail"
    changed = found | {reported.id: dataclasses.replace(reported, verdict=root)}
    return next(each for each in with_roots_checked(changed.values()) if each.id == f"{policy_id}@cluster/user-john")


@pytest.mark.parametrize("policy_id", ["PROJ-004", "PROJ-006"])
def test_project_without_an_entry_is_judged_strictly_if_the_missing_entry_is_waived(policy_id):
    """It counts as one of a user without networks and pools. As long as PROJ-008 fails, nothing else does."""
    assert undeclared(policy_id, Verdict.FAIL).verdict == "not-applicable"
    assert undeclared(policy_id, Verdict.WAIVED).verdict == "fail"


def test_fix_never_empties_a_list_of_pools():
    """An empty list allows every pool. So the fix leaves it alone if the site allows no pool."""
    found = undeclared("PROJ-004", Verdict.WAIVED)

    assert "restricted.storage-pools.access is unset" in found.observed
    assert found.fix["keys"] == [{"name": "restricted.devices.nic", "value": "block"}]


def test_pools_that_are_unknown_hide_no_root_disk_in_a_foreign_pool():
    """The volumes of the cluster are an error. The disks of an instance name their pools themselves."""
    content = document.document()
    content["site"]["projects"][1]["pools"] = ["iso"]
    failures = {"failures": {urls.POOLS: {"kind": "denied", "reason": "refused"}}}
    content |= {host: copy.deepcopy(content[host]) | failures for host in BOTH}

    found = document.findings(content, [policy.load()["PROJ-006"]], CHECKS)

    assert found["PROJ-006@cluster/cluster"].verdict == "error"
    assert found["PROJ-006@cluster/user-john"].verdict == "fail"
