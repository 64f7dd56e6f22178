"""terminal: what both commands share: how a mistake is told, which options say how hosts are reached, the exit statuses.

Room: below the entry points.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from sigsrv import scan
from sigsrv.errors import UsageError
from sigsrv.finding import Severity
from sigsrv.report import words
from sigsrv.selecting import OPTIONS, Wanted

COMPLIANT, FINDINGS, USAGE, UNKNOWN, FAILED = 0, 1, 2, 3, 4
INTERRUPTED = 130


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


def wanted_of(arguments: argparse.Namespace) -> Wanted:
    """What was selected by a command's arguments."""
    return Wanted(**{name: vars(arguments).get(name) for name, _, _ in OPTIONS})


def options_of(arguments: argparse.Namespace) -> scan.Options:
    """The options of a scan, from a command's arguments."""
    given = vars(arguments)
    return scan.Options(
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
        wanted=wanted_of(arguments),
        waivers=given.get("waivers"),
        probe=given.get("probe", False),
    )


def run_command(command: str, call: Callable[[], int]) -> int:
    """Run a command to its exit status. A bug of ours is unknown (3) with its traceback, never 1, which means findings."""
    end_on_signals()
    try:
        status = call()
        sys.stdout.flush()
    except UsageError as cause:
        return complain(command, cause)
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # who read us has gone: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNKNOWN
    except Exception:
        traceback.print_exc()
        print(f"{command}: error: this is a bug of sigsrv; nothing is known of what it was to say", file=sys.stderr)
        return UNKNOWN
    return status


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end us as Ctrl-C does: what is open on the hosts is closed on the way out."""

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
