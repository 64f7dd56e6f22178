"""What Incus answered of networks and pools as one member has them."""

from __future__ import annotations

import dataclasses

import pytest

from sigsrv.collect import urls
from sigsrv.collect.evidence import ApiAnswer, Failure
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.resources import Space
from sigsrv.model.errors import EvidenceError, FailureKind
from tests.test_facts_incus import RECORDED, answering, single


def test_a_network_is_as_its_member_has_it():
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


def test_networks_that_nobody_else_tells_of_are_as_the_list_has_them():
    """An unmanaged link, and any network of a daemon that is in no cluster: nothing was asked for beside the list."""
    unmanaged = IncusFacts(RECORDED).network_at("eth1", "sigsrv")
    alone = dataclasses.replace(single(), api={k: v for k, v in single().api.items() if "?target=" not in k})
    listed = IncusFacts(alone).network_at("userbr0", "sigsrv")

    assert unmanaged is not None
    assert (unmanaged.managed, unmanaged.locations) == (False, ())
    assert listed is not None
    assert "bridge.external_interfaces" not in listed.config


def test_the_resources_of_a_pool_are_read():
    """Bytes and inodes of a directory; a zpool has no inodes to count."""
    directory = {"space": {"total": 6249086976, "used": 393216}, "inodes": {"total": 399749120, "used": 9612}}
    facts = IncusFacts(answering(urls.pool_resources_url("iso", "sigsrv"), ApiAnswer(200, directory)))

    iso = facts.pool_resources("iso", "sigsrv")
    assert (iso.space, iso.inodes) == (Space(6249086976, 393216), Space(399749120, 9612))
    assert iso.space.free == 6248693760
    assert facts.pool_resources("nvme", "sigsrv").inodes.total == 0


def test_used_that_was_left_out_is_0():
    """Incus leaves out ``used`` of a pool that holds nothing."""
    address = urls.pool_resources_url("iso", "sigsrv")
    answer = ApiAnswer(200, {"space": {"total": 100}, "inodes": {"total": 0, "used": 0}})

    assert IncusFacts(answering(address, answer)).pool_resources("iso", "sigsrv").space == Space(100, 0)


def test_a_daemon_in_no_cluster_is_asked_without_a_target():
    """Its resources stand under the URL without a member."""
    seen = single()
    answer = ApiAnswer(200, {"space": {"total": 100, "used": 1}, "inodes": {"total": 0}})
    api = {**seen.api, urls.pool_resources_url("iso", None): answer}

    assert IncusFacts(dataclasses.replace(seen, api=api)).pool_resources("iso", "sigsrv").space.free == 99


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
def test_what_a_member_tells_is_read_strictly(view, metadata):
    """An answer of another shape is an error, never an empty pool or a network without a fault."""
    name, address = OF_MEMBER[view]

    with pytest.raises(EvidenceError):
        getattr(IncusFacts(answering(address, ApiAnswer(200, metadata))), view)(name, "sigsrv")


@pytest.mark.parametrize("kind", [FailureKind.DENIED, FailureKind.TIMEOUT, FailureKind.DOWN])
@pytest.mark.parametrize("view", OF_MEMBER)
def test_what_a_member_did_not_tell_says_why(view, kind):
    """A refusal and a time-out keep their kind; an answer that this evidence lacks is absent."""
    name, address = OF_MEMBER[view]
    lacking = dataclasses.replace(RECORDED, api={k: v for k, v in RECORDED.api.items() if k != address})
    for seen, wanted in (
        (answering(address, ApiAnswer(failure=Failure(kind, "so it is"))), kind),
        (lacking, FailureKind.ABSENT),
    ):
        with pytest.raises(EvidenceError) as caught:
            getattr(IncusFacts(seen), view)(name, "sigsrv")
        assert caught.value.kind is wanted
