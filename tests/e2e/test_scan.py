"""Scanning the lab as a user does: pytest, cron, hosts that are away, accounts that may do nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import Lab, alone, clean, verdicts

pytestmark = pytest.mark.lab


def findings(folder: Path) -> dict[str, dict]:
    data = json.loads((folder / "latest" / "findings.json").read_text())
    return {finding["id"]: finding for finding in data["findings"]}


def copied_site(lab: Lab, folder: Path, **host_changes: dict) -> Path:
    """The lab's site with some hosts changed, in a folder of its own beside a copy of the ssh configuration."""
    site = yaml.safe_load(lab.site.read_text())
    for host in site["hosts"]:
        host["ssh_config"] = str(lab.ssh_config)
        host.update(host_changes.get(host["name"], {}))
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    return path


@pytest.mark.smoke
def test_the_clean_lab_gives_the_reviewed_list(lab, tmp_path):
    """The command of the README, literally, finds exactly what a person reviewed; its report and findings are there."""
    argv = ["pytest", "checks", "--hosts=sigsrv,minisrv", f"--ssh-config={lab.ssh_config}", f"--site={lab.site}"]

    done = lab.command(*argv, f"--report-dir={tmp_path}")

    assert done.returncode == 0, done.stdout
    found = findings(tmp_path)
    assert {key: value["verdict"] for key, value in found.items()} == clean()
    assert (tmp_path / "latest").is_symlink()
    assert "<html" in (tmp_path / "latest" / "report.html").read_text()[:200]


def test_the_site_alone_is_enough(lab, tmp_path):
    """With a site that names the ssh configuration, and $SIGSRV_SITE, neither hosts nor configuration must be named."""
    done = lab.command("pytest", "checks", "-q", f"--report-dir={tmp_path}", SIGSRV_SITE=str(lab.site))

    assert done.returncode == 0, done.stdout
    assert {
        host["name"]: host["state"]
        for host in json.loads((tmp_path / "latest" / "findings.json").read_text())["run"]["hosts"]
    } == {
        "sigsrv": "ok",
        "minisrv": "ok",
    }


def test_one_login_for_each_host(lab, tmp_path):
    """Probes and API together take one ssh login a host, as the hosts' own logs count it."""
    before = {host: lab.logins(host) for host in ("sigsrv", "minisrv")}

    done = lab.command("sigsrv", "scan", "--site", str(lab.site), "--report-dir", str(tmp_path))

    assert done.returncode == 0
    assert {host: lab.logins(host) - before[host] for host in before} == {"sigsrv": 1, "minisrv": 1}


def test_cron_hears_nothing_where_all_is_well(lab, tmp_path):
    """sigsrv scan is quiet on a compliant cluster and exits with 0, and finds what pytest finds."""
    done = lab.command(
        "sigsrv", "scan", "--hosts", "sigsrv,minisrv", "--site", str(lab.site), "--report-dir", str(tmp_path)
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {key: value["verdict"] for key, value in findings(tmp_path).items()} == clean()


def test_two_scans_never_overlap(lab, tmp_path):
    """The second one says so and scans nothing."""
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
    assert "another scan is at work" in done.stderr


def test_equal_runs_give_equal_findings(lab):
    """Two scans of the same state differ in nothing but the run's own data."""
    first, second = lab.scan()[0].as_dict(), lab.scan()[0].as_dict()
    for finding in [*first["findings"], *second["findings"]]:
        if finding["policy"] in ("HOST-005", "HOST-006", "HOST-007", "POOL-003"):  # they tell what they measured
            finding["observed"] = finding["reason"] = ""

    assert first["findings"] == second["findings"]
    assert first["summary"] == second["summary"]
    assert first["run"]["id"] != second["run"]["id"]


def test_a_host_that_is_not_selected_is_left_out(lab, tmp_path):
    """--hosts with one host judges that host, its instances and the cluster."""
    done = lab.command("sigsrv", "scan", "--hosts", "minisrv", "--site", str(lab.site), "--report-dir", str(tmp_path))

    assert done.returncode == 0
    assert {key: value["verdict"] for key, value in findings(tmp_path).items()} == alone("minisrv")


@pytest.mark.parametrize("down", ["sigsrv", "minisrv"])
def test_a_host_that_is_down_is_an_error_and_the_other_is_judged(lab, tmp_path, down):
    """Unreachable: error with ssh's reason within 15 s, exit code 3, and every finding of the other host as ever."""
    site = copied_site(lab, tmp_path, **{down: {"address": lab.nowhere}})
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


def test_an_account_that_may_do_nothing_gets_no_pass_on_what_it_can_t_see(lab, tmp_path):
    """Incus refuses its socket: every policy that needs it is error and says why; what any account sees is judged."""
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
        *("HOST-001", "HOST-005", "HOST-010", "AUTH-004"),
        *("NET-001", "NET-003", "NET-005", "XHOST-001"),
        *(
            {"ns": (), "vm": ("HOST-007", "NET-002")}[lab.kind]
        ),  # the namespaces have neither a clock of their own nor VLAN ids
    }
    assert not [key for key, value in found.items() if value["verdict"] == "fail"]
    assert "may not use" in found["HOST-002@sigsrv/sigsrv"]["reason"]
    assert found["INST-001@cluster/cluster"]["verdict"] == "error"


def test_a_host_key_that_changed_is_never_accepted(lab, tmp_path):
    """Another key than the known one: unreachable, with ssh's own words."""
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
def test_a_mistake_in_the_site_is_told_and_nothing_is_scanned(lab, tmp_path, argv):
    """File, line, what is wrong, what is allowed; no login, and a non-zero exit."""
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


def test_what_a_host_calls_things_is_shown_as_text(lab, tmp_path):
    """A folder of the host that is named like an attack appears in report and findings as text, and runs nowhere."""
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


def test_verdicts_in_process_are_those_of_the_command(lab):
    """The faults' tests judge in process; that is the same list."""
    assert verdicts(lab.scan()[0]) == clean()
