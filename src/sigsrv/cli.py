"""cli: the command ``sigsrv``. Parse, call, print.

Room: an entry point. What it prints on success a cron job stays silent about: ``scan`` says something only when there is something.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sigsrv import __version__, catalogue_cli, data, init_cli, privileges, publish, scan, waive_cli
from sigsrv.errors import UsageError
from sigsrv.finding import Run
from sigsrv.report import text
from sigsrv.terminal import (
    COMPLIANT,
    FINDINGS,
    UNKNOWN,
    add_connection,
    add_policies,
    add_selecting,
    options_of,
    run_command,
)

_STATUS = """\
exit status: 0 compliant, 1 findings, 2 wrong use, 3 something could not be
  read, or nothing was judged (wins over 1)"""


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
    plan = scan.prepare(options_of(arguments))
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
        _print(run, path)
    elif run.warnings:
        print(f"{text.quiet(run)}\nreport: {path}")
    return run.exit_code


def _print(run: Run, path: Path) -> None:
    print(text.summary(run, color=sys.stdout.isatty() and "NO_COLOR" not in os.environ), end="")
    print(f"\nreport: {path}")


def _demo(arguments: argparse.Namespace) -> int:
    """Judge the shipped evidence; hold the verdicts against those that were recorded with it."""
    plan = scan.prepare(scan.Options(evidence=scan.DEMO, policies=tuple(arguments.policies)))
    run, _ = scan.scan(plan)
    path = publish.publish(run, plan.policies, Path(arguments.report_dir) if arguments.report_dir else None)
    _print(run, path)
    recorded = json.loads((data.DEMO / "expected.json").read_text(encoding="utf-8"))
    shipped = [finding for finding in run.findings if plan.catalogue.is_shipped(finding.policy)]
    found = {finding.id: finding.verdict.value for finding in shipped}
    differing = sorted(key for key in recorded.keys() | found.keys() if recorded.get(key) != found.get(key))
    for key in differing:
        print(f"sigsrv: error: {key}: recorded {recorded.get(key)}, found {found.get(key)}", file=sys.stderr)
    if differing:
        return FINDINGS
    print(f"demo: the {len(found)} verdicts are those recorded with the evidence; its faults are there on purpose")
    return COMPLIANT


def _probes(arguments: argparse.Namespace) -> int:
    """What a scan runs on a host; as a table, or as a sudoers file."""
    if arguments.probe:
        print(privileges.scripts(), end="")
        return COMPLIANT
    site = scan.prepare(scan.Options(site=arguments.site, policies=tuple(arguments.policies))).site
    print(
        privileges.sudoers(site, arguments.sudoers, arguments.incus) if arguments.sudoers else privileges.table(site),
        end="",
    )
    return COMPLIANT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sigsrv",
        description="Looks at the hosts of an Incus cluster and tells what does not hold.\nChanges nothing on a host.",
        epilog=f"{_STATUS}\nexample: sigsrv scan --hosts sigsrv,minisrv\nto put a finding right: sigsrv-remediate",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sigsrv {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser(
        "scan",
        help="scan the hosts and write the report; quiet where all is well",
        description="Looks at the hosts and writes the report. Changes nothing on a host, unless\n"
        "--probe is given: that makes namespaces with a port in each bridge, as root, and\n"
        "takes them away again, as the host does by itself if we are killed.\n"
        "Quiet where all complies and no waiver needs a look, so that cron mails only\nwhat matters.",
        epilog=f"{_STATUS}\nexample: sigsrv scan --hosts sigsrv,minisrv",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("--hosts", metavar="HOST,...", help="hosts of the site; default: all")
    add_connection(one)
    add_selecting(one)
    one.add_argument("--evidence", metavar="DIR", help='judge saved evidence instead of hosts; "demo": the shipped one')
    one.add_argument(
        "--unverified", action="store_true", help="judge evidence although it was changed since it was saved"
    )
    one.add_argument("--save", metavar="DIR", help="keep the evidence there, for --evidence")
    one.add_argument(
        "--probe",
        action="store_true",
        help="also send frames between throw-away namespaces of the hosts (XHOST-004, ACL-006); needs root there",
    )
    one.add_argument("--report-dir", metavar="DIR", help="where runs are written")
    one.add_argument("-v", "--verbose", action="store_true", help="print the summary in any case")
    one.set_defaults(call=_scan)
    three = commands.add_parser(
        "probes",
        help="what a scan runs on a host, exactly; or the sudoers file for it",
        description="Prints what a scan of the site runs on a host and asks of its Incus daemon; or,\n"
        "for an account without rights of its own, the sudoers file that allows exactly\nthat.",
        epilog="exit status: 0 printed, 2 wrong use\nexample: sigsrv probes --sudoers audit",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    three.add_argument("--site", metavar="FILE", help="the site file, found as by scan")
    add_policies(three)
    three.add_argument("--sudoers", metavar="USER", help="print the sudoers file for this account")
    three.add_argument(
        "--incus", metavar="PATH", default="/usr/bin/incus", help="the client on the hosts; default: /usr/bin/incus"
    )
    three.add_argument("--probe", action="store_true", help="print the scripts that a scan with --probe runs as root")
    three.set_defaults(call=_probes)
    two = commands.add_parser(
        "demo",
        help="judge the shipped evidence of a real two-host cluster; needs no host",
        description="Judges the shipped evidence of a real two-host cluster as a scan would, and\nwrites the report. Needs no host.",
        epilog="exit status: 0 the verdicts are those recorded with the evidence, 1 they differ",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_policies(two)
    two.add_argument("--report-dir", metavar="DIR", help="where runs are written")
    two.set_defaults(call=_demo)
    catalogue_cli.add(commands)
    waive_cli.add(commands)
    init_cli.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``sigsrv``. Returns the exit status."""
    arguments = _parser().parse_args(argv)
    call: Callable[[argparse.Namespace], int] = arguments.call
    return run_command("sigsrv", lambda: call(arguments))
