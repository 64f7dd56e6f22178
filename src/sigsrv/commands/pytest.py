"""``sigsrv pytest``: what ``pytest checks`` is in a checkout, wherever sigsrv is installed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pytest

PLUGIN = "sigsrv.pytest_plugin.plugin"


def configure(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description; its arguments never come here."""
    parser.usage = "sigsrv pytest [ARGUMENT ...]"
    parser.description = (
        "Runs the policies as pytest tests, one for each policy and host: what\n"
        '"pytest checks" is in a checkout. All arguments are pytest\'s, with those that\n'
        "sigsrv adds. Without a path the checks that came with sigsrv run, and those of\n"
        "--policies. To see all arguments: sigsrv pytest -q --help"
    )
    parser.epilog = (
        "exit status: 0 compliant, 1 findings, or something unknown, 4 wrong use,\n"
        "  5 nothing selected, or nothing judged; others as pytest's\n"
        "example: sigsrv pytest --hosts=sigsrv,minisrv -m critical"
    )


def run(arguments: Sequence[str]) -> int:
    """Run pytest with sigsrv's plugin. Returns its exit status."""
    return int(pytest.main(["-p", PLUGIN, "--shipped-checks", *arguments]))
