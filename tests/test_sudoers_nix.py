"""Tests the NixOS module of ``sigsrv probes --sudoers USER --nix``: NixOS makes the same rules of it as the sudoers file has."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sigsrv.commands import main, privileges, privileges_nix
from tests.namespaces import needs_root
from tests.nixos import sudo_of, sudoers_of
from tests.test_sudoers import allowed, loaded, needs_sudo, site


def visudo(text: str, folder: Path) -> None:
    path = folder / "sudoers"
    path.write_text(text)
    program = shutil.which("visudo", path="/usr/sbin:/run/current-system/sw/bin")
    if program is None:
        pytest.skip("visudo is not installed")
    done = subprocess.run([program, "-c", "-f", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr.lower()


def test_nixos_makes_the_rules_of_the_sudoers_file(tmp_path):
    """The commands are the same, with the programs of NixOS. visudo, with which NixOS checks the file, accepts them."""
    desired = loaded(site(tmp_path, "/srv/backups"))

    sudo = sudo_of(privileges_nix.module(desired, "audit"), tmp_path)
    visudo(sudoers_of(privileges_nix.module(desired, "audit"), tmp_path), tmp_path)

    (rule,) = sudo["extraRules"]
    commands = [each["command"] for each in rule["commands"]]
    assert commands == privileges.root_commands(desired, "audit", privileges_nix.INCUS)
    assert all(each.startswith("/run/current-system/sw/bin/") for each in commands)
    assert {tuple(each["options"]) for each in rule["commands"]} == {("NOPASSWD",)}
    assert (rule["users"], rule["runAs"]) == (["audit"], "root")
    assert sudo["extraConfig"] == f"Defaults:audit {privileges.DEFAULTS}\n"


@needs_root
@needs_sudo
def test_sudo_allows_the_exact_query_and_no_other(tmp_path):
    """The escapes for sudoers(5) survive the string of Nix, so ``?`` does not match any character."""
    desired = loaded(site(tmp_path, "/srv/backups"))
    rules = sudoers_of(privileges_nix.module(desired, "nobody", "/mnt/incus"), tmp_path)
    members = "local:/1.0/cluster/members?recursion=1"
    others = [members.replace("?", "X"), "local:/1.0/instances", f"{members} -X DELETE"]

    found = allowed(tmp_path, rules, [["/mnt/incus", "query", "--raw", *each.split()] for each in [members, *others]])

    assert found.count("incus ran: ") == 1
    assert f"incus ran: query --raw {members}\n" in found
    assert found.count("password is required") == len(others)


def test_remediation_needs_one_more_rule(tmp_path):
    """It is a rule of its own, and the comment says that it makes the account root."""
    text = privileges_nix.module(loaded(site(tmp_path, "/srv/backups")), "fixer", remediate=True)

    scan, remediate = sudo_of(text, tmp_path)["extraRules"]
    visudo(sudoers_of(text, tmp_path), tmp_path)

    assert [each["command"] for each in remediate["commands"]] == ["/bin/sh -s"]
    assert "/bin/sh -s" not in [each["command"] for each in scan["commands"]]
    assert "in effect" in text


def test_hostile_name_of_a_site_and_values_of_nix_stay_text(tmp_path):
    """The name of the site is a comment in one line. An interpolation in a path is no interpolation."""
    path = site(tmp_path, "/srv/${reboot}")
    path.write_text(path.read_text().replace("name: t\n", 'name: "a\\n}; reboot = ${b}"\n'))

    text = privileges_nix.module(loaded(path), "audit")

    commands = [each["command"] for each in sudo_of(text, tmp_path)["extraRules"][0]["commands"]]
    assert [each for each in commands if "/srv/${reboot}" in each]
    assert re.search(r"^# a }; reboot = \$\{b\}\. ", text, re.MULTILINE)


def test_module_is_printed_by_the_command(tmp_path, capsys):
    """It says where it belongs, and what would make it useless."""
    path = str(site(tmp_path, "/srv/backups"))

    assert main.main(["probes", "--sudoers", "audit", "--nix", "--site", path]) == 0
    printed = capsys.readouterr().out
    assert printed == privileges_nix.module(loaded(Path(path)), "audit")
    assert "add it to the imports" in printed
    assert "security.sudo.execWheelOnly" in printed
    assert max(len(line) for line in printed.splitlines() if line.startswith("#")) <= 80


def test_nix_without_an_account_is_wrong_use(capsys):
    assert main.main(["probes", "--nix"]) == 2
    assert "--nix works only with --sudoers USER" in capsys.readouterr().err
