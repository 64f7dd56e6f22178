"""Tests the helpers that match the site file with the facts."""

from __future__ import annotations

import pytest

from sigsrv.authoring.document import facts_of, patched
from sigsrv.facts.clusters import clusters
from sigsrv.judge.acl_isolation import instance_addresses
from sigsrv.judge.site_resources import nic_links, nics_of
from sigsrv.model.errors import EvidenceError

AWAY = [
    {"op": "add", "path": "/cluster/instances/vm/config", "value": None},
    {"op": "replace", "path": "/cluster/instances/vm/status", "value": "Error"},
]


def facts(change):
    _, hosts = facts_of(patched(change))
    return clusters(hosts)[0]


@pytest.mark.parametrize(
    "ask",
    [
        lambda facts, **more: nics_of(facts, "userbr0", **more),
        lambda facts, **more: nic_links(facts.hosts["minisrv"], **more),
    ],
    ids=["nics_of", "nic_links"],
)
def test_a_helper_that_reads_instances_raises_if_one_could_not_be_read(ask):
    """A check gets a part only if it asks for a part: forgetting an unread instance is an error, never a false pass."""
    with pytest.raises(EvidenceError, match="user-john/vm"):
        ask(facts(AWAY))

    assert len(ask(facts(AWAY), partial=True)) <= len(ask(facts([])))


def test_an_unreadable_address_of_a_network_is_an_error():
    """It is not an address that instances can't have."""
    site, _ = facts_of(patched([]))
    bridge = next(each for each in site.bridges if each.name == "userbr0")

    with pytest.raises(EvidenceError, match="network userbr0"):
        instance_addresses({"ipv4.address": "???.??.?.?/??"}, bridge)
