"""Tests the lists of Incus's configuration keys: they are complete, and the parts that vary are patterns."""

from __future__ import annotations

import importlib.util
import json
from importlib.machinery import SourceFileLoader

import pytest

from sigsrv.collect.urls import INSTANCES, MEMBERS, NETWORKS, POOLS, PROFILES, PROJECTS, SERVER
from sigsrv.facts import config
from sigsrv.model import data, incus_keys
from tests.called import ROOT

BOOLEANS = {
    "instance": config.INSTANCE_BOOLEANS,
    "project": config.PROJECT_BOOLEANS,
    "network_bridge": config.NETWORK_BOOLEANS,
    "server": config.SERVER_BOOLEANS,
    "volume": config.VOLUME_BOOLEANS,
    **{f"device_{kind}": keys for kind, keys in config.DEVICE_BOOLEANS.items()},
}
LISTS = {
    SERVER: "server",
    INSTANCES: "instance",
    PROFILES: "instance",
    PROJECTS: "project",
    NETWORKS: "network",
    POOLS: "pool",
    MEMBERS: "member",
}


@pytest.mark.parametrize("entity", BOOLEANS)
def test_each_boolean_that_sigsrv_fills_in_is_a_known_key(entity):
    """Two sources about the same keys agree, also in the type and in the default, where Incus states them."""
    described = incus_keys.keys(entity)

    for key, default in BOOLEANS[entity].items():
        assert incus_keys.known(entity, key)
        assert described[key].get("type") in ("bool", "", None) or key == "restricted", key
        stated = described[key].get("default", "").strip("`")
        if stated in ("true", "false") and key not in config.PROJECT_BOOLEANS:  # those are of a new project
            assert stated == str(default).lower(), key


@pytest.mark.parametrize("host", ["sigsrv", "minisrv"])
def test_each_key_of_recorded_evidence_is_known(host):
    """Real daemons set these. A list that lacks one would refuse a right policy."""
    api = json.loads((data.DEMO / "evidence" / f"{host}.json").read_text())["api"]
    checked = 0
    for url, entity in LISTS.items():
        answer = api[url]["metadata"]
        for row in answer if isinstance(answer, list) else [answer]:
            keys = {*(row.get("config") or {}), *(row.get("expanded_config") or {})}
            assert [key for key in keys if not incus_keys.known(entity, key)] == [], url
            checked += len(keys)
            for device in (row.get("expanded_devices") or row.get("devices") or {}).values():
                assert [key for key in device if not incus_keys.known(f"device_{device['type']}", key)] == []
    assert checked > 100


@pytest.mark.parametrize(
    ("entity", "key", "is_known"),
    [
        ("instance", "security.privileged", True),
        ("instance", "security.priviledged", False),
        ("instance", "security.syscalls.blacklist_default", True),
        ("instance", "user.anything.at.all", True),
        ("instance", "user.", False),
        ("instance", "user", False),
        ("instance", "image.os", True),
        ("network", "image.os", False),
        ("network", "user.owner", True),
        ("instance", "environment.HOME", True),
        ("instance", "environment.*", False),
        ("instance", "environment.", False),
        ("instance", "enviroment.HOME", False),
        ("instance", "linux.sysctl.net.ipv4.ip_forward", True),
        ("instance", "limits.kernel.nofile", True),
        ("instance", "limits.kernel.nofiles", False),
        ("instance", "volatile.eth0.hwaddr", True),
        ("instance", "volatile.<name>.hwaddr", True),
        ("instance", "volatile.eth0.hwadr", False),
        ("instance", "volatile.cloud-init.instance-id", True),
        ("instance", "volatile.idmap.curent", False),
        ("network", "volatile.bridge.hwaddr", True),
        ("network", "bgp.peers.core.asn", True),
        ("network", "bgp.peers.NAME.asn", True),
        ("network", "bgp.peers.core.ans", False),
        ("network", "bgp.peers.a.b.asn", False),
        ("network", "ipv4.nat", True),
        ("network", "zfs.pool_name", False),
        ("network_bridge", "ipv4.nat", True),
        ("network_macvlan", "ipv4.nat", False),
        ("pool", "zfs.pool_name", True),
        ("pool", "volume.zfs.blocksize", True),
        ("pool", "volume.zfs.blocksze", False),
        ("pool", "zfs.blocksize", False),
        ("storage_zfs", "zfs.pool_name", True),
        ("storage_dir", "zfs.pool_name", False),
        ("volume", "security.shifted", True),
        ("volume", "snapshots.schedule", True),
        ("member", "scheduler.instance", True),
        ("member", "scheduler.instances", False),
        ("server", "core.https_address", True),
        ("server", "logging.loki01.target.address", True),
        ("server", "openfga.api.url", True),
        ("project", "restricted.devices.proxy", True),
        ("project", "limits.disk.pool.nvme", True),
        ("device", "netwrok", False),
        ("device", "nictype", True),
        ("device_nic", "security.mac_filtering", True),
        ("device_nic", "type", True),
        ("device_nic", "path", False),
        ("device_nic_bridged", "vlan.tagged", True),
        ("device_disk", "path", True),
        ("device_unix-char", "major", True),
        ("device_proxy", "listen", True),
        ("device_gpu", "gputype", True),
    ],
)
def test_a_key_is_known_if_any_version_has_it(entity, key, is_known):
    """Keys of the site and of an image are free. A part that varies is one word, except at the end."""
    assert incus_keys.known(entity, key) is is_known


def test_an_unknown_entity_is_refused():
    """It would have no key at all."""
    with pytest.raises(KeyError):
        incus_keys.known("instnace", "limits.cpu")


def test_each_type_of_device_has_its_keys():
    """The type ``none`` has only the type."""
    for kind in incus_keys.DEVICE_TYPES:
        assert kind == "none" or len(incus_keys.keys(f"device_{kind}")) > 1, kind


def test_the_versions_have_sources_and_enough_keys():
    """Each file says where its keys come from."""
    assert incus_keys.versions() == ("6.0.4", "7.0.2")
    for version in incus_keys.versions():
        content = json.loads((data.INCUS_KEYS / f"{version}.json").read_text())
        assert f"Incus {version}: GET /1.0/metadata/configuration" in content["source"]
        assert sum(map(len, content["keys"].values())) > 700
        assert len(content["extensions"]) > 400
        assert {"server", "instance", "project", "network_bridge", "storage_zfs", "device_nic_bridged"} <= set(
            content["keys"]
        )


def test_the_script_writes_what_the_daemon_and_the_pages_describe(tmp_path, monkeypatch):
    """It stores names, types and defaults of one word. A table of a page adds what the daemon does not describe."""
    script = _script()
    answer = {"configs": {
        "instance": {"a": {"keys": [{"limits.cpu": {"type": "string", "longdesc": "Long."}}]}},
        "kernel": {"limits": {"keys": [{"limits.kernel.as": {"type": "string"}}]}},
        "devices": {"disk": {"keys": [{"path": {"type": "string", "default": "`root`"}}]}},
    }}  # fmt: skip
    (tmp_path / "answer.json").write_text(json.dumps({"metadata": answer}))
    (tmp_path / "server.json").write_text(json.dumps({"api_extensions": ["network_acl", "etag"]}))
    pages = tmp_path / "reference"
    pages.mkdir()
    for name in [*script.PAGES, *(f"storage_{driver}" for driver in script.DRIVERS)]:
        (pages / f"{name}.md").write_text("")
    (pages / "devices_nic.md").write_text(
        "### `nictype`: `bridged`\n\n#### Device options\n\nKey | Type | Default | Managed | Description\n:-- | :--\n"
        "`mtu` | integer | parent MTU | yes | The MTU\n`vlan` | integer | `0` | no | The VLAN\n"
    )
    (pages / "storage_zfs.md").write_text("### Storage volume configuration\n\n`size` | string | | - | Size\n")
    monkeypatch.setattr(script, "HERE", tmp_path)
    monkeypatch.setattr(
        script.sys, "argv", ["it", "9.9", str(tmp_path / "answer.json"), str(tmp_path / "server.json"), str(pages)]
    )

    assert script.main() == 0

    written = json.loads((tmp_path / "9.9.json").read_text())
    assert written["extensions"] == ["etag", "network_acl"]
    assert written["keys"] == {
        "device_disk": {"path": {"type": "string", "default": "root"}},
        "device_nic_bridged": {"mtu": {"type": "integer"}, "vlan": {"type": "integer", "default": "0"}},
        "instance": {"limits.cpu": {"type": "string"}, "limits.kernel.as": {"type": "string"}},
        "storage_volume_zfs": {"size": {"type": "string"}},
    }


def _script():
    loader = SourceFileLoader("record_incus_keys", str(ROOT / "lab" / "record-incus-keys"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module
