"""Checks of volumes where not every host is looked at, or where there is no cluster."""

from __future__ import annotations

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


def judged(content, hosts=("sigsrv", "minisrv")):
    desired, facts = document.facts_of(content)
    selected = {name: facts[name] for name in hosts}
    return {found.id: found for found in evaluate(VOLUMES, CHECKS, desired, selected)}


def moved(content, location):
    """The volume of the example, with its snapshot, at another place."""
    for row in content["cluster"]["volumes"]["nvme"]:
        row["location"] = location
    return content


def test_backups_on_a_host_that_was_not_selected_are_unknown():
    """The volume is on a host that was; its backups nobody looked for."""
    found = judged(moved(document.document(), "minisrv"), ["minisrv"])["VOL-002@minisrv/nvme/default/web-data"]

    assert (found.verdict, found.reason) == ("error", "the backups are on sigsrv, which this scan did not read")


def test_what_is_on_hosts_that_were_not_selected_is_left_out():
    """Neither judged nor called missing."""
    found = judged(document.document(), ["minisrv"])

    assert {each.verdict for each in found.values()} == {"pass", "not-applicable"}
    assert not any("web-data" in key for key in found)


def test_a_volume_of_the_whole_cluster_is_used_on_any_host():
    """Also on one that was not selected; its finding is the cluster's."""
    content = moved(document.document(), "")
    content["site"]["protected_volumes"] = []
    content["cluster"]["volumes"]["nvme"][0]["used_by"] = []

    assert judged(content, ["minisrv"])["VOL-003@cluster/nvme/default/web-data"].verdict == "pass"


def alone(location="none"):
    """The example's hosts, were they in no cluster: each with a volume of the same name."""
    content = moved(document.document(), location)
    content["cluster"]["server"]["environment"]["server_clustered"] = False
    for row in content["cluster"]["instances"].values():
        row["location"] = "none"
    return content


@pytest.mark.parametrize("location", ["none", ""])
def test_hosts_in_no_cluster_have_volumes_of_their_own(location):
    """Each is judged by itself."""
    found = judged(alone(location))

    for host in ("sigsrv", "minisrv"):
        for each in ("PROJ-006", "VOL-001", "VOL-003", "VOL-004"):
            assert found[f"{each}@{host}/nvme/default/web-data"].verdict == "pass"


def test_files_of_two_hosts_in_no_cluster_are_not_told_apart_by_one_name():
    """They keep them in one folder, and no pattern has the host in it."""
    found = judged(alone())

    for host, other in (("sigsrv", "minisrv"), ("minisrv", "sigsrv")):
        backup = found[f"VOL-002@{host}/nvme/default/web-data"]
        assert backup.verdict == "error"
        assert f"the volume nvme/default/web-data of {other}: rename one of them" in backup.reason


def with_volumes(content, name, listed):
    """The facts of the example's hosts where one, which is in no cluster, has these volumes in the pool nvme."""
    desired, facts = document.facts_of(content)
    seen = facts[name].evidence
    api = {**seen.api, urls.volumes_url("nvme"): ApiAnswer(200, listed)}
    return desired, {**facts, name: HostFacts(name, name, dataclasses.replace(seen, api=api))}


@pytest.mark.parametrize(("host", "other"), [("sigsrv", "minisrv"), ("minisrv", "sigsrv")])
def test_backups_of_hosts_in_no_cluster_are_looked_for_on_the_host_that_has_them(host, other):
    """A name that one of them has alone is enough; the folder may be on the other one."""
    found = {each.id: each for each in evaluate(VOLUMES, CHECKS, *with_volumes(alone(), other, []))}

    assert found[f"VOL-002@{host}/nvme/default/web-data"].verdict == "pass"
    assert f"VOL-002@{other}/nvme/default/web-data" not in found


@pytest.mark.parametrize(
    ("failure", "because"),
    [
        ({"failures": {urls.INSTANCES: {"kind": "denied", "reason": "refused"}}}, None),
        ({"failures": {urls.volumes_url("iso"): {"kind": "denied", "reason": "refused"}}}, None),
        ({"failure": {"kind": "unreachable", "reason": "refused"}}, "HOST-001@minisrv/minisrv"),
    ],
)
def test_what_another_host_in_no_cluster_has_must_be_known(failure, because):
    """Its files may lie in the same folder under the same name."""
    content = alone()
    content["minisrv"] |= failure

    found = judged(content)["VOL-002@sigsrv/nvme/default/web-data"]

    assert (found.verdict, found.reason, found.because) == ("error", "refused", because)


def test_a_name_that_a_cluster_has_too_is_not_told_apart():
    """Neither for the cluster nor for the host that is in none."""
    content = moved(document.document(), "minisrv")
    content["sigsrv"]["server"]["environment"] = {"server_clustered": False}
    own = moved(document.document(), "none")["cluster"]["volumes"]["nvme"]

    found = {each.id: each for each in evaluate(VOLUMES, CHECKS, *with_volumes(content, "sigsrv", own))}

    for host, other in (("sigsrv", "minisrv"), ("minisrv", "sigsrv")):
        backup = found[f"VOL-002@{host}/nvme/default/web-data"]
        assert backup.verdict == "error"
        assert f"the volume nvme/default/web-data of {other}" in backup.reason
