"""What Incus answered, read from the shipped evidence of a real cluster."""

from __future__ import annotations

import dataclasses

import pytest

from sigsrv.collect import evidence, urls
from sigsrv.collect.evidence import ApiAnswer, Evidence, Failure
from sigsrv.facts.clusters import ClusterFacts, clusters
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.resources import InstanceUsage, UnreadInstance
from sigsrv.model import data
from sigsrv.model.errors import EvidenceError, FailureKind
from sigsrv.model.values import boolean, size_bytes, split_list

RECORDED = evidence.load(data.DEMO / "evidence")["sigsrv"]
VIEWS = {
    "server": urls.SERVER,
    "members": urls.MEMBERS,
    "warnings": urls.WARNINGS,
    "projects": urls.PROJECTS,
    "profiles": urls.PROFILES,
    "networks": urls.NETWORKS,
    "network_acls": urls.NETWORK_ACLS,
    "pools": urls.POOLS,
    "instances": urls.INSTANCES,
}


def answering(address: str, answer: ApiAnswer) -> Evidence:
    return dataclasses.replace(RECORDED, api={**RECORDED.api, address: answer})


def single() -> Evidence:
    """The recorded daemon, were it in no cluster."""
    environment = {**RECORDED.api[urls.SERVER].metadata["environment"], "server_clustered": False}
    return answering(urls.SERVER, ApiAnswer(200, {**RECORDED.api[urls.SERVER].metadata, "environment": environment}))


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_reads_the_recorded_answer(view):
    """A real daemon's answer gives at least one row; of warnings, that of a host without QEMU."""
    warning = {
        "count": 1,
        "entity_url": "",
        "first_seen_at": "2026-11-23T13:02:16.785872336Z",
        "last_message": 'QEMU command not available: exec: "qemu-system-x86_64": executable file not found in $PATH',
        "last_seen_at": "2026-11-23T13:02:16.785872336Z",
        "location": "sigsrv",
        "project": "",
        "severity": "low",
        "status": "new",
        "type": "Instance type not operational",
        "uuid": "534ec7ee-dbf2-49ab-af99-f3fd535d9640",
    }
    seen = answering(urls.WARNINGS, ApiAnswer(200, [warning]))

    assert getattr(IncusFacts(seen), view)


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
    untrusted = {**RECORDED.api[urls.SERVER].metadata, "auth": "untrusted"}
    forbidden = ApiAnswer(403, None, Failure(FailureKind.DENIED, "warnings are refused"))

    for seen in (answering(urls.SERVER, ApiAnswer(200, untrusted)), answering(urls.WARNINGS, forbidden)):
        with pytest.raises(EvidenceError) as caught:
            getattr(IncusFacts(seen), view)
        assert caught.value.kind is FailureKind.DENIED


@pytest.mark.parametrize("view", [view for view in VIEWS if view not in ("server", "projects", "members")])
def test_an_empty_list_is_an_answer(view):
    """A daemon that has none of a kind says so with an empty list."""
    assert getattr(IncusFacts(answering(VIEWS[view], ApiAnswer(200, []))), view) == ()


def test_members_are_never_none():
    """A cluster has the member that answers: a list without any is not the whole list."""
    with pytest.raises(EvidenceError, match="no member"):
        _ = IncusFacts(answering(urls.MEMBERS, ApiAnswer(200, []))).members


def test_a_member_without_an_address_hides_its_configuration():
    """The daemon of a member listens for the others: a configuration without that key is not all of it."""
    hidden = {**RECORDED.api[urls.SERVER].metadata, "config": {}}

    with pytest.raises(EvidenceError, match="the answer is incomplete"):
        _ = IncusFacts(answering(urls.SERVER, ApiAnswer(200, hidden))).config


@pytest.mark.parametrize("view", ["members", "networks", "pools", "instances"])
def test_a_configuration_that_is_null_is_hidden(view):
    """Incus writes null for the configuration of what a client may not see; an empty one is {}."""
    listed = [{**row, "config": None} for row in RECORDED.api[VIEWS[view]].metadata]

    with pytest.raises(EvidenceError, match="config"):
        getattr(IncusFacts(answering(VIEWS[view], ApiAnswer(200, listed))), view)


def test_projects_are_never_none():
    """Every daemon has project default: a list without it is not the whole list."""
    with pytest.raises(EvidenceError, match="no project default"):
        _ = IncusFacts(answering(urls.PROJECTS, ApiAnswer(200, []))).projects


def test_instances_whose_state_came_too_late_are_known_by_their_configuration():
    """When the list with states times out, the configuration is judged and the state is unknown."""
    late = ApiAnswer(None, None, Failure(FailureKind.TIMEOUT, "no answer in 5 s"))
    rows = [{k: v for k, v in row.items() if k != "state"} for row in RECORDED.api[urls.INSTANCES].metadata]
    api = {**RECORDED.api, urls.INSTANCES: late, urls.INSTANCES_CONFIG: ApiAnswer(200, rows)}

    found = IncusFacts(dataclasses.replace(RECORDED, api=api)).instances

    assert {instance.status for instance in found} == {"Unknown"}
    assert len(found) == len(rows)


def test_instances_of_a_member_that_is_away_are_known_by_name_though_the_states_came_too_late():
    """Their rows have no configuration and say Error: they don't spoil the list for the others."""
    late = ApiAnswer(None, None, Failure(FailureKind.TIMEOUT, "no answer in 5 s"))
    gone, *rest = RECORDED.api[urls.INSTANCES].metadata
    api = {**RECORDED.api, urls.INSTANCES: late}
    api[urls.INSTANCES_CONFIG] = ApiAnswer(200, [{**gone, "config": None, "status": "Error", "type": ""}, *rest])

    away, *others = IncusFacts(dataclasses.replace(RECORDED, api=api)).instances

    assert away == UnreadInstance(gone["name"], gone["project"], gone["location"])
    assert {instance.status for instance in others} == {"Unknown"}


def test_instances_without_either_list_are_unknown():
    """A time-out is no empty cluster."""
    late = ApiAnswer(None, None, Failure(FailureKind.TIMEOUT, "no answer in 5 s"))
    api = {**RECORDED.api, urls.INSTANCES: late, urls.INSTANCES_CONFIG: late}

    with pytest.raises(EvidenceError, match="no answer in 5 s"):
        _ = IncusFacts(dataclasses.replace(RECORDED, api=api)).instances


def test_booleans_are_filled_in_before_anyone_looks():
    """An unset key has its default, a set one Incus's meaning."""
    found = {instance.name: instance for instance in IncusFacts(RECORDED).instances}

    assert found["svc-a"].expanded_config["security.privileged"] == "true"
    assert found["web"].expanded_config["security.privileged"] == "false"
    assert found["web"].expanded_config["security.guestapi"] == "true"


def web(**changes):
    """The recorded instances, with one of them changed."""
    rows = [row | (changes if row["name"] == "web" else {}) for row in RECORDED.api[urls.INSTANCES].metadata]
    found = IncusFacts(answering(urls.INSTANCES, ApiAnswer(200, rows))).instances
    return next(instance for instance in found if instance.name == "web")


def test_booleans_of_devices_are_filled_in_and_those_of_its_own_are_as_written():
    """What is judged has every key; what is put back has those that were there."""
    nic = {"type": "nic", "network": "br0", "security.mac_filtering": "1"}
    disk = {"type": "disk", "source": "/etc", "path": "/mnt", "readonly": "YES"}
    found = web(expanded_devices={"eth0": nic, "etc": disk}, devices={"etc": disk})

    assert found.expanded_devices["eth0"]["security.mac_filtering"] == "true"
    assert found.expanded_devices["eth0"]["security.ipv4_filtering"] == "false"
    assert found.expanded_devices["etc"]["readonly"] == "true"
    assert found.devices == {"etc": disk}


def test_what_a_container_has_used_is_the_most_since_its_start():
    """Where its kernel does not count that, it is what it uses now."""
    assert web(state={"memory": {"usage": 5, "usage_peak": 7}, "processes": 3}).usage == InstanceUsage(7, 3)
    assert web(state={"memory": {"usage": 5, "usage_peak": 0}, "processes": 3}).usage == InstanceUsage(5, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": None},
        {"state": {"memory": {"usage": 5, "usage_peak": 7}, "processes": -1}},
        {"type": "virtual-machine", "state": {"memory": None, "processes": -1}},
    ],
)
def test_what_nobody_counted_is_not_known(changes):
    """Neither none nor nothing."""
    assert web(**changes).usage is None


@pytest.mark.parametrize(
    "state", [1, {}, {"memory": None, "processes": 1}, {"memory": {"usage": "5"}, "processes": 1}], ids=repr
)
def test_a_state_of_another_shape_is_an_error(state):
    """A container's usage is read strictly."""
    with pytest.raises(EvidenceError):
        web(state=state)


def test_a_key_comes_from_the_instance_or_the_last_profile_that_has_it():
    """Whatever the instance says itself, its profile may give it too."""
    profiles = [
        {"name": name, "project": "default", "config": config, "devices": {"etc": {"type": "disk"}} if config else {}}
        for name, config in {"a": {"raw.lxc": "1"}, "b": {"raw.lxc": "2"}, "c": {}}.items()
    ]
    facts = IncusFacts(answering(urls.PROFILES, ApiAnswer(200, profiles)))
    own = web(profiles=["b", "a", "c"], config={"raw.lxc": "3"}, devices={"etc": {"type": "none"}})
    none = web(profiles=["b", "a", "c"], config={}, devices={})

    assert (facts.origin(own, "raw.lxc"), facts.profile_with(own, "raw.lxc")) == ("instance", "a")
    assert (facts.origin(none, "raw.lxc"), facts.origin(none, "raw.idmap")) == ("a", None)
    assert (facts.device_origin(own, "etc"), facts.profile_with_device(own, "etc")) == ("instance", "a")
    assert (facts.device_origin(none, "etc"), facts.device_origin(none, "run")) == ("a", None)


@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "ON"])
def test_every_spelling_of_true_is_true(word):
    """Incus takes true, 1, yes and on, in any case."""
    assert boolean(word, False, "key") is True


@pytest.mark.parametrize("word", ["2", "tru", "perhaps", " true"])
def test_a_word_that_is_no_boolean_is_an_error(word):
    """What Incus would not have stored is not guessed at."""
    with pytest.raises(EvidenceError, match="not a boolean"):
        boolean(word, False, "key")


def test_lists_lose_their_blanks():
    """Incus's lists are parted by commas."""
    assert split_list(" a, b ,,c") == ("a", "b", "c")
    assert split_list(None) == ()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("512", 512),
        (512, 512),
        ("512B", 512),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("5GB", 5 * 10**9),
        ("5GiB", 5 * 2**30),
    ],
)
def test_sizes_are_those_of_incus(text, number):
    """kB is 1000 and KiB 1024 bytes; a bare number is bytes."""
    assert size_bytes(text) == number


@pytest.mark.parametrize("text", ["", "GiB", "5 GiB", "5gib", "5KB", "-5GiB", "1.5GiB", "5GiB\n", "\u0665GiB"])
def test_what_is_no_size_is_refused(text):
    """What Incus would not take is not guessed at."""
    with pytest.raises(ValueError, match="not a size"):
        size_bytes(text)


def test_the_rules_of_an_acl_are_counted_by_what_they_do():
    """Rules that are logged take effect too, disabled ones do not."""
    rules = [{"action": "allow", "state": state} for state in ("enabled", "logged", "disabled")]
    row = {"name": "a", "project": "default", "ingress": rules, "egress": rules[:1]}
    (found,) = IncusFacts(answering(urls.NETWORK_ACLS, ApiAnswer(200, [row]))).network_acls

    assert (found.enabled, found.disabled) == (3, 1)
    recorded = {acl.name: acl for acl in IncusFacts(RECORDED).network_acls}["user-isolate"]
    assert (recorded.enabled, recorded.disabled) == (4, 0)


def test_a_rule_of_an_acl_is_read_as_it_is_written():
    """What Incus leaves out is any; a rule says itself which side is the other one."""
    rule = {
        "action": "allow",
        "state": "logged",
        "source": "10.0.0.0/8",
        "protocol": "tcp",
        "destination_port": "22,80",
        "description": "x",
    }
    row = {"name": "a", "project": "p", "ingress": [rule], "egress": [{**rule, "action": "drop", "state": "disabled"}]}
    ((into, out),) = (
        each.rules for each in IncusFacts(answering(urls.NETWORK_ACLS, ApiAnswer(200, [row]))).network_acls
    )

    assert (into.direction, into.peer, into.protocol, into.destination_port, into.source_port) == (
        "ingress",
        "10.0.0.0/8",
        "tcp",
        "22,80",
        "",
    )
    assert (into.allows, into.takes_effect, out.allows, out.takes_effect) == (True, True, False, False)
    assert (out.direction, out.peer) == ("egress", "")
    assert str(into) == "ingress allow from 10.0.0.0/8 protocol tcp port 22,80"


WRONG = [
    {"state": "enabled"},
    {"action": "", "state": "enabled"},
    {"action": "accept", "state": "enabled"},
    {"action": "allow", "state": "enabled", "network": "a"},
    {"action": "allow", "state": ""},
    {"action": "allow", "state": "on"},
]


@pytest.mark.parametrize("rules", ["", {}, None, [{}], [1], *([each] for each in WRONG)], ids=repr)
@pytest.mark.parametrize("way", ["ingress", "egress"])
def test_rules_of_another_shape_are_an_error(way, rules):
    """An ACL whose rules did not come back is unknown, not empty."""
    row = {"name": "a", "project": "default", "ingress": [], "egress": [], way: rules}

    with pytest.raises(EvidenceError, match="network-acls"):
        _ = IncusFacts(answering(urls.NETWORK_ACLS, ApiAnswer(200, [row]))).network_acls


def test_cluster_facts_come_from_the_first_host_that_could_tell():
    """One daemon that is down does not hide what the other one answers."""
    down = Evidence(
        "a", 0.0, api={address: ApiAnswer(failure=Failure(FailureKind.DOWN, "down")) for address in VIEWS.values()}
    )
    both = ClusterFacts("cluster", {"a": HostFacts("a", "a", down), "sigsrv": HostFacts("sigsrv", "sigsrv", RECORDED)})

    assert both.incus.projects
    with pytest.raises(EvidenceError, match="down"):
        _ = ClusterFacts("cluster", {"a": HostFacts("a", "a", down)}).incus.projects


def test_a_host_in_no_cluster_stands_for_itself():
    """Two single hosts are two clusters, each of its own name; an unreachable one is counted to the cluster."""
    away = Evidence("c", 0.0, failure=Failure(FailureKind.UNREACHABLE, "away"))
    hosts = {name: HostFacts(name, name, seen) for name, seen in {"a": single(), "b": single(), "c": away}.items()}

    assert [(group.name, list(group.hosts)) for group in clusters(hosts)] == [
        ("cluster", ["c"]),
        ("a", ["a"]),
        ("b", ["b"]),
    ]


def test_a_bridge_s_network_has_its_booleans_filled_in():
    """However they are written; of what Incus does not manage, or of another type, nothing is made up."""
    row = {
        "name": "br0",
        "managed": True,
        "type": "bridge",
        "status": "Created",
        "locations": ["a"],
        "config": {"ipv4.nat": "Yes"},
    }
    rows = [row, {**row, "name": "up0", "type": "physical"}, {**row, "name": "docker0", "managed": False, "config": {}}]
    bridge, uplink, foreign = IncusFacts(answering(urls.NETWORKS, ApiAnswer(200, rows))).networks

    assert {key: bridge.config[key] for key in ("ipv4.nat", "ipv6.nat", "ipv4.firewall", "ipv4.dhcp")} == {
        "ipv4.nat": "true",
        "ipv6.nat": "false",
        "ipv4.firewall": "true",
        "ipv4.dhcp": "true",
    }
    assert (uplink.config, foreign.config) == ({"ipv4.nat": "Yes"}, {})
    with pytest.raises(EvidenceError, match="not a boolean"):
        _ = IncusFacts(answering(urls.NETWORKS, ApiAnswer(200, [{**row, "config": {"ipv4.nat": "maybe"}}]))).networks


def test_the_daemon_says_what_it_runs_on():
    """The versions that two hosts are compared by; without ZFS there is none."""
    server = IncusFacts(RECORDED).server
    environment = {
        **RECORDED.api[urls.SERVER].metadata["environment"],
        "storage_supported_drivers": [{"Name": "dir", "Version": "1"}],
    }
    bare = answering(urls.SERVER, ApiAnswer(200, {"auth": "trusted", "environment": environment}))

    assert (server.firewall, server.os, server.os_version) == ("nftables", "Debian GNU/Linux", "13")
    assert server.kernel.startswith("6.")
    assert server.zfs.startswith("2.3")
    assert IncusFacts(bare).server.zfs is None
