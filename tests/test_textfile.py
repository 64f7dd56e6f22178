"""Tests that a file that a user names may be anything, and that the answer is an error with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sigsrv.commands import remediate
from sigsrv.model import textfile
from sigsrv.model.errors import UsageError
from tests.called import sigsrv


def made(path: Path, kind: str) -> Path:
    """Make something that is no text file."""
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            return Path("/dev/zero")
        case "loop":
            path.symlink_to(path)
        case "large":
            with path.open("wb") as file:
                file.truncate(2**40)
        case "utf-16":
            path.write_text("version: 1\n", encoding="utf-16")
        case "latin-1":
            path.write_bytes(b"version: 1\nname: caf\xe9\n")
    return path


SAID = {
    "pipe": ": not a regular file",
    "folder": ": Is a directory",
    "device": ": not a regular file",
    "loop": ": Too many levels of symbolic links",
    "large": ": larger than 4 MiB",
    "utf-16": ":1: not UTF-8",
    "latin-1": ":2: not UTF-8",
    "nothing": ": No such file or directory",
}


@pytest.mark.parametrize("kind", SAID)
def test_what_is_no_text_file_is_refused(tmp_path, kind):
    """A pipe without a writer does not hang, and a terabyte is not read."""
    path = made(tmp_path / "file", kind)

    with pytest.raises(UsageError) as wrong:
        textfile.read(path)

    assert wrong.value.message.startswith(f"{path}{SAID[kind]}")


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "large"])
@pytest.mark.parametrize("option", ["--site", "--waivers", "--policies", "--evidence", "--from"])
def test_no_option_reads_what_is_no_text_file(tmp_path, capsys, kind, option):
    """Exit status 2 and a line, also for the files of a folder of policies or of evidence."""
    inside = {"--policies": "own/OWN-001.yaml", "--evidence": "evidence.json"}.get(option, "file.yaml")
    (tmp_path / inside).parent.mkdir(exist_ok=True)
    path = tmp_path / inside
    there = made(path, kind)
    if there != path:
        path.symlink_to(there)
    given = str(tmp_path if inside != "file.yaml" else path)
    if option == "--from":
        status = remediate.main(["--plan", option, given])
        err = capsys.readouterr().err
    else:
        evidence = () if option == "--evidence" else ("--evidence", "demo")
        done = sigsrv("scan", "--report-dir", str(tmp_path / "out"), *evidence, option, given)
        status, err = done.returncode, done.stderr

    assert (status, "Traceback" in err) == (2, False), err
    assert "error: " in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{\n", ":2: not JSON"),
        ("[" * 100_000, ": not JSON: nested too deeply"),
        (f'{{"run": {"9" * 5000}}}', ": not JSON: a number has too many digits"),
        ('{"run": {}, "findings": []}', ": not the findings of a scan"),
        ('{"run": 1, "findings": [{"id": 5, "verdict": "fail"}]}', ": not the findings of a scan"),
    ],
)
def test_from_refuses_what_no_scan_wrote(tmp_path, capsys, text, said):
    """``sigsrv-remediate --from`` says what is wrong with the file."""
    (tmp_path / "x.json").write_text(text)

    status = remediate.main(["--from", str(tmp_path / "x.json"), "--plan"])

    assert status == 2
    assert f"--from: {tmp_path}/x.json{said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "wrong"),
    [(option, wrong) for option in ("--timeout",) for wrong in ("0", "-3", "nan", "inf", "1e9", "86400.1", "text", "")],
)
def test_a_timeout_is_a_number_of_seconds_up_to_a_day(option, wrong, tmp_path):
    """Everything else is wrong use, for a scan, for a draft and for a fix, before any host is contacted."""
    for done in (
        sigsrv("scan", "--evidence", "demo", "--report-dir", str(tmp_path), option, wrong),
        sigsrv("init", "--evidence", "demo", option, wrong),
    ):
        assert (done.returncode, done.stdout) == (2, "")
        assert f'"{wrong}" is not a number of seconds' in done.stderr
    assert remediate.main(["--all", "--plan", option, wrong]) == 2
    assert list(tmp_path.iterdir()) == []
