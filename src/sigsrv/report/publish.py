"""Writes the reports of a run to a folder of its own and points ``latest`` to it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sigsrv.model import data, remediation, trusted
from sigsrv.model.data import write_private
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Run, Verdict
from sigsrv.model.fix import Fix, fix_for
from sigsrv.model.policy import Policy
from sigsrv.report import html, runs
from sigsrv.report.runs import FINDINGS, LATEST


def fixes_of(run: Run) -> dict[str, Fix]:
    """Return the scripted fix of each failure that has one, by finding id. Waived findings get none."""
    remediations = remediation.load()
    reachable = [host.name for host in run.hosts if host.state != "unreachable"]
    somewhere = reachable[0] if reachable else run.hosts[0].name
    fixes = {}
    for finding in (each for each in run.findings if each.verdict is Verdict.FAIL):
        with suppress(UsageError):  # a user's own check may give no values: its finding stays, without a script
            if fix := fix_for(finding, remediations, somewhere):
                fixes[finding.id] = fix
    return fixes


def write(folder: Path, run: Run, policies: Mapping[str, Policy], fixes: Mapping[str, Fix]) -> Path:
    """Write ``findings.json`` and ``report.html`` to a folder; return the path of ``report.html``.

    fixes: by finding id. Scan results are private: a new folder gets mode 0700, the files get 0600. Each file is
    written completely or not at all.
    """
    return _write_files(folder, run, html.render(run, policies, fixes))


def _write_files(folder: Path, run: Run, page: str) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / FINDINGS, json.dumps(run.as_dict(), indent=1, sort_keys=True, ensure_ascii=True) + "\n")
    return write_private(folder / "report.html", page)


def _write_whole(folder: Path, run: Run, policies: Mapping[str, Policy]) -> Path:
    """Write the reports to a new folder; return the path of ``report.html``. A scan that is killed leaves no half of it.

    Raises OSError, also if there is a folder with content already.
    """
    page = html.render(run, policies, fixes_of(run))  # takes seconds in a big site: before it, nothing is written
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", ignore_cleanup_errors=True) as name:
        path = _write_files(Path(name) / folder.name, run, page)
        _sync(path.parent)
        path.parent.rename(folder)
    return folder / path.name


def _sync(folder: Path) -> None:
    """Write the names in a folder to the disk, so that they are there after a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish(run: Run, policies: Mapping[str, Policy], out: Path | None = None) -> Path:
    """Write the reports of a run to ``out/<run>/``. Return the path of the HTML report.

    ``out/latest`` then points to the run, unless it points to one that is worth more: a part does not replace a complete run (``runs``).
    Raises UsageError if the reports can't be written.
    """
    root = out or data.output_folder()
    try:
        trusted.folder(root, make=True)
        path = _write_whole(root / run.id, run, policies)
        if runs.keeps_latest(root, run):
            _sync(root)
            return path
        link = root / f".{LATEST}.{os.getpid()}"
        with suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to(run.id)
        link.replace(root / LATEST)
        _sync(root)
    except OSError as cause:
        raise _not_writable(root, cause) from cause
    return root / LATEST / path.name


def check_folder(out: Path | None) -> None:
    """Raise UsageError if the folder of the reports can't be written: a scan finds that out before it begins."""
    root = out or data.output_folder()
    try:
        trusted.folder(root, make=True)
        with tempfile.NamedTemporaryFile(dir=root, prefix=".writable."):
            pass
    except OSError as cause:
        raise _not_writable(root, cause) from cause


def _not_writable(root: Path, cause: OSError) -> UsageError:
    return UsageError(f"{root}: cannot write the report: {cause.strerror}", "use another folder: --report-dir DIR")
