"""Tests the versions of the site file: version 1 keeps its meaning, version 2 has more keys, and moving up is one line."""

from __future__ import annotations

import re

import pytest

from sigsrv.collect import evidence
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge import catalogue
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import data, site_file
from sigsrv.model.errors import UsageError
from tests.called import ROOT

CATALOGUE = catalogue.load()
SITES = [
    data.folder("policies") / "site.yaml",
    data.DEMO / "site.yaml",
    *(ROOT / "tests" / "evidence" / name / "site.yaml" for name in ("v1", "clean/ns", "clean/vm")),
]
HEAD = "version: 2\nname: lab\nhosts: [{name: a}, {name: b}, {name: c}]\nbridges:\n  - name: br0\n"


def in_version(text: str, version: int) -> str:
    found, count = re.subn(r"^version: \d$", f"version: {version}", text, flags=re.MULTILINE)
    assert count == 1
    return found


@pytest.mark.parametrize("path", SITES, ids=[str(path.parent.relative_to(ROOT)) for path in SITES])
def test_a_file_means_the_same_in_both_versions(path):
    """The examples that ship use no key of version 2."""
    one, two = (site_file.loads(in_version(path.read_text(), version), path, CATALOGUE.policies) for version in (1, 2))

    assert one == two


def test_the_demo_gets_the_same_verdicts_in_both_versions():
    """Every policy reads both versions."""
    saved, path = evidence.load(data.DEMO / "evidence"), data.DEMO / "site.yaml"
    found = []
    for version in (1, 2):
        site = site_file.loads(in_version(path.read_text(), version), path, CATALOGUE.policies)
        hosts = {host.name: HostFacts(host.name, host.member, saved[host.name]) for host in site.hosts}
        found.append(evaluate(CATALOGUE.policies.values(), CATALOGUE.checks, site, hosts))

    assert found[0] == found[1]
    assert len(found[0]) > 100


def load(tmp_path, bridge, head=HEAD):
    path = tmp_path / "site.yaml"
    path.write_text(head + "".join(f"    {line}\n" for line in bridge.splitlines()))
    return site_file.load(path, CATALOGUE.policies)


def test_values_of_a_bridge_may_differ_from_host_to_host(tmp_path):
    """``*`` stands for the hosts that are not named. What all have in common is a value of the bridge itself."""
    site = load(
        tmp_path,
        "vlan: {interface: {a: v0, '*': vlan7}, id: 7, parent: {a: eth0, b: eth1, c: eth1}}\n"
        "subnet: {a: 10.1.0.0/16, '*': 10.2.0.0/16}\ngateway: {a: 10.1.0.1, '*': 10.2.0.1}",
    )
    a, b = (site.at(host).bridges[0] for host in "ab")
    (among,) = site.among(("b", "c")).bridges
    (whole,) = site.bridges

    assert (a.vlan.interface, a.vlan.parent, a.subnet, a.gateway) == ("v0", "eth0", "10.1.0.0/16", "10.1.0.1")
    assert (b.vlan.interface, b.vlan.parent, b.subnet) == ("vlan7", "eth1", "10.2.0.0/16")
    assert (among.vlan, among.subnet) == (b.vlan, b.subnet)
    assert (whole.vlan.interface, whole.vlan.parent, whole.subnet) == ("v0 or vlan7", None, None)


def test_a_bridge_of_some_hosts_needs_values_of_these_only(tmp_path):
    """The other host has the bridge without its VLAN, or not at all."""
    (bridge,) = load(tmp_path, "members: [a, b]\nvlan: {interface: {a: v0, b: v1}, id: 7}").bridges

    assert [bridge.is_on(host) for host in "abc"] == [True, True, False]
    assert bridge.only_on == "the site file has this bridge only on a, b"


@pytest.mark.parametrize(
    ("bridge", "line", "message", "hint"),
    [
        ("vlan: {interface: {a: v0}, id: 7}", 6, "bridges[0].vlan.interface: no value for b, c", '"*"'),
        ("vlan:\n  interface: {a: v0, d: v1}\n  id: 7", 7, '"d" is not a known host of the bridge', "known: a, b, c"),
        ("members: [a]\nvlan: {interface: {a: v0, b: v1}, id: 7}", 7, '"b" is not a known host of the', "known: a"),
        ("vlan: {interface: {a: a-name-that-is-far-too-long, '*': v}, id: 7}", 6, "does not match", "15 characters"),
        ("vlan: {interface: v, id: 7}\nsubnet: {'*': 10.0.0.1/8}", 7, "bridges[0].subnet.*: 10.0.0.1/8 has", "172.20"),
        (
            "vlan: {interface: v, id: 7}\nsubnet: 10.0.0.0/8\ngateway: {a: 10.0.0.1, '*': 11.0.0.1}",
            8,
            "gateway.*: 11",
            "",
        ),
        ("members: [d]\nvlan: {interface: v, id: 7}", 6, '"d" is not a known host', "known: a, b, c"),
        ("vlan: {interface: v, id: 7, parent: {}}", 6, "bridges[0].vlan.parent", ""),
    ],
)
def test_mistake_in_values_by_host_is_reported_with_its_line(tmp_path, bridge, line, message, hint):
    """A host without a value would not be judged."""
    with pytest.raises(UsageError) as refused:
        load(tmp_path, bridge)

    assert refused.value.message.startswith(f"{tmp_path / 'site.yaml'}:{line}: ")
    assert message in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("bridge", "place"),
    [
        ("vlan: {interface: {'*': v}, id: 7}", "bridges[0].vlan.interface"),
        ("vlan: {interface: v, id: 7, parent: {'*': eth0}}", "bridges[0].vlan.parent"),
        ("members: [a]\nvlan: {interface: v, id: 7}", "bridges[0].members"),
    ],
)
def test_version_1_refuses_what_version_2_has_more(tmp_path, bridge, place):
    """An older sigsrv would refuse it too. The error says how to move up."""
    with pytest.raises(UsageError) as refused:
        load(tmp_path, bridge, in_version(HEAD, 1))

    assert f": {place}: is new in version 2, and this file has version 1" in refused.value.message
    assert refused.value.hint == 'write "version: 2": that changes no other line'
