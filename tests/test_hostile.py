"""Tests that text from a host is treated as hostile: sigsrv shows and quotes it, and never executes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from sigsrv.collect import evidence
from sigsrv.model import data
from sigsrv.report import publish
from sigsrv.scan import scan
from sigsrv.scan.options import Options
from sigsrv.scan.plan import Plan, prepare

SCRIPT = "<script>alert(1)</script>"
NETWORK = "$(reboot)"


@pytest.fixture
def published(tmp_path) -> tuple[Plan, dict, str]:
    """Provide the plan, the findings by id and the page for the demo's evidence with malicious names."""
    saved = evidence.load(data.DEMO / "evidence")
    for seen in saved.values():
        for row in seen.api["/1.0/instances?recursion=2&all-projects=true"].metadata:
            if row["name"] == "svc-a":
                row["description"] = SCRIPT
                row["project"] = SCRIPT.replace("/", "")
                row["expanded_devices"]["x"] = {"type": "disk", "source": f"/{SCRIPT}", "path": "/mnt"}
        for row in seen.api["/1.0/networks?recursion=1"].metadata:
            if row["name"] == "incusbr0":
                row["name"] = NETWORK
                del row["config"]["security.acls"]
        for row in seen.api["/1.0/projects?recursion=1"].metadata:
            if row["name"] == "restricted":
                row["name"] = SCRIPT.replace("/", "")
    evidence.save(tmp_path / "e", "run", saved)
    site = yaml.safe_load((data.DEMO / "site.yaml").read_text())
    site["bridges"][1]["name"] = NETWORK
    site["projects"][0]["networks"] = [NETWORK]
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(site))
    plan = prepare(Options(site=str(tmp_path / "site.yaml"), evidence=str(tmp_path / "e")))
    run, _ = scan.scan(plan)
    page = publish.publish(run, plan.policies, tmp_path / "out")
    found = {finding["id"]: finding for finding in json.loads((page.parent / "findings.json").read_text())["findings"]}
    return plan, {"findings": found, "fixes": publish.fixes_of(run)}, page.read_text()


def test_script_in_a_name_is_text_in_the_report(published):
    """A script element in host data never becomes an element of the page."""
    _, result, page = published
    shown = [f for f in result["findings"].values() if "alert(1)" in f["observed"] + f["resource"]]

    assert {f["policy"] for f in shown} >= {"INST-004", "PROJ-001"}
    assert SCRIPT not in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_command_in_a_network_name_is_quoted_in_the_fix(published):
    """The name $(reboot) stays one quoted word in script and undo, and is percent-encoded in the id."""
    _, result, page = published
    fix = result["fixes"]["ACL-001@cluster/%24%28reboot%29"]

    assert f"network='{NETWORK}'\n" in fix.script
    assert f"network='{NETWORK}'\n" in fix.undo
    for line in (fix.script + fix.undo).splitlines():
        assert NETWORK not in line.replace(f"'{NETWORK}'", "")
    assert "sigsrv-remediate ACL-001@cluster/%24%28reboot%29" in page


def test_report_of_hostile_evidence_is_a_single_file(published, tmp_path):
    """It works in any folder and needs no checkout."""
    _, _, page = published
    moved = Path(shutil.move(tmp_path / "out" / "latest" / "report.html", tmp_path / "moved.html"))

    assert moved.read_text() == page
    assert 'src="' not in page
