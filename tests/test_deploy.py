"""What deploy/ ships, held against the programs that will read it and against sigsrv's own command line."""

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
from sigsrv.commands import main

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
    """The path of a program. Where it is not installed the test is skipped with the reason; with CI=true that is a failure."""

    def find(name: str, package: str) -> str:
        # visudo lies in /usr/sbin, which the PATH of a user lacks
        path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
        if path is None:
            reason = f"{name} is not installed: apt-get install {package}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)
        return path

    return find


def parsed(argv: list[str]) -> None:
    """Hold a command line against sigsrv's own parser; it must be right."""
    try:
        main._parser().parse_args(argv)
    except SystemExit:
        pytest.fail(f"sigsrv does not know: {shlex.join(argv)}", pytrace=False)


def test_systemd_has_nothing_to_say_of_the_units(program, tmp_path):
    """systemd-analyze verify is silent: it warns of an unknown key, a wrong value or a missing program, and may end with 0."""
    analyze = program("systemd-analyze", "systemd")
    there = shutil.which("true")
    assert there
    for name in UNITS:
        (tmp_path / name).write_text((DEPLOY / name).read_text().replace(INSTALLED, there))

    argv = [analyze, "verify", *(str(tmp_path / name) for name in UNITS)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_service_runs_a_command_that_sigsrv_knows():
    """ExecStart is the installed sigsrv, with arguments of its command line."""
    (command,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / "sigsrv.service").read_text(), re.MULTILINE)
    program, *arguments = shlex.split(command)

    assert program == INSTALLED
    parsed(arguments)


def test_the_crontab_line_is_one_of_cron_d_and_sigsrv_knows_its_command():
    """Five fields of time, the user, the command; the other lines set variables, MAILTO among them."""
    lines = [line for line in (DEPLOY / "sigsrv.cron").read_text().splitlines() if line and not line.startswith("#")]
    assigned = [line.partition("=")[0] for line in lines if re.match(r"[A-Z_]+=", line)]
    (entry,) = [line for line in lines if not re.match(r"[A-Z_]+=", line)]
    *times, user, command = entry.split(None, 6)

    assert "MAILTO" in assigned
    assert len(times) == 5
    assert all(re.fullmatch(r"\*|\d{1,2}", field) for field in times)
    assert user == "sigsrv"
    assert "%" not in command, "cron makes a line break of it"
    program, *arguments = shlex.split(command)
    assert program == INSTALLED
    parsed(arguments)


def test_the_sudoers_example_is_valid_for_sudo(program):
    """visudo, which a broken file must not get past, takes it."""
    argv = [program("visudo", "sudo"), "-c", "-f", str(DEPLOY / "sudoers.example")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)

    assert done.returncode == 0, done.stdout + done.stderr


def sudoers(text: str) -> tuple[set[str], list[str]]:
    """The commands of a sudoers file's one alias, and its other lines."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    (alias,) = [line for line in lines if line.startswith("Cmnd_Alias ")]
    commands = {command.strip() for command in alias.partition("=")[2].split(", ")}
    return commands, [line for line in lines if line != alias]


def test_the_sudoers_example_allows_nothing_that_sigsrv_would_not_print(capsys):
    """Its rules are those that `sigsrv probes --sudoers` prints, its commands some of those: the lists that any site is asked for."""
    commands, rules = sudoers((DEPLOY / "sudoers.example").read_text())
    assert main.main(["probes", "--sudoers", "audit", "--site", str(ROOT / "policies" / "site.yaml")]) == 0
    printed, printed_rules = sudoers(capsys.readouterr().out)

    assert rules == printed_rules
    assert commands <= printed
    asked = {
        urls.SERVER,
        *urls.WANTED,
        urls.INSTANCES_CONFIG,
        *(probe.id for probe in TABLE if probe.root and not probe.needs),
    }
    assert len(commands) == len(asked)


@pytest.mark.parametrize("argv", [argv for argv in COMMANDS if INSTALLED in argv], ids=shlex.join)
def test_sigsrv_knows_the_commands_of_the_readme(argv):
    """What the README of deploy/ lets a reader run, sigsrv's command line takes."""
    arguments = argv[argv.index(INSTALLED) + 1 :]
    parsed([word for word in arguments if not word.startswith(">")])


def test_the_readme_installs_all_that_is_here_and_nothing_else():
    """Each file that it installs exists, each shipped file is named, and each unit that it speaks of is one of these."""
    sources = [word for argv in COMMANDS if argv[:1] == ["install"] for word in argv if (ROOT / word).parent != ROOT]
    named = [word for word in sources if word.startswith(("deploy/", "policies/"))]
    units = {word for argv in COMMANDS for word in argv if re.fullmatch(r"[\w-]+\.(service|timer)", word)}

    assert [word for word in named if not (ROOT / word).is_file()] == []
    assert {f"deploy/{path.name}" for path in DEPLOY.iterdir()} == {
        *(word for word in named if word.startswith("deploy/")),
        "deploy/README.md",
        "deploy/sudoers.example",
    }
    assert units == set(UNITS)
    assert "](sudoers.example)" in README
