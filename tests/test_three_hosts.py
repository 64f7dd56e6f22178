"""Tests that a site file can say what a site of three NixOS hosts, made with OpenTofu, is like."""

from __future__ import annotations

import pytest

from sigsrv.authoring import document
from sigsrv.collect.probes import select
from sigsrv.commands.main import main
from sigsrv.judge import catalogue
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import site_file
from sigsrv.model.managed import manager_of
from sigsrv.model.site_access import ListenOn, Oidc
from sigsrv.scan.collecting import probe_options
from tests.called import ROOT

PATH = ROOT / "tests" / "sites" / "three-hosts.yaml"
CATALOGUE = catalogue.load()
SITE = site_file.load(PATH, CATALOGUE.policies)


@pytest.mark.parametrize(
    ("host", "interface", "parent"),
    [("alpha", "vlan-control", "enp5s0"), ("beta", "vlan-control", "enp3s0"), ("gamma", "vlan16", "eno1")],
)
def test_each_host_has_its_own_links(host, interface, parent):
    """A check of a host gets the values of this host."""
    control = SITE.at(host).bridges[1]

    assert (control.vlan.interface, control.vlan.parent, control.subnet) == (interface, parent, "10.16.0.0/16")


def test_a_bridge_and_a_pool_may_be_on_some_hosts():
    """The third host has neither this VLAN nor this pool."""
    assert [SITE.bridges[2].is_on(host.name) for host in SITE.hosts] == [True, True, False]
    assert [SITE.pools[1].is_on(host.name) for host in SITE.hosts] == [True, False, True]


def test_the_api_may_listen_on_an_interface():
    """One host has another VPN."""
    assert SITE.auth.listens_on("beta") == (ListenOn("wg0", 8443),)
    assert SITE.auth.listens_on("gamma") == (ListenOn("wg1", 443),)


def test_the_proof_of_backups_elsewhere_is_read_on_its_host_only():
    """The probe of backups lists the folder of the proofs."""
    folders = {
        host.name: [p.command for p in select(probe_options(SITE, host.name)) if p.id == "backups"]
        for host in SITE.hosts
    }

    assert [len(each) for each in folders.values()] == [1, 0, 0]
    assert "/var/lib/backup-proofs" in folders["alpha"][0]


def test_limits_have_sizes():
    """They are required too."""
    kube = SITE.project("kube-prod")

    assert kube.limits == ("limits.instances", "limits.cpu", "limits.memory", "limits.disk")
    assert kube.limits_max["limits.memory"] == "256GiB"


def test_the_identity_provider_and_its_route_are_known():
    """Without a route, each of its accounts would be an administrator."""
    assert SITE.auth.oidc == Oidc("https://id.example.org", "incus")
    assert SITE.auth.routes["oidc"] == "scriptlet"


@pytest.mark.parametrize(
    ("kind", "name", "project", "key", "tool"),
    [
        ("network", "system0", "", "ipv4.nat", "opentofu"),
        ("network", "system0", "", "bridge.external_interfaces", None),
        ("profile", "node", "kube-prod", "", "opentofu"),
        ("instance", "vpn-a", "network", "", None),
        ("unit", "incus.service", "", "", "nixos"),
    ],
)
def test_it_is_known_who_manages_what(kind, name, project, key, tool):
    """A fix of these objects says what takes it back."""
    found = manager_of(SITE.managed_by, kind, name, project, "alpha", key)

    assert (found.tool if found else None) == tool


def test_the_probes_and_sudo_rules_of_such_a_site_are_printed(capsys):
    """Both read the whole file."""
    assert main(["probes", "--site", str(PATH)]) == 0
    assert main(["probes", "--site", str(PATH), "--sudoers", "audit"]) == 0
    assert "/var/lib/backup-proofs" in capsys.readouterr().out


def test_a_parent_that_is_a_managed_network_needs_no_exemption():
    """A profile that gives such a NIC to sixteen virtual machines is no finding, and neither is a machine."""
    content = document.document()
    nic = {"type": "nic", "nictype": "bridged", "parent": "userbr0"}
    row = content["cluster"]["instances"].pop("vm")
    content["cluster"]["profiles"]["node"] = {"project": "user-john", "config": {}, "devices": {"eth0": nic}}
    for number in range(16):
        devices = {**row["expanded_devices"], "eth0": nic}
        content["cluster"]["instances"][f"node{number}"] = {**row, "profiles": ["node"], "expanded_devices": devices}
    policies = [CATALOGUE.policies[each] for each in ("INST-011", "PROJ-009")]

    site, hosts = document.facts_of(content)
    found = evaluate(policies, CATALOGUE.checks, site, hosts)

    assert {each.verdict.value for each in found if "user-john" in each.resource} == {"pass"}
    assert sum("user-john/node" in each.resource for each in found) == 17
