"""Each remediation on the fault that it mends, as an operator uses it: planned, applied, proven, undone; then it is as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from sigsrv.collect import Evidence
from tests.e2e.conftest import Lab, named, state_of, verdicts
from tests.e2e.safety import options
from tests.e2e.test_faults import CASES, difference, proven, unchanged

pytestmark = pytest.mark.lab

__all__ = ["proven", "unchanged"]

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


def whole_state(evidences: Mapping[str, Evidence]) -> dict[str, Any]:
    """The evidence of the hosts but for named counters."""
    found = state_of(evidences)
    for host, seen in evidences.items():
        for probe in COMPARED:
            answer = seen.probes[probe]
            found[f"{host} {probe}"] = (answer.rc, sorted(answer.stdout.splitlines()))
        found[f"{host} nft"] = without(json.loads(seen.probes["nft"].stdout)["nftables"])
    return found


def journal_of(lab: Lab, folder) -> list[str]:
    return ["--site", str(lab.site), "--journal", str(folder / "journal.sqlite"), *options(lab)]


def left(lab: Lab) -> str:
    look = "ls -A /run/sigsrv /var/lib/sigsrv/armed /etc/systemd/system/sigsrv-* 2>/dev/null | grep -v ':$' || true"
    return "".join(lab.on(host, "sh", "-c", look) for host in ("sigsrv", "minisrv")).strip()


@pytest.mark.parametrize("case", [case for case in CASES if case.mended], ids=str)
def test_a_remediation_puts_right_what_a_fault_broke_and_its_run_can_be_undone(lab, unchanged, tmp_path, case):
    """Fault, finding, plan, apply, verified, again nothing to do, undo: the evidence is the fault's again. Healed, all is as before."""
    common = journal_of(lab, tmp_path)
    findings = [named(each) for each in case.mended]
    lab.fault(case.fault, case.host)
    try:
        run, evidences = lab.scan()
        before, was = whole_state(evidences), verdicts(run)
        assert difference(was) == {named(key): value for key, value in case.changes.items()}

        planned = lab.command("sigsrv-remediate", *findings, "--plan", "--json", *common)
        assert {step["finding"] for step in json.loads(planned.stdout)["steps"]} == set(findings)
        assert planned.returncode == 0

        applied = lab.command("sigsrv-remediate", *findings, "--yes", *common)
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert difference(verdicts(lab.scan()[0])) == {}
        again = lab.command("sigsrv-remediate", *findings, "--yes", *common)
        said = "there is no such finding" if case.gone else "nothing is to be done"
        assert said in again.stdout + again.stderr
        assert again.returncode == (2 if case.gone else 0)

        undone = lab.command("sigsrv-remediate", "--undo", applied.stdout.split()[-1], "--yes", *common)
        assert undone.returncode == 0, undone.stdout + undone.stderr
        run, evidences = lab.scan()
        assert verdicts(run) == was | (dict.fromkeys(findings, "pass") if case.restarted else {})
        assert whole_state(evidences) == before
        assert left(lab) == ""
        told = lab.command("sigsrv-remediate", "--history", *common).stdout
        for finding in findings:
            assert f"verified, undone by {undone_run(told)}: {finding}" in told
    finally:
        lab.fault(case.fault, case.host, heal=True)


def undone_run(told: str) -> str:
    """The id of the newest run of a history."""
    return told.split()[0]
