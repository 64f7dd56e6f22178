"""``sigsrv probes``: print what a scan runs on a host, or a sudoers file or a NixOS module for it."""

from __future__ import annotations

import argparse

from sigsrv.commands import privileges, privileges_nix
from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT
from sigsrv.model.errors import UsageError
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = (
        "Print the commands that a scan runs on a host and its requests to the Incus\n"
        "daemon; or a sudoers file that allows an unprivileged account exactly these."
    )
    parser.epilog = "exit status: 0 printed, 2 wrong use\nexample: sigsrv probes --sudoers audit"
    parser.add_argument("--site", metavar="FILE", help="site file; default: as for scan")
    add_policies(parser)
    parser.add_argument("--sudoers", metavar="USER", help="print a sudoers file for this account")
    parser.add_argument(
        "--remediate",
        action="store_true",
        help="with --sudoers: also allow what sigsrv-remediate runs; the account is then root in effect",
    )
    parser.add_argument(
        "--nix", action="store_true", help="with --sudoers: print a NixOS module, because NixOS has no /etc/sudoers.d"
    )
    parser.add_argument(
        "--incus",
        metavar="PATH",
        help=f"Incus client on the hosts; default: {privileges.DEBIAN_INCUS}; with --nix {privileges_nix.INCUS}",
    )
    parser.add_argument("--probe", action="store_true", help="print the scripts that a scan with --probe runs as root")
    parser.set_defaults(call=_probes)


def _probes(arguments: argparse.Namespace) -> int:
    """Print the table, the scripts of ``--probe``, the sudoers file, or the NixOS module."""
    for option in ("remediate", "nix"):
        if getattr(arguments, option) and not arguments.sudoers:
            raise UsageError(f"--{option} works only with --sudoers USER", f"sigsrv probes --sudoers USER --{option}")
    if arguments.probe:
        print(privileges.scripts(), end="")
        return COMPLIANT
    site = prepare(Options(site=arguments.site, policies=tuple(arguments.policies))).site
    if not arguments.sudoers:
        print(privileges.table(site), end="")
        return COMPLIANT
    if arguments.nix:
        incus = arguments.incus or privileges_nix.INCUS
        print(privileges_nix.module(site, arguments.sudoers, incus, arguments.remediate), end="")
        return COMPLIANT
    print(privileges.sudoers(site, arguments.sudoers, arguments.incus or privileges.DEBIAN_INCUS), end="")
    if arguments.remediate:
        print(f"\n{privileges.remediation_sudoers(arguments.sudoers)}", end="")
    return COMPLIANT
