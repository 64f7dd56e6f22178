"""Tests scans of the lab as a user runs them: pytest, cron, unreachable hosts, accounts without rights."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Lab, clean, clean_with_one_host, verdicts

pytestmark = pytest.mark.lab


def findings(folder: Path) -> dict[str, dict]:
    data = json.loads((folder / "latest" / "findings.json").read_text())
    return {finding["id"]: finding for finding in data["findings"]}


def copied_site(lab: Lab, folder: Path, **host_changes: dict) -> Path:
    """Copy the lab's site file with some hosts changed. It names the original ssh configuration by its path."""
    site = yaml.safe_load(lab.site.read_text())
    for host in site["hosts"]:
        host["ssh_config"] = str(lab.ssh_config)
        host.update(host_changes.get(host["name"], {}))
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    return path


@pytest.mark.smoke
def test_clean_lab_has_the_reviewed_verdicts(lab, tmp_path):
    """The README's command finds exactly the reviewed verdicts, and writes its report and findings."""
    argv = ["pytest", "checks", "--hosts=sigsrv,minisrv", f"--ssh-config={lab.ssh_config}", f"--site={lab.site}"]

    done = lab.command(*argv, f"--report-dir={tmp_path}")

    assert done.returncode == 0, done.stdout
    found = findings(tmp_path)
    assert {key: value["verdict"] for key, value in found.items()} == clean()
    assert (tmp_path / "latest").is_symlink()
    assert "<html" in (tmp_path / "latest" / "report.html").read_text()[:200]


def test_site_file_alone_is_enough(lab, tmp_path):
    """With $SIGSRV_SITE and a site file that names the ssh configuration, no other option is needed."""
    done = lab.command("pytest", "checks", "-q", f"--report-dir={tmp_path}", SIGSRV_SITE=str(lab.site))

    assert done.returncode == 0, done.stdout
    assert {
        host["name"]: host["state"]
        for host in json.loads((tmp_path / "latest" / "findings.json").read_text())["run"]["hosts"]
    } == {
        "sigsrv": "ok",
        "minisrv": "ok",
    }


def test_scan_logs_in_once_per_host(lab, tmp_path):
    """Probes and API share one ssh login, as the hosts' logs show."""
    before = {host: lab.logins(host) for host in ("sigsrv", "minisrv")}

    done = lab.command("sigsrv", "scan", "--site", str(lab.site), "--report-dir", str(tmp_path))

    assert done.returncode == 0
    assert {host: lab.logins(host) - before[host] for host in before} == {"sigsrv": 1, "minisrv": 1}


def test_scan_of_a_compliant_cluster_prints_nothing(lab, tmp_path):
    """Cron sends no mail: no output and exit status 0. The verdicts are those of pytest."""
    done = lab.command(
        "sigsrv", "scan", "--hosts", "sigsrv,minisrv", "--site", str(lab.site), "--report-dir", str(tmp_path)
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {key: value["verdict"] for key, value in findings(tmp_path).items()} == clean()


def test_two_scans_never_overlap(lab, tmp_path):
    """The second scan reports it and scans nothing."""
    lab.command("sigsrv", "scan", "--site", str(lab.site), "--report-dir", str(tmp_path))
    argv = ["sigsrv", "scan", "--site", str(lab.site), "--report-dir", str(tmp_path)]
    holder = subprocess.Popen(["flock", str(tmp_path / ".lock"), "sleep", "30"])
    try:
        time.sleep(0.5)
        done = lab.command(*argv)
    finally:
        holder.kill()
        holder.wait()

    assert done.returncode == 3
    assert "another scan is using" in done.stderr


def test_scans_of_the_same_state_have_equal_findings(lab):
    """Two scans differ only in the data about the run."""
    first, second = lab.scan()[0].as_dict(), lab.scan()[0].as_dict()
    for finding in [*first["findings"], *second["findings"]]:
        if finding["policy"] in ("HOST-005", "HOST-006", "HOST-007", "POOL-003"):  # they report measured values
            finding["observed"] = finding["reason"] = ""

    assert first["findings"] == second["findings"]
    assert first["summary"] == second["summary"]
    assert first["run"]["id"] != second["run"]["id"]


def test_host_that_is_not_selected_is_skipped(lab, tmp_path):
    """--hosts with one host evaluates that host, its instances and the cluster."""
    done = lab.command("sigsrv", "scan", "--hosts", "minisrv", "--site", str(lab.site), "--report-dir", str(tmp_path))

    assert done.returncode == 0
    assert {key: value["verdict"] for key, value in findings(tmp_path).items()} == clean_with_one_host("minisrv")


@pytest.mark.parametrize("down", ["sigsrv", "minisrv"])
def test_unreachable_host_is_an_error_and_the_other_is_evaluated(lab, tmp_path, down):
    """Error with ssh's reason within 15 s, exit status 3, and all findings of the other host as usual."""
    site = copied_site(lab, tmp_path, **{down: {"address": lab.unused_address}})
    began = time.monotonic()

    done = lab.command("sigsrv", "scan", "--site", str(site), "--report-dir", str(tmp_path))

    assert time.monotonic() - began < 15 * lab.slowness
    assert done.returncode == 3
    assert "Traceback" not in done.stdout + done.stderr
    found = findings(tmp_path)
    assert found[f"HOST-001@{down}/{down}"]["verdict"] == "error"
    assert found[f"HOST-001@{down}/{down}"]["reason"]
    assert found[f"NET-001@{down}/{down}"]["because"] == f"HOST-001@{down}/{down}"
    of_all = ("XHOST-", "ACL-006@", "CLUS-002@", "VOL-002@", f"CLUS-006@cluster/{down}")  # they need both hosts
    expected = {key: verdict for key, verdict in clean().items() if f"@{down}/" not in key or key.startswith("INST")}
    expected = {key: verdict for key, verdict in expected.items() if not key.startswith(of_all)}
    assert {key: found[key]["verdict"] for key in expected} == expected
    assert {value["verdict"] for key, value in found.items() if key.startswith("XHOST-")} == {"error"}
    away = [value["verdict"] for value in found.values() if value["host"] == value["resource"] == down]
    assert set(away) == {"error"}


def test_account_without_rights_gets_no_pass_without_evidence(lab, tmp_path):
    """Incus refuses its socket: each policy that needs it is an error with the reason.

    Facts that any account can read are evaluated.
    """
    done = lab.command(
        "sigsrv",
        "scan",
        "--site",
        str(lab.site),
        "--ssh-config",
        str(lab.files / "ssh_config.noaccess"),
        "--report-dir",
        str(tmp_path),
    )

    assert done.returncode == 3
    assert "Traceback" not in done.stdout + done.stderr
    found = findings(tmp_path)
    passed = {value["policy"] for value in found.values() if value["verdict"] == "pass"}
    assert passed == {
        *("HOST-001", "HOST-005", "HOST-010", "AUTH-004", "AUTH-007"),
        *("NET-001", "NET-003", "NET-005", "XHOST-001"),
        *({"ns": (), "vm": ("HOST-007", "NET-002")}[lab.kind]),  # namespaces lack both an own clock and VLAN ids
    }
    assert not [key for key, value in found.items() if value["verdict"] == "fail"]
    assert "no permission for" in found["HOST-002@sigsrv/sigsrv"]["reason"]
    assert found["INST-001@cluster/cluster"]["verdict"] == "error"


def test_changed_host_key_is_never_accepted(lab, tmp_path):
    """Another key than the known one makes the host unreachable, with ssh's own message."""
    known = (lab.files / "known_hosts").read_text().splitlines()
    keys = [line.split(" ", 1) for line in known if line.strip()]
    swapped = tmp_path / "known_hosts"
    swapped.write_text("".join(f"{name} {keys[-1 - index][1]}\n" for index, (name, _) in enumerate(keys)))
    config = tmp_path / "ssh_config"
    config.write_text(lab.ssh_config.read_text().replace(str(lab.files / "known_hosts"), str(swapped)))

    done = lab.command(
        "sigsrv", "scan", "--site", str(lab.site), "--ssh-config", str(config), "--report-dir", str(tmp_path)
    )

    assert done.returncode == 3
    assert "Host key verification failed" in findings(tmp_path)["HOST-001@sigsrv/sigsrv"]["reason"]


@pytest.mark.parametrize(
    "argv", [["pytest", "checks"], ["sigsrv", "scan"], ["sigsrv-remediate", "NET-001@minisrv/sigsrvbr0"]]
)
def test_error_in_the_site_file_is_reported_before_any_scan(lab, tmp_path, argv):
    """File, line, error and allowed values; no login and a non-zero exit status."""
    site = tmp_path / "site.yaml"
    shutil.copy(lab.site, site)
    site.write_text(re.sub("driver: (btrfs|zfs)", "driver: btfrs", site.read_text(), count=1))
    before = lab.logins("sigsrv")

    done = lab.command(*argv, "--site", str(site))

    result = done.stdout + done.stderr
    assert done.returncode == (4 if argv[0] == "pytest" else 2)
    assert (
        f'{site}:{site.read_text()[: site.read_text().index("btfrs")].count(chr(10)) + 1}: pools[0].driver: "btfrs" is not allowed'
        in result
    )
    assert "allowed: zfs, btrfs" in result
    assert "Traceback" not in result
    assert lab.logins("sigsrv") == before


def test_hostile_names_are_shown_as_text(lab, tmp_path):
    """A folder with a name like an attack is text in report and findings, and is never run."""
    name = "/tmp/<img src=x onerror=alert(1)>$(reboot)"
    lab.on("sigsrv", "mkdir", "-p", name)
    lab.on("sigsrv", "incus", "config", "device", "add", "svc-a", "evil", "disk", f"source={name}", "path=/mnt/x")
    try:
        done = lab.command("sigsrv", "scan", "--site", str(lab.site), "--report-dir", str(tmp_path))
        plan = lab.command("sigsrv-remediate", "INST-004@sigsrv/default/svc-a", "--plan", "--site", str(lab.site))
    finally:
        lab.on("sigsrv", "incus", "config", "device", "remove", "svc-a", "evil")
        lab.on("sigsrv", "rmdir", name)

    assert done.returncode == 1
    page = (tmp_path / "latest" / "report.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert f"'source={name}'" in plan.stdout


def test_scan_in_process_has_the_verdicts_of_the_command(lab):
    """The tests of the faults scan in process."""
    assert verdicts(lab.scan()[0]) == clean()
