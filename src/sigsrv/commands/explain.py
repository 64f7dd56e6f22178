"""``sigsrv explain``: one policy, as a person reads it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT, color, near, width
from sigsrv.judge import catalogue
from sigsrv.judge.catalogue import Catalogue
from sigsrv.model import remediation
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.policy import Policy
from sigsrv.report import phrases, policies


def configure(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = (
        "Explains a policy: why it must hold, how it is looked at, what misleads, how it\n"
        "is fixed, and where it comes from."
    )
    parser.epilog = "exit status: 0 explained, 2 wrong use\nexample: sigsrv explain NET-001"
    parser.add_argument("id", metavar="ID", help="the policy's id; that of a finding does as well")
    add_policies(parser)
    parser.set_defaults(call=_explain)


def _explain(arguments: argparse.Namespace) -> int:
    found = catalogue.load(arguments.policies)
    wanted = arguments.id.partition("@")[0].upper()  # the id of a finding does as well
    if wanted not in found.policies:
        raise UsageError(f"there is no policy {phrases.visible(wanted)}", nearest(wanted, found.policies))
    each = found.policies[wanted]
    named = remediation.load().get(each.remediation) if each.remediation else None
    shown = replace(each, path=Path(near(str(each.path))))
    print(policies.explanation(shown, named, _looked(found, each), width(), color()), end="")
    return COMPLIANT


def _looked(found: Catalogue, policy: Policy) -> str:
    """How a check looks at a policy: what it says of itself, and where it stands."""
    check = found.checks.get(policy.id)
    if check is None:
        return "By nothing yet: it has neither a rule nor a check."
    said = " ".join((check.__doc__ or "").split())
    return f"{said} ({near(catalogue.check_location(check))})".strip()
