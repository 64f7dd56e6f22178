"""Tests the permanent fix for OpenTofu of objects as sigsrv read them: instances, profiles, pools, devices, secrets."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from sigsrv.collect import evidence, urls
from sigsrv.collect.redact import REDACTED
from sigsrv.model.lasting import Change, DeviceChange, Giver, IncusObject
from sigsrv.model.tofu import opentofu
from tests import provider_model
from tests.test_permanent_tofu import EVIDENCE, Api, differences, known, text_of

NIC = {"type": "nic", "network": "userbr0", "name": "eth0"}


class Shown:
    """What was read: one object."""

    def __init__(self, found: IncusObject | None = None, given: Giver | None = None) -> None:
        self._found = found
        self._given = given

    def object_of(self, change: Change) -> IncusObject | None:
        return self._found

    def giver(self, project: str, instance: str, key: str) -> Giver | None:
        return self._given


def instance(**more: Any) -> IncusObject:
    given = {"status": "Running", "type": "container", "profiles": ("default", "web"), "devices": {"eth0": NIC}}
    return IncusObject("instance", "i1", "p", **{**given, **more})


def row_of(now: IncusObject) -> dict[str, Any]:
    return {
        "name": now.name,
        "project": now.project,
        "config": dict(now.config),
        "devices": {name: dict(device) for name, device in now.devices.items()},
        "profiles": list(now.profiles),
        "description": now.description,
        "type": now.type,
        "status": now.status,
        "ephemeral": now.is_ephemeral,
        "architecture": "x86_64",
        "stateful": False,
    }


CHANGE = Change("instance", "i1", "p", set={"security.nesting": "false"})


@pytest.mark.parametrize(
    "now",
    [
        instance(),
        instance(status="Stopped"),
        instance(status="Ready", description="the web server", profiles=()),
        instance(is_ephemeral=True, type="virtual-machine"),
        instance(config={"security.nesting": "true", "volatile.uuid": "u", "image.os": "debian", "limits.cpu": "2"}),
        instance(config={"raw.lxc": 'a = "b"\n\tc = ${x} %{y}\\', "user.é\U0001f600": "ü\U0001f600"}),
        instance(devices={}),
    ],
)
def test_instance_keeps_devices_profiles_and_its_state(now):
    """An update neither starts nor stops it, and replaces no instance."""
    row = row_of(now)
    before = copy.deepcopy(row)

    written = provider_model.apply(opentofu([CHANGE], Shown(now)), lambda _: row, lambda _, body: row.update(body))

    assert written == ["/1.0/instances/i1?project=p"]
    assert row == {**before, "config": {**before["config"], "security.nesting": "false"}}


@pytest.mark.parametrize("status", ["Frozen", "Error", "", "Starting"])
def test_instance_that_the_provider_would_stop_has_no_complete_resource(status):
    """The provider stops what neither runs nor is stopped, for example a frozen instance."""
    text = opentofu([CHANGE], Shown(instance(status=status)))

    assert provider_model.check(text)["resources"] == {}
    assert '+   "security.nesting" = "false"' in text


def test_secret_is_a_variable_and_never_its_placeholder():
    """Evidence has no secrets, and a resource without them would remove them."""
    secret = {"user.token": None, "environment.KEY": None, "security.nesting": "true"}
    now = instance(config=secret, devices={"disk": {"type": "disk", "pool": "ceph", "ceph.secret": None}})
    row = row_of(now)
    row["config"] |= {"user.token": "t0k", "environment.KEY": "k3y"}
    row["devices"]["disk"]["ceph.secret"] = "s3c"
    before = copy.deepcopy(row)

    text = opentofu([CHANGE], Shown(now))
    found = provider_model.check(text)
    secrets = {"p_i1_user_token": "t0k", "p_i1_disk_ceph_secret": "s3c"}
    provider_model.apply(text, lambda _: row, lambda _, body: row.update(body), secrets=secrets)

    assert set(found["variables"]) == set(secrets)
    assert row == {**before, "config": {**before["config"], "security.nesting": "false"}}


def test_redacted_values_of_evidence_are_secret():
    """Also a value that is redacted only in part."""
    changed = copy.deepcopy(EVIDENCE["sigsrv"].api[urls.PROJECTS].metadata)
    changed[0]["config"] |= {"user.x": REDACTED, "user.url": f"https://me:{REDACTED}@host"}
    api = {**EVIDENCE["sigsrv"].api, urls.PROJECTS: evidence.ApiAnswer(200, changed)}
    hosts = {**EVIDENCE, "minisrv": dataclasses.replace(EVIDENCE["sigsrv"], host="minisrv", api=api)}

    text = opentofu([Change("project", changed[0]["name"], set={"restricted": "true"})], known(hosts))

    assert REDACTED not in text
    assert len(provider_model.check(text)["variables"]) == 2


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (None, "did not read it"),
        (IncusObject("volume", "v", "p", "s", type="iso"), "content type iso"),
        (IncusObject("volume", "v", "p", "s", has_twin=True), "another member has a volume of this name"),
        (IncusObject("network", "a,b", "p"), "can't import an object with this name"),
        (IncusObject("project", "p", config={"user.x": "a\x1b[2J"}), "a character that no text can show"),
    ],
)
def test_text_without_a_complete_resource_says_why(now, reason):
    """The lines to change are there nevertheless."""
    change = Change(now.kind if now else "project", now.name if now else "p", set={"user.y": "z"})

    text = opentofu([change], Shown(now))

    assert provider_model.check(text)["resources"] == {}
    assert reason in text.replace("\n# ", " ")
    assert '#   +   "user.y" = "z"' in text
    assert "\x1b" not in text


def test_object_that_is_right_already_has_no_text():
    """For example the interface that bridge.external_interfaces names, but that nobody attached."""
    now = IncusObject("network", "br0", "default", member="m", config={"bridge.external_interfaces": "a,b/eth0/7"})
    add = Change("network", "br0", host="m", add={"bridge.external_interfaces": ("a",)})
    remove = Change("network", "br0", host="m", remove={"bridge.external_interfaces": ("c",)})

    assert opentofu([add, remove], Shown(now)) == ""
    gone = dataclasses.replace(remove, remove={"bridge.external_interfaces": ("b",)})
    assert gone.config(now.config) == {"bridge.external_interfaces": "a"}


def test_key_from_a_profile_shows_the_profile_too():
    """With the number of instances that would change."""
    text = opentofu([CHANGE], Shown(instance(), Giver("web", "p", "true", 3)))

    assert 'Profile "p/web" gives this; 3 instances have it.' in text
    assert '#   -   "security.nesting" = "true"\n#   +   "security.nesting" = "false"' in text


def test_recorded_profile_gives_a_key_to_its_instances():
    """Looked up in the evidence, with the project that owns the profile."""
    given = known().giver("default", "svc-a", "limits.cpu")

    assert given == Giver("svc", "default", "1", 2)
    assert known().giver("default", "svc-a", "boot.autostart") is None
    assert known().giver("restricted", "tenant1", "limits.processes") == Giver("default", "restricted", "200", 2)


def test_instance_without_keys_of_its_own_is_known():
    """Incus lists an instance of a member that is away without a configuration; an empty one is something else."""
    rows = copy.deepcopy(EVIDENCE["sigsrv"].api[urls.INSTANCES].metadata)
    for row in rows:
        row["config"] = {} if row["name"] == "svc-a" else None
    api = {urls.INSTANCES: evidence.ApiAnswer(200, rows)}
    objects = known({"sigsrv": dataclasses.replace(EVIDENCE["sigsrv"], api={**EVIDENCE["sigsrv"].api, **api})})

    assert objects.object_of(Change("instance", "svc-a", "default")) is not None
    assert objects.object_of(Change("instance", "web", "default")) is None


def test_profile_keeps_its_other_keys_and_devices():
    """The provider computes nothing of a profile."""
    api = Api()
    before = copy.deepcopy(api.answers)
    change = Change("profile", "default", "restricted", set={"security.nesting": "false"})

    provider_model.apply(opentofu([change], known()), api.get, api.put)

    assert {place.rpartition(" ")[2] for place in differences(before, api.answers)} == {"security.nesting"}


def test_pool_keeps_its_other_keys():
    """A pool of the cluster, without the keys of its members."""
    api = Api()
    before = copy.deepcopy(api.answers)

    provider_model.apply(
        opentofu([Change("pool", "iso", set={"rsync.compression": "false"})], known()), api.get, api.put
    )

    assert {place.rpartition(" ")[2] for place in differences(before, api.answers)} == {"rsync.compression"}


def test_nic_of_a_profile_becomes_the_instances_own_with_all_its_properties():
    """Otherwise the guest would lose its network."""
    api = Api()
    before = copy.deepcopy(api.answers)

    provider_model.apply(text_of("filter-nics", objects=known()), api.get, api.put)

    nic = api.get("/1.0/instances/svc-a?project=default")["devices"]["eth0"]
    assert nic == {"name": "eth0", "network": "sigsrvbr0", "security.mac_filtering": "true", "type": "nic"}
    assert {place.split()[-2] for place in differences(before, api.answers)} <= {"devices", "eth0"}


def test_device_changes():
    """A device goes, is masked, or gets a key; the others stay."""
    devices = {"eth0": NIC, "etc": {"type": "disk", "path": "/mnt", "source": "/etc"}, "x": {"type": "tpm"}}
    change = Change(
        "instance",
        "i1",
        "p",
        devices={
            "etc": DeviceChange(is_gone=True),
            "host": DeviceChange(type="none"),
            "eth0": DeviceChange({"security.mac_filtering": "true"}),
        },
    )
    row = row_of(instance(devices=devices))

    provider_model.apply(
        opentofu([change], Shown(instance(devices=devices))), lambda _: row, lambda _, body: row.update(body)
    )

    assert row["devices"] == {
        "eth0": {**NIC, "security.mac_filtering": "true"},
        "host": {"type": "none"},
        "x": {"type": "tpm"},
    }


def test_key_that_the_provider_keeps_is_not_called_removed():
    """Without the line in the resource, the provider leaves the key as it is."""
    text = opentofu([Change("network", "br0", set={"bridge.mtu": ""})], None)

    assert "The provider never unsets bridge.mtu" in text


def test_server_resource_has_only_the_keys_that_change():
    """The provider merges them. A key that goes is removed from the resource that has it."""
    changes = [
        Change("server", member="m1", set={"core.https_address": "10.0.0.1:8443"}),
        Change("server", member="m1", set={"core.debug_address": ""}),
        Change("server", set={"cluster.offline_threshold": "20"}),
    ]

    text = opentofu(changes, None)

    assert provider_model.check(text)["resources"] == {
        "incus_server.m1": {"target": "m1", "config": {"core.https_address": "10.0.0.1:8443"}},
        "incus_server.cluster": {"config": {"cluster.offline_threshold": "20"}},
    }
    assert 'incus_server with target = "m1" sets "core.debug_address", remove' in text.replace("\n# ", " ")
