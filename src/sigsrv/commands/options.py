"""The options that commands share: which site, which policies, and how hosts are reached."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sigsrv.judge.selecting import OPTIONS, Filters
from sigsrv.model.finding import Severity
from sigsrv.scan.options import Options


def add_connection(parser: argparse.ArgumentParser) -> None:
    """The options that say which site, and how its hosts are reached."""
    parser.add_argument(
        "--site",
        metavar="FILE",
        help="the site file; else $SIGSRV_SITE, then policies/site.yaml of the checkout, then /etc/sigsrv/site.yaml",
    )
    add_policies(parser)
    parser.add_argument("--waivers", metavar="FILE", help="the file of waivers; else waivers.yaml beside the site file")
    add_login(parser)


def add_login(parser: argparse.ArgumentParser) -> None:
    """The options that say how hosts are reached."""
    parser.add_argument("--ssh-config", metavar="FILE", help="OpenSSH configuration; else the site's, else your own")
    parser.add_argument("--ssh-identity-file", metavar="FILE", help="the key to log in with")
    parser.add_argument(
        "--connection", metavar="NAME", help="ssh (the default), local, or another backend of testinfra"
    )
    parser.add_argument("--sudo", action="store_true", help="run what is run on a host under sudo")
    parser.add_argument("--sudo-user", metavar="USER", help="the account that sudo changes to; default: root")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds for each host; default: the site's, 15")


def add_policies(parser: argparse.ArgumentParser) -> None:
    """The option that adds folders of policies."""
    parser.add_argument(
        "--policies",
        metavar="DIR",
        action="append",
        default=[],
        help="a folder of further policies, <family>/<ID>.yaml, and their checks, checks/test_*.py; repeatable",
    )


def add_selecting(parser: argparse.ArgumentParser, without: Sequence[str] = ()) -> None:
    """The options that select a part of the catalogue."""
    group = parser.add_argument_group(
        "selecting", None if without else "all is judged; what is not selected is left out"
    )
    for name, metavar, text in OPTIONS:
        if name not in without:
            choices = [severity.value for severity in Severity] if name == "severity" else None
            group.add_argument(f"--{name}", metavar=metavar, choices=choices, help=text)


def filters_of(arguments: argparse.Namespace) -> Filters:
    """What was selected by a command's arguments."""
    return Filters(**{name: vars(arguments).get(name) for name, _, _ in OPTIONS})


def options_of(arguments: argparse.Namespace) -> Options:
    """The options of a scan, from a command's arguments."""
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
