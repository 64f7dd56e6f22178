"""Tests what the needs of a policy with forms decide if they are unknown."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from sigsrv.authoring import document
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import policy, records
from sigsrv.model.forms import Forms

SHIPPED = policy.load()
UNANSWERED = {"kind": "timeout", "reason": "no answer"}


def judged(need, free_percent):
    """Return the verdict of the pool nvme, whose zpool is unknown, for a policy that wants a share of free space."""
    needs = f"{{that: {{fact: zpool, is_not: null}}, otherwise: x, {need}}}"
    text = f"{{needs: {needs}, threshold: {{fact: free_percent, at_least: {free_percent}}}}}"
    made = dataclasses.replace(
        SHIPPED["INST-002"], id="SITE-001", examines="pool", match={}, forms=records.read(Forms, yaml.safe_load(text))
    )
    site, hosts = document.facts_of(
        document.patched([{"op": "add", "path": "/minisrv/failures/zpool-json", "value": UNANSWERED}])
    )
    found = {each.id: each for each in evaluate([made, SHIPPED["POOL-004"]], {}, site, hosts)}
    return str(found["SITE-001@minisrv/nvme"].verdict)


@pytest.mark.parametrize("need", ["root: POOL-004", "root: POOL-004, verdict: reported"])
def test_an_unknown_need_that_another_policy_reports_hides_no_fault(need):
    """The clauses are judged. Without a violated one, the verdict is unknown."""
    assert judged(need, free_percent=100) == "fail"
    assert judged(need, free_percent=0) == "error"


@pytest.mark.parametrize("need", ["verdict: not-applicable", "verdict: error", "root: POOL-004, verdict: error"])
def test_an_unknown_need_that_decides_itself_is_an_error(need):
    """The policy may not concern the resource, or can't judge it."""
    assert judged(need, free_percent=100) == "error"
