"""Subcommands that cost nothing until they are called: each is a file, imported when its arguments are parsed."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping
from typing import Any


class _Subcommand(argparse.ArgumentParser):
    """A parser that gets its description and options, by its file's ``configure``, when it is about to parse."""

    file = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        importlib.import_module(f"sigsrv.commands.{self.file}").configure(self)
        return super().parse_known_args(args, namespace)


def add_subcommands(parser: argparse.ArgumentParser, summaries: Mapping[str, str], prefix: str = "") -> None:
    """Give a parser its subcommands. summaries: name -> what it does, in a line; the file is ``prefix`` and that name."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Subcommand)
    for name, summary in summaries.items():
        command = commands.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        command.file = f"{prefix}{name}"
