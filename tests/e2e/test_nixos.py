"""Tests a scan of a host that has the shape of NixOS, in a lab of its own: what root sees, and what the account of a scan sees.

The other host of that lab is as always. lab/nixos/root.sh says what is as on NixOS and what is not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sigsrv.collect.refusals import is_refused
from tests.e2e import conftest
from tests.e2e.conftest import Lab, clean
from tests.nixos import sudoers_of

pytestmark = pytest.mark.lab("ns")
NIXOS = "minisrv"


@dataclass(frozen=True)
class NixosLab(Lab):
    """Represents a lab in a network namespace of its own, so that it runs beside the lab of the other tests."""

    folder: Path = field(kw_only=True)
    namespace: str = field(kw_only=True)

    @property
    def files(self) -> Path:
        return self.folder / "files"

    @property
    def state(self) -> Path:
        return self.folder / "hosts"

    def command(
        self, *argv: str, timeout: float = 180, given: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        folders = {"SIGSRV_LAB_DIR": str(self.state), "SIGSRV_LAB_FILES": str(self.files)}
        enter = ("nsenter", f"--net=/run/netns/{self.namespace}")
        return super().command(*enter, *argv, timeout=timeout, given=given, **folders, **environment)


@pytest.fixture(scope="module")
def lab() -> Iterator[NixosLab]:
    """Provide the lab. If it can't run, the tests are skipped with the reason; with CI=true they fail."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    folder = Path(tempfile.mkdtemp(prefix="sigsrv-nixos-", dir="/var/tmp"))
    name = folder.name
    found = NixosLab(folder=folder, namespace=name)
    found.state.mkdir()
    before = conftest._CHOSEN[:]
    try:
        subprocess.run(["ip", "netns", "add", name], check=True)
        found.command("ip", "link", "set", "lo", "up")
        done = found.command("lab/lab", f"--nixos={NIXOS}", "up", timeout=600)
        if done.returncode != 0 and os.environ.get("CI") != "true":
            pytest.skip(f"the lab does not start: {done.stderr[-200:]}")
        assert done.returncode == 0, done.stderr
        conftest._CHOSEN[:] = [found]  # for clean()
        yield found
    finally:
        conftest._CHOSEN[:] = before
        found.command("lab/lab", "down")
        subprocess.run(["ip", "netns", "del", name], check=False)
        shutil.rmtree(folder)


@pytest.fixture
def rules(lab: NixosLab, tmp_path: Path) -> Iterator[None]:
    """Give audit the printed rules: a file in /etc/sudoers.d on one host, the sudoers file that NixOS makes of the module on the other."""
    printed = ["sigsrv", "probes", "--site", str(lab.site), "--sudoers", "audit"]
    before = lab.on(NIXOS, "cat", "/etc/sudoers")
    put = 'umask 227; rm -f "$1"; cat >"$1"; visudo -cqf "$1"'
    lab.on("sigsrv", "sh", "-c", put, "sh", "/etc/sudoers.d/sigsrv", given=lab.command(*printed).stdout)
    module = lab.command(*printed, "--nix").stdout
    lab.on(NIXOS, "sh", "-c", put, "sh", "/etc/sudoers", given=sudoers_of(module, tmp_path))
    yield
    lab.on("sigsrv", "rm", "-f", "/etc/sudoers.d/sigsrv")
    lab.on(NIXOS, "sh", "-c", put, "sh", "/etc/sudoers", given=before)


def scan(lab: NixosLab, folder: Path, *more: str, account: str = "", code: int = 0) -> dict[str, dict]:
    """Return the findings of a scan by ID. It saves the evidence in the folder."""
    config = ("--ssh-config", str(lab.files / f"ssh_config.{account}")) if account else ()
    argv = ("sigsrv", "scan", "--site", str(lab.site), "--report-dir", str(folder), "--save", str(folder / "evidence"))
    done = lab.command(*argv, *config, *more)
    assert done.returncode == code, done.stdout + done.stderr
    return {each["id"]: each for each in json.loads((folder / "latest" / "findings.json").read_text())["findings"]}


def verdicts(findings: dict[str, dict]) -> dict[str, str]:
    return {key: each["verdict"] for key, each in findings.items()}


def test_host_has_the_shape_of_nixos(lab):
    """There is no program outside of the store, but env and sh; and no setuid one outside of the wrappers."""
    seen = lab.on(
        NIXOS,
        "sh",
        "-c",
        """
        echo /usr/bin: $(ls /usr/bin) /bin: $(ls /bin)
        readlink -f /bin/sh /run/current-system/sw/bin/nft /etc/ssh/sshd_config /etc/systemd/system | sed 's/-.*-/-/; s/[0-9a-z]*-/HASH-/'
        ls /usr/sbin /etc/apt /var/lib/dpkg 2>/dev/null || true
        find /run/wrappers/bin -perm -4000 -printf '%f\\n' | sort
        find -L /run/current-system/sw/bin -name sudo -perm -4000
        test -w /etc/systemd/system || echo read-only
        command -v apt-get dpkg-query || echo no apt
        """,
    )

    assert seen.splitlines() == [
        "/usr/bin: env /bin: sh",
        "/nix/store/HASH-debian/bin/bash",
        "/nix/store/HASH-debian/sbin/nft",
        "/nix/store/HASH-etc/etc/ssh/sshd_config",
        "/nix/store/HASH-etc/etc/systemd/system",
        "mount",
        "su",
        "sudo",
        "umount",
        "read-only",
        "no apt",
    ]


def test_account_of_a_scan_has_the_verdicts_of_root(lab, rules, tmp_path):
    """The verdicts are those of the usual lab, but one: the hosts have different systems. Each probe is answered."""
    root = scan(lab, tmp_path / "root", code=1)
    audit = scan(lab, tmp_path / "audit", account="audit", code=1)

    assert verdicts(root) == {**clean(), "XHOST-002@cluster/cluster": "fail"}
    assert "NixOS" in root["XHOST-002@cluster/cluster"]["observed"]
    assert "is the development branch" in root[f"HOST-010@{NIXOS}/{NIXOS}"]["observed"]
    assert verdicts(audit) == verdicts(root)
    for account in ("root", "audit"):
        kept = json.loads((tmp_path / account / "evidence" / f"{NIXOS}.json").read_text())
        unanswered = {
            name: each
            for name, each in kept["probes"].items()
            if each.get("failure") or (each.get("rc") and is_refused(each.get("stderr", "")))
        }
        assert unanswered == {}


def test_account_that_pam_refuses_gets_errors_with_the_whole_reason(lab, rules, tmp_path):
    """sudo then writes two lines, and the first one has the cause."""
    lab.on(
        NIXOS, "sh", "-c", "echo account requisite pam_deny.so >/run/pam; mount --bind /run/pam /etc/static/pam.d/sudo"
    )
    try:
        found = scan(lab, tmp_path, "--hosts", NIXOS, account="audit", code=3)
    finally:
        lab.on(NIXOS, "umount", "/etc/static/pam.d/sudo")

    both = "sudo: account validation failure, is your account locked? sudo: a password is required"
    assert both in found[f"HOST-011@{NIXOS}/{NIXOS}"]["reason"]
    assert both in found[f"HOST-004@{NIXOS}/{NIXOS}"]["reason"]


def test_sudo_for_wheel_only_is_a_missing_right(lab, rules, tmp_path):
    """With security.sudo.execWheelOnly, the account can't start the setuid sudo, and finds the other one."""
    lab.on(NIXOS, "chmod", "4510", "/run/wrappers/bin/sudo")
    try:
        found = scan(lab, tmp_path, "--hosts", NIXOS, account="audit", code=3)
    finally:
        lab.on(NIXOS, "chmod", "4755", "/run/wrappers/bin/sudo")

    finding = found[f"HOST-011@{NIXOS}/{NIXOS}"]
    assert "must be owned by uid 0 and have the setuid bit set" in finding["reason"]
    assert finding["hints"] == ["sigsrv probes --sudoers USER"]
