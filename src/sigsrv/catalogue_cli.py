"""catalogue_cli: ``sigsrv policies list|lint|test|docs`` and ``sigsrv explain``: the catalogue, without any host.

Room: subcommands; parse, call, print.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sigsrv import catalogue, examples, lint, remediation, selecting, site
from sigsrv.catalogue import Catalogue
from sigsrv.errors import UsageError, nearest
from sigsrv.policy import Policy
from sigsrv.report import policies, words
from sigsrv.terminal import COMPLIANT, FINDINGS, add_policies, add_selecting, wanted_of

Commands = Any  # argparse's subparsers; their type has no public name


def _selected(arguments: argparse.Namespace, found: Catalogue) -> list[Policy]:
    """The policies that the options select. Only a profile needs the site, for it may be the site's own."""
    profiles: tuple[site.SiteProfile, ...] = ()
    if arguments.profile is not None and (path := _site_file(arguments.site)):
        profiles = site.load(path, found.policies).profiles
    selection = selecting.choose(wanted_of(arguments), found.policies, profiles)
    return [each for each in found.policies.values() if each.id in selection.policies]


def _site_file(option: str | None) -> Path | None:
    """The site file; None where none was named and none is there: then the shipped profiles are known."""
    try:
        return site.find(option)
    except UsageError:
        if option or os.environ.get("SIGSRV_SITE"):
            raise
        return None


def _list(arguments: argparse.Namespace) -> int:
    chosen = _selected(arguments, catalogue.load(arguments.policies))
    if arguments.format == "json":
        print(json.dumps([policies.as_dict(each) for each in chosen], indent=1))
    else:
        print(policies.table(chosen, _width(), _color()), end="")
    return COMPLIANT


def _explain(arguments: argparse.Namespace) -> int:
    found = catalogue.load(arguments.policies)
    wanted = arguments.id.partition("@")[0].upper()  # the id of a finding does as well
    if wanted not in found.policies:
        raise UsageError(f"there is no policy {words.visible(wanted)}", nearest(wanted, found.policies))
    each = found.policies[wanted]
    named = remediation.load().get(each.remediation) if each.remediation else None
    shown = replace(each, path=Path(_near(str(each.path))))
    print(policies.explanation(shown, named, _looked(found, each), _width(), _color()), end="")
    return COMPLIANT


def _looked(found: Catalogue, policy: Policy) -> str:
    """How a check looks at a policy: what it says of itself, and where it stands."""
    check = found.checks.get(policy.id)
    if check is None:
        return "By nothing yet: it has neither a rule nor a check."
    said = " ".join((check.__doc__ or "").split())
    return f"{said} ({_near(catalogue.place(check))})".strip()


def _near(path: str) -> str:
    """A path as it is from here, where it lies below."""
    return path.removeprefix(f"{Path.cwd()}/")


def _lint(arguments: argparse.Namespace) -> int:
    number, mistakes = lint.lint([Path(folder) for folder in arguments.policies])
    for mistake in mistakes:
        hint = f" ({mistake.hint})" if mistake.hint else ""
        print(words.visible(f"{_near(mistake.message)}{hint}"))
    if mistakes:
        return FINDINGS
    print(f"{words.count(number, 'policy', 'policies')}: nothing is wrong with the files")
    return COMPLIANT


def _test(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    found = catalogue.load(arguments.policies)
    globs = [glob.upper() for glob in arguments.ids] or ["*"]
    chosen = selecting.fitting("policies test", globs, found.policies)
    every = list(found.policies.values())
    faults: list[str] = []
    number = 0
    for policy_id in sorted(chosen):
        each = found.policies[policy_id]
        wrong = examples.faults(each, every, found.checks)
        here = len(list(examples.each_example(each)))
        number += here
        faults += wrong
        if arguments.verbose:
            print(f"{policy_id}  {here:>3} examples  {f'{len(wrong)} wrong' if wrong else 'ok'}")
    for fault in faults:
        print(words.visible(fault))
    said = f"{words.count(len(chosen), 'policy', 'policies')}, {words.count(number, 'example')}"
    if faults:
        print(f"{said}: {len(faults)} wrong")
        return FINDINGS
    print(f"{said}: all show what they say ({time.monotonic() - began:.1f} s)")
    return COMPLIANT


def _docs(arguments: argparse.Namespace) -> int:
    found = list(catalogue.load(arguments.policies).policies.values())
    print(policies.page(found, remediation.load()), end="")
    return COMPLIANT


def _width() -> int:
    return max(shutil.get_terminal_size().columns, 40)


def _color() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def add(commands: Commands) -> None:
    """Add ``policies`` with its own subcommands, and ``explain``."""
    group = _parser(
        commands,
        "policies",
        "the policies: list, lint, test and docs",
        "Shows and tests the policies. Needs no host.",
        "exit status: that of its command",
        "sigsrv policies list --severity high",
    )
    inner = group.add_subparsers(dest="policies_command", required=True, metavar="COMMAND")
    listed = _parser(
        inner,
        "list",
        "a line for each policy",
        "Lists the policies by family: id, severity, what holds, and whether a script\nputs it right.",
        "exit status: 0 listed, 2 wrong use",
        "sigsrv policies list --family net,acl --severity high",
    )
    listed.add_argument("--format", choices=["table", "json"], default="table", help="table (the default) or json")
    listed.add_argument("--site", metavar="FILE", help="the site file whose profiles are known, found as by scan")
    add_policies(listed)
    add_selecting(listed, without=("project",))
    listed.set_defaults(call=_list)
    linted = _parser(
        inner,
        "lint",
        "every mistake in the files of the policies, with file and line",
        "Reads the files of policies, checks and remediations and tells every mistake\n"
        "with file and line: what the schema refuses, what refers to nothing, what is\nmissing.",
        "exit status: 0 nothing is wrong, 1 mistakes, 2 wrong use",
        "sigsrv policies lint --policies /etc/sigsrv/policies",
    )
    add_policies(linted)
    linted.set_defaults(call=_lint)
    tested = _parser(
        inner,
        "test",
        "the policies' own examples",
        "Judges the examples of policies: each must give the verdicts that it says.",
        "exit status: 0 all show what they say, 1 some do not, 2 wrong use",
        "sigsrv policies test NET-001 'POOL-*'",
    )
    tested.add_argument("ids", nargs="*", metavar="ID", help="only these policies, globs too; default: all")
    add_policies(tested)
    tested.add_argument("-v", "--verbose", action="store_true", help="print a line for each policy")
    tested.set_defaults(call=_test)
    written = _parser(
        inner,
        "docs",
        "the policies as a page of Markdown",
        "Prints the catalogue as a page of Markdown, by family.",
        "exit status: 0 printed, 2 wrong use",
        "sigsrv policies docs > policies.md",
    )
    add_policies(written)
    written.set_defaults(call=_docs)
    explained = _parser(
        commands,
        "explain",
        "one policy: why, how it is looked at, what misleads, how it is fixed",
        "Explains a policy: why it must hold, how it is looked at, what misleads, how it\nis fixed, and where it comes from.",
        "exit status: 0 explained, 2 wrong use",
        "sigsrv explain NET-001",
    )
    explained.add_argument("id", metavar="ID", help="the policy's id; that of a finding does as well")
    add_policies(explained)
    explained.set_defaults(call=_explain)


def _parser(
    commands: Commands, name: str, summary: str, text: str, status: str, example: str
) -> argparse.ArgumentParser:
    found: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=text,
        epilog=f"{status}\nexample: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return found
