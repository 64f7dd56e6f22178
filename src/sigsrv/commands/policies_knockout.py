"""``sigsrv policies knockout``: show that each pass on saved evidence stands on this evidence."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from sigsrv.authoring.knockout import Result, Scene, knock_out
from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT, FINDINGS, UNKNOWN
from sigsrv.judge import catalogue, selecting
from sigsrv.judge.catalogue import Catalogue
from sigsrv.model.errors import UsageError
from sigsrv.report import phrases
from sigsrv.scan.collecting import collect
from sigsrv.scan.options import DEMO, Options
from sigsrv.scan.plan import prepare

_COLUMNS = ("policy", "passes", "knock-outs", "survivors", "unmoved", "accepted")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = (
        "Damage saved evidence, judge again, and see whether each pass falls. First\n"
        "each answer that a policy reads is absent, unreadable, empty, cut off and\n"
        "from a failed command; then each row, key and line of it is removed, made\n"
        "unreadable and given another type, until every pass has fallen. A pass that\n"
        "never falls is a survivor: no evidence supports it.\n"
        "unmoved: the pass stays without an answer that the policy reads. accepted:\n"
        "the pass needs the answer, but stays if the answer is damaged. Neither is\n"
        "an error: the answer may be about another resource. -v lists them."
    )
    parser.epilog = (
        "exit status: 0 no survivor, 1 survivors or internal errors,\n  2 wrong use, 3 no pass at all\n"
        "example: sigsrv policies knockout -v 'POOL-*' --evidence saved/ --site site.yaml"
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="only these policies; globs allowed; default: all")
    parser.add_argument(
        "--evidence",
        metavar="DIR",
        action="append",
        help="saved evidence; repeatable; default: demo, the shipped evidence",
    )
    parser.add_argument(
        "--site", metavar="FILE", help="site file; default: site.yaml in the folder of the evidence, else as for a scan"
    )
    parser.add_argument(
        "--every",
        metavar="N",
        type=int,
        nargs="?",
        const=1,
        default=0,
        help="also damage one in N of all parts, to find internal errors; without N all, which takes minutes",
    )
    add_policies(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="list what stays unmoved or accepted")
    parser.set_defaults(call=_knockout)


def _knockout(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    if arguments.every < 0:
        raise UsageError(f"--every: {arguments.every} is less than 0", "--every 1 damages all parts")
    found = catalogue.load(arguments.policies)
    chosen = selecting.matching("policies knockout", [glob.upper() for glob in arguments.ids] or ["*"], found.policies)
    scenes = [_scene(folder, arguments.site, found) for folder in arguments.evidence or [DEMO]]
    results = [
        knock_out(found.policies[policy_id], found, scene, arguments.every)
        for policy_id in sorted(chosen)
        for scene in scenes
    ]
    _print_table(results)
    for line in _lines(results, arguments.verbose):
        print(phrases.visible(line))
    passes, tried, survivors = _sums(results)[:3]
    broken = sum(len(result.broken) for result in results)
    print(
        f"{phrases.count(passes, 'pass', 'passes')}, {phrases.count(tried, 'knock-out')}: "
        f"{phrases.count(survivors, 'survivor')}, {phrases.count(broken, 'internal error')} "
        f"({time.monotonic() - began:.1f} s)"
    )
    if survivors or broken:
        return FINDINGS
    return COMPLIANT if passes else UNKNOWN


def _scene(folder: str, site: str | None, found: Catalogue) -> Scene:
    """Return saved evidence with its site. A host of the site without evidence is unreachable, as in a scan."""
    beside = Path(folder) / "site.yaml"
    site = site or (str(beside) if folder != DEMO and beside.is_file() else None)
    plan = prepare(Options(evidence=folder, site=site), found)
    return Scene(folder, plan.site, collect(plan))


def _sums(results: Sequence[Result]) -> tuple[int, ...]:
    """Return the sums of the columns after the first one."""
    rows = [(r.passes, r.survivors, r.unmoved, r.accepted) for r in results]
    passes, survivors, unmoved, accepted = (sum(len(row[index]) for row in rows) for index in range(4))
    return passes, sum(result.tried for result in results), survivors, unmoved, accepted


def _print_table(results: Sequence[Result]) -> None:
    """Print a row for each policy: the sums over the evidence folders."""
    width = max(len(name) for name in (_COLUMNS[0], *(result.policy for result in results)))
    print("  ".join([f"{_COLUMNS[0]:<{width}}", *(f"{name:>10}" for name in _COLUMNS[1:])]))
    for policy_id in dict.fromkeys(result.policy for result in results):
        sums = _sums([result for result in results if result.policy == policy_id])
        print("  ".join([f"{policy_id:<{width}}", *(f"{number:>10}" for number in sums)]))


def _lines(results: Sequence[Result], verbose: bool) -> list[str]:
    """Return a line for each survivor and internal error; verbose: also for what stays unmoved or accepted."""
    found = []
    for result in results:
        where = f" [{result.scene}]"
        found += [f"survivor: {key}{where}" for key in result.survivors]
        found += [f"internal error: {result.policy}: {line}{where}" for line in result.broken]
        if verbose:
            found += [f"unmoved: {key}: without {place}{where}" for key, place in result.unmoved]
            found += [f"accepted: {key}: {place}: {how}{where}" for key, place, how in result.accepted]
    return found
