"""Each shipped policy, held against its own examples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sigsrv.authoring import examples, lint
from sigsrv.judge.checks import load_checks
from sigsrv.model import data, policy

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))


@pytest.mark.parametrize("policy_id", POLICIES)
def test_examples_show_what_they_say(policy_id):
    """Every compliant and violating example of a policy changes exactly the verdicts that it names."""
    assert examples.mistakes(POLICIES[policy_id], list(POLICIES.values()), CHECKS) == []


def test_small_evidence_complies_as_it_stands():
    """The evidence that examples change has no fault of its own: each difference is the example's."""
    assert examples.fails_as_it_stands(list(POLICIES.values()), CHECKS) == []


def test_a_policy_that_the_example_document_violates_is_reported():
    """Each violating example would differ by more than its change."""
    policies = {**POLICIES, "PROJ-001": replace(POLICIES["PROJ-001"], rule={"required": ["nowhere"]})}

    lines = examples.fails_as_it_stands(list(policies.values()), CHECKS)

    assert [line.split(", but ")[1] for line in lines] == [
        "PROJ-001@cluster/user-john is fail: restricted is true",
    ]
    assert all("policies/examples.yaml" in line for line in lines)


def test_nothing_is_wrong_with_the_files():
    """Schema, ids, a rule or a check and never both, remediations that name the policy back: what ``sigsrv policies lint`` tells."""
    assert [str(mistake) for mistake in lint.lint()[1]] == []


def test_every_check_has_its_policy():
    """A check of a policy that does not exist would never be run."""
    assert set(CHECKS) <= set(POLICIES)


@pytest.mark.parametrize("policy_id", POLICIES)
def test_a_fix_is_a_script_or_a_sentence(policy_id):
    """Whoever reads a failure is told what to do."""
    assert bool(POLICIES[policy_id].remediation) is not bool(POLICIES[policy_id].by_hand)
