"""``sigsrv policies test``: the policies' own examples."""

from __future__ import annotations

import argparse
import time

from sigsrv.authoring import examples
from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT, FINDINGS
from sigsrv.judge import catalogue, selecting
from sigsrv.report import phrases


def configure(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = "Judges the examples of policies: each must give the verdicts that it says."
    parser.epilog = (
        "exit status: 0 all show what they say, 1 some do not, 2 wrong use\n"
        "example: sigsrv policies test NET-001 'POOL-*'"
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="only these policies, globs too; default: all")
    add_policies(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="print a line for each policy")
    parser.set_defaults(call=_test)


def _test(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    found = catalogue.load(arguments.policies)
    globs = [glob.upper() for glob in arguments.ids] or ["*"]
    chosen = selecting.matching("policies test", globs, found.policies)
    every = list(found.policies.values())
    faults: list[str] = []
    number = 0
    for policy_id in sorted(chosen):
        each = found.policies[policy_id]
        wrong = examples.faults(each, every, found.checks)
        here = len(list(examples.each_example(each)))
        number += here
        faults += wrong
        if arguments.verbose:
            print(f"{policy_id}  {here:>3} examples  {f'{len(wrong)} wrong' if wrong else 'ok'}")
    for fault in faults:
        print(phrases.visible(fault))
    said = f"{phrases.count(len(chosen), 'policy', 'policies')}, {phrases.count(number, 'example')}"
    if faults:
        print(f"{said}: {len(faults)} wrong")
        return FINDINGS
    print(f"{said}: all show what they say ({time.monotonic() - began:.1f} s)")
    return COMPLIANT
