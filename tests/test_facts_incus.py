"""Tests the facts from Incus's API answers with the shipped evidence of a real cluster."""

from __future__ import annotations

import dataclasses
import re

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
    """Return the recorded daemon as a server outside any cluster."""
    environment = {**RECORDED.api[urls.SERVER].metadata["environment"], "server_clustered": False}
    return answering(urls.SERVER, ApiAnswer(200, {**RECORDED.api[urls.SERVER].metadata, "environment": environment}))


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_reads_the_recorded_answer(view):
    """A real daemon's answer gives at least one row. The warning is that of a host without QEMU."""
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
    changed = answering(urls.WARNINGS, ApiAnswer(200, [warning]))

    assert getattr(IncusFacts(changed), view)


@pytest.mark.parametrize("metadata", ["", {}, None, [1], [{}], [{"name": ""}], "untrusted"], ids=repr)
@pytest.mark.parametrize("view", VIEWS)
def test_each_view_refuses_a_malformed_answer(view, metadata):
    """A malformed answer is an error, never an empty list."""
    with pytest.raises(EvidenceError):
        getattr(IncusFacts(answering(VIEWS[view], ApiAnswer(200, metadata))), view)


@pytest.mark.parametrize("kind", [FailureKind.DENIED, FailureKind.DOWN, FailureKind.GARBLED])
@pytest.mark.parametrize("view", VIEWS)
def test_each_view_raises_the_failure_of_the_request(view, kind):
    """The error has the kind and the reason of the failure."""
    facts = IncusFacts(answering(VIEWS[view], ApiAnswer(403, None, Failure(kind, "access denied"))))

    with pytest.raises(EvidenceError, match="access denied") as caught:
        getattr(facts, view)

    assert caught.value.kind is kind


@pytest.mark.parametrize("view", ["projects", "profiles", "networks", "network_acls", "pools", "instances"])
def test_a_filtered_list_is_an_error(view):
    """Incus leaves out rows for a client that it does not fully trust."""
    untrusted = {**RECORDED.api[urls.SERVER].metadata, "auth": "untrusted"}
    forbidden = ApiAnswer(403, None, Failure(FailureKind.DENIED, "warnings are refused"))

    for changed in (answering(urls.SERVER, ApiAnswer(200, untrusted)), answering(urls.WARNINGS, forbidden)):
        with pytest.raises(EvidenceError) as caught:
            getattr(IncusFacts(changed), view)
        assert caught.value.kind is FailureKind.DENIED


def without(*addresses: str, **others: list[object]) -> IncusFacts:
    """Return the facts of a daemon that answers with empty lists. others: lists by the name of their view."""
    empty = {address: ApiAnswer(200, []) for address in addresses}
    lists = {VIEWS[view]: ApiAnswer(200, rows) for view, rows in others.items()}
    return IncusFacts(dataclasses.replace(RECORDED, api={**RECORDED.api, **empty, **lists}))


def unused(view: str) -> list[object]:
    """Return the recorded rows of a view without users."""
    return [{**row, "used_by": []} for row in RECORDED.api[VIEWS[view]].metadata]


EMPTY = {"network_acls": urls.NETWORK_ACLS, "instances": urls.INSTANCES, "images": urls.IMAGES}


@pytest.mark.parametrize("view", [*EMPTY, "warnings"])
def test_an_empty_list_is_an_answer(view):
    """A new daemon has no such resource: no project lists one."""
    facts = without({**EMPTY, **VIEWS}[view], projects=unused("projects"))

    assert getattr(facts, view) == ()


@pytest.mark.parametrize("view", EMPTY)
def test_an_empty_list_of_what_a_project_has_is_an_error(view):
    """The list of projects names each resource of a project. If that list can't be read, nothing proves the empty one."""
    with pytest.raises(EvidenceError, match=r"an empty list, but there is /1\.0/.*: the answer is incomplete"):
        getattr(without(EMPTY[view]), view)
    for broken in ({}, [{"name": "default", "used_by": [1]}]):
        with pytest.raises(EvidenceError, match=r"projects|used_by"):
            getattr(without(EMPTY[view], projects=broken), view)


def test_an_empty_list_of_instances_without_states_is_an_error_too():
    """It is the list from the database, which is asked if the states time out."""
    late = ApiAnswer(None, None, Failure(FailureKind.TIMEOUT, "no answer in 5 s"))
    api = {**RECORDED.api, urls.INSTANCES: late, urls.INSTANCES_CONFIG: ApiAnswer(200, [])}

    with pytest.raises(EvidenceError, match=r"recursion=1.*an empty list, but there is /1\.0/instances/"):
        _ = IncusFacts(dataclasses.replace(RECORDED, api=api)).instances


def test_a_list_of_networks_without_a_link_of_the_host_is_an_error():
    """Incus lists the links that it does not manage too, at least the loopback link."""
    managed = [row for row in RECORDED.api[urls.NETWORKS].metadata if row["managed"]]
    loopback = [row for row in RECORDED.api[urls.NETWORKS].metadata if row["name"] == "lo"]

    for rows in ([], managed):
        with pytest.raises(EvidenceError, match="no link of the host"):
            _ = without(networks=rows).networks
    assert [each.name for each in without(networks=loopback).networks] == ["lo"]


def test_an_empty_list_of_pools_is_an_answer_only_if_no_instance_has_a_disk_in_a_pool():
    """Incus refuses to delete a pool that an instance uses. Instances that can't be read prove nothing."""
    diskless = [{**row, "expanded_devices": {}} for row in RECORDED.api[urls.INSTANCES].metadata]

    with pytest.raises(EvidenceError, match="an empty list, but an instance has a disk in pool "):
        _ = without(urls.POOLS).pools
    assert without(pools=[], instances=diskless).pools == ()
    assert without(pools=[], instances={}).pools == ()


@pytest.mark.parametrize(("view", "name"), [("pools", "hdd"), ("instances", "default/web")])
def test_a_name_that_is_listed_twice_is_an_error(view, name):
    """The name is unique in the database of Incus, so a row of the answer is damaged. The second row would replace the first."""
    rows = RECORDED.api[VIEWS[view]].metadata
    again = next(row for row in rows if row["name"] == name.rpartition("/")[2])

    with pytest.raises(EvidenceError, match=f"{name} is listed twice: the answer is incomplete"):
        getattr(without(**{view: [*rows, again]}), view)


@pytest.mark.parametrize("path", ["/1.0/instances/web", "/1.0/storage-pools/iso/volumes/custom/data?target=sigsrv"])
def test_an_empty_list_of_the_volumes_of_a_pool_in_use_is_an_error(path):
    """Each instance has a volume in the pool of its root disk. Profiles and images have none, or none for certain."""
    pools = [{**row, "used_by": ["/1.0/profiles/default", "/1.0/images/1f00"]} for row in unused("pools")]
    used = [{**row, "used_by": [*row["used_by"], path]} if row["name"] == "iso" else row for row in pools]

    with pytest.raises(EvidenceError, match=f"an empty list, but there is {re.escape(path)}: the answer is incomplete"):
        without(urls.volumes_url("iso"), pools=used).volumes("iso")
    assert without(urls.volumes_url("iso"), pools=pools).volumes("iso") == ()
    assert without(urls.volumes_url("hdd"), pools=[row for row in used if row["name"] == "iso"]).volumes("hdd") == ()


def test_a_trust_store_of_a_member_without_the_certificate_of_a_member_is_an_error():
    """Members trust each other by these certificates. The trust store of a server in no cluster may be empty."""
    clients = [row for row in RECORDED.api[urls.CERTIFICATES].metadata if row["type"] == "client"]
    alone = dataclasses.replace(single(), api={**single().api, urls.CERTIFICATES: ApiAnswer(200, [])})

    for rows in ([], clients):
        with pytest.raises(EvidenceError, match="no certificate of a member: the answer is incomplete"):
            _ = IncusFacts(answering(urls.CERTIFICATES, ApiAnswer(200, rows))).trust
    assert IncusFacts(alone).trust == ()


def test_an_empty_list_of_members_is_an_error():
    """A cluster has at least the member that answers, so an empty list is incomplete."""
    with pytest.raises(EvidenceError, match="no member"):
        _ = IncusFacts(answering(urls.MEMBERS, ApiAnswer(200, []))).members


def test_a_list_of_members_without_the_member_that_answers_is_an_error():
    """The daemon knows its own name, so a list without it is incomplete."""
    others = [row for row in RECORDED.api[urls.MEMBERS].metadata if row["server_name"] != "sigsrv"]

    with pytest.raises(EvidenceError, match="no member sigsrv: the answer is incomplete"):
        _ = IncusFacts(answering(urls.MEMBERS, ApiAnswer(200, others))).members


@pytest.mark.parametrize("change", [{"name": "incusbr0"}, {"type": "ovn"}])
def test_an_answer_of_a_member_about_another_network_is_an_error(change):
    """Its keys would be judged as those of the network in the list."""
    address = urls.network_url("userbr0", "sigsrv")
    row = {**RECORDED.api[address].metadata, **change}

    with pytest.raises(EvidenceError, match="the list has bridge userbr0"):
        IncusFacts(answering(address, ApiAnswer(200, row))).network_at("userbr0", "sigsrv")


@pytest.mark.parametrize("change", [{"name": "nvme"}, {"driver": "dir"}])
def test_an_answer_of_a_member_about_another_pool_is_an_error(change):
    """Its state would be judged as that of the pool in the list."""
    address = urls.pool_url("hdd", "sigsrv")
    row = {**RECORDED.api[address].metadata, **change}

    with pytest.raises(EvidenceError, match="the list has zfs hdd"):
        IncusFacts(answering(address, ApiAnswer(200, row))).pool_at("hdd", "sigsrv")


@pytest.mark.parametrize("kind", ["vm", "CONTAINER", "?"])
def test_an_instance_of_an_unknown_type_is_unread(kind):
    """Policies judge containers and virtual machines, each in their own way."""
    found = web(type=kind)

    assert isinstance(found, UnreadInstance)
    assert f"instance default/web: type: {kind!r} is not one of container, virtual-machine" in found.reason


@pytest.mark.parametrize("rows", [[], [{"name": "default", "project": "user", "config": {}, "devices": {}}]])
def test_profiles_without_profile_default_are_an_error(rows):
    """Incus creates profile default of project default, and refuses to delete it."""
    with pytest.raises(EvidenceError, match="no profile default in project default: the answer is incomplete"):
        _ = IncusFacts(answering(urls.PROFILES, ApiAnswer(200, rows))).profiles


def test_the_configuration_of_a_member_without_an_address_is_incomplete():
    """The daemon of a member listens for the other members, so its full configuration has the address."""
    hidden = {**RECORDED.api[urls.SERVER].metadata, "config": {}}

    with pytest.raises(EvidenceError, match="the answer is incomplete"):
        _ = IncusFacts(answering(urls.SERVER, ApiAnswer(200, hidden))).config


@pytest.mark.parametrize("view", ["members", "networks", "pools", "instances"])
def test_a_configuration_of_null_is_an_error(view):
    """Incus writes null if the client may not see the configuration. An empty configuration is {}."""
    listed = [{**row, "config": None} for row in RECORDED.api[VIEWS[view]].metadata]

    facts = IncusFacts(answering(VIEWS[view], ApiAnswer(200, listed)))

    if view == "instances":  # the row costs only its instance
        assert all(isinstance(each, UnreadInstance) and "config" in each.reason for each in facts.instances)
    else:
        with pytest.raises(EvidenceError, match="config"):
            getattr(facts, view)


def test_an_empty_list_of_projects_is_an_error():
    """Every daemon has the project default, so a list without it is incomplete."""
    with pytest.raises(EvidenceError, match="no project default"):
        _ = IncusFacts(answering(urls.PROJECTS, ApiAnswer(200, []))).projects


def test_instances_are_read_without_states_if_the_states_time_out():
    """The policies judge the configuration, and the state is Unknown."""
    late = ApiAnswer(None, None, Failure(FailureKind.TIMEOUT, "no answer in 5 s"))
    rows = [{k: v for k, v in row.items() if k != "state"} for row in RECORDED.api[urls.INSTANCES].metadata]
    api = {**RECORDED.api, urls.INSTANCES: late, urls.INSTANCES_CONFIG: ApiAnswer(200, rows)}

    found = IncusFacts(dataclasses.replace(RECORDED, api=api)).instances

    assert {instance.status for instance in found} == {"Unknown"}
    assert len(found) == len(rows)


def test_instances_of_an_unreachable_member_are_known_by_name_if_the_states_time_out():
    """Their rows have no configuration and the status Error. The other rows are still valid."""
    late = ApiAnswer(None, None, Failure(FailureKind.TIMEOUT, "no answer in 5 s"))
    gone, *rest = RECORDED.api[urls.INSTANCES].metadata
    api = {**RECORDED.api, urls.INSTANCES: late}
    api[urls.INSTANCES_CONFIG] = ApiAnswer(200, [{**gone, "config": None, "status": "Error", "type": ""}, *rest])

    away, *others = IncusFacts(dataclasses.replace(RECORDED, api=api)).instances

    assert away == UnreadInstance(gone["name"], gone["project"], gone["location"])
    assert {instance.status for instance in others} == {"Unknown"}


def test_instances_are_an_error_if_both_lists_time_out():
    """A timeout never reads as a cluster without instances."""
    late = ApiAnswer(None, None, Failure(FailureKind.TIMEOUT, "no answer in 5 s"))
    api = {**RECORDED.api, urls.INSTANCES: late, urls.INSTANCES_CONFIG: late}

    with pytest.raises(EvidenceError, match="no answer in 5 s"):
        _ = IncusFacts(dataclasses.replace(RECORDED, api=api)).instances


def test_booleans_of_an_instance_are_filled_in():
    """An unset key has its default. A set key is true or false by the rules of Incus."""
    found = {instance.name: instance for instance in IncusFacts(RECORDED).instances}

    assert found["svc-a"].expanded_config["security.privileged"] == "true"
    assert found["web"].expanded_config["security.privileged"] == "false"
    assert found["web"].expanded_config["security.guestapi"] == "true"


def web(**changes):
    """Return the instance web from the recorded answer, with some changes."""
    rows = [row | (changes if row["name"] == "web" else {}) for row in RECORDED.api[urls.INSTANCES].metadata]
    found = IncusFacts(answering(urls.INSTANCES, ApiAnswer(200, rows))).instances
    return next(instance for instance in found if instance.name == "web")


def test_booleans_are_filled_in_for_expanded_devices_and_not_for_own_devices():
    """Checks read the expanded devices. An undo restores the instance's own devices with exactly their keys."""
    nic = {"type": "nic", "network": "br0", "security.mac_filtering": "1"}
    disk = {"type": "disk", "source": "/etc", "path": "/mnt", "readonly": "YES"}
    found = web(expanded_devices={"eth0": nic, "etc": disk}, devices={"etc": disk})

    assert found.expanded_devices["eth0"]["security.mac_filtering"] == "true"
    assert found.expanded_devices["eth0"]["security.ipv4_filtering"] == "false"
    assert found.expanded_devices["etc"]["readonly"] == "true"
    assert found.devices == {"etc": disk}


def test_the_usage_of_a_container_is_its_peak_since_its_start():
    """If the kernel does not count the peak, the usage is the current value."""
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
def test_usage_that_incus_does_not_count_is_none(changes):
    """It never reads as 0."""
    assert web(**changes).usage is None


@pytest.mark.parametrize(
    "state", [1, {}, {"memory": None, "processes": 1}, {"memory": {"usage": "5"}, "processes": 1}], ids=repr
)
def test_a_malformed_state_is_an_error(state):
    """The usage of a container is never guessed."""
    found = web(state=state)

    assert isinstance(found, UnreadInstance)
    assert re.search("state|memory", found.reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": "vm"}, "type: 'vm' is not one of container, virtual-machine"),
        ({"type": ""}, "type: '' is not one of"),
        ({"expanded_config": None}, "expanded_config: not an object"),
        ({"expanded_config": {"security.privileged": "perhaps"}}, "security.privileged: 'perhaps' is not a boolean"),
        ({"expanded_devices": {"eth0": {"mtu": 1500}}}, "eth0: mtu: not a text"),
        ({"profiles": "default"}, "profiles: not a list"),
        ({"status": None}, "status: not a text"),
    ],
    ids=repr,
)
def test_an_odd_row_costs_only_its_own_instance(change, reason):
    """The instance is unread for this reason. All others are read."""
    odd, *rest = RECORDED.api[urls.INSTANCES].metadata

    first, *others = IncusFacts(answering(urls.INSTANCES, ApiAnswer(200, [{**odd, **change}, *rest]))).instances

    assert (first.name, first.project, first.location) == (odd["name"], odd["project"], odd["location"])
    assert isinstance(first, UnreadInstance)
    assert reason in first.reason
    assert others
    assert not [each for each in others if isinstance(each, UnreadInstance)]


@pytest.mark.parametrize("key", ["config", "type", "status", "devices", "profiles"])
def test_a_row_without_a_structural_key_costs_only_its_own_instance(key):
    """Without the configuration it is not taken for an instance of a member that is away."""
    odd, *rest = RECORDED.api[urls.INSTANCES].metadata
    rows = [{name: value for name, value in {**odd, "status": "Error"}.items() if name != key}, *rest]

    first, *others = IncusFacts(answering(urls.INSTANCES, ApiAnswer(200, rows))).instances

    assert f"'{key}' is missing" in first.reason
    assert not [each for each in others if isinstance(each, UnreadInstance)]


@pytest.mark.parametrize("key", ["name", "project", "location"])
def test_a_row_that_does_not_say_which_instance_it_is_makes_the_list_unreadable(key):
    """No finding could name the instance, so the list is not believed."""
    odd, *rest = RECORDED.api[urls.INSTANCES].metadata
    rows = [{name: value for name, value in odd.items() if name != key}, *rest]

    with pytest.raises(EvidenceError, match=key):
        _ = IncusFacts(answering(urls.INSTANCES, ApiAnswer(200, rows))).instances


def test_a_key_comes_from_the_instance_or_the_last_profile_that_has_it():
    """If the instance sets the key itself, a profile may set it too."""
    profiles = [
        {"name": name, "project": "default", "config": config, "devices": {"etc": {"type": "disk"}} if config else {}}
        for name, config in {"a": {"raw.lxc": "1"}, "b": {"raw.lxc": "2"}, "c": {}, "default": {}}.items()
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
    """Incus accepts true, 1, yes and on, in upper and lower case."""
    assert boolean(word, False, "key") is True


@pytest.mark.parametrize("word", ["2", "tru", "perhaps", " true"])
def test_a_word_that_is_not_a_boolean_is_an_error(word):
    """Incus would not store such a value, so its meaning is never guessed."""
    with pytest.raises(EvidenceError, match="not a boolean"):
        boolean(word, False, "key")


def test_blanks_and_empty_items_of_a_list_are_removed():
    """Incus separates the items of a list by commas."""
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
def test_sizes_have_the_units_of_incus(text, number):
    """kB is 1000 bytes and KiB is 1024 bytes. A number without a unit is bytes."""
    assert size_bytes(text) == number


@pytest.mark.parametrize("text", ["", "GiB", "5 GiB", "5gib", "5KB", "-5GiB", "1.5GiB", "5GiB\n", "\u0665GiB"])
def test_an_invalid_size_is_refused(text):
    """Incus would not accept such a size, so its meaning is never guessed."""
    with pytest.raises(ValueError, match="not a size"):
        size_bytes(text)


def test_enabled_and_disabled_rules_of_an_acl_are_counted():
    """Rules in the state logged take effect too. Disabled rules do not."""
    rules = [{"action": "allow", "state": state} for state in ("enabled", "logged", "disabled")]
    row = {"name": "a", "project": "default", "ingress": rules, "egress": rules[:1]}
    (found,) = IncusFacts(answering(urls.NETWORK_ACLS, ApiAnswer(200, [row]))).network_acls

    assert (found.enabled, found.disabled) == (3, 1)
    recorded = {acl.name: acl for acl in IncusFacts(RECORDED).network_acls}["user-isolate"]
    assert (recorded.enabled, recorded.disabled) == (4, 0)


def test_a_rule_of_an_acl_is_read_as_it_is_written():
    """A field that Incus leaves out means any. The direction of a rule decides whether source or destination is the peer."""
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
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_malformed_rules_are_an_error(direction, rules):
    """An ACL without readable rules is unknown, not empty."""
    row = {"name": "a", "project": "default", "ingress": [], "egress": [], direction: rules}

    with pytest.raises(EvidenceError, match="network-acls"):
        _ = IncusFacts(answering(urls.NETWORK_ACLS, ApiAnswer(200, [row]))).network_acls


def test_cluster_facts_come_from_the_first_host_that_answers():
    """If one daemon is down, the answer of the other daemon counts."""
    down = Evidence(
        "a", 0.0, api={address: ApiAnswer(failure=Failure(FailureKind.DOWN, "down")) for address in VIEWS.values()}
    )
    both = ClusterFacts("cluster", {"a": HostFacts("a", "a", down), "sigsrv": HostFacts("sigsrv", "sigsrv", RECORDED)})

    assert both.incus.projects
    with pytest.raises(EvidenceError, match="down"):
        _ = ClusterFacts("cluster", {"a": HostFacts("a", "a", down)}).incus.projects


def test_each_standalone_host_is_a_group_of_its_own():
    """Two standalone hosts are two groups with the names of the hosts. An unreachable host belongs to the cluster."""
    away = Evidence("c", 0.0, failure=Failure(FailureKind.UNREACHABLE, "away"))
    hosts = {name: HostFacts(name, name, each) for name, each in {"a": single(), "b": single(), "c": away}.items()}

    assert [(group.name, list(group.hosts)) for group in clusters(hosts)] == [
        ("cluster", ["c"]),
        ("a", ["a"]),
        ("b", ["b"]),
    ]


def test_booleans_of_a_managed_bridge_network_are_filled_in():
    """Every spelling counts. Unmanaged networks and networks of another type get no defaults."""
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


def test_the_server_has_the_versions_of_its_host():
    """Policies compare these versions between two hosts. Without ZFS, its version is None."""
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
