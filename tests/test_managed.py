"""Tests ``managed_by`` of the site file: which tool manages which object, and so takes a fix back."""

from __future__ import annotations

import json

import pytest

from sigsrv.model import data, policy, site_file
from sigsrv.model.errors import UsageError
from sigsrv.model.managed import KINDS, Manager, manager_of

HEAD = "version: 2\nname: lab\nhosts:\n  - {name: a}\n  - {name: b}\n"
ENTRIES = """managed_by:
  - {tool: opentofu, kinds: [network], ignores: ["bridge.*"]}
  - {tool: opentofu, kinds: [project, instance], project: "p-*"}
  - {tool: nixos, kinds: [unit, group], hosts: [b]}
  - {tool: puppet, kinds: [server], again: the agent}
"""
POLICIES = policy.load()


def managers(tmp_path, entries=ENTRIES):
    path = tmp_path / "site.yaml"
    path.write_text(HEAD + entries)
    return site_file.load(path, POLICIES).managed_by


@pytest.mark.parametrize(
    ("asked", "tool"),
    [
        ({"kind": "network", "name": "br0"}, "opentofu"),
        ({"kind": "network", "name": "br0", "key": "security.acls"}, "opentofu"),
        ({"kind": "network", "name": "br0", "key": "bridge.external_interfaces"}, None),
        ({"kind": "project", "name": "p-1"}, "opentofu"),
        ({"kind": "project", "name": "default"}, None),
        ({"kind": "instance", "name": "web", "project": "p-1"}, "opentofu"),
        ({"kind": "instance", "name": "p-1", "project": "default"}, None),
        ({"kind": "unit", "name": "incus.service", "host": "b"}, "nixos"),
        ({"kind": "unit", "name": "incus.service", "host": "a"}, None),
        ({"kind": "pool", "name": "nvme"}, None),
    ],
)
def test_the_first_entry_about_an_object_names_its_tool(tmp_path, asked, tool):
    """Kind, name, project and host must all match. A key that the tool leaves alone has no manager."""
    found = manager_of(managers(tmp_path), **asked)

    assert (found and found.tool) == tool


def test_the_first_entry_that_matches_applies():
    """A later one for the same object is not asked, even if the first one leaves the key alone."""
    both = (Manager("opentofu", ("network",), "br*", ignores=("mtu",)), Manager("ansible", ("network",)))

    assert manager_of(both, "network", "br0", key="mtu") is None
    assert manager_of(both, "network", "lan").tool == "ansible"


def test_what_takes_a_change_back_is_said_in_words(tmp_path):
    """The site file can say it for a tool of its own."""
    opentofu, _, nixos, puppet = managers(tmp_path)

    assert (opentofu.takes_back, puppet.takes_back) == ("the next `tofu apply`", "the agent")
    assert nixos.takes_back == "the next `nixos-rebuild switch` or boot"
    assert Manager("salt", ("file",)).takes_back == "the next run of salt"


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ("{tool: nixos, kinds: [units]}", '"units" is not allowed', 'did you mean "unit"?'),
        ("{tool: nixos, kinds: []}", "", ""),
        ("{tool: nixos, kinds: [unit], hosts: [c]}", '"c" is not a known host', "known: a, b"),
        ("{tool: Nix OS, kinds: [unit]}", "does not match", "lower-case letters"),
        ("{tool: nixos, kind: unit}", 'unknown key "kind"', 'did you mean "kinds"?'),
    ],
)
def test_mistake_is_reported_with_its_line(tmp_path, entry, message, hint):
    """The error has file, line, the mistake and what is allowed."""
    with pytest.raises(UsageError) as refused:
        managers(tmp_path, f"managed_by:\n  - {entry}\n")

    assert refused.value.message.startswith(f"{tmp_path / 'site.yaml'}:7: managed_by[0]")
    assert message in refused.value.message
    assert hint in refused.value.hint


def test_a_file_of_version_1_has_no_managers(tmp_path):
    """The error says what to write."""
    path = tmp_path / "site.yaml"
    path.write_text(HEAD.replace("version: 2", "version: 1") + ENTRIES)

    with pytest.raises(UsageError) as refused:
        site_file.load(path, POLICIES)

    assert refused.value.message == f"{path}:6: managed_by: is new in version 2, and this file has version 1"
    assert refused.value.hint == 'write "version: 2": that changes no other line'


def test_schema_and_code_have_the_same_kinds():
    """An editor offers those of the schema."""
    entry = json.loads(data.schema("site").read_text())["properties"]["managed_by"]["items"]["properties"]

    assert tuple(entry["kinds"]["items"]["enum"]) == KINDS
