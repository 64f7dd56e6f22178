"""``sigsrv scan``: scan the hosts and write the report.

It prints only problems, so cron sends no mail about a compliant site.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from sigsrv.commands import old_state
from sigsrv.commands.options import REPORT_DIR, add_connection, add_selecting, options_of
from sigsrv.commands.terminal import SCAN_STATUS, UNKNOWN, color, width
from sigsrv.model import data, trusted
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Run
from sigsrv.model.site import Site
from sigsrv.report import phrases, publish, runs, text
from sigsrv.scan import scan
from sigsrv.scan.plan import prepare


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = (
        "Scan the hosts and write the report. Prints nothing if the site is compliant and\n"
        "no waiver needs a review, so cron sends mail only about problems.\n"
        "Changes nothing on a host, except with --probe: it creates namespaces with a\n"
        "port in each bridge, as root, and removes them afterwards. If sigsrv is killed,\n"
        "the host removes them by itself."
    )
    parser.epilog = f"{SCAN_STATUS}\nexample: sigsrv scan --hosts sigsrv,minisrv"
    parser.add_argument("--hosts", metavar="HOST,...", help="hosts of the site; default: all")
    add_connection(parser)
    add_selecting(parser)
    parser.add_argument(
        "--evidence", metavar="DIR", help='judge saved evidence instead of hosts; "demo": the shipped evidence'
    )
    parser.add_argument("--unverified", action="store_true", help="accept evidence that was changed after it was saved")
    parser.add_argument("--save", metavar="DIR", help="save the evidence in DIR, for --evidence")
    parser.add_argument(
        "--probe",
        action="store_true",
        help="also send frames between temporary namespaces on the hosts (XHOST-004, ACL-006); needs root there",
    )
    parser.add_argument("--report-dir", metavar="DIR", help=REPORT_DIR)
    parser.add_argument("-v", "--verbose", action="store_true", help="always print the summary")
    parser.set_defaults(call=_scan)


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Lock an output folder, which is made if it is missing. The kernel frees the lock if this process dies.

    Raises BlockingIOError if another scan has the lock, UsageError if the folder is not trusted, and OSError.
    """
    with os.fdopen(trusted.open_private(out / ".lock"), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _scan(arguments: argparse.Namespace) -> int:
    old_state.move(old_state.RUNS)
    out = Path(arguments.report_dir) if arguments.report_dir else data.output_folder()
    plan = prepare(options_of(arguments))
    try:
        with locked(out):
            run, _ = scan.scan(plan)
            path = publish.publish(run, plan.policies, out)
    except BlockingIOError:
        print(f"sigsrv: error: another scan is using {out}; nothing was scanned", file=sys.stderr)
        return UNKNOWN
    except OSError as cause:
        raise UsageError(f"{out}: {cause.strerror}", "use another folder: --report-dir DIR") from cause
    if run.exit_code or arguments.verbose:
        show(run, path, plan.site, out)
    elif run.warnings:
        print(text.warnings_only(run, width()))
        _show_report(run, path, plan.site, out)
    return run.exit_code


def show(run: Run, path: Path, site: Site, out: Path | None) -> None:
    """Print the summary of a run, the path of its report, and whether it is a part or the like. out: the folder of the runs."""
    print(text.summary(run, width(), color()))
    _show_report(run, path, site, out)


def _show_report(run: Run, path: Path, site: Site, out: Path | None) -> None:
    print(f"report: {path}")
    if line := runs.note(run, site, out):
        print(phrases.visible(line))
