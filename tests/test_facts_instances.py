"""Tests that an instance that could not be read never counts as absent."""

from __future__ import annotations

import pytest

from sigsrv.authoring import document
from sigsrv.facts.clusters import clusters
from sigsrv.facts.instances import Instances
from sigsrv.facts.resources import Instance, UnreadInstance
from sigsrv.model.errors import EvidenceError


def instance(name: str, project: str = "default") -> Instance:
    return Instance(name, project, "sigsrv", "container", "Running", {}, {}, {}, {}, (), (), None, {})


WEB, DB = instance("web"), instance("db", "user-john")
UNREAD = UnreadInstance("lost", "default", "minisrv")
CAUSE = EvidenceError("default/lost: its member minisrv did not answer", host="minisrv")
ALL = Instances(((WEB, "sigsrv"), (DB, "minisrv")))
PART = Instances(((WEB, "sigsrv"), (DB, "minisrv")), ((UNREAD, CAUSE),))


def test_iterating_over_all_instances_yields_each_with_its_host():
    """No instance is unread, so nothing is raised."""
    assert list(ALL) == [(WEB, "sigsrv"), (DB, "minisrv")]


def test_iterating_raises_after_the_last_instance_that_could_be_read():
    """A check that forgets the unread instances ends with an error, not with a pass."""
    rows = iter(PART)

    assert [next(rows), next(rows)] == [(WEB, "sigsrv"), (DB, "minisrv")]
    with pytest.raises(EvidenceError, match="did not answer"):
        next(rows)


def test_an_unread_instance_counts_only_if_the_condition_selects_it():
    """The name and the project of an unread instance are known, so the condition can use them."""
    assert list(PART.where(lambda each: each.project == "user-john")) == [(DB, "minisrv")]
    with pytest.raises(EvidenceError):
        list(PART.where(lambda each: each.project == "default"))


def test_the_instances_of_a_project_include_its_unread_ones():
    """An unread instance of another project does not matter. A project without instances has none."""
    assert list(PART.of_project("user-john")) == [(DB, "minisrv")]
    assert list(PART.of_project("user-jane")) == []
    with pytest.raises(EvidenceError, match="default/lost"):
        list(PART.of_project("default"))


def test_an_unread_instance_matters_on_its_own_member_only():
    """The first error of the member is raised. No location means all members."""
    second = EvidenceError("default/late: its member minisrv did not answer", host="minisrv")
    part = Instances((), ((UNREAD, CAUSE), (UnreadInstance("late", "default", "minisrv"), second)))

    part.require_at("sigsrv")
    for location in ("minisrv", ""):
        with pytest.raises(EvidenceError, match="default/lost"):
            part.require_at(location)
    ALL.require_at("")


def test_known_instances_are_returned_only_if_they_are_decisive():
    """Two known instances prove "at least two". They do not prove "more than two" while another instance is unread."""
    assert PART.known(decisive=lambda known: len(known) == 2) == ((WEB, "sigsrv"), (DB, "minisrv"))
    with pytest.raises(EvidenceError):
        PART.known(decisive=lambda known: len(known) > 2)
    assert ALL.known(decisive=lambda known: False) == ((WEB, "sigsrv"), (DB, "minisrv"))


def test_a_search_that_finds_nothing_needs_all_instances():
    """A result from some instances is a result. No result from only some instances is an error."""
    assert PART.search(lambda each: [each.name] if each.name == "web" else []) == ["web"]
    with pytest.raises(EvidenceError):
        PART.search(lambda each: [])
    assert ALL.search(lambda each: []) == []


def test_each_reports_the_unread_instances_and_yields_the_others():
    """The engine records an error for each unread instance."""
    reported = []

    assert list(PART.each(lambda unread, cause: reported.append((unread, cause)))) == [(WEB, "sigsrv"), (DB, "minisrv")]
    assert reported == [(UNREAD, CAUSE)]


def test_names_of_instances_are_known_without_the_members_of_the_site():
    """An instance on a host of the cluster is never left out, even if the caller does not say which members the site has."""
    _, facts = document.example_facts()

    (cluster,) = clusters(facts)

    assert cluster.instance_names == {each.resource for each, _ in cluster.instances}
    assert cluster.instance_names


def test_a_row_is_read_only_from_the_daemon_of_its_own_member():
    """A cluster of many members lists each instance as often as it has members: to read all rows would take that much longer."""
    _, facts = document.example_facts()
    (cluster,) = clusters(facts)
    _ = cluster.instances

    read = {
        (host.member, row.location)
        for host in cluster.hosts.values()
        for row in host.incus.instance_rows
        if "read" in vars(row)
    }
    assert read
    assert all(member == location for member, location in read)
