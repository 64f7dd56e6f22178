"""``sigsrv demo``: judges the shipped evidence of a real two-host cluster; needs no host."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sigsrv.commands.options import add_policies
from sigsrv.commands.scan import show
from sigsrv.commands.terminal import COMPLIANT, FINDINGS
from sigsrv.model import data
from sigsrv.report import publish
from sigsrv.scan import scan
from sigsrv.scan.options import DEMO, Options
from sigsrv.scan.plan import prepare


def configure(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = (
        "Judges the shipped evidence of a real two-host cluster as a scan would, and\nwrites the report. Needs no host."
    )
    parser.epilog = "exit status: 0 the verdicts are those recorded with the evidence, 1 they differ"
    add_policies(parser)
    parser.add_argument("--report-dir", metavar="DIR", help="where runs are written")
    parser.set_defaults(call=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    """Judge the shipped evidence; hold the verdicts against those that were recorded with it."""
    plan = prepare(Options(evidence=DEMO, policies=tuple(arguments.policies)))
    run, _ = scan.scan(plan)
    path = publish.publish(run, plan.policies, Path(arguments.report_dir) if arguments.report_dir else None)
    show(run, path)
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
