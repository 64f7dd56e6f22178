"""Finds the run that a command is about: the newest complete run of this site, whatever runs came after it.

A run is a part if it has not all policies, or not all hosts of the site. A run of saved evidence, and the demo, say nothing about the
hosts of today. Such a run never hides a complete run of live hosts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sigsrv.model import data, ids, textfile, trusted
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Run
from sigsrv.model.site import Site
from sigsrv.report import phrases
from sigsrv.scan.options import DEMO

LATEST = "latest"
FINDINGS = "findings.json"
LIMIT_BYTES = 2**28  # 100,000 findings have a sixth of this
_NEWEST = 50  # runs of a folder that are read, at most


@dataclass(frozen=True)
class SavedRun:
    """The ``findings.json`` of a run. folder: the folder of the run. Runs that an older sigsrv wrote have no site file."""

    folder: Path
    id: str
    site: str
    site_file: str
    finished: str
    hosts: frozenset[str]
    selected: str
    evidence: str
    findings: Sequence[Mapping[str, Any]] = field(repr=False)

    def covers(self, site: Site) -> bool:
        """Return whether the run has all policies and all hosts of a site."""
        return not self.selected and self.hosts >= {host.name for host in site.hosts}

    def is_of(self, site: Site) -> bool:
        """Return whether the run is of a site: of the same name, and from the same file."""
        return (
            self.site == site.name and self.evidence != DEMO and (not self.site_file or _is_same(self.site_file, site))
        )

    def kind(self, site: Site | None = None) -> str:
        """Return what the run is, as the rest of a sentence: ``a part: 1 of 74 policies``; "" for a complete run of live hosts."""
        unscanned = sorted({host.name for host in site.hosts} - self.hosts) if site else []
        return _kind(self.evidence, self.selected or (f"without {', '.join(unscanned)}" if unscanned else ""))

    @property
    def text(self) -> str:
        """Return the run, its site and its time."""
        return f"{self.id} of {self.site}, {phrases.readable_time(self.finished)}"


@dataclass(frozen=True)
class Chosen:
    """The run that a command uses. newer: the newer runs of the same site, which are parts or of saved evidence; newest first."""

    run: SavedRun
    newer: tuple[SavedRun, ...]


def _kind(evidence: str, part: str) -> str:
    if evidence == DEMO:
        return "the demo"
    kinds = [f"a part: {part}"] if part else []
    return "; ".join([*kinds, f"of saved evidence: {evidence}"] if evidence else kinds)


def _rank(evidence: str, part: str) -> int:
    """Return how much ``latest`` prefers a run: 3 for a complete run of live hosts, 2 for one of saved evidence, a part, the demo."""
    if evidence == DEMO:
        return 0
    return 1 if part else 2 if evidence else 3


def _is_same(file: str, site: Site) -> bool:
    if site.path is None or file == str(site.path.absolute()):
        return True
    with suppress(OSError):
        return site.path.samefile(file)
    return False


def read(file: Path) -> SavedRun:
    """Return a run from its ``findings.json``. Raises UsageError if the file is not the findings of a run, or not trusted."""
    check(file)
    return _content(file)


def _content(file: Path) -> SavedRun:
    content = textfile.read_json(file, LIMIT_BYTES)
    try:
        run, findings = content["run"], content["findings"]
        texts = [run.get(key) or "" for key in ("id", "site", "site_file", "finished", "selected", "evidence")]
        hosts = frozenset(host["name"] for host in run["hosts"])
        is_right = all(isinstance(each, str) for each in (*texts, *hosts, *(row["id"] for row in findings)))
    except (TypeError, KeyError, AttributeError):
        is_right = False
    if not is_right:
        raise UsageError(f"{file}: not the findings of a scan", "name a findings.json that sigsrv scan wrote")
    found, site, site_file, finished, selected, evidence = texts
    if "evidence" not in run and site == DEMO:
        evidence = DEMO  # an older sigsrv did not write it
    return SavedRun(file.parent, found, site, site_file, finished, hosts, selected, evidence, findings)


def check(file: Path) -> None:
    """Raise UsageError if another account may have written a file of a run."""
    with suppress(OSError):  # the reader of the file reports it
        trusted.check_file(file)


def newest(root: Path) -> Iterator[SavedRun]:
    """Yield the runs of a folder, newest first: the newest 50 and the one that ``latest`` points to. Skips what is no run.

    Raises UsageError for a run that is not trusted.
    """
    names = [name for name in _names(root) if ids.is_run_id(name)]
    latest = linked(root)
    for name in dict.fromkeys([*sorted(names, reverse=True)[:_NEWEST], *([latest] if latest else [])]):
        file = root / name / FINDINGS
        check(file)
        with suppress(UsageError):
            yield _content(file)


def _names(root: Path) -> list[str]:
    try:
        trusted.folder(root)
        return [path.name for path in root.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as cause:
        raise UsageError(f"{root}: {cause.strerror}") from cause


def linked(root: Path) -> str | None:
    """Return the name of the folder that ``latest`` points to; None if there is no such link."""
    with suppress(OSError):
        return (root / LATEST).readlink().name or None
    return None


def keeps_latest(root: Path, run: Run) -> bool:
    """Return whether ``latest`` stays where it is, because it points to a run that is worth more than a new one."""
    name = linked(root)
    if name is not None:
        with suppress(UsageError):
            current = read(root / name / FINDINGS)
            return _rank(current.evidence, current.selected) > _rank(run.evidence, run.selected)
    return False


def kind_of(run: Run) -> str:
    """Return what a new run is, as ``SavedRun.kind``."""
    return _kind(run.evidence, run.selected)


def choose(out: Path | None, site: Site) -> Chosen:
    """Return the newest complete run of a site; else its newest complete run of saved evidence; else its newest part.

    out: the folder of the runs. Raises UsageError if there is no run of this site.
    """
    root = out or data.output_folder()
    mine: list[SavedRun] = []
    others: list[SavedRun] = []
    for run in newest(root):
        (mine if run.is_of(site) else others).append(run)
        if run.is_of(site) and not run.kind(site):
            return Chosen(run, tuple(mine[:-1]))
    if mine:
        best = next((run for run in mine if run.covers(site)), mine[0])
        return Chosen(best, tuple(mine[: mine.index(best)]))
    if others:
        other = others[0].kind() if others[0].evidence == DEMO else f"of site {others[0].site}"
        where = f" ({others[0].site_file})" if others[0].site_file and others[0].evidence != DEMO else ""
        raise UsageError(
            f"{root}: no run of site {site.name} ({site.path}); the newest run {others[0].id} is {other}{where}",
            "run a scan first: sigsrv scan",
        )
    raise UsageError(f"{root}: no run yet", "run a scan first: sigsrv scan")


def note(run: Run, site: Site, out: Path | None) -> str:
    """Return a line about a new run that is a part, the demo or of saved evidence; "" for a complete run of live hosts."""
    kind = kind_of(run)
    if not kind:
        return ""
    root = out or data.output_folder()
    found = next((each for each in newest(root) if each.is_of(site) and not each.kind(site)), None)
    if found:
        time = phrases.readable_time(found.finished)
        return f"this run is {kind}; the newest complete run: {found.id}, {time}"
    if run.evidence:
        return f"this run is {kind}"
    return f"this run is {kind}; the hosts of {site.name} have no complete run yet"
