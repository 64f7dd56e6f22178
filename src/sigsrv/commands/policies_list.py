"""``sigsrv policies list``: list the policies."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path

from sigsrv.commands.options import add_policies, add_selecting, filters_of
from sigsrv.commands.terminal import COMPLIANT, color, width
from sigsrv.judge import selecting
from sigsrv.model import policy, site_file
from sigsrv.model.errors import UsageError
from sigsrv.model.policy import Policy
from sigsrv.model.site import SiteProfile
from sigsrv.report import policy_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = "List the policies by family: id, severity, title, and whether a script fixes it."
    parser.epilog = "exit status: 0 listed, 2 wrong use\nexample: sigsrv policies list --family net,acl --severity high"
    parser.add_argument("--format", choices=["table", "json"], default="table", help="table (default) or json")
    parser.add_argument("--site", metavar="FILE", help="site file with profiles; default: as for scan")
    add_policies(parser)
    add_selecting(parser, without=("project",))
    parser.set_defaults(call=_list)


def _list(arguments: argparse.Namespace) -> int:
    chosen = _selected(arguments, policy.load([Path(folder) for folder in arguments.policies]))
    if arguments.format == "json":
        print(json.dumps([policy_table.as_dict(each) for each in chosen], indent=1))
    else:
        print(policy_table.table(chosen, width(), color()), end="")
    return COMPLIANT


def _selected(arguments: argparse.Namespace, found: Mapping[str, Policy]) -> list[Policy]:
    """Return the selected policies. Only ``--profile`` needs the site file, which may define profiles."""
    profiles: tuple[SiteProfile, ...] = ()
    if arguments.profile is not None and (path := _site_file(arguments.site)):
        profiles = site_file.load(path, found).profiles
    selection = selecting.choose(filters_of(arguments), found, profiles)
    return [each for each in found.values() if each.id in selection.policies]


def _site_file(option: str | None) -> Path | None:
    """Return the site file; None if none is named and none exists. Then the shipped profiles apply."""
    try:
        return site_file.find(option)
    except UsageError:
        if option or os.environ.get("SIGSRV_SITE"):
            raise
        return None
