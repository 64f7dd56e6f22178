"""Tests how runs are stored: whole or not at all, never over another run, and with a lock of their own."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sigsrv.commands import scan
from sigsrv.model import data
from sigsrv.model.errors import UsageError
from sigsrv.report import publish, runs
from tests.report_sample import OK_HOSTS, make_run, ok

RUN = dataclasses.replace(make_run([ok()], OK_HOSTS), id="20260101T000000Z-0001")


def test_lock_is_private_whatever_the_umask(tmp_path):
    """Another account could otherwise hold it, and no scan would run."""
    before = os.umask(0)
    try:
        with scan.locked(tmp_path / "out"):
            (number,) = (tmp_path / "out" / ".lock").read_text().split()
    finally:
        os.umask(before)

    assert int(number) == os.getpid()
    assert (tmp_path / "out" / ".lock").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_second_lock_is_refused_and_keeps_the_file(tmp_path):
    """The file names the process that has the lock."""
    with scan.locked(tmp_path), pytest.raises(BlockingIOError), scan.locked(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_run_with_the_id_of_another_run_replaces_nothing(tmp_path):
    """The id has 16 random bits, and a clock may be set back."""
    path = publish.publish(RUN, {}, tmp_path)
    before = path.read_text()
    other = dataclasses.replace(RUN, site="another site")

    with pytest.raises(UsageError, match="cannot write the report: "):
        publish.publish(other, {}, tmp_path)

    assert path.read_text() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [RUN.id, "latest"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_run_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch, error):
    """Neither an empty folder nor a half of a run stays, and ``latest`` is the run before."""
    publish.publish(RUN, {}, tmp_path)

    def fail(path: Path, text: str) -> Path:
        path.write_text(text[: len(text) // 2])
        raise error

    monkeypatch.setattr(publish, "write_private", fail)
    with pytest.raises((KeyboardInterrupt, UsageError)):
        publish.publish(dataclasses.replace(RUN, id="20260101T000000Z-0002"), {}, tmp_path)

    assert sorted(each.name for each in tmp_path.iterdir()) == [RUN.id, "latest"]
    assert runs.linked(tmp_path) == RUN.id


def test_killed_scan_leaves_no_folder(tmp_path):
    """A scan that is killed while it makes the page has written nothing but its lock."""
    code = (
        "import sys, time\nfrom sigsrv.report import html\nfrom sigsrv.commands import main\n"
        f"html.render = lambda *_: (open({str(tmp_path / 'now')!r}, 'w').close(), time.sleep(60))\n"
        f"main.main(['scan', '--evidence', 'demo', '--report-dir', {str(tmp_path / 'out')!r}])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    end = time.monotonic() + 60
    while not (tmp_path / "now").exists() and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert [each.name for each in (tmp_path / "out").iterdir()] == [".lock"]


def test_everything_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """After a power cut, ``latest`` would otherwise lead to empty files."""
    synced: list[str] = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())), real(handle))
    )

    publish.publish(RUN, {}, tmp_path)

    names = [Path(each).name for each in synced]
    assert [name.split(".")[1] for name in names[:2]] == ["findings", "report"]
    assert names[2:] == [RUN.id, tmp_path.name]


def test_private_file_is_on_the_disk_before_it_replaces_another(tmp_path, monkeypatch):
    """Also evidence and site files."""
    order: list[str] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append((tmp_path / "file").read_text()), real(handle)))
    (tmp_path / "file").write_text("old")

    data.write_private(tmp_path / "file", "new")

    assert (order, (tmp_path / "file").read_text()) == (["old"], "new")


def test_runs_are_read_only_if_the_account_made_them(tmp_path):
    """In a folder that nobody else may write, it did."""
    publish.publish(RUN, {}, tmp_path)
    (found,) = runs.newest(tmp_path)
    assert found.id == RUN.id
    tmp_path.chmod(0o777)
    with pytest.raises(UsageError, match="can be written by other accounts"):
        list(runs.newest(tmp_path))
    tmp_path.chmod(0o700)
    (tmp_path / RUN.id / "findings.json").chmod(0o666)
    with pytest.raises(UsageError, match="can be written by other accounts"):
        list(runs.newest(tmp_path))
