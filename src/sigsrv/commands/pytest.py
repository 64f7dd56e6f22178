"""``sigsrv pytest``: the same as ``pytest checks`` in a checkout, for an installed sigsrv."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pytest

PLUGIN = "sigsrv.pytest_plugin.plugin"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description of the subcommand. pytest parses its arguments."""
    parser.usage = "sigsrv pytest [ARGUMENT ...]"
    parser.description = (
        'Run the policies as pytest tests, one per policy and host, like "pytest checks"\n'
        "in a checkout. Takes all arguments of pytest, and those that sigsrv adds.\n"
        "Without a path, it runs the shipped checks and those of --policies.\n"
        "To see all arguments: sigsrv pytest -q --help"
    )
    parser.epilog = (
        "exit status: 0 compliant, 1 findings or something undetermined, 4 wrong use,\n"
        "  5 nothing selected or nothing judged; others as for pytest\n"
        "example: sigsrv pytest --hosts=sigsrv,minisrv -m critical"
    )


def run(arguments: Sequence[str]) -> int:
    """Run pytest with sigsrv's plugin. Return its exit status."""
    return int(pytest.main(["-p", PLUGIN, "--shipped-checks", *arguments]))
