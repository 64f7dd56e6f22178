"""``sigsrv policies try``: judge a user's own cases."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sigsrv.authoring import cases
from sigsrv.authoring.cases import Result
from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT, FINDINGS, relative_path
from sigsrv.judge import catalogue
from sigsrv.report import phrases


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = (
        "Judge your own cases. A file contains YAML documents {name, kind, change, right,\n"
        "why, source}: change is a JSON Patch on the example document\n"
        "(policies/examples.yaml), right are the correct verdicts. Prints the\n"
        "differences, then counts by kind. Cases of kind opinion or gap never fail.\n"
        "docs/cases.md describes the format of cases and of the example document."
    )
    parser.epilog = (
        "exit status: 0 all verdicts are correct, 1 some differ, 2 wrong use\n"
        "example: sigsrv policies try my-cases/*.yaml --policies mine"
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file of cases")
    parser.add_argument("--json", action="store_true", help="print all results as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="print only the counts")
    add_policies(parser)
    parser.set_defaults(call=_try)


def _try(arguments: argparse.Namespace) -> int:
    found = catalogue.load(arguments.policies)
    wanted = [case for file in arguments.files for case in cases.read(Path(file))]
    results = [cases.judge(case, found) for case in wanted]
    if arguments.json:
        print(json.dumps(_as_dict(results), indent=1))
    else:
        for result in results:
            if not arguments.quiet and not result.is_right:
                _show(result)
        _count(results)
    return FINDINGS if any(result.fails for result in results) else COMPLIANT


def _show(result: Result) -> None:
    case = result.case
    print(phrases.visible(f"{relative_path(case.place)}: {case.name} [{case.kind}]"))
    if result.problem:
        print(phrases.visible(f"    {result.problem}"))
    for key, (now, right) in result.wrong.items():
        print(phrases.visible(f"    {key}: now {now}, right {right}"))


def _kinds(results: Sequence[Result]) -> dict[str, Counter[bool]]:
    """Count the correct and wrong cases of each kind, sorted by kind."""
    found: dict[str, Counter[bool]] = {kind: Counter() for kind in sorted({result.case.kind for result in results})}
    for result in results:
        found[result.case.kind][result.is_right] += 1
    return found


def _count(results: Sequence[Result]) -> None:
    kinds = _kinds(results)
    column = max(len(phrases.visible(kind)) for kind in (*kinds, "kind"))
    print(f"{'kind':<{column}}  right  wrong")
    for kind, counted in kinds.items():
        print(f"{phrases.visible(kind):<{column}}  {counted[True]:>5}  {counted[False]:>5}")
    failing = sum(result.fails for result in results)
    undecided = sum(not result.is_right for result in results) - failing
    more = f"; {undecided} more are opinions or gaps" if undecided else ""
    print(f"{phrases.count(len(results), 'case')}: {failing or 'none'} wrong{more}")


def _as_dict(results: Sequence[Result]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "cases": [
            {
                "place": result.case.place,
                "name": result.case.name,
                "kind": result.case.kind,
                "is_right": result.is_right,
                "found": dict(result.found),
                "differs": {key: {"now": now, "right": right} for key, (now, right) in result.wrong.items()},
                "problem": result.problem or None,
            }
            for result in results
        ],
        "kinds": {kind: {"right": counted[True], "wrong": counted[False]} for kind, counted in _kinds(results).items()},
    }
