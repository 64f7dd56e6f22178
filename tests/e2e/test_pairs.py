"""Tests each remediation on the fault that it fixes, as an operator uses it: plan, apply, verify, undo; then the state
is as before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sigsrv.collect.evidence import Evidence
from tests.e2e.bystanders import bystanders, look
from tests.e2e.cases import Case
from tests.e2e.conftest import Lab, state_of, verdicts, with_fingerprints
from tests.e2e.safety import leftovers, remediate
from tests.e2e.test_faults import CASES, difference, known_state, unchanged

pytestmark = pytest.mark.lab

__all__ = ["known_state", "unchanged"]

FIXABLE = [case for case in CASES if case.fixed]

# The probes that are compared, in addition to links, addresses and all answers of Incus. Not compared: clocks, memory, load, space on
# file systems, logs, packages, learned addresses of bridges, counters of the firewall and the numbers of its rules.
COMPARED = ("units", "failed-units", "groups", "passwd", "socket-mode", "bridge-nf", "sshd", "sshd-root", "listen")
GENERATED = re.compile("veth[0-9a-f]{8}")  # Incus generates the name at each start of an instance
COUNTERS = frozenset({"handle", "counter", "metainfo", "index"})


def without_counters(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_counters(each) for key, each in value.items() if key not in COUNTERS}
    if isinstance(value, list):
        return sorted((without_counters(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    return "veth" if isinstance(value, str) and GENERATED.fullmatch(value) else value


def sorted_words(line: str) -> str:
    """Sort the words of a unit's property: systemd lists units in another order after each daemon-reload."""
    name, _, words = line.partition("=")
    return f"{name}={' '.join(sorted(words.split()))}"


def whole_state(evidences: Mapping[str, Evidence]) -> dict[str, Any]:
    """Return the evidence of the hosts without counters."""
    found = state_of(evidences)
    for host, seen in evidences.items():
        for probe in COMPARED:
            answer = seen.probes[probe]
            lines = [sorted_words(each) if probe == "units" else each for each in answer.stdout.splitlines()]
            found[f"{host} {probe}"] = [f"exit status {answer.rc}", *sorted(lines)]
        found[f"{host} nft"] = without_counters(json.loads(seen.probes["nft"].stdout)["nftables"])
    return found


def fix_and_undo(lab: Lab, folder: Path, made: Sequence[Case]) -> None:
    """Apply faults, plan, fix, verify, check that nothing is left to do, and undo.

    Then the evidence is that of the faults. Heals them in any case. What stands on the hosts beside all this is untouched.
    """
    with bystanders(lab) as untouched:
        _fix_and_undo(lab, folder, made, untouched)


def _fix_and_undo(lab: Lab, folder: Path, made: Sequence[Case], untouched: Mapping[str, str]) -> None:
    command = partial(remediate, lab, folder / "journal.sqlite", "--max", "20")
    findings = [with_fingerprints(each) for case in made for each in case.fixed]
    stay = [with_fingerprints(each) for case in made if case.stays_fixed for each in case.fixed]
    missing = [with_fingerprints(each) for case in made if case.disappears for each in case.fixed]
    try:
        for case in made:
            lab.fault(case.fault, case.host)
        run, evidences = lab.scan()
        before, was = whole_state(evidences), verdicts(run)
        assert difference(was) == {
            with_fingerprints(key): value for case in made for key, value in case.changes.items()
        }

        planned = lab.command(*command(*findings, "--plan", "--json"))
        steps = json.loads(planned.stdout)["steps"]
        assert {each["finding"] for step in steps for each in (step, *step["also"])} == set(findings)
        assert planned.returncode == 0

        applied = lab.command(*command(*findings, "--yes"), timeout=90 + 90 * len(findings))
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert look(lab) == untouched
        assert difference(verdicts(lab.scan()[0])) == {}
        assert_nothing_to_do(lab, command, findings, missing)

        run_id = applied.stdout.split()[-1]
        undone = lab.command(*command("--undo", run_id, "--yes"), timeout=90 + 90 * len(findings))
        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert look(lab) == untouched
        run, evidences = lab.scan()
        assert verdicts(run) == was | dict.fromkeys(stay, "pass")
        after = whole_state(evidences)
        assert after.keys() == before.keys()
        for each, value in before.items():
            assert after[each] == value, each
        assert leftovers(lab, "sigsrv") + leftovers(lab, "minisrv") == ""
        history = lab.command(*command("--history")).stdout
        for finding in findings:
            assert f"verified, undone by {newest_run(history)}: {finding}" in history
    finally:
        for case in reversed(made):
            lab.fault(case.fault, case.host, heal=True)


def assert_nothing_to_do(lab: Lab, command: Callable[..., list[str]], findings: list[str], missing: list[str]) -> None:
    """Check that fixed findings need nothing, and that removed objects have no finding."""
    for wanted, result, code in (
        ([each for each in findings if each not in missing], "nothing to do", 0),
        (missing, "there is no such finding", 2),
    ):
        if wanted:
            again = lab.command(*command(*wanted, "--yes"))
            assert result in again.stdout + again.stderr
            assert again.returncode == code


@pytest.mark.parametrize("case", FIXABLE, ids=str)
def test_remediation_fixes_its_fault_and_can_be_undone(lab, unchanged, tmp_path, case):
    """Each remediation runs alone. Healed, the hosts are as before."""
    fix_and_undo(lab, tmp_path, [case])


def newest_run(history: str) -> str:
    """Return the id of the newest run in a history."""
    return history.split()[0]
