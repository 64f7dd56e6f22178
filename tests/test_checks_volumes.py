"""Tests the checks of VOL, and PROJ-006, with unselected hosts and standalone hosts."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from sigsrv.authoring import document
from sigsrv.collect import urls
from sigsrv.collect.evidence import ApiAnswer
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import data, policy

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))
VOLUMES = [each for each in POLICIES.values() if each.id.startswith("VOL") or each.id == "PROJ-006"]


def findings_of(content, hosts=("sigsrv", "minisrv")):
    desired, facts = document.facts_of(content)
    selected = {name: facts[name] for name in hosts}
    return {found.id: found for found in evaluate(VOLUMES, CHECKS, desired, selected)}


def move_volume(content, location):
    """Move the volume of the example, and its snapshot, to another location."""
    for row in content["cluster"]["volumes"]["nvme"]:
        row["location"] = location
    return content


def test_backups_on_an_unselected_host_are_an_error():
    """The scan read the host of the volume but not the host of the backups."""
    found = findings_of(move_volume(document.document(), "minisrv"), ["minisrv"])[
        "VOL-002@minisrv/nvme/default/web-data"
    ]

    assert (found.verdict, found.reason) == ("error", "the backups are on sigsrv, which this scan did not read")


def test_volumes_on_unselected_hosts_have_no_findings():
    """They are neither evaluated nor reported as missing."""
    found = findings_of(document.document(), ["minisrv"])

    assert {each.verdict for each in found.values()} == {"pass", "not-applicable"}
    assert not any("web-data" in key for key in found)


def test_volume_of_the_whole_cluster_is_used_on_any_host():
    """The host may be unselected. The finding is on the cluster."""
    content = move_volume(document.document(), "")
    content["site"]["protected_volumes"] = []
    content["cluster"]["volumes"]["nvme"][0]["used_by"] = []

    assert findings_of(content, ["minisrv"])["VOL-003@cluster/nvme/default/web-data"].verdict == "pass"


def standalone(location="none"):
    """Return the example evidence with standalone hosts. Each has a volume of the same name."""
    content = move_volume(document.document(), location)
    content["cluster"]["server"]["environment"]["server_clustered"] = False
    for row in content["cluster"]["instances"].values():
        row["location"] = "none"
    return content


@pytest.mark.parametrize("location", ["none", ""])
def test_standalone_hosts_have_separate_volumes(location):
    """Each has its own findings."""
    found = findings_of(standalone(location))

    for host in ("sigsrv", "minisrv"):
        for each in ("PROJ-006", "VOL-001", "VOL-003", "VOL-004"):
            assert found[f"{each}@{host}/nvme/default/web-data"].verdict == "pass"


def test_backups_of_same_named_volumes_on_standalone_hosts_are_an_error():
    """The backups are in one folder, and the file pattern has no host name."""
    found = findings_of(standalone())

    for host, other in (("sigsrv", "minisrv"), ("minisrv", "sigsrv")):
        backup = found[f"VOL-002@{host}/nvme/default/web-data"]
        assert backup.verdict == "error"
        assert f"the volume nvme/default/web-data of {other}: rename one of them" in backup.reason


def with_volumes(content, name, listed):
    """Return facts of the example hosts. Standalone host ``name`` has these volumes in pool nvme."""
    desired, facts = document.facts_of(content)
    seen = facts[name].evidence
    api = {**seen.api, urls.volumes_url("nvme"): ApiAnswer(200, listed)}
    return desired, {**facts, name: HostFacts(name, name, dataclasses.replace(seen, api=api))}


@pytest.mark.parametrize(("host", "other"), [("sigsrv", "minisrv"), ("minisrv", "sigsrv")])
def test_backups_of_a_volume_on_one_standalone_host_are_found(host, other):
    """Only one host has a volume of that name. The folder may be on the other host."""
    found = {each.id: each for each in evaluate(VOLUMES, CHECKS, *with_volumes(standalone(), other, []))}

    assert found[f"VOL-002@{host}/nvme/default/web-data"].verdict == "pass"
    assert f"VOL-002@{other}/nvme/default/web-data" not in found


@pytest.mark.parametrize(
    ("failure", "because"),
    [
        ({"failures": {urls.INSTANCES: {"kind": "denied", "reason": "refused"}}}, "HOST-011@minisrv/minisrv"),
        ({"failures": {urls.volumes_url("iso"): {"kind": "denied", "reason": "refused"}}}, "HOST-011@minisrv/minisrv"),
        ({"failure": {"kind": "unreachable", "reason": "refused"}}, "HOST-001@minisrv/minisrv"),
    ],
)
def test_backups_are_an_error_if_another_standalone_host_is_unreadable(failure, because):
    """That host may have a volume of the same name, with backups in the same folder."""
    content = standalone()
    content["minisrv"] |= failure

    found = findings_of(content)["VOL-002@sigsrv/nvme/default/web-data"]

    assert (found.verdict, found.reason, found.because) == ("error", "refused", because)


def test_same_name_in_a_cluster_and_on_a_standalone_host_is_an_error():
    """The verdict is error for the cluster and for the standalone host."""
    content = move_volume(document.document(), "minisrv")
    content["sigsrv"]["server"]["environment"] = {"server_clustered": False}
    own = move_volume(document.document(), "none")["cluster"]["volumes"]["nvme"]

    found = {each.id: each for each in evaluate(VOLUMES, CHECKS, *with_volumes(content, "sigsrv", own))}

    for host, other in (("sigsrv", "minisrv"), ("minisrv", "sigsrv")):
        backup = found[f"VOL-002@{host}/nvme/default/web-data"]
        assert backup.verdict == "error"
        assert f"the volume nvme/default/web-data of {other}" in backup.reason


def test_instances_that_are_unknown_hide_no_fault_of_a_volume():
    """The cluster gets an error, and the volume its failure. Its fix takes no snapshot, because a recent one exists."""
    content = document.document()
    content["site"]["critical"] = ["default/web"]
    del content["cluster"]["volumes"]["nvme"][0]["config"]["snapshots.schedule"]
    for host in ("sigsrv", "minisrv"):
        failures = {urls.INSTANCES: {"kind": "denied", "reason": "refused"}}
        content[host] = copy.deepcopy(content[host]) | {"failures": failures}

    found = findings_of(content)

    assert found["VOL-001@cluster/cluster"].verdict == "error"
    volume = found["VOL-001@sigsrv/nvme/default/web-data"]
    assert (volume.verdict, volume.fix["schedule"], volume.fix["snapshot"]) == ("fail", "@daily", "")


def test_fix_takes_no_snapshot_if_the_newest_is_unknown():
    """The missing schedule is still a failure."""
    content = document.document()
    content["site"]["critical"] = ["default/web"]
    content["cluster"]["instances"]["web"]["expanded_config"] = {}
    del content["cluster"]["instances"]["web"]["snapshots"]

    found = findings_of(content)["VOL-001@sigsrv/default/web"]

    assert (found.verdict, found.fix["schedule"], found.fix["snapshot"]) == ("fail", "@daily", "")
