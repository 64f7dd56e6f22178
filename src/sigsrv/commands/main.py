"""The command ``sigsrv``: the table of its subcommands. Each one is a file that is imported when it is called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from sigsrv import __version__
from sigsrv.commands.subcommands import add_subcommands
from sigsrv.commands.terminal import SCAN_STATUS, USAGE, run_command
from sigsrv.model.errors import UsageError, nearest

_COMMANDS = {
    "scan": "scan the hosts and write the report; silent if compliant",
    "pytest": "run the policies as pytest tests, one per policy and host",
    "init": "draft a site file from live hosts",
    "waive": "accept a failure of the newest complete run for a while",
    "policies": "list, lint, test, try, knock out or document the policies",
    "explain": "explain one policy: reason, check and fix",
    "facts": "print what checks can look at, with values from saved evidence",
    "probes": "print what a scan runs on a host, or a sudoers file for it",
    "demo": "scan the shipped evidence of a real cluster; needs no host",
}
# What a user may look for here and not find: another command does it.
_OF_REMEDIATE = ("remediate", "fix", "apply", "undo", "history", "rollback")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sigsrv",
        description="Check the hosts of an Incus cluster against policies and report what fails.\nChanges nothing on a host.",
        epilog=f"{SCAN_STATUS}\nexample: sigsrv scan --hosts sigsrv,minisrv\nto fix a finding: sigsrv-remediate",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sigsrv {__version__}")
    add_subcommands(parser, _COMMANDS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command ``sigsrv``. Return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command("sigsrv", lambda: _call(words))


def _call(words: Sequence[str]) -> int:
    if words[:1] == ["pytest"] and words[1:2] not in (["-h"], ["--help"]):  # pytest parses its arguments
        from sigsrv.commands import pytest  # imports pytest, so only here

        return pytest.run(words[1:])
    parser = _parser()
    if not words:
        parser.print_help(sys.stderr)
        return USAGE
    if not words[0].startswith("-") and words[0] not in _COMMANDS:
        hint = "to fix a finding: sigsrv-remediate" if words[0] in _OF_REMEDIATE else nearest(words[0], _COMMANDS)
        raise UsageError(f'sigsrv has no command "{words[0]}"', hint)
    arguments = parser.parse_args(words)
    call: Callable[[argparse.Namespace], int] = arguments.call
    return call(arguments)
