"""Tests on the lab what a site file of version 2 says: proofs of backups, an interface, sizes, zones, redundant instances, NICs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sigsrv.scan import scan
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare
from tests.e2e.conftest import Lab
from tests.e2e.safety import options

pytestmark = pytest.mark.lab("ns")

PROJECT = "user-carol"
PROOFS = "/home/proofs"
FINDING = f"PROJ-001@cluster/{PROJECT}"


def site_with(lab: Lab, folder: Path, **changes: object) -> Path:
    """Write the site file of the lab as version 2, with other values of some keys."""
    content = yaml.safe_load(lab.site.read_text())
    for host in content["hosts"]:
        host["ssh_config"] = str(lab.ssh_config)
    path = folder / "site.yaml"
    path.write_text(json.dumps({**content, "version": 2, **changes}))
    return path


def verdicts(site: Path) -> dict[str, str]:
    run, _ = scan.scan(prepare(Options(site=str(site))))
    return {each.id: each.verdict.value for each in run.findings}


@pytest.fixture
def project(lab: Lab) -> Iterator[str]:
    """Make a project that lists nothing, with a NIC in its profile that names a managed bridge as the parent."""
    incus = ("incus", "--project", PROJECT)
    lab.on("sigsrv", "incus", "project", "create", PROJECT, "-c", "features.images=false")
    nic = ("eth0", "nic", "nictype=bridged", "parent=userbr0")
    lab.on("sigsrv", *incus, "profile", "device", "add", "default", *nic)
    yield PROJECT
    lab.on("sigsrv", *incus, "profile", "device", "remove", "default", "eth0")
    lab.on("sigsrv", "incus", "project", "delete", PROJECT)


def test_a_nic_whose_parent_is_a_managed_bridge_complies(lab, project, tmp_path):
    """Incus loads the network for it. The bridge of another project is a finding, once."""
    site = site_with(lab, tmp_path)
    profile = f"PROJ-009@cluster/{project}/default"
    assert verdicts(site)[profile] == "pass"

    device = ("incus", "--project", project, "profile", "device", "set", "default", "eth0")
    lab.on("sigsrv", *device, "parent=incusbr0")
    assert verdicts(site)[profile] == "fail"


def test_a_project_that_lists_nothing_is_restricted_and_set_free_again(lab, tmp_path):
    """The fix sets the list of networks too. Without it PROJ-004 would fail, and the fix would be undone."""
    lab.on("sigsrv", "incus", "project", "create", PROJECT, "-c", "features.images=false")
    try:
        given = ["sigsrv-remediate", "--site", str(lab.site), "--journal", str(tmp_path / "j.sqlite"), *options(lab)]
        done = lab.command(*given, "--yes", FINDING, timeout=300)
        config = json.loads(lab.on("sigsrv", "incus", "query", f"/1.0/projects/{PROJECT}"))["config"]
        undo = re.search(r"--undo (\S+)", done.stdout)

        assert done.returncode == 0, done.stdout + done.stderr
        assert (config["restricted"], config["restricted.networks.access"]) == ("true", "userbr0")
        assert lab.command(*given, "--yes", "--undo", undo[1], timeout=300).returncode == 0
        config = json.loads(lab.on("sigsrv", "incus", "query", f"/1.0/projects/{PROJECT}"))["config"]
        assert [key for key in config if key.startswith("restricted")] == []
    finally:
        lab.on("sigsrv", "incus", "project", "delete", PROJECT)


def test_backups_elsewhere_need_a_proof(lab, tmp_path):
    """Without a proof the age is unknown. A fresh file for each protected thing is enough, an old one is a failure."""
    proof = {"host": "sigsrv", "dir": PROOFS, "pattern": "{project}_{name}.done"}
    unproven = site_with(lab, tmp_path, backups={"external": "a machine outside of the lab"})
    ids = [key for key in verdicts(unproven) if key.startswith("VOL-002@")]
    assert {verdicts(unproven)[key] for key in ids} == {"error"}

    site = site_with(lab, tmp_path, backups={"external": "a machine outside of the lab", "proof": proof})
    names = ["_".join(key.rsplit("/", 2)[-2:]) for key in ids]
    lab.on("sigsrv", "mkdir", "-p", PROOFS)
    try:
        assert {verdicts(site)[key] for key in ids} == {"fail"}
        lab.on("sigsrv", "touch", *(f"{PROOFS}/{name}.done" for name in names))
        assert {verdicts(site)[key] for key in ids} == {"pass"}
        lab.on("sigsrv", "touch", "-d", "9 days ago", *(f"{PROOFS}/{name}.done" for name in names))
        assert {verdicts(site)[key] for key in ids} == {"fail"}
    finally:
        lab.on("sigsrv", "rm", "-r", PROOFS)


def test_an_interface_sizes_zones_and_redundant_instances_are_judged(lab, tmp_path):
    """The lab complies with what is so there, and not with anything else."""
    limits = {"limits.instances": 5, "limits.cpu": 8, "limits.memory": "1GiB", "limits.processes": 2000}
    link = json.loads(lab.on("sigsrv", "ip", "-j", "addr", "show", "to", "10.213.7.0/24"))[0]["ifname"]
    content = yaml.safe_load(lab.site.read_text())

    def changed(interface: str, memory: str, other: str) -> dict[str, object]:
        projects = [
            {**entry, "limits": {**limits, "limits.memory": memory}} if entry["kind"] == "user" else entry
            for entry in content["projects"]
        ]
        auth = {**content["auth"], "listen": {"*": [{"interface": interface}]}}
        group = {"name": "services", "instances": ["default/svc-a", other]}
        return {"projects": projects, "auth": auth, "zones": [], "redundant": [group]}

    right = verdicts(site_with(lab, tmp_path, **changed(link, "1GiB", "default/svc-b")))
    wrong = verdicts(site_with(lab, tmp_path, **changed("lo", "512MiB", "default/stopped-a")))

    ids = ["AUTH-001@sigsrv/sigsrv", "PROJ-005@cluster/user-alice", "XHOST-005@cluster/services"]
    assert [right[key] for key in ids] == ["pass", "pass", "pass"]
    assert right["NET-009@cluster/cluster"] == "not-applicable"
    assert [wrong[key] for key in ids] == ["fail", "fail", "fail"]
