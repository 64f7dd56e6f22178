"""Tests the facts about networks and pools from the answers of one member."""

from __future__ import annotations

import dataclasses

import pytest

from sigsrv.collect import urls
from sigsrv.collect.evidence import ApiAnswer, Failure
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.pools import Space
from sigsrv.model.errors import EvidenceError, FailureKind
from tests.test_facts_incus import RECORDED, answering, single


def test_a_network_has_the_values_of_its_member():
    """Status and member-specific keys come from the member's own answer, not from the list."""
    found = IncusFacts(RECORDED).network_at("userbr0", "sigsrv")

    assert found is not None
    assert (found.managed, found.type, found.status, found.locations) == (
        True,
        "bridge",
        "Created",
        ("sigsrv", "minisrv"),
    )
    assert found.config["bridge.external_interfaces"] == "user0"
    assert IncusFacts(RECORDED).network_at("nowhere", "sigsrv") is None


def test_networks_without_a_member_answer_have_the_values_of_the_list():
    """For an unmanaged link, and for networks of a standalone host, sigsrv requests only the list."""
    unmanaged = IncusFacts(RECORDED).network_at("eth1", "sigsrv")
    standalone = dataclasses.replace(single(), api={k: v for k, v in single().api.items() if "?target=" not in k})
    listed = IncusFacts(standalone).network_at("userbr0", "sigsrv")

    assert unmanaged is not None
    assert (unmanaged.managed, unmanaged.locations) == (False, ())
    assert listed is not None
    assert "bridge.external_interfaces" not in listed.config


def test_the_resources_of_a_pool_are_read():
    """A pool on a directory has bytes and inodes. A zpool has no number of inodes."""
    directory = {"space": {"total": 6249086976, "used": 393216}, "inodes": {"total": 399749120, "used": 9612}}
    facts = IncusFacts(answering(urls.pool_resources_url("iso", "sigsrv"), ApiAnswer(200, directory)))

    iso = facts.pool_resources("iso", "sigsrv")
    assert (iso.space, iso.inodes) == (Space(6249086976, 393216), Space(399749120, 9612))
    assert iso.space.free == 6248693760
    assert facts.pool_resources("nvme", "sigsrv").inodes.total == 0


def test_a_missing_used_size_is_0():
    """Incus leaves out ``used`` for an empty pool."""
    address = urls.pool_resources_url("iso", "sigsrv")
    answer = ApiAnswer(200, {"space": {"total": 100}, "inodes": {"total": 0, "used": 0}})

    assert IncusFacts(answering(address, answer)).pool_resources("iso", "sigsrv").space == Space(100, 0)


def test_the_url_for_a_standalone_host_has_no_target():
    """The evidence keeps its pool resources under the URL without a member."""
    standalone = single()
    answer = ApiAnswer(200, {"space": {"total": 100, "used": 1}, "inodes": {"total": 0}})
    api = {**standalone.api, urls.pool_resources_url("iso", None): answer}

    assert IncusFacts(dataclasses.replace(standalone, api=api)).pool_resources("iso", "sigsrv").space.free == 99


OF_MEMBER = {
    "network_at": ("userbr0", urls.network_url("userbr0", "sigsrv")),
    "pool_at": ("iso", urls.pool_url("iso", "sigsrv")),
    "pool_resources": ("iso", urls.pool_resources_url("iso", "sigsrv")),
}


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        [],
        {},
        None,
        {"space": {"total": 1}},
        {"space": {}, "inodes": {"total": 0}},
        {"space": {"total": 0}, "inodes": {"total": 0}},
        {"space": {"total": "1"}, "inodes": {"total": 0}},
        {"space": {"total": True}, "inodes": {"total": 0}},
        {"space": {"total": 1, "used": 2}, "inodes": {"total": 0}},
        {"space": {"total": 1, "used": -1}, "inodes": {"total": 0}},
        {"name": "userbr0", "managed": True, "type": "bridge", "status": "Created", "config": {}},
        {
            "name": "userbr0",
            "managed": True,
            "type": "bridge",
            "status": "Created",
            "config": {},
            "locations": "sigsrv",
        },
        {"name": "userbr0", "managed": "true", "type": "bridge", "status": "Created", "config": {}, "locations": []},
    ],
    ids=repr,
)
@pytest.mark.parametrize("view", OF_MEMBER)
def test_a_malformed_answer_of_a_member_is_an_error(view, metadata):
    """It never reads as an empty pool or as a network without a fault."""
    name, address = OF_MEMBER[view]

    with pytest.raises(EvidenceError):
        getattr(IncusFacts(answering(address, ApiAnswer(200, metadata))), view)(name, "sigsrv")


@pytest.mark.parametrize("kind", [FailureKind.DENIED, FailureKind.TIMEOUT, FailureKind.DOWN])
@pytest.mark.parametrize("view", OF_MEMBER)
def test_a_missing_answer_of_a_member_says_why(view, kind):
    """A denied request and a timeout keep their kind. An answer that is not in the evidence has the kind ABSENT."""
    name, address = OF_MEMBER[view]
    without_answer = dataclasses.replace(RECORDED, api={k: v for k, v in RECORDED.api.items() if k != address})
    for changed, wanted in (
        (answering(address, ApiAnswer(failure=Failure(kind, "no answer"))), kind),
        (without_answer, FailureKind.ABSENT),
    ):
        with pytest.raises(EvidenceError) as caught:
            getattr(IncusFacts(changed), view)(name, "sigsrv")
        assert caught.value.kind is wanted
