"""Tests drafted site files: they describe the current state, guess nothing and accept no weakness."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sigsrv.authoring import document
from sigsrv.collect.evidence import Evidence, Failure
from sigsrv.draft import draft
from sigsrv.draft.document import Document, Entry, Field, Section, flow
from sigsrv.model import policy, site, site_file
from sigsrv.model.errors import FailureKind
from sigsrv.model.finding import Finding, Severity, Verdict

POLICIES = policy.load()
ORIGIN = draft.Origin("here", "2026-11-18T00:00:00Z", {})
Change = Callable[[dict[str, Any]], None]


def evidences_of(change: Change | None = None) -> dict[str, Evidence]:
    """Return the evidence of the example document, with a server name for each host, after a change."""
    content = document.document()
    for host in ("sigsrv", "minisrv"):
        content[host]["server"] = {**content[host]["server"], "environment": {"server_name": host}}
    if change:
        change(content)
    return {host: document.evidence_of(content, host) for host in ("sigsrv", "minisrv")}


def drafted(change: Change | None = None) -> Document:
    return draft.draft(draft.facts_of(evidences_of(change)), ORIGIN)


def text_of(document: Document) -> str:
    return document.text(["above"], {}, ["below"])


def loaded(document: Document) -> site.Site:
    return site_file.loads(text_of(document), Path("site.yaml"), POLICIES)


def entry(document: Document, section: str, name: str) -> Entry:
    return next(e for s in document.sections if s.key == section for e in s.entries if name in e.names)


def off(each: Entry) -> dict[str, Any]:
    """Return the commented-out fields of an entry."""
    return {field.key: field.value for field in each.fields if field.commented}


def notes(document: Document, section: str) -> str:
    return " ".join(note for s in document.sections if s.key == section for note in s.notes)


def test_a_draft_loads_as_a_site_file():
    """It contains the state of the hosts."""
    found = loaded(drafted())

    assert [(host.name, host.member) for host in found.hosts] == [("sigsrv", "sigsrv"), ("minisrv", "minisrv")]
    vlans = {bridge.name: (bridge.vlan.interface, bridge.vlan.id, bridge.vlan.parent) for bridge in found.bridges}
    assert vlans == {"sigsrvbr0": ("sigsrv0", 20, "trunk"), "userbr0": ("user0", 24, "trunk")}
    assert {acl.name: acl.min_rules for acl in found.acls} == {"system-base": 1, "user-isolate": 2}
    assert {pool.name: (pool.driver, pool.members, pool.loop_ok) for pool in found.pools} == {
        "nvme": ("zfs", None, False),
        "iso": ("dir", None, False),
    }
    assert [(entry.match, entry.kind) for entry in found.projects] == [("default", "system"), ("user-john", "user")]


@pytest.mark.parametrize(("restricted", "exempt"), [(None, True), ("false", True), ("true", False), ("1", False)])
def test_an_unrestricted_project_default_is_exempt_from_its_fix(restricted, exempt):
    """Else the fix of all findings would restrict it. The file says that a person must decide, and how."""

    def change(content: dict[str, Any]) -> None:
        config = content["cluster"]["projects"]["default"]["config"]
        config.pop("restricted", None)
        if restricted:
            config["restricted"] = restricted

    document = drafted(change)

    found = [(each.match, len(each.reason) > 20) for each in loaded(document).exempt.get("PROJ-001", ())]
    assert found == ([("default", True)] if exempt else [])
    head = draft.head(document, ORIGIN, ["sigsrv"])
    assert any("exempt accepts a weakness" in line for line in head) is exempt
    assert ("Decide about this one" in notes(document, "exempt")) is exempt


def test_the_text_contains_exactly_the_data_of_the_document():
    """A YAML reader gets the parts that are not commented out, and nothing else."""
    document = drafted()

    assert yaml.safe_load(text_of(document)) == document.data


def test_the_thresholds_in_the_comment_are_the_defaults():
    """Uncommenting them without a change has no effect."""
    lines = text_of(drafted()).splitlines()
    start = lines.index("# thresholds:")
    text = "\n".join(line.removeprefix("# ") for line in lines[start : lines.index("", start)])

    found = site_file.loads(f"version: 1\nname: x\nhosts: [{{name: a}}]\n{text}\n", Path("s.yaml"), POLICIES)

    assert found.thresholds == site.Thresholds()


def test_commented_lines_are_valid_when_uncommented():
    """Without its first two characters, each line (a proxy, a host path, a suggestion) is YAML that the schema allows."""

    def change(content: dict[str, Any]) -> None:
        web = content["cluster"]["instances"]["web"]
        web["expanded_config"] = {"boot.autostart": "true"}
        web["expanded_devices"] |= {
            "p": {"type": "proxy", "listen": "tcp:[::1]:80", "connect": "tcp:127.0.0.1:80"},
            "d": {"type": "disk", "source": "/srv/a[1]/../b*", "path": "/x", "readonly": "1"},
        }

    document = drafted(change)
    everything = dataclasses.replace(document, sections=tuple(map(_uncommented, document.sections)))

    found = loaded(everything)
    assert [(p.instance, p.listen) for p in found.proxies] == [("default/web", "tcp:[[]::1]:80")]
    assert [(p.source, p.readonly) for p in found.host_paths] == [("/srv/b[*]", True)]
    assert found.is_critical("default/web")
    assert found.bridges[1].acl_default == {"egress": "allow"}
    lines = text_of(document).splitlines()
    assert '#   - {instance: default/web, listen: "tcp:[[]::1]:80", connect: "tcp:127.0.0.1:80"}' in lines
    assert loaded(document).proxies == loaded(document).host_paths == loaded(document).critical == ()


def _uncommented(section: Section) -> Section:
    if section.key == "projects":
        return section
    entries = tuple(
        dataclasses.replace(e, commented=False, content=_on(e.fields) or e.content) for e in section.entries
    )
    return dataclasses.replace(section, entries=entries, fields=_on(section.fields))


def _on(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    return tuple(dataclasses.replace(field, commented=False) for field in fields)


def test_an_allow_default_action_is_commented_out():
    """The draft shows the current value as a comment, so it stays a finding until a person decides."""
    bridge = entry(drafted(), "bridges", "userbr0")

    assert "acl_default" not in bridge.data
    assert off(bridge) == {"acl_default": {"egress": "allow"}}


def _unnamed(content: dict[str, Any]) -> None:
    """Remove ``bridge.external_interfaces`` from all networks."""
    for place in ("cluster", "sigsrv", "minisrv"):
        for network in content[place]["networks"].values():
            network.get("config", {}).pop("bridge.external_interfaces", None)


def _vlan(host: str, **info: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        content[host]["links"]["user0"]["linkinfo"] = info

    return change


def test_a_bridge_is_commented_out_if_the_hosts_disagree_about_its_vlan():
    """The draft does not guess the right VLAN; it lists both."""
    change = _vlan("minisrv", info_kind="vlan", info_data={"protocol": "802.1Q", "id": 25})
    bridge = entry(drafted(change), "bridges", "userbr0")

    assert bridge.commented
    assert "sigsrv: user0 (VLAN 24 on trunk); minisrv: user0 (VLAN 25 on trunk)" in bridge.notes[0]
    assert bridge.data["vlan"]["id"] == "which VLAN id?"


def test_a_link_without_a_vlan_id_becomes_a_question():
    """A veth carries some VLAN, but the host does not know which one."""

    def change(content: dict[str, Any]) -> None:
        for host in ("sigsrv", "minisrv"):
            _vlan(host, info_kind="veth")(content)

    document = drafted(change)
    bridge = entry(document, "bridges", "userbr0")

    assert (bridge.commented, bridge.data["vlan"]["kinds"]) == (True, ["veth"])
    assert "# " in text_of(document).split("name: userbr0")[0].splitlines()[-1]
    assert "userbr0" not in loaded(document).networks
    assert entry(document, "projects", "user-john").data["networks"] == []
    assert "networks: []   # also uses userbr0: add it here once it is defined above" in text_of(document)


def test_a_different_parent_on_each_host_is_a_mapping_by_host():
    """The VLAN is the same. So is another name of the VLAN interface."""

    def change(content: dict[str, Any]) -> None:
        links = content["minisrv"]["links"]
        links["vlan24"] = {**links.pop("user0"), "link": "sigsrvbr0"}

    bridge = entry(drafted(change), "bridges", "userbr0")

    assert not bridge.commented
    assert bridge.data["vlan"]["parent"] == {"sigsrv": "trunk", "minisrv": "sigsrvbr0"}
    assert bridge.data["vlan"]["interface"] == {"sigsrv": "user0", "minisrv": "vlan24"}


def test_a_host_without_the_vlan_of_a_bridge_is_a_question():
    """Written as it is, a lost VLAN would be no finding any more."""

    def change(content: dict[str, Any]) -> None:
        _unnamed(content)
        del content["minisrv"]["links"]["user0"]

    document = drafted(change)
    bridge = entry(document, "bridges", "userbr0")

    assert not bridge.commented
    assert off(bridge)["members"] == ["sigsrv"]
    assert "uncomment only if minisrv must not carry the VLAN" in text_of(document)
    assert loaded(document).bridges[1].is_on("minisrv")


def standalone(content: dict[str, Any]) -> None:
    content["cluster"]["server"]["environment"]["server_clustered"] = False
    for rows in ("networks", "pools"):
        for row in content["cluster"][rows].values():
            row["locations"] = ["none"]


def test_servers_in_no_cluster_keep_their_pools_and_networks():
    """Such a server reports a member that does not exist. Each one has what it lists."""

    def change(content: dict[str, Any]) -> None:
        standalone(content)
        content["sigsrv"]["lists"] = {
            "pools": {"fast": content["cluster"]["pools"]["iso"]},
            "networks": {"labbr0": content["cluster"]["networks"]["sigsrvbr0"]},
        }
        links = content["sigsrv"]["links"]
        links |= {"labbr0": links["sigsrvbr0"], "lab0": {**links["sigsrv0"], "master": "labbr0"}}

    document = drafted(change)
    site = loaded(document)

    assert {pool.name: pool.members for pool in site.pools} == {
        "nvme": None,
        "iso": None,
        "fast": ("sigsrv",),
    }
    assert {bridge.name: bridge.members for bridge in site.bridges} == {
        "sigsrvbr0": None,
        "userbr0": None,
        "labbr0": ("sigsrv",),
    }


def test_servers_in_no_cluster_keep_their_own_addresses():
    """A network of each has the same name and another subnet."""

    def change(content: dict[str, Any]) -> None:
        standalone(content)
        other = content["cluster"]["networks"]["userbr0"]
        config = {**other["config"], "ipv4.address": "172.25.0.1/16"}
        content["minisrv"]["lists"] = {"networks": {"userbr0": {**other, "config": config}}}

    bridge = loaded(drafted(change)).bridges[-1]

    assert [bridge.on(host).subnet for host in ("sigsrv", "minisrv")] == ["172.24.0.0/16", "172.25.0.0/16"]
    assert [bridge.on(host).gateway for host in ("sigsrv", "minisrv")] == ["172.24.0.1", "172.25.0.1"]


def test_limits_of_a_project_are_drafted_with_their_values():
    """If a project of users lacks a limit, they are a question: written, the missing one would be no finding any more."""

    def change(content: dict[str, Any]) -> None:
        content["cluster"]["projects"]["user-eve"] = {"config": {"limits.memory": "1GiB", "limits.cpu": "-1"}}

    document = drafted(change)

    assert entry(document, "projects", "user-john").data["limits"] == {
        "limits.cpu": "8",
        "limits.disk": "100GiB",
        "limits.instances": "10",
        "limits.memory": "16GiB",
    }
    assert off(entry(document, "projects", "user-eve")) == {"limits": {"limits.memory": "1GiB"}}
    assert "limits" not in entry(document, "projects", "default").data


def test_an_identity_provider_and_routes_are_questions():
    """Its accounts may be administrators."""

    def change(content: dict[str, Any]) -> None:
        content["cluster"]["server"]["config"] |= {
            "oidc.issuer": "https://id.example.org",
            "oidc.client.id": "incus",
            "authorization.client.oidc": "scriptlet",
        }

    document = drafted(change)
    fields = {field.key: field for s in document.sections if s.key == "auth" for field in s.fields}

    assert fields["oidc"].value == {"issuer": "https://id.example.org", "client_id": "incus"}
    assert fields["routes"].value == {"oidc": "scriptlet"}
    assert fields["oidc"].commented
    assert fields["routes"].commented


def test_zones_are_drafted_and_their_peers_are_a_question():
    """A peer gets the names of all guests. A daemon that was not asked for zones has none in the draft."""

    def change(content: dict[str, Any]) -> None:
        config = {"peers.ns1.address": "10.1.2.3"}
        content["cluster"]["zones"] = {"lab.example": {"project": "default", "config": config}}

    document = drafted(change)

    assert [(zone.name, zone.peers) for zone in loaded(document).zones or ()] == [("lab.example", {})]
    assert off(entry(document, "zones", "default/lab.example")) == {"peers": {"ns1": "10.1.2.3"}}
    assert loaded(drafted()).zones is None


def test_nixos_and_opentofu_are_drafted_as_managers():
    """A host says that it is NixOS, and a description that OpenTofu made the object."""

    def change(content: dict[str, Any]) -> None:
        content["minisrv"]["probes"]["os-release"] = "ID=nixos\n"
        content["cluster"]["projects"]["user-john"]["description"] = "John (managed by OpenTofu)"

    managers = loaded(drafted(change)).managed_by

    assert [(each.tool, each.hosts) for each in managers] == [("nixos", ("minisrv",)), ("opentofu", ())]
    assert managers[1].kinds == ("project",)
    assert loaded(drafted()).managed_by == ()


def test_a_nic_of_an_instance_is_not_an_uplink():
    """A bridge that connects only instances is a network without a VLAN."""

    def change(content: dict[str, Any]) -> None:
        _unnamed(content)
        for host in ("sigsrv", "minisrv"):
            content[host]["links"]["user0"] = {"master": "userbr0", "linkinfo": {"info_kind": "veth"}}
        content["cluster"]["instances"]["web"]["config"]["volatile.eth0.host_name"] = "user0"
        content["cluster"]["instances"]["db"]["expanded_devices"]["e"] = {"type": "nic", "host_name": "user0"}

    document = drafted(change)

    assert "userbr0" in loaded(document).networks_extra
    assert "lost its VLAN" in entry(document, "networks_extra", "userbr0").notes[0]


def test_a_detached_vlan_link_is_shown_at_a_bridge_without_a_vlan():
    """A bridge that lost its VLAN on every host looks like a bridge without one, so the draft lists the unused VLAN links."""

    def change(content: dict[str, Any]) -> None:
        _unnamed(content)
        for host in ("sigsrv", "minisrv"):
            del content[host]["links"]["user0"]["master"]

    assert "user0 (VLAN 24 on trunk)" in entry(drafted(change), "networks_extra", "userbr0").notes[1]


def test_a_detached_vlan_is_found_if_the_network_names_it():
    """``bridge.external_interfaces`` names the link."""

    def change(content: dict[str, Any]) -> None:
        for host in ("sigsrv", "minisrv"):
            del content[host]["links"]["user0"]["master"]
            content[host]["networks"] = {"userbr0": {"config": {"bridge.external_interfaces": "user0/trunk/24"}}}

    assert entry(drafted(change), "bridges", "userbr0").data["vlan"]["id"] == 24


def test_a_draft_does_not_accept_ipv6():
    """The found value is a comment next to the default."""

    def change(content: dict[str, Any]) -> None:
        content["cluster"]["networks"]["userbr0"]["config"] |= {
            "ipv4.address": "172.24.0.1/16",
            "ipv6.address": "fd42::1/64",
            "bridge.mtu": "9000",
        }

    data = entry(document := drafted(change), "bridges", "userbr0").data

    assert (data["subnet"], data["gateway"], data["mtu"]) == ("172.24.0.0/16", "172.24.0.1", 9000)
    assert data["config"]["ipv6.address"] == "none"
    assert "found fd42::1/64" in text_of(document)


def test_a_pool_shows_a_loop_file_and_its_members():
    """A loop file is a weakness, so it is commented out. A pool that only some hosts have lists these hosts."""

    def change(content: dict[str, Any]) -> None:
        content["minisrv"]["pools"] = {
            "nvme": {"config": {"zfs.pool_name": "tank", "source": "/var/lib/incus/disks/nvme.img"}}
        }
        content["sigsrv"]["pools"] = {"nvme": {"config": {"zfs.pool_name": "tank"}}}
        content["cluster"]["pools"]["iso"]["locations"] = ["minisrv"]

    document = drafted(change)
    nvme = entry(document, "pools", "nvme")

    assert nvme.data["zpool"] == "tank"
    assert off(nvme) == {"loop_ok": True}
    assert "a file on minisrv" in text_of(document)
    assert entry(document, "pools", "iso").data["members"] == ["minisrv"]


def test_an_acl_without_rules_stays_a_finding():
    """``min_rules: 0`` would accept it."""

    def change(content: dict[str, Any]) -> None:
        content["cluster"]["network_acls"]["system-base"]["ingress"] = []

    assert entry(drafted(change), "acls", "default/system-base").data == {"name": "system-base"}


@pytest.mark.parametrize(
    ("address", "listens"),
    [
        ("10.77.0.1:8443", ["10.77.0.1:8443"]),
        ("10.77.0.1", ["10.77.0.1"]),
        ("[fd00::1]:8443", ["[fd00::1]:8443"]),
        (":8443", None),
        ("[::]:8443", None),
        ("0.0.0.0", None),
        ("*:8443", None),
        ("::", None),
        ("[::]", None),
    ],
)
def test_a_wildcard_api_address_is_left_out(address, listens):
    """The draft contains the current addresses, but never a wildcard."""

    def change(content: dict[str, Any]) -> None:
        content["cluster"]["server"]["config"] = {"cluster.https_address": ""}
        content["minisrv"]["server"] |= {"config": {"core.https_address": address}}

    document = drafted(change)

    assert loaded(document).auth.listen.get("minisrv") == (tuple(listens) if listens else None)
    assert ("minisrv listens on all addresses" in notes(document, "auth")) is (listens is None)


def test_full_access_becomes_a_question():
    """Unrestricted certificates and members of both groups of Incus are commented out. Only a person can allow them."""

    def change(content: dict[str, Any]) -> None:
        content["cluster"]["certificates"]["scanner"]["restricted"] = False
        content["minisrv"]["probes"]["groups"] = "incus-admin:x:101:ops,root\nincus:x:102:alice\n"

    document = drafted(change)
    fields = {field.key: field for s in document.sections if s.key == "auth" for field in s.fields}

    assert (fields["full_certificates"].value, fields["full_certificates"].commented) == (["scanner"], True)
    assert (fields["admins"].value, fields["admins"].commented) == (["ops"], True)
    assert (fields["users"].value, fields["users"].commented) == (["alice"], True)
    assert (loaded(document).auth.full_certificates, loaded(document).auth.admins) == ((), ())


@pytest.mark.parametrize(
    ("sigsrv", "minisrv", "minimum", "track"),
    [("6.0.10", "6.0.4", "6.0.4", "lts"), ("7.0.1", "6.21", "6.21", "feature"), ("6.0.4", "unknown", "6.0.4", "lts")],
)
def test_the_oldest_running_version_is_the_minimum(sigsrv, minisrv, minimum, track):
    """Versions are compared as numbers: 6.0.10 is newer than 6.0.4."""

    def change(content: dict[str, Any]) -> None:
        content["sigsrv"]["server"]["environment"]["server_version"] = sigsrv
        content["minisrv"]["server"]["environment"]["server_version"] = minisrv

    document = drafted(change)

    assert loaded(document).incus == site.IncusSettings(minimum, track)
    assert "versions differ" in notes(document, "incus")


def test_an_unreachable_host_is_named_and_the_others_are_drafted():
    """The draft guesses nothing about it, and contains what the cluster knows."""

    def change(content: dict[str, Any]) -> None:
        content["minisrv"]["failure"] = {"kind": "unreachable", "reason": "no route to host"}

    document = drafted(change)

    assert document.unread == ("minisrv: no route to host",)
    assert entry(document, "hosts", "minisrv").data == {"name": "minisrv"}
    assert {bridge.name for bridge in loaded(document).bridges} == {"sigsrvbr0", "userbr0"}
    assert loaded(document).pools[0].members is None


def test_an_untrusted_client_drafts_nothing_from_empty_lists():
    """Incus gives empty lists to a client that it does not trust. They do not mean an empty site."""

    def change(content: dict[str, Any]) -> None:
        content["cluster"]["server"]["auth"] = "untrusted"

    document = drafted(change)

    assert {line.partition(":")[0] for line in document.unread} >= {
        "networks",
        "ACLs",
        "pools",
        "projects",
        "instances",
    }
    assert set(document.data) <= {"version", "name", "hosts", "incus"}
    loaded(document)


def test_two_hosts_with_one_member_name_become_a_question():
    """A site file has each member once. The second host gets a comment that names the first."""

    def change(content: dict[str, Any]) -> None:
        content["minisrv"]["server"]["environment"]["server_name"] = "sigsrv"

    document = drafted(change)

    assert "is it the same machine?" in entry(document, "hosts", "minisrv").notes[0]
    assert [host.member for host in loaded(document).hosts] == ["sigsrv", "minisrv"]


def test_a_host_with_the_member_name_of_another_host_is_commented_out():
    """The ssh alias sigsrv leads to minisrv, and minisrv itself is unreachable."""

    def change(content: dict[str, Any]) -> None:
        content["sigsrv"]["server"]["environment"]["server_name"] = "minisrv"
        content["minisrv"]["failure"] = {"kind": "unreachable", "reason": "no route to host"}

    assert [(host.name, host.member) for host in loaded(drafted(change)).hosts] == [("sigsrv", "minisrv")]


def test_a_standalone_host_has_no_member_name():
    """Its server name is not a member name."""

    def change(content: dict[str, Any]) -> None:
        content["cluster"]["server"]["environment"]["server_clustered"] = False

    document = drafted(change)

    assert entry(document, "hosts", "minisrv").data == {"name": "minisrv"}
    assert "cluster" not in document.data


def a_finding(
    policy_id: str, host: str, resource: str, observed: str, verdict: Verdict = Verdict.FAIL, **more: Any
) -> Finding:
    return Finding(policy_id, "a title", Severity.HIGH, host, resource, verdict, "expected", observed, **more)


def test_a_finding_is_marked_at_its_entry_or_at_the_end():
    """The kind of resource that the policy examines decides where; no policy id is special."""
    document = drafted()
    findings = [
        a_finding("NET-003", "minisrv", "userbr0", "holds 10.0.0.5/24\nevil: 1"),
        a_finding("INST-001", "sigsrv", "default/web", "privileged"),
        a_finding("POOL-001", "sigsrv", "nvme", "", Verdict.ERROR, reason="no answer"),
        a_finding("POOL-001", "minisrv", "nvme", "", Verdict.ERROR, because="HOST-001@minisrv/minisrv"),
        a_finding("NET-001", "minisrv", "userbr0", "attached", Verdict.PASS),
    ]

    at, tail = draft.marks(document, findings, POLICIES)
    text = document.text([], at, tail)

    lines = text.splitlines()
    place = lines.index("  # fails already: NET-003@minisrv/userbr0: holds 10.0.0.5/24\\nevil: 1")
    assert lines[place + 1] == "  - name: userbr0"
    assert "# fails already: INST-001@sigsrv/default/web: privileged" in lines
    assert "# POOL-001@sigsrv/nvme: no answer" in lines
    assert "# and 1 that depend on data that could not be read" in lines
    assert yaml.safe_load(text) == document.data


def test_policies_examine_each_kind_in_the_table_of_sections():
    """The table contains no unused kind."""
    assert set(draft._SECTIONS) <= {each.examines for each in POLICIES.values()}


def test_long_lists_stay_on_one_line():
    """A flow sequence is never wrapped."""
    assert "\n" not in flow({"a": ["x" * 100] * 50})


def test_a_draft_without_any_readable_host_contains_the_hosts(tmp_path):
    """The draft says why it contains nothing else."""
    lost = Failure(FailureKind.UNREACHABLE, "no route")
    document = draft.draft(draft.facts_of({"a": Evidence("a", 0.0, failure=lost)}), ORIGIN)

    assert [host.name for host in loaded(document).hosts] == ["a"]
    assert "a: no route" in document.unread
    assert set(document.data) == {"version", "name", "hosts"}


def test_connection_options_are_written_to_the_host(tmp_path):
    """The draft contains those options that a site file supports."""
    options: Mapping[str, Mapping[str, object]] = {
        "sigsrv": {"address": "root@sigsrv", "sudo": True, "timeout_s": 30.0}
    }
    document = draft.draft(draft.facts_of(evidences_of()), dataclasses.replace(ORIGIN, options=options))

    host = loaded(document).hosts[0]

    assert (host.address, host.sudo, host.timeout_s) == ("root@sigsrv", True, 30.0)
