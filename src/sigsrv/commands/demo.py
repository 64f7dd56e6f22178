"""``sigsrv demo``: judge the shipped evidence of a real two-host cluster, without any host."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sigsrv.commands.options import REPORT_DIR, add_policies
from sigsrv.commands.scan import show
from sigsrv.commands.terminal import COMPLIANT, FINDINGS
from sigsrv.model import data
from sigsrv.report import publish
from sigsrv.scan import scan
from sigsrv.scan.options import DEMO, Options
from sigsrv.scan.plan import prepare


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = (
        "Scan the shipped evidence of a real two-host cluster and write the report. Needs\n"
        "no host. The cluster has faults on purpose."
    )
    parser.epilog = (
        "exit status: 0 the verdicts are as recorded, 1 some verdicts differ, 2 wrong use\n"
        "example: sigsrv demo --report-dir /tmp/report"
    )
    add_policies(parser)
    parser.add_argument("--report-dir", metavar="DIR", help=REPORT_DIR)
    parser.set_defaults(call=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    """Judge the shipped evidence and compare the verdicts with the recorded ones."""
    out = Path(arguments.report_dir) if arguments.report_dir else None
    plan = prepare(Options(evidence=DEMO, policies=tuple(arguments.policies)))
    publish.check_folder(out)
    run, _ = scan.scan(plan)
    path = publish.publish(run, plan.policies, out)
    show(run, path, plan.site, out)
    recorded = json.loads((data.DEMO / "expected.json").read_text(encoding="utf-8"))
    shipped = [finding for finding in run.findings if plan.catalogue.is_shipped(finding.policy)]
    found = {finding.id: finding.verdict.value for finding in shipped}
    differing = sorted(key for key in recorded.keys() | found.keys() if recorded.get(key) != found.get(key))
    for key in differing:
        print(f"sigsrv: error: {key}: expected {recorded.get(key)}, got {found.get(key)}", file=sys.stderr)
    if differing:
        return FINDINGS
    print(f"demo: all {len(found)} verdicts are as recorded; the failures are there on purpose")
    return COMPLIANT
