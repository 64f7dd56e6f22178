"""Measures one evaluation in this process: ``python -m tests.bench.measure FOLDER`` prints it as JSON. FOLDER: from ``prepare``.

The evidence is loaded before the measurement of judging begins. Only Linux can reset the peak of a process's memory.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sigsrv.collect import evidence
from sigsrv.judge import catalogue
from sigsrv.model import site_file
from sigsrv.model.finding import Finding
from sigsrv.scan import judging
from sigsrv.scan.options import Options
from sigsrv.scan.plan import Plan, plan_for
from tests.bench import synthetic

_SITE = "site.json"


@dataclass(frozen=True)
class Measured:
    """What one evaluation takes. Times are CPU seconds of the process, user and system. Sizes are bytes of resident memory.

    load_s: to read the saved evidence from its files. judge_s: from the loaded evidence to the findings of all policies.
    start: before the evidence is loaded. loaded: the evidence is loaded. peak: the most while the policies are evaluated.
    """

    instances: int
    load_s: float
    judge_s: float
    start: int
    loaded: int
    peak: int
    findings: dict[str, int]


def prepare(folder: Path, count: int) -> None:
    """Save the evidence and the site of ``count`` synthetic instances in a folder."""
    content = synthetic.content(count)
    evidence.save(folder, "bench", synthetic.evidence(content))
    (folder / _SITE).write_text(json.dumps({"count": count, "site": content["site"]}))


def plan(site: Mapping[str, Any]) -> Plan:
    """Return the plan that evaluates all shipped policies on a site. site: the content of its site file."""
    return plan_for(Options(), catalogue.load(), site_file.parse(site), {})


def errors(findings: tuple[Finding, ...]) -> list[str]:
    """Return the findings whose verdict is ``error``, as text. The synthetic evidence is complete, so there must be none."""
    return [f"{each.id}: {each.reason}" for each in findings if each.verdict.value == "error"]


def measure(folder: Path) -> Measured:
    """Load the evidence in a folder and evaluate all policies on it. Raises SystemExit if a finding is an error."""
    saved = json.loads((folder / _SITE).read_text())
    prepared = plan(saved["site"])
    start, began = _resident("VmRSS"), time.process_time()
    evidences = evidence.load(folder)
    loaded_s = time.process_time() - began
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the present size
    loaded, began = _resident("VmRSS"), time.process_time()
    findings = judging.judge(prepared, evidences)
    judge_s = time.process_time() - began
    peak = _resident("VmHWM")
    if wrong := errors(findings):
        raise SystemExit(f"bench: {len(wrong)} findings are errors, for example {wrong[0]}")
    verdicts = Counter(finding.verdict.value for finding in findings)
    return Measured(saved["count"], loaded_s, judge_s, start, loaded, peak, dict(verdicts))


def _resident(field: str) -> int:
    """Return a size from the process's status in bytes. Source: proc_pid_status(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Path(sys.argv[1])))))
