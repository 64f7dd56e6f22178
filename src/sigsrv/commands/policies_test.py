"""``sigsrv policies test``: run the examples of the policies."""

from __future__ import annotations

import argparse
import time

from sigsrv.authoring import examples
from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT, FINDINGS
from sigsrv.judge import catalogue, selecting
from sigsrv.model import remediation
from sigsrv.report import phrases


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = "Run the examples of the policies: each must give the verdicts that it declares."
    parser.epilog = (
        "exit status: 0 all examples pass, 1 some fail, 2 wrong use\nexample: sigsrv policies test NET-001 'POOL-*'"
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="only these policies; globs allowed; default: all")
    add_policies(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="print a line for each policy")
    parser.set_defaults(call=_test)


def _test(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    found = catalogue.load(arguments.policies)
    globs = [glob.upper() for glob in arguments.ids] or ["*"]
    chosen = selecting.matching("policies test", globs, found.policies)
    every = list(found.policies.values())
    remediations = remediation.load()
    mistakes: list[str] = []
    number = 0
    for policy_id in sorted(chosen):
        each = found.policies[policy_id]
        wrong = examples.mistakes(each, every, found.checks, remediations)
        here = len(list(examples.each_example(each)))
        number += here
        mistakes += wrong
        if arguments.verbose:
            print(f"{policy_id}  {here:>3} examples  {f'{len(wrong)} failed' if wrong else 'ok'}")
    shipped = {policy_id for policy_id in chosen if found.is_shipped(policy_id)}
    mistakes += [line for line in examples.fails_as_it_stands(every, found.checks) if line.split(":")[0] in shipped]
    for mistake in mistakes:
        print(phrases.visible(mistake))
    totals = f"{phrases.count(len(chosen), 'policy', 'policies')}, {phrases.count(number, 'example')}"
    if mistakes:
        print(f"{totals}: {len(mistakes)} failed")
        return FINDINGS
    print(f"{totals}: all pass ({time.monotonic() - began:.1f} s)")
    return COMPLIANT
