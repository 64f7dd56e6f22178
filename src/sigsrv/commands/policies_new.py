"""``sigsrv policies new``: write the first file of a policy."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from sigsrv.authoring import first_policy
from sigsrv.commands.terminal import COMPLIANT, relative_path
from sigsrv.report import phrases

_FORMS = """\
forms:
  keys       configuration keys of a resource, whatever gives them their value
  devices    devices of an instance: which ones are allowed
  threshold  a number and a limit
  listed     a list, or a value that must be on a list
  joined     an entry of the site file, and the facts that belong to it
  rule       JSON Schema for the facts of one resource
sigsrv policies forms NAME describes a form."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = (
        "Write the first file of a policy, DIR/<family>/<ID>.yaml. It passes lint and its\n"
        "own examples as it is. Its comments say what to change. Never overwrites a file."
    )
    parser.epilog = (
        f"{_FORMS}\n\nexit status: 0 written, 2 wrong use\n"
        "example: sigsrv policies new SITE-001 --form keys --policies mine"
    )
    parser.add_argument("id", metavar="ID", help="the new ID: a family, a hyphen and a number, for example SITE-001")
    parser.add_argument(
        "--form", required=True, choices=first_policy.FORMS, metavar="FORM", help="how the policy judges, see below"
    )
    parser.add_argument("--examines", metavar="KIND", help="the kind of resource; default: the usual one of the form")
    parser.add_argument(
        "--policies", metavar="DIR", default="policies", help="folder of your policies; default: ./policies"
    )
    parser.set_defaults(call=_new)


def _new(arguments: argparse.Namespace) -> int:
    path = first_policy.write(arguments.id, arguments.form, arguments.examines, Path(arguments.policies))
    folder = shlex.quote(arguments.policies)
    lines = [
        relative_path(str(path)),
        "next: change it as its comments say, then:",
        f"  sigsrv policies lint --policies {folder}",
        f"  sigsrv policies test --policies {folder} {path.stem}",
    ]
    print(phrases.visible("\n".join(lines), keep="\n"))
    return COMPLIANT
