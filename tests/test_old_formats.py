"""Tests that evidence and site files which an earlier version wrote stay readable.

``tests/evidence/v1`` is the evidence of one host of the lab of virtual machines, and its site file, as version 1 of both formats. It is
never recorded again: today's probes may lack in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache

import pytest

from sigsrv.authoring.knockout import _Recorded
from sigsrv.collect import evidence
from sigsrv.collect.evidence import Evidence
from sigsrv.collect.probes import TABLE
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge import catalogue
from sigsrv.judge.evaluate import evaluate
from sigsrv.judge.require import BROKE, NEVER_FAIL
from sigsrv.model import site_file
from sigsrv.model.finding import Finding, Verdict
from tests.called import ROOT, sigsrv

FOLDER = ROOT / "tests" / "evidence" / "v1"
CATALOGUE = catalogue.load()
SITE = site_file.load(FOLDER / "site.yaml", CATALOGUE.policies)
SAVED = evidence.load(FOLDER)["sigsrv"]
PROBES = [probe.id for probe in TABLE]


def findings(kept: Evidence, policy_id: str = "") -> dict[str, Finding]:
    policies = [CATALOGUE.policies[policy_id]] if policy_id else CATALOGUE.policies.values()
    found = evaluate(policies, CATALOGUE.checks, SITE, {"sigsrv": HostFacts("sigsrv", "sigsrv", kept)})
    return {each.id: each for each in found}


@cache
def as_saved() -> Mapping[str, Finding]:
    return findings(SAVED)


@cache
def readers(place: str) -> frozenset[str]:
    """Return the policies that read a probe or a URL. HOST-001 and HOST-011 only look whether there is an answer."""
    return frozenset(key for key in CATALOGUE.policies if key not in NEVER_FAIL and place in _read(key))


@cache
def _read(policy_id: str) -> frozenset[str]:
    asked: dict[str, None] = {}
    probes, api = _Recorded(SAVED.probes, asked), _Recorded(SAVED.api, asked)
    findings(dataclasses.replace(SAVED, probes=probes, api=api), policy_id)
    return frozenset(asked)


def test_evidence_of_version_1_is_judged(tmp_path):
    """A probe or URL that this evidence lacks gives an error where it is needed. Nothing else is an error."""
    done = sigsrv(
        "scan",
        *("--evidence", str(FOLDER), "--site", str(FOLDER / "site.yaml"), "--hosts", "sigsrv"),
        *("--report-dir", str(tmp_path)),
    )
    errors = [each.reason for each in as_saved().values() if each.verdict is Verdict.ERROR]

    assert done.returncode in (0, 1, 3), done.stderr
    assert {each.policy for each in as_saved().values()} == set(CATALOGUE.policies)
    assert sum(each.verdict is Verdict.PASS for each in as_saved().values()) > 100
    assert [reason for reason in errors if "this evidence has no " not in reason] == []


@pytest.mark.parametrize("place", [*PROBES, *sorted(SAVED.api)])
def test_a_missing_answer_is_an_error_where_it_is_needed(place):
    """Some policy that reads the answer gives an error. A finding that does not need it keeps its verdict; none becomes a pass."""
    without = dataclasses.replace(
        SAVED,
        probes={name: answer for name, answer in SAVED.probes.items() if name != place},
        api={address: answer for address, answer in SAVED.api.items() if address != place},
    )

    before, now = as_saved(), findings(without)

    errors = {key: each for key, each in now.items() if each.verdict is Verdict.ERROR and key not in before}
    errors |= {key: now[key] for key in before.keys() & now.keys() if before[key].verdict is not now[key].verdict}
    gone = {key.partition("@")[0] for key in before.keys() - now.keys()}
    assert {each.verdict for each in errors.values()} <= {Verdict.ERROR}
    assert now.keys() - before.keys() <= errors.keys()
    assert gone <= {each.policy for each in errors.values()}
    assert [each.reason for each in now.values() if each.reason.startswith(BROKE)] == []
    unknown = {each.policy for each in before.values() if each.verdict is Verdict.ERROR}  # a new probe lacks already
    assert readers(place) <= unknown or readers(place) & {each.policy for each in errors.values()}


def test_most_probes_have_a_reader():
    """Otherwise the test of missing answers would show nothing."""
    assert sum(bool(readers(probe)) for probe in PROBES) > 30
