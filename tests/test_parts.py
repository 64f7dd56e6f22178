"""The parts that the tests are run in: nothing is in none of them, and whoever runs one is told what was left out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import parts
from tests.parts import PARTS

ROOT = Path(__file__).resolve().parents[1]


def test_every_file_of_the_lab_s_tests_is_in_a_part_on_each_lab():
    """The part ``lab`` has all for namespaces; for virtual machines each file is named once, but where a part has groups of one."""
    only_in_namespaces = {"test_pairs.py"}  # each by itself: for virtual machines that is a day
    for path in (ROOT / "tests" / "e2e").glob("test_*.py"):
        if '\npytestmark = pytest.mark.lab("ns")' in path.read_text():
            only_in_namespaces.add(path.name)
    wanted = {path.name for path in (ROOT / "tests" / "e2e").glob("test_*.py")} - only_in_namespaces
    named = [
        Path(word).name for name, part in PARTS.items() if name.startswith("vm-") for run in part.runs for word in run
    ]

    files = [name for name in named if name.endswith(".py")]

    assert set(files) == wanted
    assert {name for name in files if files.count(name) > 1} == {"test_pairs_together.py"}
    assert "tests/e2e" in PARTS["lab"].runs[1]


def test_no_part_takes_an_hour():
    """Each can be run, and fails, by itself."""
    assert all(part.minutes < 60 for part in PARTS.values())
    assert PARTS["quick"].minutes <= 5
    assert PARTS["lab"].minutes <= 15


@pytest.mark.parametrize(
    ("user", "smoke"), [(0, "not lab or smoke"), (1000, "not lab")], ids=["as root", "without rights"]
)
def test_the_quick_part_has_the_smoke_test_where_it_can_be_had(monkeypatch, capsys, user, smoke):
    """And ends with what it left out, how long that takes, and the command."""
    runs = []
    monkeypatch.setattr(parts.os, "geteuid", lambda: user)
    monkeypatch.setattr(
        parts.subprocess, "run", lambda argv, **_: runs.append(argv) or subprocess.CompletedProcess(argv, 0)
    )
    monkeypatch.setattr(sys, "argv", ["parts.py", "quick"])

    status = parts.main()

    told = capsys.readouterr().out
    assert status == 0
    assert smoke in runs[-1]
    assert (["lab/lab", "install"] in runs) is (user == 0)
    assert "quick: passed in " in told
    assert "  lab                  15 min  the namespace lab" in told
    assert "make test-lab\n" in told
    assert "make test-part PART=vm-faults\n" in told
    assert told.endswith("all of it: make test-all\n")
    assert ("sudo make test" in told) is (user != 0)
    assert max(map(len, told.splitlines())) <= 80


def test_a_run_that_fails_is_told_and_the_others_are_run(monkeypatch, capsys):
    """Its exit status is that of pytest, the part's 1."""
    ends = iter([1, 0])
    monkeypatch.setattr(parts.os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        parts.subprocess,
        "run",
        lambda argv, **_: subprocess.CompletedProcess(argv, 0 if argv[0] == "lab/lab" else next(ends)),
    )
    monkeypatch.setattr(sys, "argv", ["parts.py", "lab"])

    assert parts.main() == 1
    assert "lab: failed, pytest ended with 1 in 0 s" in capsys.readouterr().out
    assert next(ends, None) is None


@pytest.mark.parametrize(
    ("words", "user", "said"), [(["nothing"], 0, "no such part: nothing"), (["lab"], 1000, "lab needs root")]
)
def test_wrong_use_is_told(monkeypatch, capsys, words, user, said):
    """Nothing is run, and the exit status is 2."""
    monkeypatch.setattr(parts.os, "geteuid", lambda: user)
    monkeypatch.setattr(parts.subprocess, "run", lambda *_, **__: pytest.fail("it ran"))
    monkeypatch.setattr(sys, "argv", ["parts.py", *words])

    with pytest.raises(SystemExit) as end:
        parts.main()

    assert end.value.code == 2
    assert said in capsys.readouterr().err
