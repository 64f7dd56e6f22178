"""Tests that an evaluation takes time in proportion to the number of instances. ``make bench`` measures the time itself."""

from __future__ import annotations

import sys
import time
from types import FrameType
from typing import Any

import pytest

from sigsrv.collect.evidence import Evidence
from sigsrv.scan import judging
from sigsrv.scan.plan import Plan
from tests.bench import measure, synthetic

PERIOD = 200  # the synthetic instances repeat themselves after so many
TOLERANCE = 1.02  # sizes that differ only in the number of instances take nearly the same number of lines for each
BOUND_S = 5.0  # 20 times of what it takes on a slow machine


def site_of(count: int) -> tuple[Plan, dict[str, Evidence]]:
    content = synthetic.content(count)
    return measure.plan(content["site"]), synthetic.evidence(content)


def lines(count: int) -> int:
    """Return how many lines of Python an evaluation executes. Each turn of a loop counts, also in a comprehension."""
    prepared, evidences = site_of(count)
    executed = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal executed
        executed += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        judging.judge(prepared, evidences)
    finally:
        sys.settrace(before)
    return executed


@pytest.fixture(scope="module")
def warm() -> None:
    """Evaluate the largest site once, so that no measurement includes what Python keeps, such as compiled globs."""
    judging.judge(*site_of(4 * PERIOD))


def test_each_further_instance_costs_the_same(warm: None) -> None:
    """The cost of 200 instances more does not depend on how many there are. It would double if a loop ran over all pairs."""
    # The smaller one of two: the first may include what Python has dropped since, such as compiled patterns.
    small, middle, large = (min(lines(PERIOD * times) for _ in range(2)) for times in (1, 2, 4))

    assert (large - middle) / 2 < (middle - small) * TOLERANCE


def test_an_evaluation_of_a_thousand_instances_takes_seconds_at_most(warm: None) -> None:
    """The bound is generous: the processor may be slow, and others may use it."""
    prepared, evidences = site_of(5 * PERIOD)
    began = time.process_time()
    judging.judge(prepared, evidences)

    assert time.process_time() - began < BOUND_S


def test_the_synthetic_evidence_is_complete_and_has_failures(warm: None) -> None:
    """A measurement of errors or of nothing but passes would say little."""
    findings = judging.judge(*site_of(PERIOD))

    assert measure.errors(findings) == []
    assert {each.policy for each in findings if each.verdict == "fail"} >= {
        *(f"INST-{number:03}" for number in (*range(1, 10), 11, 12)),
        "PROJ-007",
        "VOL-001",
        "VOL-002",
    }
