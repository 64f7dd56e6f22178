"""``sigsrv explain``: show one policy in full."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT, color, relative_path, width
from sigsrv.judge import catalogue
from sigsrv.judge.catalogue import Catalogue
from sigsrv.model import remediation
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.policy import Policy
from sigsrv.report import phrases, policies, policy_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = (
        "Explain one policy: why it matters, how it is checked, its traps, how to fix it,\nand its sources."
    )
    parser.epilog = "exit status: 0 shown, 2 wrong use\nexample: sigsrv explain NET-001"
    parser.add_argument(
        "id", metavar="ID", help="the id of a policy or of a finding; a word: lists the policies with it in their title"
    )
    add_policies(parser)
    parser.set_defaults(call=_explain)


def _explain(arguments: argparse.Namespace) -> int:
    found = catalogue.load(arguments.policies)
    wanted = arguments.id.partition("@")[0].upper()  # the id of a finding also works
    if wanted not in found.policies:
        if about := [each for each in found.policies.values() if arguments.id.lower() in each.title.lower()]:
            print(policy_table.table(about, width(), color()), end="")
            return COMPLIANT
        raise UsageError(f"there is no policy {phrases.visible(wanted)}", nearest(wanted, found.policies))
    each = found.policies[wanted]
    named = remediation.load().get(each.remediation) if each.remediation else None
    shown = replace(each, path=Path(relative_path(str(each.path))))
    print(policies.explanation(shown, named, _check_text(found, each), width(), color()), end="")
    return COMPLIANT


def _check_text(found: Catalogue, policy: Policy) -> str:
    """Return the docstring and the place of the check of a policy."""
    check = found.checks.get(policy.id)
    if check is None:
        return "Not checked yet: the policy has neither a rule nor a check."
    description = " ".join((check.__doc__ or "").split())
    return f"{description} ({relative_path(catalogue.check_location(check))})".strip()
