"""Tests the OpenTofu text of permanent fixes: its syntax, its attributes, and what the provider does with it on recorded objects."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigsrv.collect import evidence, urls
from sigsrv.facts.clusters import clusters
from sigsrv.facts.hosts import HostFacts
from sigsrv.model import data, lasting, remediation
from sigsrv.model.finding import Finding, Severity, Verdict
from sigsrv.model.fix import PERMANENT, fix_for
from sigsrv.model.tofu import quoted
from sigsrv.scan.known import KnownObjects
from tests import provider_model

REMEDIATIONS = remediation.load()
WITH_TOFU = [name for name, each in REMEDIATIONS.items() if (each.folder / PERMANENT["OpenTofu"]).is_file()]
# Why the others have none: nothing of what they change is in a resource of the provider.
WITHOUT_TOFU = {
    "acknowledge-warnings",  # the provider has no resource for a warning
    "drop-lost-projects",  # version 1.1.1 of the provider can't import a certificate
    "export-backup",  # a file of the host
    "filter-bridge-ports",  # a module and switches of the kernel
    "flush-vlan-address",  # addresses of the host
    "raise-links",  # links of the host
    "refuse-ssh-passwords",  # sshd of the host
    "reload-acls",  # the firewall of the host
    "remove-group-member",  # accounts of the host
    "restart-incus",  # the daemon itself
    "restart-timesyncd",  # the clock of the host
    "restore-member",  # the provider has no resource for a member of the cluster
    "restrict-kernel-log",  # a switch of the kernel
    "scrub-pool",  # Incus scrubs no pool; NixOS does
    "start-incus",  # the daemon itself
    "unpublish-image",  # incus_image has no attribute public, and can't import an image
    "update-image",  # incus_image has no attribute auto_update, and can't import an image
}
EVIDENCE = evidence.load(data.DEMO / "evidence", False)
# Objects of the recorded cluster that stand for the parameters of the examples.
REAL = {
    "instance": "svc-a",
    "project": "default",
    "network": "userbr0",
    "bridge": "userbr0",
    "resource": "restricted",
    "pool": "nvme",
    "kind": "volume",
    "name": "data",
    "target": "sigsrv",
    "external": ["user0"],
    "volume": "data",
    "member": "sigsrv",
    "size": "30MiB",
    "nics": [{"name": "eth0", "filters": ["security.mac_filtering"], "properties": [], "addresses": []}],
    "interface": "user7",
    "ingress": "drop",
    "network_keys": ["ipv4.nat=false", "bridge.mtu="],
    "schedule": "@hourly",
    "devices": [
        {
            "name": "hostetc",
            "type": "disk",
            "own": True,
            "given": False,
            "properties": ["path=/mnt/etc", "source=/etc"],
        },
        {"name": "eth0", "type": "nic", "own": False, "given": True, "properties": []},
    ],
}
OF_ONE = {
    "attach-acls": {"missing": ["mgmt-base"], "foreign": ["user-isolate"]},
    "set-project-features": {"keys": [{"name": "features.images", "value": "true"}]},
}
SERVERS = ("send-logs", "set-server-config")  # the provider merges their keys


class Api:
    """The Incus API of a recorded cluster, as far as the provider uses it."""

    def __init__(self, hosts: Mapping[str, evidence.Evidence] = EVIDENCE) -> None:
        self.answers = {url: answer.metadata for host in hosts.values() for url, answer in host.api.items()}
        self.answers = copy.deepcopy(self.answers)

    def get(self, url: str) -> dict[str, Any]:
        parts, query = urlsplit(url), parse_qs(urlsplit(url).query)
        words = [unquote(word) for word in parts.path.split("/")[2:]]
        project = query.get("project", [""])[0]
        if "target" in query:
            return self.answers[urls.network_url(words[1], query["target"][0])]
        listed = {
            "networks": urls.NETWORKS,
            "projects": urls.PROJECTS,
            "profiles": urls.PROFILES,
            "instances": urls.INSTANCES,
            "storage-pools": urls.POOLS if len(words) == 2 else urls.volumes_url(words[1]),
        }[words[0]]
        (found,) = (
            row
            for row in self.answers[listed]
            if row["name"] == words[-1]
            and (project == "" or row["project"] == project)
            and (len(words) == 2 or row["type"] == "custom")
        )
        return found

    def put(self, url: str, body: Mapping[str, Any]) -> None:
        self.get(url).update(copy.deepcopy(dict(body)))


def known(hosts: Mapping[str, evidence.Evidence] = EVIDENCE) -> KnownObjects:
    (cluster,) = clusters({name: HostFacts(name, name, each) for name, each in hosts.items()})
    return KnownObjects(cluster)


def values_of(name: str) -> dict[str, Any]:
    """Return the values of a remediation's example, about objects of the recorded cluster."""
    example = REMEDIATIONS[name].example
    return {**example, **{key: value for key, value in REAL.items() if key in example}, **OF_ONE.get(name, {})}


def text_of(name: str, values: Mapping[str, Any] | None = None, objects: Any = None, host: str = "sigsrv") -> str:
    finding = Finding(
        policy="NET-001",
        title="t",
        severity=Severity.HIGH,
        host=host,
        resource=REAL["resource"],
        verdict=Verdict.FAIL,
        expected="",
        observed="",
        remediation=name,
        fix=values_of(name) if values is None else values,
        known=objects,
    )
    fix = fix_for(finding, REMEDIATIONS, "sigsrv")
    assert fix
    return fix.permanent.get("OpenTofu", "")


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Return the answers, the objects and the keys that differ."""
    found = set()

    def compare(place: str, old: Any, new: Any) -> None:
        if isinstance(old, dict) and isinstance(new, dict):
            for key in old.keys() | new.keys():
                compare(f"{place} {key}", old.get(key), new.get(key))
        elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            for number, pair in enumerate(zip(old, new, strict=True)):
                compare(f"{place} {number}", *pair)
        elif (old or None) != (new or None):
            found.add(place)

    for url in before:
        compare(url.partition("?")[0], before[url], after[url])
    return found


def test_each_remediation_has_a_text_or_a_reason_for_none():
    """A new remediation declares what OpenTofu must keep, or a line above says why there is nothing."""
    assert REMEDIATIONS.keys() - set(WITH_TOFU) - WITHOUT_TOFU == set()


@pytest.mark.parametrize("name", WITH_TOFU)
@pytest.mark.parametrize("host", ["sigsrv", "elsewhere"])
@pytest.mark.parametrize("objects", [known(), None], ids=["known", "unknown"])
def test_text_is_what_the_provider_knows(name, host, objects):
    """Each text parses, and its resources, attributes, values and import ids are those of the provider."""
    text = text_of(name, objects=objects, host=host)

    assert text
    provider_model.check(text)
    assert max(len(line) for line in text.splitlines() if line.startswith("# ")) <= 76


@pytest.mark.parametrize("name", [name for name in WITH_TOFU if name not in SERVERS])
def test_apply_changes_only_what_the_fix_changes(name):
    """Applied to the recorded cluster, a text changes the keys of its remediation, and no other one of any object."""
    api = Api()
    before = copy.deepcopy(api.answers)
    declared = lasting.parse(_declared(name), REMEDIATIONS[name].folder / PERMANENT["OpenTofu"])
    keys = {key for each in declared for key in each.keys} | {key for each in declared for key in each.devices}

    written = provider_model.apply(text_of(name, objects=known()), api.get, api.put)

    places = differences(before, api.answers)
    assert {place for place in places if not any(f" {key}" in place for key in keys)} == set()
    member = [each for each in declared if each.host]
    assert bool(written) is bool(places) is not bool(member)


def _declared(name: str) -> str:
    from sigsrv.model.fix import render

    values = {"host": "sigsrv", "resource": REAL["resource"], **values_of(name)}
    return render(REMEDIATIONS[name].folder / PERMANENT["OpenTofu"], values)


@pytest.mark.parametrize("name", ["attach-vlan", "persist-vlan"])
def test_resource_of_a_member_never_updates_the_network(name):
    """An update of such a resource by the provider would take the ACLs off the network of the whole cluster."""
    text = text_of(name, objects=known())
    content = provider_model.check(text)["resources"]["incus_network.userbr0_sigsrv"]
    api = Api()
    before = copy.deepcopy(api.answers)

    assert content["target"] == "sigsrv"
    assert content["config"] == {"bridge.external_interfaces": "user0,user7"}
    assert provider_model.apply(text, api.get, api.put) == []
    assert api.answers == before
    provider_model.apply(text.replace("ignore_changes = [config]", "ignore_changes = []"), api.get, api.put)
    assert "security.acls" not in api.get("/1.0/networks/userbr0?target=sigsrv")["config"]


def test_target_is_the_name_of_the_member_and_not_of_the_host():
    """The site file may call a host by its ssh alias."""
    hosts = {f"alias-{name}": each for name, each in EVIDENCE.items()}
    facts = {alias: HostFacts(alias, alias.removeprefix("alias-"), each) for alias, each in hosts.items()}
    (cluster,) = clusters(facts)

    text = text_of("attach-vlan", objects=KnownObjects(cluster), host="alias-minisrv")

    (content,) = provider_model.check(text)["resources"].values()
    assert content["target"] == "minisrv"
    assert "alias-" not in text


def test_standalone_server_has_no_target():
    """There, the resource of the network has all its keys, and an update keeps the others."""
    one = EVIDENCE["sigsrv"]
    answer = one.api[urls.SERVER]
    server = copy.deepcopy(answer.metadata)
    server["environment"]["server_clustered"] = False
    api = {**one.api, urls.SERVER: dataclasses.replace(answer, metadata=server)}
    alone = {"sigsrv": dataclasses.replace(one, api=api)}
    text = text_of("persist-vlan", objects=known(alone))
    (content,) = provider_model.check(text)["resources"].values()
    incus = Api(alone)

    assert "target" not in content
    assert content["config"]["security.acls"] == "user-isolate"
    provider_model.apply(text, incus.get, incus.put, clustered=False)
    network = incus.get("/1.0/networks/userbr0")
    assert network["config"]["security.acls"] == "user-isolate"
    assert network["config"]["bridge.external_interfaces"] == "user7"


@pytest.mark.parametrize("text", ["${reboot}", '"; x = "', "%{ if true }", "a\nb", "\\", "$${a}", "\x07"])
@pytest.mark.parametrize("name", WITH_TOFU)
def test_hostile_values_stay_strings(name, text):
    """A text that would begin a substitution or another line in HCL is escaped, in comments too."""

    def hostile(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: hostile(item) for key, item in value.items()}
        if isinstance(value, list):
            return [hostile(item) for item in value]
        return text.replace("\x07", "é") if isinstance(value, str) else value

    values = {key: hostile(value) for key, value in values_of(name).items()}
    source = text_of(name, values)
    found = provider_model.check(source)

    assert all(address.startswith("incus_server.") for address in found["resources"])
    assert found["resources"] or all(line.startswith("#") for line in source.splitlines() if line)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_one_hcl_string(text):
    """Whatever value an object has, OpenTofu reads exactly that value."""
    source = f"a = {quoted(text)}\n"

    assert source.count("\n") == 1
    assert provider_model.text(provider_model.hcl2.loads(source)["a"]) == text


def test_json_of_the_provider_names_its_source():
    """A reader can look up what the texts are compared with."""
    assert provider_model.PROVIDER["source"].startswith("lxc/terraform-provider-incus")
    assert all(
        each["file"].startswith("internal/") for each in json.loads(json.dumps(provider_model.RESOURCES)).values()
    )
