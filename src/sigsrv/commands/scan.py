"""``sigsrv scan``: asks the hosts and writes the report. Prints only where something does not hold, so that cron is quiet."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from sigsrv.commands.options import add_connection, add_selecting, options_of
from sigsrv.commands.terminal import SCAN_STATUS, UNKNOWN, color
from sigsrv.model import data
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Run
from sigsrv.report import publish, text
from sigsrv.scan import scan
from sigsrv.scan.plan import prepare


def configure(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = (
        "Looks at the hosts and writes the report. Changes nothing on a host, unless\n"
        "--probe is given: that makes namespaces with a port in each bridge, as root, and\n"
        "takes them away again, as the host does by itself if we are killed.\n"
        "Quiet where all complies and no waiver needs a look, so that cron mails only\nwhat matters."
    )
    parser.epilog = f"{SCAN_STATUS}\nexample: sigsrv scan --hosts sigsrv,minisrv"
    parser.add_argument("--hosts", metavar="HOST,...", help="hosts of the site; default: all")
    add_connection(parser)
    add_selecting(parser)
    parser.add_argument(
        "--evidence", metavar="DIR", help='judge saved evidence instead of hosts; "demo": the shipped one'
    )
    parser.add_argument(
        "--unverified", action="store_true", help="judge evidence although it was changed since it was saved"
    )
    parser.add_argument("--save", metavar="DIR", help="keep the evidence there, for --evidence")
    parser.add_argument(
        "--probe",
        action="store_true",
        help="also send frames between throw-away namespaces of the hosts (XHOST-004, ACL-006); needs root there",
    )
    parser.add_argument("--report-dir", metavar="DIR", help="where runs are written")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the summary in any case")
    parser.set_defaults(call=_scan)


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold the lock of an output folder. Raises BlockingIOError where another scan holds it; it is freed however we end."""
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (out / ".lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _scan(arguments: argparse.Namespace) -> int:
    out = Path(arguments.report_dir) if arguments.report_dir else data.output_folder()
    plan = prepare(options_of(arguments))
    try:
        with locked(out):
            run, _ = scan.scan(plan)
            path = publish.publish(run, plan.policies, out)
    except BlockingIOError:
        print(f"sigsrv: error: another scan is at work on {out}; nothing was scanned", file=sys.stderr)
        return UNKNOWN
    except OSError as cause:
        raise UsageError(f"{out}: {cause.strerror}", "name another folder with --report-dir") from cause
    if run.exit_code or arguments.verbose:
        show(run, path)
    elif run.warnings:
        print(f"{text.quiet(run)}\nreport: {path}")
    return run.exit_code


def show(run: Run, path: Path) -> None:
    """Print the summary of a run, and where its report is."""
    print(text.summary(run, color=color()), end="")
    print(f"\nreport: {path}")
