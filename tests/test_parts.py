"""Tests the parts in which the tests run: each test is in a part, and a run lists the parts that it left out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import parts
from tests.parts import PARTS

ROOT = Path(__file__).resolve().parents[1]


def test_every_lab_test_file_is_in_a_part_for_each_lab():
    """Parts ``lab`` and ``lab-fixes`` have all files for namespaces. For VMs, each file is in one part, or its groups in several."""
    only_in_namespaces = {"test_pairs.py"}  # runs each alone, which would take a day for virtual machines
    for path in (ROOT / "tests" / "e2e").glob("test_*.py"):
        if re.search(r'\npytestmark = pytest\.mark\.lab\("(?!vm)', path.read_text()):
            only_in_namespaces.add(path.name)
    wanted = {path.name for path in (ROOT / "tests" / "e2e").glob("test_*.py")} - only_in_namespaces
    named = [
        Path(word).name for name, part in PARTS.items() if name.startswith("vm-") for run in part.runs for word in run
    ]

    files = [name for name in named if name.endswith(".py")]

    assert set(files) == wanted
    assert {name for name in files if files.count(name) > 1} == {"test_pairs_together.py"}
    assert "tests/e2e" in PARTS["lab"].runs[1]


def test_what_part_lab_leaves_out_runs_by_itself_or_in_the_part_of_the_fixes():
    by_itself, together = PARTS["lab"].runs
    elsewhere = [word for word in (*by_itself, *PARTS["lab-fixes"].runs[0]) if word.endswith(".py")]

    left_out = [word.removeprefix("--ignore=") for word in together if word.startswith("--ignore=")]

    assert sorted(left_out) == sorted(elsewhere)
    assert [each for each in left_out if not (ROOT / each).is_file()] == []


def test_tests_of_a_lab_with_other_hosts_are_in_a_part_that_brings_it_up():
    """Part ``lab`` brings up two hosts with Incus 6.0, and leaves these tests out."""
    for path in (ROOT / "tests" / "e2e").glob("test_*.py"):
        for option, value in re.findall(r'\npytestmark = pytest\.mark\.lab\("(hosts|incus)-(.*?)"', path.read_text()):
            runs = [run for part in PARTS.values() for run in part.runs if f"tests/e2e/{path.name}" in run]
            assert runs, path.name
            assert all(f"--lab-{option}={value}" in run for run in runs), path.name


@pytest.mark.parametrize(("name", "installs"), [("hosts", 1), ("incus-7", 2)])
def test_root_of_another_incus_is_built_before_the_part(monkeypatch, name, installs):
    """A worker has no network, so its lab can't download a package."""
    runs = []
    monkeypatch.setattr(parts.os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        parts.subprocess, "run", lambda argv, **_: runs.append(argv) or subprocess.CompletedProcess(argv, 0)
    )

    parts.run(name)

    assert [argv for argv in runs if argv[0] == "lab/lab"] == [
        ["lab/lab", "install"],
        ["lab/lab", "--incus=7.0", "install"],
    ][:installs]


def test_each_part_takes_less_than_an_hour():
    """Each part runs, and fails, separately."""
    assert all(part.minutes < 60 for part in PARTS.values())
    assert PARTS["quick"].minutes <= 5
    assert PARTS["lab"].minutes <= 15


@pytest.mark.parametrize(
    ("user", "smoke"), [(0, "not lab or smoke"), (1000, "not lab")], ids=["as root", "as another user"]
)
def test_quick_part_has_the_smoke_test_only_as_root(monkeypatch, capsys, user, smoke):
    """Its output ends with the parts that did not run, each with its duration and command."""
    runs = []
    monkeypatch.setattr(parts.os, "geteuid", lambda: user)
    monkeypatch.setattr(
        parts.subprocess, "run", lambda argv, **_: runs.append(argv) or subprocess.CompletedProcess(argv, 0)
    )
    monkeypatch.setattr(sys, "argv", ["parts.py", "quick"])

    status = parts.main()

    output = capsys.readouterr().out
    assert status == 0
    assert smoke in runs[-1]
    assert (["lab/lab", "install"] in runs) is (user == 0)
    assert "quick: passed in " in output
    assert "  lab                  15 min  the namespace lab" in output
    assert "make test-lab\n" in output
    assert "make test-part PART=vm-faults\n" in output
    assert output.endswith("all parts: make test-all\n")
    assert ("sudo make test" in output) is (user != 0)
    assert max(map(len, output.splitlines())) <= 80


def test_failed_run_is_reported_and_the_others_still_run(monkeypatch, capsys):
    """The output shows the exit status of pytest. The part exits with 1."""
    ends = iter([1, 0])
    monkeypatch.setattr(parts.os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        parts.subprocess,
        "run",
        lambda argv, **_: subprocess.CompletedProcess(argv, 0 if argv[0] == "lab/lab" else next(ends)),
    )
    monkeypatch.setattr(sys, "argv", ["parts.py", "lab"])

    assert parts.main() == 1
    assert "lab: failed (pytest exit status 1) in 0 s" in capsys.readouterr().out
    assert next(ends, None) is None


@pytest.mark.parametrize(
    ("arguments", "user", "message"), [(["nothing"], 0, "no such part: nothing"), (["lab"], 1000, "lab needs root")]
)
def test_wrong_use_is_reported(monkeypatch, capsys, arguments, user, message):
    """Nothing runs, and the exit status is 2."""
    monkeypatch.setattr(parts.os, "geteuid", lambda: user)
    monkeypatch.setattr(parts.subprocess, "run", lambda *_, **__: pytest.fail("unexpected run"))
    monkeypatch.setattr(sys, "argv", ["parts.py", *arguments])

    with pytest.raises(SystemExit) as end:
        parts.main()

    assert end.value.code == 2
    assert message in capsys.readouterr().err
