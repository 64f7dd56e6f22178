"""Checks of volumes where not every host is looked at, or where there is no cluster."""

from __future__ import annotations

import pytest

from sigsrv import data, examples, policy
from sigsrv.evaluate import evaluate, load_checks

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))
VOLUMES = [each for each in POLICIES.values() if each.id.startswith("VOL") or each.id == "PROJ-006"]


def judged(content, hosts=("sigsrv", "minisrv")):
    desired, facts = examples.facts_of(content)
    selected = {name: facts[name] for name in hosts}
    return {found.id: found for found in evaluate(VOLUMES, CHECKS, desired, selected)}


def moved(content, location):
    """The volume of the example, with its snapshot, at another place."""
    for row in content["cluster"]["volumes"]["nvme"]:
        row["location"] = location
    return content


def test_backups_on_a_host_that_was_not_selected_are_unknown():
    """The volume is on a host that was; its backups nobody looked for."""
    found = judged(moved(examples.document(), "minisrv"), ["minisrv"])["VOL-002@minisrv/nvme/default/web-data"]

    assert (found.verdict, found.reason) == ("error", "the backups are on sigsrv, which was not looked at")


def test_what_is_on_hosts_that_were_not_selected_is_left_out():
    """Neither judged nor called missing."""
    found = judged(examples.document(), ["minisrv"])

    assert {each.verdict for each in found.values()} == {"pass", "not-applicable"}
    assert not any("web-data" in key for key in found)


def test_a_volume_of_the_whole_cluster_is_used_on_any_host():
    """Also on one that was not selected; its finding is the cluster's."""
    content = moved(examples.document(), "")
    content["site"]["protected_volumes"] = []
    content["cluster"]["volumes"]["nvme"][0]["used_by"] = []

    assert judged(content, ["minisrv"])["VOL-003@cluster/nvme/default/web-data"].verdict == "pass"


@pytest.mark.parametrize("location", ["none", ""])
def test_hosts_in_no_cluster_have_volumes_of_their_own(location):
    """Each is judged by itself, and the backups of both are looked for on the host that has them."""
    content = moved(examples.document(), location)
    content["cluster"]["server"]["environment"]["server_clustered"] = False
    for row in content["cluster"]["instances"].values():
        row["location"] = "none"

    found = judged(content)

    for host in ("sigsrv", "minisrv"):
        for each in ("PROJ-006", "VOL-001", "VOL-002", "VOL-003", "VOL-004"):
            assert found[f"{each}@{host}/nvme/default/web-data"].verdict == "pass"
