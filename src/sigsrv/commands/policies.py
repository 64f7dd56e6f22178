"""``sigsrv policies``: work with the catalogue, without any host."""

from __future__ import annotations

import argparse

from sigsrv.commands.subcommands import add_subcommands

_COMMANDS = {
    "new": "write the first file of a policy",
    "forms": "describe the forms: how a policy can say what must be true",
    "list": "list the policies",
    "lint": "find mistakes in the files of policies",
    "test": "run the examples of the policies",
    "try": "judge your own cases: a change and the correct verdicts",
    "knockout": "damage saved evidence and see whether each pass falls",
    "docs": "print the policies as a Markdown page",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the subcommands of the group."""
    parser.description = "Show, write and test policies. Needs no host."
    parser.epilog = "exit status: as its subcommand\nexample: sigsrv policies list --severity high"
    add_subcommands(parser, _COMMANDS, "policies_")
