"""Tests permanent fixes for OpenTofu on the lab: what the provider would send changes one key of the real object, and no other thing.

OpenTofu itself is not needed: ``provider_model`` plans and updates as the provider does, here with ``incus query``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests import provider_model
from tests.e2e.conftest import Lab, clean, verdicts
from tests.e2e.safety import remediate

pytestmark = pytest.mark.lab
NETWORK = "/1.0/networks/incusbr0?project=default"
MEMBER = f"{NETWORK}&target=minisrv"
INSTANCE = "/1.0/instances/svc-a?project=default"
PROJECT = "/1.0/projects/user-bob"
VOLUME = "/1.0/storage-pools/nvme/volumes/custom/data?project=default"
USERS = "/1.0/networks/userbr0?project=default"


class Api:
    """The Incus API of the cluster."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def get(self, url: str) -> dict[str, Any]:
        return json.loads(self._lab.on("sigsrv", "incus", "query", f"local:{url}"))

    def put(self, url: str, body: Mapping[str, Any]) -> None:
        argv = ("incus", "query", "--wait", "-X", "PUT", "--data", json.dumps(body), f"local:{url}")
        self._lab.on("sigsrv", *argv)

    def lasting(self, url: str) -> dict[str, Any]:
        """Return an object without what changes by itself."""
        found = self.get(url)
        found["config"] = {key: value for key, value in found["config"].items() if not key.startswith("volatile.")}
        return {
            key: value
            for key, value in found.items()
            if key not in ("used_by", "last_used_at", "locations", "expanded_config")
        }


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[Api]:
    """Yield the API. After all tests the lab must be clean again."""
    yield Api(lab)
    assert verdicts(lab.scan()[0]) == clean()


def text_of(lab: Lab, finding: str, folder: Any) -> str:
    """Return the text that sigsrv-remediate prints for a finding."""
    done = lab.command(*remediate(lab, folder / "journal.sqlite", finding, "--plan", "--json"))
    (step,) = json.loads(done.stdout)["steps"]
    return step["permanent"]["OpenTofu"]


@pytest.mark.parametrize(
    ("fault", "host", "finding", "url", "keys"),
    [
        ("acl-detached", "sigsrv", "ACL-001@cluster/userbr0", USERS, {"security.acls": "user-isolate"}),
        ("nested", "sigsrv", "INST-002@sigsrv/default/svc-a", INSTANCE, {"security.nesting": "false"}),
        (
            "project-any-network",
            "minisrv",
            "PROJ-004@cluster/user-bob",
            PROJECT,
            {"restricted.networks.access": "userbr0"},
        ),
        (
            "snapshots-lost-volume",
            "sigsrv",
            "VOL-001@sigsrv/nvme/default/data",
            VOLUME,
            {"snapshots.schedule": "@daily", "snapshots.expiry": "2w"},
        ),
    ],
)
def test_apply_changes_one_object_and_keeps_the_rest(lab, api, tmp_path, fault, host, finding, url, keys):
    """The ACLs of a network, the devices of an instance, the limits of a project stay."""
    lab.fault(fault, host)
    try:
        before = api.lasting(url)

        written = provider_model.apply(text_of(lab, finding, tmp_path), api.get, api.put)

        assert api.lasting(url) == {**before, "config": {**before["config"], **keys}}
        assert url in written
    finally:
        lab.fault(fault, host, heal=True)


def test_resource_of_a_member_takes_nothing_off_the_network(lab, api, tmp_path):
    """The provider would remove the ACLs of the network from all members with it. So the resource never updates the network."""
    lab.fault("vlan-not-persisted", "minisrv")
    try:
        before, cluster = api.lasting(MEMBER), api.lasting(NETWORK)
        text = text_of(lab, "NET-008@minisrv/incusbr0", tmp_path)

        assert provider_model.apply(text, api.get, api.put) == []
        assert api.lasting(MEMBER) == before
        assert before["config"]["security.acls"] == "mgmt-base"
    finally:
        lab.fault("vlan-not-persisted", "minisrv", heal=True)

    assert api.lasting(NETWORK) == cluster
    assert provider_model.apply(text, api.get, api.put) == []  # the key is set: the resource is as it should be


def test_unguarded_resource_of_a_member_takes_the_acls_off(lab, api, tmp_path):
    """What the guard prevents, on real hosts: Incus accepts a request of one member that lacks the keys of the cluster."""
    lab.fault("vlan-not-persisted", "minisrv")
    before = copy.deepcopy(api.get(NETWORK))
    try:
        text = text_of(lab, "NET-008@minisrv/incusbr0", tmp_path).replace(
            "ignore_changes = [config]", "ignore_changes = []"
        )

        assert provider_model.apply(text, api.get, api.put) == [MEMBER]
        assert "security.acls" not in api.get(NETWORK)["config"]
    finally:
        api.put(NETWORK, {"config": before["config"], "description": before["description"]})
        lab.fault("vlan-not-persisted", "minisrv", heal=True)
