"""Check of the policies that have a rule of their own (JSON Schema in the policy's file)."""

from sigsrv import ClusterFacts, HostFacts, Require, Site
from sigsrv.judge.require import rule_policies


@rule_policies
def test_rule(facts: HostFacts | ClusterFacts, site: Site, require: Require) -> None:
    """Checks that each resource that the policy's ``match`` selects satisfies its ``rule``."""
