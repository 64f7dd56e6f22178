"""``sigsrv facts``: what a check can look at, and what saved evidence says about it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sigsrv.authoring import fact_values
from sigsrv.authoring.fact_values import AbsentError, Unknown
from sigsrv.commands.options import add_policies
from sigsrv.commands.terminal import COMPLIANT, UNKNOWN, width
from sigsrv.facts.clusters import ClusterFacts, clusters
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.limits import watching
from sigsrv.model.errors import EvidenceError, UsageError, nearest
from sigsrv.report import facts as report
from sigsrv.scan.collecting import collect
from sigsrv.scan.judging import facts_of
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare

Subjects = Mapping[str, HostFacts | ClusterFacts]


def configure(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = (
        "Prints what checks can look at. Without PATH: the facts of a host and of the\n"
        "cluster, with what each one is. With PATH: the values of that fact and all facts\n"
        "below it, for each host, and for the cluster where the cluster has the fact."
    )
    parser.epilog = (
        "exit status: 0 printed, 2 wrong use (also: no host has this), 3 something could\n"
        "  not be read; the output says why\n"
        "example: sigsrv facts --evidence demo --host sigsrv network.links.sigsrvbr0.mtu"
    )
    parser.add_argument("path", metavar="PATH", nargs="?", help="a fact; as in a check, with dots or brackets")
    parser.add_argument(
        "--evidence",
        metavar="DIR",
        required=True,
        help='saved evidence (sigsrv scan --save DIR writes it); "demo": the shipped one',
    )
    parser.add_argument("--unverified", action="store_true", help="read evidence that was changed after it was saved")
    parser.add_argument("--site", metavar="FILE", help="the site file, found as by scan; for the demo its own")
    add_policies(parser)
    parser.add_argument("--host", metavar="HOST", help='only this host; "cluster": only the cluster')
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(call=_facts)


@watching()
def _facts(arguments: argparse.Namespace) -> int:
    options = Options(
        evidence=arguments.evidence,
        site=arguments.site,
        unverified=arguments.unverified,
        policies=tuple(arguments.policies),
    )
    plan = prepare(options)
    hosts = facts_of(plan, collect(plan))
    if arguments.path is None:
        _subjects(hosts, arguments.host, frozenset({"host", "cluster"}))
        print(json.dumps(report.summaries(), indent=2) if arguments.json else report.listing(width()))
        return COMPLIANT
    words = fact_values.steps(arguments.path)
    found = _values(_subjects(hosts, arguments.host, fact_values.roots_with(words)), words)
    if arguments.json:
        print(json.dumps({name: fact_values.as_json(value) for name, value in found.items()}, indent=2))
    else:
        print("".join(report.shown(name, value, width()) for name, value in found.items()), end="")
    return UNKNOWN if fact_values.has_unknown(found) else COMPLIANT


def _subjects(hosts: Mapping[str, HostFacts], wanted: str | None, roots: frozenset[str]) -> Subjects:
    """Return the hosts and clusters to print. Raises UsageError if the wanted one does not exist or has no such fact."""
    together = {
        cluster.name: cluster for cluster in clusters(hosts) if len(cluster.hosts) > 1 or cluster.name not in hosts
    }
    known: dict[str, HostFacts | ClusterFacts] = {**hosts, **together}
    if wanted is not None and wanted not in known:
        raise UsageError(f'there is no host "{wanted}"', nearest(wanted, known))
    found = {
        name: facts
        for name, facts in known.items()
        if wanted in (None, name) and ("host" if isinstance(facts, HostFacts) else "cluster") in roots
    }
    if not found:
        (root,) = roots
        others = [name for name, facts in known.items() if isinstance(facts, HostFacts) is (root == "host")]
        raise UsageError(
            f"this is a fact of a {root}" + (f", not of {wanted}" if wanted else ""),
            f"--host {others[0]}" if others else "this evidence has no cluster",
        )
    return found


def _values(subjects: Subjects, words: Sequence[str]) -> dict[str, Any]:
    """Return the value of a path for each host or cluster that has it. Raises UsageError if none has it."""
    found: dict[str, Any] = {}
    absent: list[AbsentError] = []
    for name, facts in subjects.items():
        try:
            found[name] = fact_values.plain(fact_values.find(facts, words))
        except EvidenceError as cause:
            found[name] = Unknown(cause.reason)
        except AbsentError as cause:
            absent.append(cause)
    if not found:
        known = {name for cause in absent for name in cause.known}
        raise UsageError(str(absent[0]), nearest(absent[0].word, known) if known else "it is None or empty")
    return found
