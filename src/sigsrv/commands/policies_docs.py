"""``sigsrv policies docs``: print the catalogue as a Markdown page."""

from __future__ import annotations

import argparse

from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT
from sigsrv.judge import catalogue
from sigsrv.model import remediation
from sigsrv.report import policies


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = "Print the catalogue as a Markdown page, by family."
    parser.epilog = "exit status: 0 printed, 2 wrong use\nexample: sigsrv policies docs > policies.md"
    add_policies(parser)
    parser.set_defaults(call=_docs)


def _docs(arguments: argparse.Namespace) -> int:
    found = list(catalogue.load(arguments.policies).policies.values())
    print(policies.markdown_page(found, remediation.load()), end="")
    return COMPLIANT
