"""Tests that unknowns of one cause are one root finding on real hosts: missing rights, a stopped daemon, a lost database."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.conftest import Lab, clean

HOSTS = ("sigsrv", "minisrv")
RULES = "/etc/sudoers.d/audit"
RIGHTS = "sigsrv probes --sudoers USER"


def scan(lab: Lab, folder: Path, *more: str) -> tuple[str, dict[str, dict]]:
    """Run a scan as its user would; return what it prints, and its findings by id."""
    done = lab.command("sigsrv", "scan", "--site", str(lab.site), "--report-dir", str(folder), *more)
    assert "Traceback" not in done.stdout + done.stderr
    found = json.loads((folder / "latest" / "findings.json").read_text())["findings"]
    return done.stdout, {each["id"]: each for each in found}


def as_account(lab: Lab, name: str) -> tuple[str, str]:
    return "--ssh-config", str(lab.files / f"ssh_config.{name}")


def lone(found: dict[str, dict]) -> set[str]:
    """Return the errors without a root finding."""
    return {key for key, each in found.items() if each["verdict"] == "error" and not each["because"]}


@pytest.mark.parametrize("account", ["noaccess", "audit"])
def test_account_without_any_right_has_one_root_on_each_host(lab, tmp_path, account):
    """The scan prints at most 25 lines. Each error follows from a root, and each root says what gives the rights."""
    shown, found = scan(lab, tmp_path, *as_account(lab, account))

    assert lone(found) == {f"HOST-011@{host}/{host}" for host in HOSTS}
    lines = shown.splitlines()
    assert len(lines) <= 25
    assert max(len(line) for line in lines if not line.startswith("report: ")) <= 80
    behind = Counter(each["because"] for each in found.values() if each["verdict"] == "error")
    for root in lone(found):
        assert f"      {behind[root]} findings depend on it" in lines
        assert found[root]["hints"] == [RIGHTS]
    assert lines.count(f"      {RIGHTS}") == len(HOSTS)
    assert "to see it" not in "".join(each["reason"] for each in found.values() if each["because"])


def test_account_with_the_printed_rules_reads_everything(lab, tmp_path):
    """With the rules, the verdicts are those of root. With only one program less, this program alone is refused, by the account's name."""
    rules = lab.command("sigsrv", "probes", "--site", str(lab.site), "--sudoers", "audit").stdout
    without = "\n".join(line for line in rules.splitlines() if "/nft " not in line) + "\n"
    try:
        for host in HOSTS:
            lab.on(host, "sh", "-c", f"cat >{RULES} && chmod 440 {RULES} && visudo -cf {RULES}", given=rules)
        _, found = scan(lab, tmp_path, *as_account(lab, "audit"))
        assert {key: each["verdict"] for key, each in found.items()} == clean()

        lab.on("minisrv", "sh", "-c", f"cat >{RULES} && visudo -cf {RULES}", given=without)
        _, found = scan(lab, tmp_path, *as_account(lab, "audit"))
    finally:
        for host in HOSTS:
            lab.on(host, "rm", "-f", RULES)

    assert lone(found) == {"HOST-011@minisrv/minisrv"}
    assert found["HOST-011@minisrv/minisrv"]["reason"].startswith("refused: nft (")
    assert found["ACL-007@minisrv/sigsrvbr0"]["because"] == "HOST-011@minisrv/minisrv"


def test_each_unknown_of_a_stopped_daemon_has_a_root(lab, tmp_path):
    """The daemon of minisrv is stopped: its failure is the root of all of them."""
    lab.fault("incusd-stopped", "minisrv")
    try:
        _, found = scan(lab, tmp_path)
    finally:
        lab.fault("incusd-stopped", "minisrv", heal=True)

    assert found["HOST-002@minisrv/minisrv"]["verdict"] == "fail"
    assert found["HOST-011@minisrv/minisrv"]["because"] == "HOST-002@minisrv/minisrv"
    assert lone(found) == set()


def test_each_unknown_of_a_lost_database_has_a_root(lab, tmp_path):
    """The database's voter on sigsrv is stopped. minisrv's daemon answers and can't read the database: that follows from sigsrv."""
    lab.fault("incusd-stopped", "sigsrv")
    try:
        shown, found = scan(lab, tmp_path)
    finally:
        lab.fault("incusd-stopped", "sigsrv", heal=True)

    root = found["HOST-011@minisrv/minisrv"]
    assert found["HOST-002@sigsrv/sigsrv"]["verdict"] == "fail"
    assert found["HOST-002@minisrv/minisrv"]["verdict"] == "pass"
    assert (root["verdict"], root["because"]) == ("error", "HOST-002@sigsrv/sigsrv")
    assert "can't read the database of the cluster" in root["reason"]
    assert found["POOL-001@minisrv/minisrv"]["because"] == "HOST-011@minisrv/minisrv"
    assert lone(found) == set()
    assert len(shown.splitlines()) <= 40
