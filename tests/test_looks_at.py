"""Tests that each policy looks at what it declares, so that a policy that stops reading the effect is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import pytest

from sigsrv.collect.urls import ADDRESS_SETS, EXTRA_PATHS, PATHS, ZONES, path
from sigsrv.model.finding import Finding, Verdict
from tests.judged import POLICIES, judged


@cache
def all_findings() -> tuple[Finding, ...]:
    return tuple(finding for findings in judged() for finding in findings)


@cache
def recorded() -> Mapping[str, frozenset[str]]:
    """Return what the findings of each policy stand on, in all states together."""
    found: dict[str, frozenset[str]] = dict.fromkeys(POLICIES, frozenset())
    for finding in all_findings():
        found[finding.policy] |= set(finding.stands_on)
    return found


@pytest.mark.parametrize("policy_id", POLICIES)
def test_policy_declares_exactly_what_its_findings_stand_on(policy_id):
    """Each declared source is read in some example, the demo or a clean lab, and no finding reads an undeclared one."""
    declared, found = set(POLICIES[policy_id].looks_at), recorded()[policy_id]

    assert declared, "looks_at is missing"
    assert {"declared, but never read": declared - found, "read, but not declared": found - declared} == {
        "declared, but never read": set(),
        "read, but not declared": set(),
    }


@pytest.mark.parametrize("policy_id", POLICIES)
def test_sources_of_a_policy_are_in_order(policy_id):
    """Probes come first, then paths, so that a list and a recorded one can be compared by eye."""
    declared = POLICIES[policy_id].looks_at

    assert list(declared) == sorted(declared, key=lambda name: (name.startswith("/"), name))


def test_no_pass_stands_on_nothing():
    """A pass has read something that could have shown a fault."""
    bare = {each.id for each in all_findings() if each.verdict is Verdict.PASS and not each.stands_on}

    assert bare == set()


def test_each_path_of_the_api_is_looked_at_by_a_policy_or_by_a_notice():
    """A URL that nobody reads would be requested for nothing. A path that a policy reads leaves the list of the notices."""
    looked_at = {name for each in POLICIES.values() for name in each.looks_at}

    # tests/test_notices.py shows that the notices read these
    assert PATHS - looked_at == EXTRA_PATHS - {path(ADDRESS_SETS), path(ZONES)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("nft", "nft"),
        ("/1.0", "/1.0"),
        ("/1.0/networks?recursion=1", "/1.0/networks"),
        ("/1.0/networks/sigsrvbr0?target=minisrv", "/1.0/networks/{name}"),
        ("/1.0/storage-pools/a%2Fb/volumes?recursion=1&all-projects=true", "/1.0/storage-pools/{name}/volumes"),
        ("/1.0/cluster/members?recursion=1", "/1.0/cluster/members"),
    ],
)
def test_source_has_a_name_without_host_member_and_resource(source, expected):
    assert path(source) == expected
