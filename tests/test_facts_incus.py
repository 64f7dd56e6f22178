"""What Incus answered, read from the shipped evidence of a real cluster."""

from __future__ import annotations

import dataclasses

import pytest

from sigsrv import data
from sigsrv.collect import api as url
from sigsrv.collect import evidence
from sigsrv.collect.evidence import ApiAnswer, Evidence, Failure
from sigsrv.errors import EvidenceError, FailureKind
from sigsrv.facts import ClusterFacts, HostFacts, clusters
from sigsrv.facts.config import boolean, words
from sigsrv.facts.incus import IncusFacts

RECORDED = evidence.load(data.DEMO / "evidence")["sigsrv"]
VIEWS = {
    "server": url.SERVER,
    "members": url.MEMBERS,
    "warnings": url.WARNINGS,
    "projects": url.PROJECTS,
    "profiles": url.PROFILES,
    "networks": url.NETWORKS,
    "network_acls": url.NETWORK_ACLS,
    "pools": url.POOLS,
    "instances": url.INSTANCES,
}


def answering(address: str, answer: ApiAnswer) -> Evidence:
    return dataclasses.replace(RECORDED, api={**RECORDED.api, address: answer})


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_reads_the_recorded_answer(view):
    """A real daemon's answer gives at least one row."""
    assert getattr(IncusFacts(RECORDED), view)


@pytest.mark.parametrize("metadata", ["", {}, None, [1], [{}], [{"name": ""}], "untrusted"], ids=repr)
@pytest.mark.parametrize("view", VIEWS)
def test_each_view_refuses_what_is_no_answer(view, metadata):
    """An answer of another shape is an error, never an empty list."""
    with pytest.raises(EvidenceError):
        getattr(IncusFacts(answering(VIEWS[view], ApiAnswer(200, metadata))), view)


@pytest.mark.parametrize("kind", [FailureKind.DENIED, FailureKind.DOWN, FailureKind.GARBLED])
@pytest.mark.parametrize("view", VIEWS)
def test_each_view_passes_on_why_it_was_refused(view, kind):
    """The kind and reason of the failure reach whoever looks at the fact."""
    facts = IncusFacts(answering(VIEWS[view], ApiAnswer(403, None, Failure(kind, "so it is"))))

    with pytest.raises(EvidenceError, match="so it is") as caught:
        getattr(facts, view)

    assert caught.value.kind is kind


@pytest.mark.parametrize("view", ["projects", "profiles", "networks", "network_acls", "pools", "instances"])
def test_a_filtered_view_is_not_taken_for_the_whole(view):
    """A client that Incus does not fully trust sees lists without what it may not see; such a list is an error."""
    untrusted = {**RECORDED.api[url.SERVER].metadata, "auth": "untrusted"}
    forbidden = ApiAnswer(403, None, Failure(FailureKind.DENIED, "warnings are refused"))

    for seen in (answering(url.SERVER, ApiAnswer(200, untrusted)), answering(url.WARNINGS, forbidden)):
        with pytest.raises(EvidenceError) as caught:
            getattr(IncusFacts(seen), view)
        assert caught.value.kind is FailureKind.DENIED


@pytest.mark.parametrize("view", [view for view in VIEWS if view not in ("server", "projects")])
def test_an_empty_list_is_an_answer(view):
    """A daemon that has none of a kind says so with an empty list."""
    assert getattr(IncusFacts(answering(VIEWS[view], ApiAnswer(200, []))), view) == ()


def test_projects_are_never_none():
    """Every daemon has project default: a list without it is not the whole list."""
    with pytest.raises(EvidenceError, match="no project default"):
        _ = IncusFacts(answering(url.PROJECTS, ApiAnswer(200, []))).projects


def test_instances_whose_state_came_too_late_are_known_by_their_configuration():
    """When the list with states times out, the configuration is judged and the state is unknown."""
    late = ApiAnswer(None, None, Failure(FailureKind.TIMEOUT, "no answer in 5 s"))
    rows = [{k: v for k, v in row.items() if k != "state"} for row in RECORDED.api[url.INSTANCES].metadata]
    api = {**RECORDED.api, url.INSTANCES: late, url.INSTANCES_CONFIG: ApiAnswer(200, rows)}

    found = IncusFacts(dataclasses.replace(RECORDED, api=api)).instances

    assert {instance.status for instance in found} == {"Unknown"}
    assert len(found) == len(rows)


def test_instances_without_either_list_are_unknown():
    """A time-out is no empty cluster."""
    late = ApiAnswer(None, None, Failure(FailureKind.TIMEOUT, "no answer in 5 s"))
    api = {**RECORDED.api, url.INSTANCES: late, url.INSTANCES_CONFIG: late}

    with pytest.raises(EvidenceError, match="no answer in 5 s"):
        _ = IncusFacts(dataclasses.replace(RECORDED, api=api)).instances


def test_booleans_are_filled_in_before_anyone_looks():
    """An unset key has its default, a set one Incus's meaning."""
    found = {instance.name: instance for instance in IncusFacts(RECORDED).instances}

    assert found["priv"].expanded_config["security.privileged"] == "true"
    assert found["web"].expanded_config["security.privileged"] == "false"
    assert found["web"].expanded_config["security.guestapi"] == "true"


@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "ON"])
def test_every_spelling_of_true_is_true(word):
    """Incus takes true, 1, yes and on, in any case."""
    assert boolean(word, False, "key") is True


@pytest.mark.parametrize("word", ["2", "tru", "perhaps", " true"])
def test_a_word_that_is_no_boolean_is_an_error(word):
    """What Incus would not have stored is not guessed at."""
    with pytest.raises(EvidenceError, match="no boolean"):
        boolean(word, False, "key")


def test_lists_lose_their_blanks():
    """Incus's lists are parted by commas."""
    assert words(" a, b ,,c") == ("a", "b", "c")
    assert words(None) == ()


def test_cluster_facts_come_from_the_first_host_that_could_tell():
    """One daemon that is down does not hide what the other one answers."""
    down = Evidence(
        "a", 0.0, api={address: ApiAnswer(failure=Failure(FailureKind.DOWN, "down")) for address in VIEWS.values()}
    )
    both = ClusterFacts("cluster", {"a": HostFacts("a", "a", down), "sigsrv": HostFacts("sigsrv", "sigsrv", RECORDED)})

    assert both.first(lambda incus: incus.projects)
    with pytest.raises(EvidenceError, match="down"):
        ClusterFacts("cluster", {"a": HostFacts("a", "a", down)}).first(lambda incus: incus.projects)


def test_a_host_in_no_cluster_stands_for_itself():
    """Two single hosts are two clusters, each of its own name; an unreachable one is counted to the cluster."""
    environment = {**RECORDED.api[url.SERVER].metadata["environment"], "server_clustered": False}
    single = answering(url.SERVER, ApiAnswer(200, {**RECORDED.api[url.SERVER].metadata, "environment": environment}))
    away = Evidence("c", 0.0, failure=Failure(FailureKind.UNREACHABLE, "away"))
    hosts = {name: HostFacts(name, name, seen) for name, seen in {"a": single, "b": single, "c": away}.items()}

    assert [(group.name, list(group.hosts)) for group in clusters(hosts)] == [
        ("cluster", ["c"]),
        ("a", ["a"]),
        ("b", ["b"]),
    ]
