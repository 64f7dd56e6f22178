"""Tests the values that the fix of PROJ-001 gets: with them, no other policy about the project fails afterwards."""

from __future__ import annotations

import pytest

from sigsrv.authoring import document
from sigsrv.judge import catalogue
from sigsrv.judge.evaluate import evaluate

CATALOGUE = catalogue.load()
PROJECTS = [each for each in CATALOGUE.policies.values() if each.family == "proj"]
PROJECT = "cluster/user-john"
EXTENSION = "projects_restricted_storage_pool_access"


def findings_of(content):
    site, hosts = document.facts_of(content)
    return {each.id: each for each in evaluate(PROJECTS, CATALOGUE.checks, site, hosts)}


def unrestricted(config=None, pools=None):
    """Return evidence of a project that names nothing, as OpenTofu makes it without a word about restrictions."""
    content = document.document()
    kept = {
        key: value for key, value in content["cluster"]["projects"]["user-john"]["config"].items() if "restr" not in key
    }
    content["cluster"]["projects"]["user-john"]["config"] = kept | (config or {})
    if pools:
        content["cluster"]["server"]["api_extensions"].append(EXTENSION)
        content["site"]["projects"][1]["pools"] = pools
    return content


@pytest.mark.parametrize(
    ("config", "pools", "keys"),
    [
        ({}, None, {"restricted.networks.access": "userbr0"}),
        ({}, ["nvme"], {"restricted.networks.access": "userbr0", "restricted.storage-pools.access": "nvme"}),
        ({"restricted.networks.access": "userbr0,sigsrvbr0"}, None, {"restricted.networks.access": "userbr0"}),
        ({"restricted.networks.access": "userbr0"}, None, {}),
        (
            {"restricted.devices.nic": "allow"},
            None,
            {"restricted.devices.nic": "", "restricted.networks.access": "userbr0"},
        ),
    ],
)
def test_the_fix_of_an_unrestricted_project_leaves_no_other_failure(config, pools, keys):
    """Without the lists, PROJ-004 would fail after the fix, and the fix would be undone each time."""
    content = unrestricted(config, pools)
    finding = findings_of(content)[f"PROJ-001@{PROJECT}"]

    set_to = {each["name"]: each["value"] for each in finding.fix["keys"]}
    after = content["cluster"]["projects"]["user-john"]["config"]
    after |= {"restricted": "true", **set_to}

    assert (finding.verdict, set_to, finding.fix["refuse"]) == ("fail", keys, "")
    assert [key for key, each in findings_of(content).items() if each.verdict == "fail"] == []


@pytest.mark.parametrize(
    "config",
    [
        {"restricted.devices.gpu": "allow"},
        {"restricted.devices.disk": "allow"},
        {"restricted.containers.nesting": "allow"},
        {"restricted.idmap.uid": "0-1000"},
    ],
)
def test_the_fix_refuses_what_another_policy_would_report_afterwards(config):
    """The key has no effect yet. Whether the project needs it is for a person to decide."""
    content = unrestricted(config)
    refuse = findings_of(content)[f"PROJ-001@{PROJECT}"].fix["refuse"]
    ((key, value),) = config.items()
    content["cluster"]["projects"]["user-john"]["config"] |= {"restricted": "true"}

    assert f"PROJ-003 would fail: {key} is {value}. Unset them first" in refuse
    assert findings_of(content)[f"PROJ-003@{PROJECT}"].verdict == "fail"


@pytest.mark.parametrize(
    "config",
    [
        {"restricted.devices.disk": "allow", "restricted.devices.disk.paths": "/srv/data"},
        {"restricted.idmap.uid": "1000-1999"},
        {"restricted.containers.privilege": "isolated"},
        {"restricted.snapshots": "allow"},
    ],
)
def test_the_fix_accepts_what_no_other_policy_reports(config):
    """These keys restrict enough."""
    content = unrestricted(config)
    refuse = findings_of(content)[f"PROJ-001@{PROJECT}"].fix["refuse"]
    content["cluster"]["projects"]["user-john"]["config"] |= {"restricted": "true"}

    assert refuse == ""
    assert findings_of(content)[f"PROJ-003@{PROJECT}"].verdict == "pass"


def test_the_fix_refuses_without_an_entry_for_the_project():
    """Nobody knows what the project may use. PROJ-008 reports it."""
    content = unrestricted()
    content["site"]["projects"][1]["match"] = "guest-*"

    assert "fix PROJ-008@cluster/user-john first" in findings_of(content)[f"PROJ-001@{PROJECT}"].fix["refuse"]


def test_the_fix_refuses_if_it_is_unknown_which_pools_there_are():
    """An empty list of pools would allow all of them."""
    content = unrestricted(pools=["nvme"])
    for host in ("sigsrv", "minisrv"):
        content[host]["failures"] = {"/1.0/storage-pools?recursion=1": {"kind": "timeout", "reason": "no answer"}}

    assert "it is unknown which lists the project needs" in findings_of(content)[f"PROJ-001@{PROJECT}"].fix["refuse"]
