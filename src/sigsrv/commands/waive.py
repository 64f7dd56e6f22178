"""``sigsrv waive``. A failure of the latest run is accepted: by whom, why, until when; written into the file of waivers."""

from __future__ import annotations

import argparse
import getpass
import glob
import os
import pwd
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT
from sigsrv.judge import catalogue
from sigsrv.model import site, site_file, waiver
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.finding import Verdict, finding_id, parse_finding_id
from sigsrv.report import phrases, publish

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_TIMES = "30d, 2026-12-31, or 2026-12-31T18:00:00+01:00"


def until(text: str, now: datetime) -> datetime:
    """The time that a user means: from now on (``12h``, ``30d``, ``4w``), the end of a day here, or a time with its zone.

    Raises UsageError for any other text, and for what is past.
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
                f'--until: "{text}" has no time zone', f"{zoned.isoformat(timespec='seconds')} is that time here"
            )
    if found <= now:
        raise UsageError(f'--until: "{text}" is past', _TIMES)
    return found.replace(microsecond=0)


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as cause:
        raise UsageError(f'--until: "{text}" is no time', _TIMES) from cause


def _here(when: datetime) -> datetime:
    """A time without a zone in the zone of this machine."""
    try:
        return when.astimezone()
    except (OverflowError, ValueError) as cause:
        raise UsageError(f"--until: {when.isoformat()} is no time of the calendar", _TIMES) from cause


def default_owner() -> str:
    """The name of who types: of the one behind sudo, too. Raises UsageError where this machine does not know it."""
    try:
        account = pwd.getpwnam(os.environ["SUDO_USER"]) if "SUDO_USER" in os.environ else pwd.getpwuid(os.getuid())
        return account.pw_gecos.partition(",")[0].strip() or account.pw_name
    except KeyError:
        try:
            return getpass.getuser()
        except (KeyError, OSError) as cause:
            raise UsageError("this machine does not know your name", "--owner NAME") from cause


def _check(finding: str, latest: Mapping[str, Any], desired: site.Site, replace: bool) -> None:
    """Refuse what can't be waived. Raises UsageError: not in the latest run, or no failure there."""
    run = latest["run"]
    if run["site"] != desired.name:
        raise UsageError(
            f"run {run['id']}, the latest, is of site {run['site']}, and {desired.path} is site {desired.name}",
            "sigsrv scan, or the site file of that run with --site",
        )
    by_id = {row["id"]: row for row in latest["findings"]}
    row = by_id.get(finding)
    if row is None:
        alike = [key for key in by_id if key.startswith(f"{finding.partition('@')[0]}@")]
        hint = nearest(finding, alike) if alike else "sigsrv scan"
        raise UsageError(
            f"{finding}: run {run['id']}, the latest, has no such finding", f"{hint}; --force waives it all the same"
        )
    if row["verdict"] == Verdict.WAIVED and not replace:
        given = row["waiver"]
        raise UsageError(
            f"{finding}: is waived already, by {given['owner']} until {phrases.moment(given['until'])} ({given['source']})",
            "--replace writes a waiver of this finding in the place of the one it has, if any",
        )
    if row["verdict"] not in (Verdict.FAIL, Verdict.WAIVED):
        label = phrases.LABELS[Verdict(row["verdict"])]
        reason = f" ({row['reason']})" if row["reason"] else ""
        raise UsageError(
            f"{finding}: only a failure can be waived, and in run {run['id']}, the latest, this is: {label}{reason}",
            "sigsrv scan, where that has changed",
        )


def _exact(text: str) -> str:
    """The pattern of one text alone. Raises UsageError where a person could not read in the file what it is."""
    if any(phrases.is_hidden(char) for char in text):
        raise UsageError(
            f"{text!r}: has characters that can't be seen", "write a waiver by hand, with ? for each of them"
        )
    return glob.escape(text)


def _waive(arguments: argparse.Namespace) -> int:
    from sigsrv.commands import waiver_file  # only here: a scan need not load the editor

    policies = catalogue.load(arguments.policies).policies
    desired = site_file.load(site_file.find(arguments.site), policies)
    assert desired.path
    path = Path(arguments.waivers) if arguments.waivers else desired.path.with_name(waiver.FILE)
    parts = parse_finding_id(arguments.finding)
    finding = finding_id(*parts)
    if not arguments.force:
        out = Path(arguments.report_dir) if arguments.report_dir else None
        _check(finding, publish.latest_findings(out), desired, arguments.replace)
    elif parts[0] not in policies:
        raise UsageError(f"{finding}: there is no policy {parts[0]}", nearest(parts[0], policies))
    now = datetime.now().astimezone().replace(microsecond=0)
    end = until(arguments.until, now)
    if mistake := waiver.duration_error(end, now, desired.waivers_max_days):
        raise UsageError(f"--until: {mistake}", f"at most {desired.waivers_max_days}d")
    entry = dict(zip(("policy", "host", "resource"), map(_exact, parts), strict=True))
    for option, text in (("owner", arguments.owner or default_owner()), ("reason", arguments.reason)):
        entry[option] = " ".join(text.split())
        if not entry[option] or any(phrases.is_hidden(char) for char in entry[option]):
            raise UsageError(f"--{option}: {text!r} is nothing that a person can read")
    entry |= {"until": end.isoformat(), "created": now.isoformat()}
    written = waiver_file.put(path, entry, policies, desired.waivers_max_days, arguments.replace)
    print(phrases.visible(f"{finding}: waived {phrases.acceptance(written)}"))
    print(phrases.visible(f"{written.source}: from the next scan on it is shown so"))
    return COMPLIANT


def configure(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = (
        "Accepts a failure of the latest run: writes who, why and until when into the\n"
        "file of waivers. Scans then show it as waived, with its real state; from that\n"
        "time on it fails again. What could not be determined can't be waived."
    )
    parser.epilog = (
        "exit status: 0 written, 2 wrong use; nothing was written\n"
        'example: sigsrv waive INST-001@sigsrv/default/nfs --reason "NFS" --until 30d'
    )
    parser.add_argument("finding", help="the finding's id, as the report has it")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why it is accepted")
    parser.add_argument(
        "--until",
        required=True,
        metavar="TIME",
        help="when it ends: 12h, 30d, 4w; a date (the end of that day here); or a date-time with its zone",
    )
    parser.add_argument("--owner", metavar="NAME", help="who accepts it; default: your name on this machine")
    parser.add_argument(
        "--replace", action="store_true", help="in the place of the waiver that the finding has, if any"
    )
    parser.add_argument("--force", action="store_true", help="also where the latest run does not have the finding")
    parser.add_argument("--site", metavar="FILE", help="the site file, found as by scan")
    add_policies(parser)
    parser.add_argument("--waivers", metavar="FILE", help="the file to write; else waivers.yaml beside the site file")
    parser.add_argument("--report-dir", metavar="DIR", help="where runs were written")
    parser.set_defaults(call=_waive)
