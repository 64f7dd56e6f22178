"""Options that several commands share: site, policies, selection, and how to reach hosts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sigsrv.judge.selecting import OPTIONS, Filters
from sigsrv.model.finding import Severity
from sigsrv.scan.options import Options, seconds

Parser = argparse.ArgumentParser | argparse._ArgumentGroup  # a group takes options too
REPORT_DIR = "folder for the reports; default: reports/out in a checkout, else runs/ in the state directory"


def add_connection(parser: Parser) -> None:
    """Add the options for the site, and for reaching its hosts."""
    parser.add_argument(
        "--site",
        metavar="FILE",
        help="site file; default: $SIGSRV_SITE, policies/site.yaml of the checkout, /etc/sigsrv/site.yaml",
    )
    add_policies(parser)
    parser.add_argument("--waivers", metavar="FILE", help="waiver file; default: waivers.yaml next to the site file")
    add_login(parser)


def add_login(parser: Parser) -> None:
    """Add the options for reaching hosts."""
    parser.add_argument(
        "--ssh-config", metavar="FILE", help="OpenSSH configuration; default: the site's, else your own"
    )
    parser.add_argument("--ssh-identity-file", metavar="FILE", help="private key for the login")
    parser.add_argument("--connection", metavar="NAME", help="ssh (default), local, or another testinfra backend")
    parser.add_argument("--sudo", action="store_true", help="run the commands on hosts under sudo")
    parser.add_argument("--sudo-user", metavar="USER", help="target account of sudo; default: root")
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="S",
        help="seconds per host, at most a day; default: the site's value, else 15",
    )


def add_policies(parser: Parser) -> None:
    """Add the option for more folders of policies."""
    parser.add_argument(
        "--policies",
        metavar="DIR",
        action="append",
        default=[],
        help="more policies: a folder with <family>/<ID>.yaml and checks/test_*.py; repeatable",
    )


def add_selecting(parser: argparse.ArgumentParser, without: Sequence[str] = ()) -> None:
    """Add the options that select a part of the catalogue. without: options to leave out."""
    group = parser.add_argument_group(
        "selecting", None if without else "all policies are evaluated; the report contains only the selection"
    )
    for name, metavar, text in OPTIONS:
        if name not in without:
            choices = [severity.value for severity in Severity] if name == "severity" else None
            group.add_argument(f"--{name}", metavar=metavar, choices=choices, help=text)


def filters_of(arguments: argparse.Namespace) -> Filters:
    """Return the selection from the arguments of a command."""
    return Filters(**{name: vars(arguments).get(name) for name, _, _ in OPTIONS})


def options_of(arguments: argparse.Namespace) -> Options:
    """Return the options of a scan from the arguments of a command."""
    given = vars(arguments)
    return Options(
        hosts=given.get("hosts"),
        site=given.get("site"),
        connection=arguments.connection,
        ssh_config=arguments.ssh_config,
        identity_file=arguments.ssh_identity_file,
        sudo=arguments.sudo,
        sudo_user=arguments.sudo_user,
        timeout_s=arguments.timeout,
        evidence=given.get("evidence"),
        unverified=given.get("unverified", False),
        save=given.get("save"),
        policies=tuple(arguments.policies),
        filters=filters_of(arguments),
        waivers=given.get("waivers"),
        probe=given.get("probe", False),
    )
