"""Tests a site file drafted from the live lab: it marks the findings of a scan, and is correct once its questions are
answered.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sigsrv.model.finding import Verdict
from sigsrv.scan import scan
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare
from tests.e2e.conftest import Lab, state_of

pytestmark = pytest.mark.lab

VLANS = {"sigsrv0": 20, "incus0": 16, "user0": 24}


def failing(path: Path) -> set[str]:
    run, _ = scan.scan(prepare(Options(site=str(path))))
    assert [f"{finding.id}: {finding.reason}" for finding in run.findings if finding.verdict is Verdict.ERROR] == []
    return {finding.id for finding in run.findings if finding.verdict is Verdict.FAIL}


def stable(findings: set[str]) -> set[str]:
    """Leave out findings that may change within a second: how busy the machine is."""
    return {finding for finding in findings if not finding.startswith("HOST-005")}


def drafted(lab: Lab, path: Path) -> str:
    given = ["--ssh-config", str(lab.ssh_config), "--timeout", str(15 * lab.slowness), "--output", str(path)]
    done = lab.command("sigsrv", "init", "--hosts", "sigsrv,minisrv", *given)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return path.read_text()


def test_scan_with_the_drafted_site_finds_what_the_draft_marked(lab, tmp_path):
    """It finds exactly the marked findings. The draft logs in to each host once and changes nothing."""
    path = tmp_path / "site.yaml"
    before = {host: lab.logins(host) for host in ("sigsrv", "minisrv")}
    was = state_of(lab.scan()[1])

    text = drafted(lab, path)

    assert {host: lab.logins(host) - before[host] for host in before} == {
        "sigsrv": 2,
        "minisrv": 2,
    }  # one login is the scan's
    assert state_of(lab.scan()[1]) == was
    marked = set(re.findall(r"fails already: (\S+): ", text))
    assert stable(marked) == stable(failing(path))
    asked = {f"NET-004@{host}/{bridge}" for host in before for bridge in ("userbr0", "sigsrvbr0", "incusbr0")}
    # A veth has no VLAN id to draft, so the draft asks for it.
    assert asked & marked == (asked if lab.kind == "ns" else set())


def test_answered_draft_has_no_finding_for_its_questions(lab, tmp_path):
    """The answers are the VLAN ids, if no VLAN interface has them, and the choices."""
    path = tmp_path / "site.yaml"
    text = drafted(lab, path)
    bridges = re.search(r"(?ms)^(# )?bridges:.*?(?=^acls:)", text)[0]
    answered = "\n".join(line.removeprefix("# ") for line in bridges.splitlines())
    for interface, number in VLANS.items():
        answered = answered.replace(f'{interface}, id: "which VLAN id?"', f"{interface}, id: {number}")
        assert f"interface: {interface}, id: {number}" in answered
    text = text.replace(bridges, answered + "\n")
    for network in ("incusbr0, sigsrvbr0", "userbr0"):
        text = text.replace(
            f"networks: []   # also uses {network}: add it here once it is defined above", f"networks: [{network}]"
        )
    path.write_text(text)

    remaining = failing(path)

    assert not {each for each in remaining if each.startswith(("NET-004", "ACL-003"))}
    assert "PROJ-001@cluster/default" not in remaining  # the draft exempts it, for a person to decide


def test_fix_of_everything_on_a_drafted_site_leaves_the_project_default_alone(lab, tmp_path):
    """restricted=true could stop instances of the system. Without the drafted exemption it is a finding with that fix."""
    path = tmp_path / "site.yaml"
    text = drafted(lab, path)
    other = tmp_path / "other.yaml"
    other.write_text(re.sub(r"(?m)^exempt:\n  PROJ-001: .*\n", "", text))

    def steps(site: Path) -> set[str]:
        given = ["--site", str(site), "--journal", str(tmp_path / "journal.sqlite"), "--max", "1000"]
        done = lab.command("sigsrv-remediate", "--all", "--plan", "--json", *given)
        return {step["finding"] for step in json.loads(done.stdout)["steps"]}

    assert "PROJ-001@cluster/default" not in steps(path)
    assert "PROJ-001@cluster/default" in steps(other)


def test_unreachable_host_is_left_out_of_the_draft(lab, tmp_path):
    """The draft reports it and has the other host. The exit status is 3."""
    path = tmp_path / "site.yaml"

    done = lab.command(
        "sigsrv",
        "init",
        "--hosts",
        "sigsrv,nowhere.invalid",
        "--ssh-config",
        str(lab.ssh_config),
        "--output",
        str(path),
    )

    assert done.returncode == 3
    assert "not read: nowhere.invalid: " in done.stderr
    assert "cluster members that were not scanned: minisrv" in path.read_text()


def test_account_without_rights_drafts_no_lists(lab, tmp_path):
    """The refusal of Incus is reported, and an unread list is not drafted as empty."""
    path = tmp_path / "site.yaml"

    argv = ["--hosts", "sigsrv", "--ssh-config", str(lab.files / "ssh_config.noaccess"), "--output", str(path)]
    done = lab.command("sigsrv", "init", *argv)

    assert done.returncode == 3
    assert "not read: projects: " in done.stderr
    assert not re.findall(r"(?m)^(pools|projects|acls|networks_extra):", path.read_text())
