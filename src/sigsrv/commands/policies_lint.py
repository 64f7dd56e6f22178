"""``sigsrv policies lint``: find mistakes in the files of policies, checks and remediations."""

from __future__ import annotations

import argparse
from pathlib import Path

from sigsrv.authoring import lint
from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT, FINDINGS, relative_path
from sigsrv.report import phrases


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = (
        "Read the files of policies, checks and remediations, and report every mistake\n"
        "with file and line: schema errors, broken references and missing parts."
    )
    parser.epilog = (
        "exit status: 0 no mistakes, 1 mistakes, 2 wrong use\n"
        "example: sigsrv policies lint --policies /etc/sigsrv/policies"
    )
    add_policies(parser)
    parser.set_defaults(call=_lint)


def _lint(arguments: argparse.Namespace) -> int:
    number, mistakes = lint.lint([Path(folder) for folder in arguments.policies])
    for mistake in mistakes:
        hint = f" ({mistake.hint})" if mistake.hint else ""
        print(phrases.visible(f"{relative_path(mistake.message)}{hint}"))
    if mistakes:
        return FINDINGS
    print(f"{phrases.count(number, 'policy', 'policies')}: no mistakes")
    return COMPLIANT
