"""Each shipped policy, held against its own examples."""

from __future__ import annotations

import pytest

from sigsrv import data, examples, policy, remediation
from sigsrv.evaluate import load_checks
from sigsrv.finding import Verdict

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))


@pytest.mark.parametrize("policy_id", POLICIES)
def test_examples_show_what_they_say(policy_id):
    """Every compliant and violating example of a policy changes exactly the verdicts that it names."""
    assert examples.faults(POLICIES[policy_id], list(POLICIES.values()), CHECKS) == []


def test_small_evidence_complies_as_it_stands():
    """The evidence that examples change has no fault of its own: each difference is the example's."""
    found = examples.findings(examples.document(), list(POLICIES.values()), CHECKS)

    assert {finding.verdict for finding in found.values()} == {Verdict.PASS, Verdict.NOT_APPLICABLE}


@pytest.mark.parametrize("policy_id", POLICIES)
def test_policy_has_a_rule_or_a_check_and_never_both(policy_id):
    """A policy is held by its rule or by one Python check."""
    assert (POLICIES[policy_id].rule is None) is (policy_id in CHECKS)


def test_every_check_has_its_policy():
    """A check of a policy that does not exist would never be run."""
    assert set(CHECKS) <= set(POLICIES)


@pytest.mark.parametrize("policy_id", POLICIES)
def test_remediation_exists_and_names_the_policy(policy_id):
    """The remediation that a policy names is there, and says that it mends it."""
    named = POLICIES[policy_id].remediation
    if named is None:
        assert POLICIES[policy_id].by_hand
    else:
        assert policy_id in remediation.load()[named].mends
