"""Tests the passive check of connectivity: which addresses the bridges of the lab have learned over the VLAN."""

from __future__ import annotations

import shutil

import pytest

from sigsrv.scan import scan
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare
from tests.e2e.conftest import Lab

pytestmark = pytest.mark.lab

# For each bridge, an instance on sigsrv and one on minisrv: (project, name).
PAIRS = {
    "sigsrvbr0": (("default", "svc-a"), ("default", "svc-b")),
    "incusbr0": (("default", "capped"), ("default", "web")),
    "userbr0": (("restricted", "tenant2"), ("restricted", "tenant1")),
}


def address(lab: Lab, project: str, name: str) -> str:
    listed = lab.on("sigsrv", "incus", "list", "--project", project, f"^{name}$", "-f", "csv", "-c", "4")
    return listed.split()[0].strip('"')


def test_instances_that_exchanged_frames_are_seen_on_both_hosts(lab, tmp_path):
    """ARP is enough: the ACLs reject the ping itself, but the bridges have learned both addresses before that."""
    shutil.copy(lab.ssh_config, tmp_path / "ssh_config")
    site = tmp_path / "site.yaml"
    text = lab.site.read_text()
    assert 'connectivity: "off"' in text
    site.write_text(text.replace('connectivity: "off"', "connectivity: passive"))
    for (project, name), there in PAIRS.values():
        ping = ("ping", "-c", "1", "-W", "1", address(lab, *there))
        lab.on("sigsrv", "sh", "-c", f"incus exec --project {project} {name} -- {' '.join(ping)} || true")

    run, _ = scan.scan(prepare(Options(site=str(site))))

    found = {finding.id: finding.verdict.value for finding in run.findings if finding.policy == "XHOST-004"}
    assert found == {f"XHOST-004@cluster/{bridge}": "pass" for bridge in PAIRS}
