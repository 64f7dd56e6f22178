"""Tests each shipped policy with its own examples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sigsrv.authoring import examples, lint
from sigsrv.judge.checks import load_checks
from sigsrv.model import data, policy, remediation

POLICIES = policy.load()
REMEDIATIONS = remediation.load()
CHECKS = load_checks(data.folder("checks"))


@pytest.mark.parametrize("policy_id", POLICIES)
def test_examples_give_the_stated_verdicts(policy_id):
    """Each compliant and violating example changes exactly the verdicts that it names."""
    assert examples.mistakes(POLICIES[policy_id], list(POLICIES.values()), CHECKS, REMEDIATIONS) == []


def test_unchanged_example_evidence_complies():
    """The evidence that examples change has no fault, so each difference comes from the example."""
    assert examples.fails_as_it_stands(list(POLICIES.values()), CHECKS) == []


def test_policy_that_the_example_document_violates_is_reported():
    """Otherwise each violating example would differ by more than its change."""
    policies = {
        **POLICIES,
        "PROJ-001": replace(POLICIES["PROJ-001"], rule={"properties": {"name": {"const": "default"}}}),
    }

    lines = examples.fails_as_it_stands(list(policies.values()), CHECKS)

    assert [line.split(", but ")[1] for line in lines] == [
        "PROJ-001@cluster/user-john is fail: restricted is true",
    ]
    assert all("policies/examples.yaml" in line for line in lines)


def test_a_check_that_does_not_set_a_value_of_its_remediation_is_reported():
    """An operator would see it first when the fix is planned."""

    def check(facts, site, require):
        require(
            "sigsrvbr0", "sigsrv0" not in facts.network.links, expected="x", observed="y", fix={"bridge": "sigsrvbr0"}
        )

    own = POLICIES["NET-001"].with_check
    lines = examples.mistakes(own, [*POLICIES.values(), own], {**CHECKS, "NET-001": check}, REMEDIATIONS)

    assert (
        "NET-001@sigsrv/sigsrvbr0: the check does not set extra_ports, interface, member, which remediation attach-vlan needs"
        in lines
    ), lines


def test_a_wrong_path_in_an_example_is_reported_without_the_document(monkeypatch):
    """The exception of the library repeats the whole document."""
    example = {"name": "wrong path", "change": [{"op": "remove", "path": "/minisrv/link/userbr0"}], "expect": {}}
    monkeypatch.setattr(examples, "each_example", lambda policy: [("compliant", 0, example)])

    (line,) = examples.mistakes(POLICIES["NET-001"], list(POLICIES.values()), CHECKS, REMEDIATIONS)

    assert "member 'link' not found" in line
    assert len(line) < 120


def test_lint_finds_no_mistakes():
    """``sigsrv policies lint`` checks schema and ids, exactly one of rule and check, and the policies that remediations name."""
    assert [str(mistake) for mistake in lint.lint()[1]] == []


def test_every_check_has_its_policy():
    """A check for an unknown policy would never run."""
    assert set(CHECKS) <= set(POLICIES)


@pytest.mark.parametrize("policy_id", POLICIES)
def test_policy_has_either_a_script_or_instructions(policy_id):
    """A reader of a failure must learn how to fix it."""
    assert bool(POLICIES[policy_id].remediation) is not bool(POLICIES[policy_id].by_hand)
