"""``sigsrv probes``: what a scan runs on a host, exactly; or the sudoers file for it."""

from __future__ import annotations

import argparse

from sigsrv.commands import privileges
from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare


def configure(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = (
        "Prints what a scan of the site runs on a host and asks of its Incus daemon; or,\n"
        "for an account without rights of its own, the sudoers file that allows exactly\nthat."
    )
    parser.epilog = "exit status: 0 printed, 2 wrong use\nexample: sigsrv probes --sudoers audit"
    parser.add_argument("--site", metavar="FILE", help="the site file, found as by scan")
    add_policies(parser)
    parser.add_argument("--sudoers", metavar="USER", help="print the sudoers file for this account")
    parser.add_argument(
        "--incus", metavar="PATH", default="/usr/bin/incus", help="the client on the hosts; default: /usr/bin/incus"
    )
    parser.add_argument("--probe", action="store_true", help="print the scripts that a scan with --probe runs as root")
    parser.set_defaults(call=_probes)


def _probes(arguments: argparse.Namespace) -> int:
    """What a scan runs on a host; as a table, or as a sudoers file."""
    if arguments.probe:
        print(privileges.scripts(), end="")
        return COMPLIANT
    site = prepare(Options(site=arguments.site, policies=tuple(arguments.policies))).site
    print(
        privileges.sudoers(site, arguments.sudoers, arguments.incus) if arguments.sudoers else privileges.table(site),
        end="",
    )
    return COMPLIANT
