"""Subcommands that are imported only when they are called."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from sigsrv.model.errors import UsageError, nearest


class _Subcommand(argparse.ArgumentParser):
    """A parser that calls ``configure`` of the subcommand's file just before it parses."""

    file = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        importlib.import_module(f"sigsrv.commands.{self.file}").configure(self)
        found, unknown = super().parse_known_args(args, namespace)
        refuse_unknown(self, unknown)
        return found, unknown


def refuse_unknown(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> None:
    """Raise UsageError for the first argument that a parser does not know."""
    if not unknown:
        return
    word = unknown[0].partition("=")[0]
    if not word.startswith("-"):
        raise UsageError(f'{parser.prog}: unexpected argument "{word}"', f"{parser.prog} --help")
    options = [option for option in parser._option_string_actions if option.startswith("--")]
    raise UsageError(f'{parser.prog}: there is no option "{word}"', nearest(word, options))


def add_subcommands(parser: argparse.ArgumentParser, summaries: Mapping[str, str], prefix: str = "") -> None:
    """Add subcommands to a parser. summaries: name -> one line of help. The file name is ``prefix`` and the name."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Subcommand)
    for name, summary in summaries.items():
        command = commands.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        command.file = f"{prefix}{name}"
