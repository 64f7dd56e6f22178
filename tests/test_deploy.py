"""Tests the files in deploy/ with the programs that read them, and with the command line of sigsrv."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sigsrv.collect import urls
from sigsrv.collect.probes import TABLE
from sigsrv.collect.target import Target
from sigsrv.commands import main
from sigsrv.remediate.shell import HOST_PATHS

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
INSTALLED = "/opt/sigsrv/bin/sigsrv"
UNITS = ("sigsrv.service", "sigsrv.timer")
README = (DEPLOY / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def program() -> Callable[[str, str], str]:
    """Return a function that finds a program. If it is not installed, the test is skipped, or fails if CI=true."""

    def find(name: str, package: str) -> str:
        # visudo is in /usr/sbin, which is not in a user's PATH
        path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
        if path is None:
            reason = f"{name} is not installed: apt-get install {package}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)
        return path

    return find


def assert_valid_arguments(argv: list[str]) -> None:
    """Fail the test if sigsrv's own parser refuses a command line."""
    try:
        main._parser().parse_args(argv)
    except SystemExit:
        pytest.fail(f"sigsrv refuses: {shlex.join(argv)}", pytrace=False)


def test_systemd_accepts_the_units_without_warnings(program, tmp_path):
    """It must print nothing: systemd-analyze may exit with 0 despite an unknown key, a wrong value or a missing program."""
    analyze = program("systemd-analyze", "systemd")
    executable = shutil.which("true")
    assert executable
    for name in UNITS:
        (tmp_path / name).write_text((DEPLOY / name).read_text().replace(INSTALLED, executable))

    argv = [analyze, "verify", *(str(tmp_path / name) for name in UNITS)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_service_runs_a_valid_sigsrv_command():
    """ExecStart is the installed sigsrv with valid arguments."""
    (command,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / "sigsrv.service").read_text(), re.MULTILINE)
    program, *arguments = shlex.split(command)

    assert program == INSTALLED
    assert_valid_arguments(arguments)


def test_home_and_state_of_the_account_are_separate_folders_that_it_may_write():
    """ssh finds its keys in the home, and the reports are in the state. Neither is root's: the state of root is in root's home."""
    unit = (DEPLOY / "sigsrv.service").read_text()
    (folders,) = re.findall(r"^StateDirectory=(.*)$", unit, re.MULTILINE)
    (made,) = [argv for argv in COMMANDS if argv[:1] == ["useradd"]]
    home = made[made.index("--home-dir") + 1]

    assert {f"/var/lib/{name}" for name in folders.split()} == {home, "/var/lib/sigsrv"}
    assert "Environment=XDG_STATE_HOME=%S\n" in unit
    assert "\nXDG_STATE_HOME=/var/lib\n" in (DEPLOY / "sigsrv.cron").read_text()
    assert [argv for argv in COMMANDS if argv[:1] == ["install"] and home in argv and "/var/lib/sigsrv" in argv]
    assert not HOST_PATHS.disk.startswith(("/var/lib/sigsrv/", f"{home}/"))


def test_crontab_line_is_valid_and_runs_a_valid_sigsrv_command():
    """It has five time fields, user and command. The other lines set variables, and one is MAILTO."""
    lines = [line for line in (DEPLOY / "sigsrv.cron").read_text().splitlines() if line and not line.startswith("#")]
    assigned = [line.partition("=")[0] for line in lines if re.match(r"[A-Z_]+=", line)]
    (entry,) = [line for line in lines if not re.match(r"[A-Z_]+=", line)]
    *times, user, command = entry.split(None, 6)

    assert "MAILTO" in assigned
    assert len(times) == 5
    assert all(re.fullmatch(r"\*|\d{1,2}", field) for field in times)
    assert user == "sigsrv"
    assert "%" not in command, "cron replaces it by a newline"
    program, *arguments = shlex.split(command)
    assert program == INSTALLED
    assert_valid_arguments(arguments)


def test_visudo_accepts_the_sudoers_example(program):
    """sudo refuses to run with an invalid file."""
    argv = [program("visudo", "sudo"), "-c", "-f", str(DEPLOY / "sudoers.example")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)

    assert done.returncode == 0, done.stdout + done.stderr


def sudoers(text: str) -> tuple[set[str], list[str]]:
    """Return the commands of the only alias in a sudoers file, and the other lines."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    (alias,) = [line for line in lines if line.startswith("Cmnd_Alias ")]
    commands = {command.strip() for command in alias.partition("=")[2].split(", ")}
    return commands, [line for line in lines if line != alias]


def test_rule_for_remediation_is_one_exact_command_and_says_what_it_means(program, capsys, tmp_path):
    """It is the command that sigsrv-remediate really runs. visudo accepts the whole file."""
    site = ["--site", str(ROOT / "policies" / "site.yaml")]
    assert main.main(["probes", "--sudoers", "fixer", *site]) == 0
    scan_only = capsys.readouterr().out
    assert main.main(["probes", "--sudoers", "fixer", "--remediate", *site]) == 0
    text = capsys.readouterr().out
    (tmp_path / "file").write_text(text)

    assert text.startswith(scan_only)
    added = text.removeprefix(scan_only)
    assert [line for line in added.splitlines() if line and not line.startswith("#")] == [
        "Cmnd_Alias SIGSRV_REMEDIATE = /bin/sh -s",
        "Defaults!SIGSRV_REMEDIATE env_reset, !requiretty",
        "fixer ALL=(root) NOPASSWD: SIGSRV_REMEDIATE",
    ]
    assert "This makes fixer root in effect" in added
    assert Target("h", sudo=True).shell == "sudo -n /bin/sh -s"
    argv = [program("visudo", "sudo"), "-c", "-f", str(tmp_path / "file")]
    assert subprocess.run(argv, capture_output=True, check=False, timeout=20).returncode == 0


def test_rule_for_remediation_needs_an_account(capsys):
    """Without --sudoers it would print nothing of it."""
    assert main.main(["probes", "--remediate"]) == 2
    assert "--remediate works only with --sudoers USER" in capsys.readouterr().err


def test_sudoers_example_allows_only_what_sigsrv_prints(capsys):
    """Its rules equal those of ``sigsrv probes --sudoers``. Its commands are those that any site needs."""
    commands, rules = sudoers((DEPLOY / "sudoers.example").read_text())
    assert main.main(["probes", "--sudoers", "audit", "--site", str(ROOT / "policies" / "site.yaml")]) == 0
    printed, printed_rules = sudoers(capsys.readouterr().out)

    assert rules == printed_rules
    assert commands <= printed
    asked = {
        urls.SERVER,
        *urls.WANTED,
        urls.INSTANCES_CONFIG,
        *urls.EXTENSION_OF,
        *(probe.id for probe in TABLE if probe.root and not probe.needs),
    }
    assert len(commands) == len(asked)


@pytest.mark.parametrize("argv", [argv for argv in COMMANDS if INSTALLED in argv], ids=shlex.join)
def test_commands_in_the_readme_are_valid(argv):
    """sigsrv's parser accepts the commands in the README of deploy/."""
    arguments = argv[argv.index(INSTALLED) + 1 :]
    assert_valid_arguments([word for word in arguments if not word.startswith(">")])


def test_readme_installs_exactly_the_shipped_files():
    """Each installed file exists, the README names each shipped file, and it names no other units."""
    sources = [word for argv in COMMANDS if argv[:1] == ["install"] for word in argv if (ROOT / word).parent != ROOT]
    named = [word for word in sources if word.startswith(("deploy/", "policies/"))]
    units = {word for argv in COMMANDS for word in argv if re.fullmatch(r"[\w-]+\.(service|timer)", word)}

    assert [word for word in named if not (ROOT / word).is_file()] == []
    assert {f"deploy/{path.name}" for path in DEPLOY.iterdir()} == {
        *(word for word in named if word.startswith("deploy/")),
        "deploy/README.md",
        "deploy/sudoers.example",
        "deploy/nixos",
    }
    assert units == set(UNITS)
    assert "](sudoers.example)" in README
    assert "](nixos/README.md)" in README
