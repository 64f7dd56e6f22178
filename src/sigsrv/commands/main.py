"""The command ``sigsrv``: a table of its subcommands. Each is a file, imported when it is called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from sigsrv import __version__
from sigsrv.commands.subcommands import add_subcommands
from sigsrv.commands.terminal import SCAN_STATUS, run_command

_COMMANDS = {
    "scan": "scan the hosts and write the report; quiet where all is well",
    "pytest": "the same as pytest tests, one for each policy and host",
    "init": "draft a site file from what live hosts tell",
    "waive": "accept a failure of the latest run, for a reason, until a time",
    "policies": "the policies: list, lint, test, try and docs",
    "explain": "one policy: why, how it is looked at, how it is fixed",
    "probes": "what a scan runs on a host, exactly; or the sudoers file for it",
    "demo": "judge the shipped evidence of a real cluster; needs no host",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sigsrv",
        description="Looks at the hosts of an Incus cluster and tells what does not hold.\nChanges nothing on a host.",
        epilog=f"{SCAN_STATUS}\nexample: sigsrv scan --hosts sigsrv,minisrv\nto put a finding right: sigsrv-remediate",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sigsrv {__version__}")
    add_subcommands(parser, _COMMANDS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command ``sigsrv``. Returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command("sigsrv", lambda: _call(words))


def _call(words: Sequence[str]) -> int:
    if words[:1] == ["pytest"] and words[1:2] not in (["-h"], ["--help"]):  # its arguments are pytest's own
        from sigsrv.commands import pytest  # it imports pytest itself

        return pytest.run(words[1:])
    arguments = _parser().parse_args(words)
    call: Callable[[argparse.Namespace], int] = arguments.call
    return call(arguments)
