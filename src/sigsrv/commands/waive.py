"""``sigsrv waive``: accept a failure of the newest complete run. Writes owner, reason and end to the waiver file."""

from __future__ import annotations

import argparse
import getpass
import glob
import os
import pwd
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sigsrv.commands import old_state
from sigsrv.commands.options import REPORT_DIR, add_policies
from sigsrv.commands.terminal import COMPLIANT
from sigsrv.judge import catalogue
from sigsrv.model import site, site_file, waiver
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.finding import Verdict, finding_id, parse_finding_id
from sigsrv.report import phrases, runs
from sigsrv.report.runs import SavedRun

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_TIMES = "write 30d, 2026-12-31 or 2026-12-31T18:00:00+01:00"


def parse_until(text: str, now: datetime) -> datetime:
    """Parse ``--until``: a span from now (``12h``, ``30d``, ``4w``), a date (its end, local time), or a time with a time zone.

    Raises UsageError for any other text, and for a time in the past.
    """
    if span := re.fullmatch(r"(\d{1,4})([hdw])", text, re.ASCII):
        found = now + int(span[1]) * _UNITS[span[2]]
    elif re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        found = _here(_parsed(f"{text}T23:59:59"))
    else:
        found = _parsed(text)
        if found.tzinfo is None:
            zoned = _here(found)
            raise UsageError(
                f'--until: "{text}" has no time zone', f"in local time: {zoned.isoformat(timespec='seconds')}"
            )
    if found <= now:
        raise UsageError(f'--until: "{text}" is in the past', _TIMES)
    return found.replace(microsecond=0)


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as cause:
        raise UsageError(f'--until: "{text}" is not a time', _TIMES) from cause


def _here(when: datetime) -> datetime:
    """Add this machine's time zone to a time without one."""
    try:
        return when.astimezone()
    except (OverflowError, ValueError) as cause:
        raise UsageError(f"--until: {when.isoformat()} is out of range", _TIMES) from cause


def default_owner() -> str:
    """Return the user's name, also under sudo. Raises UsageError if this machine does not know it."""
    try:
        account = pwd.getpwnam(os.environ["SUDO_USER"]) if "SUDO_USER" in os.environ else pwd.getpwuid(os.getuid())
        return account.pw_gecos.partition(",")[0].strip() or account.pw_name
    except KeyError:
        try:
            return getpass.getuser()
        except (KeyError, OSError) as cause:
            raise UsageError("this machine does not know your name", "use --owner NAME") from cause


def _check(finding: str, run: SavedRun, desired: site.Site, replace: bool) -> None:
    """Raise UsageError if a finding can't be waived: it is not in the run, or it is not a failure there."""
    kind = run.kind(desired)
    latest = f"run {run.id} ({kind})" if kind else f"the newest complete run {run.id}"
    by_id = {row["id"]: row for row in run.findings}
    row = by_id.get(finding)
    if row is None:
        alike = [key for key in by_id if key.startswith(f"{finding.partition('@')[0]}@")]
        hint = nearest(finding, alike) if alike else "run sigsrv scan"
        raise UsageError(f"{finding}: {latest} has no such finding", f"{hint}; to waive it anyway: --force")
    if row["verdict"] == Verdict.WAIVED and not replace:
        given = row["waiver"]
        raise UsageError(
            f"{finding}: already waived by {given['owner']} until {phrases.readable_time(given['until'])} ({given['source']})",
            "to replace the waiver of exactly this finding, or to add one: --replace",
        )
    if row["verdict"] not in (Verdict.FAIL, Verdict.WAIVED):
        label = phrases.LABELS[Verdict(row["verdict"])]
        reason = f" ({row['reason']})" if row["reason"] else ""
        raise UsageError(
            f"{finding}: only a failure can be waived; its verdict in {latest}: {label}{reason}",
            "if that has changed, run sigsrv scan",
        )


def _exact(text: str) -> str:
    """Return a glob that matches only this text. Raises UsageError if the text has hidden characters."""
    if any(phrases.is_hidden(char) for char in text):
        raise UsageError(
            f"{text!r}: contains hidden characters", "write the waiver by hand, with ? for each hidden character"
        )
    return glob.escape(text)


def _waive(arguments: argparse.Namespace) -> int:
    old_state.move(old_state.RUNS)
    policies = catalogue.load(arguments.policies).policies
    desired = site_file.load(site_file.find(arguments.site), policies)
    parts = parse_finding_id(arguments.finding)
    finding = finding_id(*parts)
    if not arguments.force:
        out = Path(arguments.report_dir) if arguments.report_dir else None
        _check(finding, runs.choose(out, desired).run, desired, arguments.replace)
    elif parts[0] not in policies:
        raise UsageError(f"{finding}: there is no policy {parts[0]}", nearest(parts[0], policies))
    said = Said(arguments.reason, arguments.until, arguments.owner or "", arguments.waivers or "", arguments.replace)
    print("\n".join(write_waiver(finding, said, desired, policies)))
    return COMPLIANT


@dataclass(frozen=True)
class Said:
    """What a person says about a waiver. owner: "" for this person. file: "" for the waiver file beside the site file.

    replace: replace a waiver of the same finding.
    """

    reason: str
    until: str
    owner: str = ""
    file: str = ""
    replace: bool = False


def write_waiver(finding: str, said: Said, desired: site.Site, policies: Collection[str]) -> tuple[str, str]:
    """Write the waiver of one finding; return two lines about it. Raises UsageError; then the file stays unchanged."""
    from sigsrv.commands import waiver_file  # imported here, so a scan does not load the YAML editor

    assert desired.path
    path = Path(said.file) if said.file else desired.path.with_name(waiver.FILE)
    now = datetime.now().astimezone().replace(microsecond=0)
    end = parse_until(said.until, now)
    if mistake := waiver.duration_error(end, now, desired.waivers_max_days):
        raise UsageError(f"--until: {mistake}", f"use at most {desired.waivers_max_days}d")
    entry = dict(zip(("policy", "host", "resource"), map(_exact, parse_finding_id(finding)), strict=True))
    for option, text in (("owner", said.owner or default_owner()), ("reason", said.reason)):
        entry[option] = " ".join(text.split())
        if not entry[option] or any(phrases.is_hidden(char) for char in entry[option]):
            raise UsageError(f"--{option}: {text!r} is empty or contains hidden characters")
    entry |= {"until": end.isoformat(), "created": now.isoformat()}
    written = waiver_file.write(path, entry, policies, desired.waivers_max_days, said.replace)
    return (
        phrases.visible(f"{finding}: waived {phrases.waiver_text(written)}"),
        phrases.visible(f"{written.source}: the next scan shows it as waived"),
    )


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = (
        "Accept a failure of the newest complete run of the site: write who accepts it,\n"
        "why and until when to the waiver file. Scans then show it as waived, with its\n"
        "real state, and as a failure again after that time. An undetermined finding\n"
        "can't be waived."
    )
    parser.epilog = (
        "exit status: 0 written, 2 wrong use (nothing was written)\n"
        'example: sigsrv waive INST-001@sigsrv/default/nfs --reason "NFS" --until 30d'
    )
    parser.add_argument("finding", help="id of the finding, from the report")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why it is accepted")
    parser.add_argument(
        "--until",
        required=True,
        metavar="TIME",
        help="end: 12h, 30d, 4w; a date (end of that day, local time); or a time with time zone",
    )
    parser.add_argument("--owner", metavar="NAME", help="who accepts it; default: your name on this machine")
    parser.add_argument("--replace", action="store_true", help="replace the waiver of this finding, if any")
    parser.add_argument("--force", action="store_true", help="waive it even if that run does not have this finding")
    parser.add_argument("--site", metavar="FILE", help="site file; default: as for scan")
    add_policies(parser)
    parser.add_argument(
        "--waivers", metavar="FILE", help="waiver file to write; default: waivers.yaml next to the site file"
    )
    parser.add_argument("--report-dir", metavar="DIR", help=REPORT_DIR)
    parser.set_defaults(call=_waive)
