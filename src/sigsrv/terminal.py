"""terminal: what both commands share: how a mistake is told, which options say how hosts are reached, the exit statuses.

Room: below the entry points.
"""

from __future__ import annotations

import argparse
import sys

from sigsrv import scan
from sigsrv.errors import UsageError
from sigsrv.report import words

COMPLIANT, FINDINGS, USAGE, UNKNOWN, FAILED = 0, 1, 2, 3, 4


def complain(command: str, error: UsageError) -> int:
    """Tell a user's mistake in one line and a hint; the exit status for it."""
    print(f"{command}: error: {words.visible(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"{command}: hint: {words.visible(error.hint)}", file=sys.stderr)
    return USAGE


def add_connection(parser: argparse.ArgumentParser) -> None:
    """The options that say which site, and how its hosts are reached."""
    parser.add_argument(
        "--site",
        metavar="FILE",
        help="the site file; else $SIGSRV_SITE, then policies/site.yaml of the checkout, then /etc/sigsrv/site.yaml",
    )
    parser.add_argument("--ssh-config", metavar="FILE", help="OpenSSH configuration; else the site's, else your own")
    parser.add_argument("--ssh-identity-file", metavar="FILE", help="the key to log in with")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds for each host; default: the site's, 15")


def options_of(arguments: argparse.Namespace, hosts: str | None = None, evidence: str | None = None) -> scan.Options:
    """The options of a scan, from a command's arguments."""
    return scan.Options(
        hosts=hosts,
        site=arguments.site,
        ssh_config=arguments.ssh_config,
        identity_file=arguments.ssh_identity_file,
        timeout_s=arguments.timeout,
        evidence=evidence,
    )
