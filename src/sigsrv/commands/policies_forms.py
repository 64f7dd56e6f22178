"""``sigsrv policies forms``: describe the forms of policies."""

from __future__ import annotations

import argparse
from pathlib import Path

from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT, width
from sigsrv.model import policy
from sigsrv.report import forms


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = (
        "Describe the forms: how a policy file says what must be true, without Python.\n"
        "With a name: each parameter of the form, its parts, and an example."
    )
    parser.epilog = "exit status: 0 shown, 2 wrong use\nexample: sigsrv policies forms keys"
    parser.add_argument("name", nargs="?", metavar="NAME", help="a form, or a part of one, such as clause")
    add_policies(parser)
    parser.set_defaults(call=_forms)


def _forms(arguments: argparse.Namespace) -> int:
    if arguments.name is None:
        print(forms.overview(width()), end="")
        return COMPLIANT
    found = policy.load([Path(folder) for folder in arguments.policies])
    print(forms.description(arguments.name.lower(), found.values(), width()), end="")
    return COMPLIANT
