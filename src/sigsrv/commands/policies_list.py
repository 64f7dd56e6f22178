"""``sigsrv policies list``: a line for each policy."""

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
    """Give the subcommand its description and its options."""
    parser.description = "Lists the policies by family: id, severity, what holds, and whether a script\nputs it right."
    parser.epilog = "exit status: 0 listed, 2 wrong use\nexample: sigsrv policies list --family net,acl --severity high"
    parser.add_argument("--format", choices=["table", "json"], default="table", help="table (the default) or json")
    parser.add_argument("--site", metavar="FILE", help="the site file whose profiles are known, found as by scan")
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
    """The policies that the options select. Only a profile needs the site, for it may be the site's own."""
    profiles: tuple[SiteProfile, ...] = ()
    if arguments.profile is not None and (path := _site_file(arguments.site)):
        profiles = site_file.load(path, found).profiles
    selection = selecting.choose(filters_of(arguments), found, profiles)
    return [each for each in found.values() if each.id in selection.policies]


def _site_file(option: str | None) -> Path | None:
    """The site file; None where none was named and none is there: then the shipped profiles are known."""
    try:
        return site_file.find(option)
    except UsageError:
        if option or os.environ.get("SIGSRV_SITE"):
            raise
        return None
