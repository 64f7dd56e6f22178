"""``sigsrv policies docs``: the catalogue as a page of Markdown."""

from __future__ import annotations

import argparse

from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT
from sigsrv.judge import catalogue
from sigsrv.model import remediation
from sigsrv.report import policies


def configure(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = "Prints the catalogue as a page of Markdown, by family."
    parser.epilog = "exit status: 0 printed, 2 wrong use\nexample: sigsrv policies docs > policies.md"
    add_policies(parser)
    parser.set_defaults(call=_docs)


def _docs(arguments: argparse.Namespace) -> int:
    found = list(catalogue.load(arguments.policies).policies.values())
    print(policies.page(found, remediation.load()), end="")
    return COMPLIANT
