"""Tests what a policy says about configuration keys that it does not know: a newer Incus may add one that changes what an old key means."""

from __future__ import annotations

import ast
import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sigsrv.authoring import document
from sigsrv.authoring.lint import lint
from sigsrv.judge.known_keys import KnownKeys
from sigsrv.model import data, incus_keys, policy
from sigsrv.model.finding import Verdict
from tests.judged import CHECKS, POLICIES

GROUPS = [
    (each.id, entity, group) for each in POLICIES.values() for entity, groups in each.knows.items() for group in groups
]
SEVERAL = ("INST-010", "VOL-001")  # they also judge instances without NICs, and both volumes and instances
# Keys that checks name although no verdict depends on their group: why.
APART = {
    "bridge.driver": "NET-007 judges the bridge in the kernel",
    "bridge.external_interfaces": "NET-006 and NET-008 judge the ports in the kernel",
    "bridge.mtu": "NET-007 and XHOST-001 judge the MTU in the kernel",
    "dns.zone.forward": "which zones the list must have; no pass of NET-009 depends on the keys of a network",
    "dns.zone.reverse.ipv4": "which zones the list must have; no pass of NET-009 depends on the keys of a network",
    "dns.zone.reverse.ipv6": "which zones the list must have; no pass of NET-009 depends on the keys of a network",
    "features.profiles": "where the profiles of a project are",
    "features.storage.volumes": "PROJ-006 looks for projects without it; PROJ-002 compares all features",
    "ipv4.address": "NET-007 compares the whole configuration with the site file",
    "ipv4.firewall": "NET-007 compares the whole configuration with the site file",
    "ipv6.address": "NET-007 compares the whole configuration with the site file",
    "ipv6.firewall": "NET-007 compares the whole configuration with the site file",
    "lvm.thinpool_name": "what two members must not share; POOL-002 compares the whole configuration",
    "lvm.vg_name": "what two members must not share; POOL-002 compares the whole configuration",
    "raw.dnsmasq": "NET-007 refuses any value",
    "restricted.snapshots": "whether a script may set a schedule",
    "security.privileged": "whether INST-007 judges the id map at all; INST-001 judges the key",
    "storage.backups_volume": "which volumes Incus itself uses",
    "storage.images_volume": "which volumes Incus itself uses",
    "storage.logs_volume": "which volumes Incus itself uses",
    "zfs.pool_name": "which ZFS pool it is",
}


def holders(content: dict[str, Any], entity: str) -> Iterator[dict[str, str]]:
    """Yield the configurations of an entity in the example document."""
    cluster = content["cluster"]
    if entity == "server":
        yield cluster["server"]["config"]
    elif entity == "instance":
        yield from (each["expanded_config"] for each in cluster["instances"].values())
    elif entity == "device_nic":
        for each in cluster["instances"].values():
            yield from (device for device in each["expanded_devices"].values() if device["type"] == "nic")
    elif entity == "volume":
        for rows in cluster["volumes"].values():
            yield from (row["config"] for row in rows)
    else:
        yield from (each["config"] for each in cluster[f"{entity}s"].values())


def verdicts(policy_id: str, entity: str = "", key: str = "") -> dict[str, Verdict]:
    """Return the verdicts of a policy on the example document, after a key was set on each object of an entity."""
    content = document.document()
    content["site"]["antispoof"] = {"userbr0": ["mac"]}
    content["site"]["critical"] = ["default/web"]
    content["cluster"]["instances"]["vm"]["expanded_devices"]["eth0"]["security.mac_filtering"] = "true"
    content["cluster"]["instances"]["web"]["expanded_config"] |= {
        "boot.autostart": "true",
        "security.protection.delete": "true",
    }
    for config in holders(content, entity) if entity else ():
        config[key] = "x"
    found = document.findings(content, [POLICIES[policy_id]], CHECKS)
    return {name: each.verdict for name, each in found.items()}


@pytest.mark.parametrize(("policy_id", "entity", "group"), GROUPS)
def test_key_of_a_group_that_the_policy_does_not_know_is_no_pass(policy_id, entity, group):
    """Before, a pass; with the key, an error on each of these objects."""
    key = group.removesuffix("*") + "zzz.new"
    before, after = verdicts(policy_id), verdicts(policy_id, entity, key)
    passed = {name for name, verdict in before.items() if verdict is Verdict.PASS}

    doubted = {name for name in passed if after[name] is Verdict.ERROR}
    assert doubted
    assert doubted == passed or policy_id in SEVERAL


@pytest.mark.parametrize("policy_id", sorted({each for each, _, _ in GROUPS}))
def test_unknown_key_of_another_group_changes_nothing(policy_id):
    """A policy is an error only where it matters: not because the daemon is newer."""
    for entity in POLICIES[policy_id].knows:
        assert verdicts(policy_id, entity, "zzz.new") == verdicts(policy_id)


def test_key_below_one_that_a_form_reads_is_not_known():
    """INST-002 reads security.nesting and declares nothing."""
    assert POLICIES["INST-002"].knows == {}
    assert Verdict.ERROR in verdicts("INST-002", "instance", "security.nesting.depth").values()
    assert verdicts("INST-002", "instance", "security.nested") == verdicts("INST-002")


def test_known_fault_beats_an_unknown_key():
    """The failure stays, and its reason says what is unknown."""
    content = document.document()
    content["cluster"]["instances"]["web"]["expanded_config"] |= {"raw.lxc": "x", "raw.wasm": "x"}

    found = document.findings(content, [POLICIES["INST-003"]], CHECKS)["INST-003@sigsrv/default/web"]

    assert found.verdict is Verdict.FAIL
    assert "raw.wasm" in found.reason
    assert "raw.wasm" not in found.observed


def test_reason_names_the_key_and_what_the_policy_knows():
    """A person decides with it what to do."""
    content = document.document()
    content["cluster"]["projects"]["user-john"]["config"]["restricted.devices.npu"] = "allow"

    found = document.findings(content, [POLICIES["PROJ-003"]], CHECKS)["PROJ-003@cluster/user-john"]

    assert found.verdict is Verdict.ERROR
    assert "PROJ-003 does not know what restricted.devices.npu means" in found.reason
    assert incus_keys.versions()[-1] in found.reason


def test_every_key_that_a_check_names_is_in_a_group_of_its_policy():
    """Otherwise a newer Incus could change what the check reads, and nobody would notice."""
    by_file: dict[str, list[str]] = {}
    for policy_id, check in CHECKS.items():
        by_file.setdefault(inspect.getsourcefile(check) or "", []).append(policy_id)
    seen = set()
    for file, ids in by_file.items():
        text = Path(file).read_text(encoding="utf-8")
        words = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
        for key in (
            word for word in words if isinstance(word, str) and "." in word and incus_keys.known_anywhere(word)
        ):
            seen.add(key)
            groups = [g for i in ids for groups in POLICIES[i].knows.values() for g in groups]
            if not any(key.startswith(group.removesuffix("*")) for group in groups):
                assert key in APART, f"{file}: {key}"
    assert len(seen) > 40
    assert seen >= APART.keys()


MINE = """\
id: SITE-001
title: Project keeps images of its own
severity: low
why: An image that another project replaces changes what this one starts.
examines: project
knows: {project: {"features.*": [KEYS]}}
rule: {properties: {config: {properties: {features.images: {const: "true"}}}}}
expected: features.images is true
observe: /config/features.images
by_hand: Set features.images=true on the project.
controls: {nist-800-53r5: [CM-2], cis-v8: []}
source: [Incus reference/projects]
examples:
  compliant: [{config: {features.images: "true"}}]
  violating: [{config: {features.images: "false"}}]
"""
OTHERS = (
    "features.networks, features.networks.zones, features.profiles, features.storage.buckets, features.storage.volumes"
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, ""),
        (
            {OTHERS: "features.networks"},
            "the policy does not say that it knows features.networks.zones, features.profiles",
        ),
        (
            {OTHERS: f"{OTHERS}, features.network"},
            'no key of project is features.network\nhint: did you mean "features.networks"?',
        ),
        ({OTHERS: f"{OTHERS}, features.images"}, "the policy reads features.images itself"),
        ({OTHERS: f"{OTHERS}, restricted"}, "restricted is not in the group features.*"),
        ({'"features.*"': '"feature.*"'}, "no key of project is in the group feature.*"),
        ({"{project:": "{volume:"}, "a project has no keys of volume"),
    ],
)
def test_lint_checks_what_a_policy_says_that_it_knows(tmp_path, change, message):
    """Each mistake has its file and line."""
    text = MINE.replace("KEYS", OTHERS)
    for old, new in change.items():
        text = text.replace(old, new)
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "SITE-001.yaml").write_text(text)

    _, found = lint([tmp_path])

    shown = [str(each) for each in found]
    assert (not shown) if not message else any("SITE-001.yaml:6: " in each and message in each for each in shown), shown


def test_lint_names_the_new_keys_of_a_newer_incus(tmp_path, monkeypatch):
    """When somebody adds the list of a newer version, each policy whose groups have new keys must be read again."""
    keys = tmp_path / "keys"
    shutil.copytree(data.INCUS_KEYS, keys)
    (keys / "9.0.0.json").write_text(
        '{"source": "x", "extensions": [], "keys": {"project": {"restricted.devices.npu": {"type": "string"}}}}'
    )
    monkeypatch.setattr(data, "INCUS_KEYS", keys)
    caches = (incus_keys.keys, incus_keys._files, incus_keys._patterns, incus_keys.known_anywhere, incus_keys.types)
    for each in caches:
        each.cache_clear()
    try:
        _, found = lint()
    finally:
        monkeypatch.undo()
        for each in caches:
            each.cache_clear()

    files = {str(each).partition(":")[0].rpartition("/")[2] for each in found if "restricted.devices.npu" in str(each)}
    assert files == {"PROJ-003.yaml", "PROJ-007.yaml"}


def test_knows_is_read_with_the_policy():
    """Also for shipped policies, whose examples are read later."""
    assert policy.load()["AUTH-002"].knows["server"].keys() == {"authorization.*"}
    assert KnownKeys(POLICIES["AUTH-002"], "server").unknown(
        {"authorization.client.tls": "x", "authorization.x": "y"}
    ) == ["authorization.x"]
