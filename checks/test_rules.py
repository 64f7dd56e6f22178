"""The policies that say in their own files how to judge: by a rule (JSON Schema) or by forms."""

from sigsrv import ClusterFacts, HostFacts, Require, Site
from sigsrv.judge.require import rule_policies


@rule_policies
def test_rule(facts: HostFacts | ClusterFacts, site: Site, require: Require) -> None:
    """Checks that each resource that the policy's ``match`` selects satisfies its ``rule`` or its forms."""
