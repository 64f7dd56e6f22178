"""Checks: the policies that carry a rule of their own (JSON Schema in the policy's file)."""

from sigsrv.judge.require import rule_policies


@rule_policies
def test_rule(facts, site, require):
    """Each resource that the policy's ``match`` selects keeps its ``rule``."""
