"""Each remediation on the fault that it mends, as an operator uses it: planned, applied, proven, undone; then it is as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sigsrv.collect.evidence import Evidence
from tests.e2e.cases import Case
from tests.e2e.conftest import Lab, request, state_of, verdicts
from tests.e2e.safety import left, remediate
from tests.e2e.test_faults import CASES, difference, proven, unchanged

pytestmark = pytest.mark.lab

__all__ = ["proven", "unchanged"]

MENDED = [case for case in CASES if case.mended]

# What of a host is held against what it was, beside links, addresses and all that Incus answers. Left out: clocks, memory, load, room
# on file systems, logs, packages, learned addresses of bridges; and of the firewall counters and the numbers of rules.
COMPARED = ("units", "failed-units", "groups", "passwd", "socket-mode", "bridge-nf", "sshd", "sshd-root", "listen")
GENERATED = re.compile("veth[0-9a-f]{8}")  # by Incus, at each start of an instance
COUNTERS = frozenset({"handle", "counter", "metainfo", "index"})


def without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without(each) for key, each in value.items() if key not in COUNTERS}
    if isinstance(value, list):
        return sorted((without(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    return "veth" if isinstance(value, str) and GENERATED.fullmatch(value) else value


def unordered(line: str) -> str:
    """A property of a unit, its words sorted: units that are listed in it are in another order after each daemon-reload."""
    name, _, words = line.partition("=")
    return f"{name}={' '.join(sorted(words.split()))}"


def whole_state(evidences: Mapping[str, Evidence]) -> dict[str, Any]:
    """The evidence of the hosts but for named counters."""
    found = state_of(evidences)
    for host, seen in evidences.items():
        for probe in COMPARED:
            answer = seen.probes[probe]
            lines = [unordered(each) if probe == "units" else each for each in answer.stdout.splitlines()]
            found[f"{host} {probe}"] = [f"exit status {answer.rc}", *sorted(lines)]
        found[f"{host} nft"] = without(json.loads(seen.probes["nft"].stdout)["nftables"])
    return found


def put_right_and_undone(lab: Lab, folder: Path, made: Sequence[Case]) -> None:
    """Faults, findings, plan, apply, verified, again nothing to do, undo: the evidence is the faults' again. Healed in any case."""
    command = partial(remediate, lab, folder / "journal.sqlite", "--max", "20")
    findings = [request(each) for case in made for each in case.mended]
    stay = [request(each) for case in made if case.stays for each in case.mended]
    gone = [request(each) for case in made if case.gone for each in case.mended]
    try:
        for case in made:
            lab.fault(case.fault, case.host)
        run, evidences = lab.scan()
        before, was = whole_state(evidences), verdicts(run)
        assert difference(was) == {request(key): value for case in made for key, value in case.changes.items()}

        planned = lab.command(*command(*findings, "--plan", "--json"))
        assert {step["finding"] for step in json.loads(planned.stdout)["steps"]} == set(findings)
        assert planned.returncode == 0

        applied = lab.command(*command(*findings, "--yes"), timeout=90 + 90 * len(findings))
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert difference(verdicts(lab.scan()[0])) == {}
        assert_nothing_is_to_be_done(lab, command, findings, gone)

        run_id = applied.stdout.split()[-1]
        undone = lab.command(*command("--undo", run_id, "--yes"), timeout=90 + 90 * len(findings))
        assert undone.returncode == 0, undone.stdout + undone.stderr
        run, evidences = lab.scan()
        assert verdicts(run) == was | dict.fromkeys(stay, "pass")
        after = whole_state(evidences)
        assert after.keys() == before.keys()
        for each, value in before.items():
            assert after[each] == value, each
        assert left(lab, "sigsrv") + left(lab, "minisrv") == ""
        told = lab.command(*command("--history")).stdout
        for finding in findings:
            assert f"verified, undone by {undone_run(told)}: {finding}" in told
    finally:
        for case in reversed(made):
            lab.fault(case.fault, case.host, heal=True)


def assert_nothing_is_to_be_done(
    lab: Lab, command: Callable[..., list[str]], findings: list[str], gone: list[str]
) -> None:
    """Of what is right by now; what was judged and is no more has no finding."""
    for wanted, result, code in (
        ([each for each in findings if each not in gone], "nothing is to be done", 0),
        (gone, "there is no such finding", 2),
    ):
        if wanted:
            again = lab.command(*command(*wanted, "--yes"))
            assert result in again.stdout + again.stderr
            assert again.returncode == code


@pytest.mark.parametrize("case", MENDED, ids=str)
def test_a_remediation_puts_right_what_a_fault_broke_and_its_run_can_be_undone(lab, unchanged, tmp_path, case):
    """Each by itself; and healed, all is as it was."""
    put_right_and_undone(lab, tmp_path, [case])


def undone_run(told: str) -> str:
    """The id of the newest run of a history."""
    return told.split()[0]
