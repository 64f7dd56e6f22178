"""``sigsrv policies lint``: every mistake in the files of the policies, with file and line."""

from __future__ import annotations

import argparse
from pathlib import Path

from sigsrv.authoring import lint
from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT, FINDINGS, near
from sigsrv.report import phrases


def configure(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = (
        "Reads the files of policies, checks and remediations and tells every mistake\n"
        "with file and line: what the schema refuses, what refers to nothing, what is\nmissing."
    )
    parser.epilog = (
        "exit status: 0 nothing is wrong, 1 mistakes, 2 wrong use\n"
        "example: sigsrv policies lint --policies /etc/sigsrv/policies"
    )
    add_policies(parser)
    parser.set_defaults(call=_lint)


def _lint(arguments: argparse.Namespace) -> int:
    number, mistakes = lint.lint([Path(folder) for folder in arguments.policies])
    for mistake in mistakes:
        hint = f" ({mistake.hint})" if mistake.hint else ""
        print(phrases.visible(f"{near(mistake.message)}{hint}"))
    if mistakes:
        return FINDINGS
    print(f"{phrases.count(number, 'policy', 'policies')}: nothing is wrong with the files")
    return COMPLIANT
