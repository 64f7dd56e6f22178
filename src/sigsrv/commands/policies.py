"""``sigsrv policies``: the catalogue, without any host."""

from __future__ import annotations

import argparse

from sigsrv.commands.subcommands import add_subcommands

_COMMANDS = {
    "list": "a line for each policy",
    "lint": "every mistake in the files of the policies, with file and line",
    "test": "the policies' own examples",
    "try": "judge cases: a change, and the verdicts that are right",
    "docs": "the policies as a page of Markdown",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Give the group its description and its own subcommands."""
    parser.description = "Shows and tests the policies. Needs no host."
    parser.epilog = "exit status: that of its command\nexample: sigsrv policies list --severity high"
    add_subcommands(parser, _COMMANDS, "policies_")
