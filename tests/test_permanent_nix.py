"""Tests the NixOS text of permanent fixes: whole modules, whose options exist, and in which lists replace those of other modules."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sigsrv.model import remediation
from sigsrv.model.finding import Finding, Severity, Verdict
from sigsrv.model.fix import PERMANENT, fix_for
from tests.nixos import nix_instantiate

REMEDIATIONS = remediation.load()
WITH_NIX = [name for name, each in REMEDIATIONS.items() if (each.folder / PERMANENT["NixOS"]).is_file()]
OPTIONS = json.loads((Path(__file__).parent / "vendored" / "nixos-options.json").read_text(encoding="utf-8"))["options"]
TYPES = {"string": str, "bool": bool, "int": int, "list": list, "added list": list, "set": dict}
HOSTILE = ["${reboot}", '"; x = "', "a\nb", "\\", "$${a}", "é\U0001f600", "''", "a.b", "in"]
# The functions of nixpkgs that the modules call, made visible in the result.
LIB = """{
  mkForce = value: { _force = value; };
  mkIf = condition: value: { _if = condition; inherit value; };
  mkMerge = values: { _merge = values; };
}"""


@pytest.fixture(scope="module")
def nix() -> str:
    """Return the program that parses and evaluates Nix."""
    return nix_instantiate()


class Known:
    """What was read of a host. parent: of each VLAN interface."""

    def __init__(self, parent: str | None = "eth1", members: tuple[str, ...] | None = ("alice", "bob", "ops")) -> None:
        self._parent = parent
        self._members = members

    def vlan(self, host: str, link: str) -> tuple[str, int] | None:
        return (self._parent, 24) if self._parent else None

    def group(self, host: str, name: str) -> tuple[str, ...] | None:
        return self._members

    def object_of(self, change: Any) -> None:
        return None

    def giver(self, project: str, instance: str, key: str) -> None:
        return None

    managers = ()

    def is_nixos(self, host: str) -> bool:
        return True


def text_of(name: str, known: Known | None, **more: Any) -> str:
    finding = Finding(
        policy="NET-001",
        title="t",
        severity=Severity.HIGH,
        host="minisrv",
        resource="br0",
        verdict=Verdict.FAIL,
        expected="",
        observed="",
        remediation=name,
        fix={**REMEDIATIONS[name].example, **more},
        known=known,
    )
    fix = fix_for(finding, REMEDIATIONS, "minisrv")
    assert fix
    return fix.permanent.get("NixOS", "")


def evaluate(nix: str, text: str, networkd: bool, folder: Path) -> Any:
    """Return what a module defines."""
    path = folder / "module.nix"
    path.write_text(text, encoding="utf-8")
    condition = "true" if networkd else "false"
    call = f"(import {path}) {{ lib = {LIB}; config.systemd.network.enable = {condition}; }}"
    done = subprocess.run(
        [nix, "--store", "dummy://", "--eval", "--strict", "--json", "-E", call],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    assert done.returncode == 0, f"{done.stderr}\n{text}"
    return json.loads(done.stdout)


def definitions(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, bool]]:
    """Yield the options that a module defines: place, value, and whether it replaces other definitions."""
    if not isinstance(value, Mapping):
        yield place, value, False
    elif "_merge" in value:
        for each in value["_merge"]:
            yield from definitions(each, place)
    elif "_if" in value:
        if value["_if"]:
            yield from definitions(value["value"], place)
    elif "_force" in value:
        yield place, value["_force"], True
    elif not value and place:
        yield place, value, False
    else:
        for key, item in value.items():
            yield from definitions(item, (*place, key))


def option(place: tuple[str, ...]) -> str | None:
    """Return the declared option of a place, whose names the list has as <name>."""
    for name in OPTIONS:
        parts = name.split(".")
        if len(parts) == len(place) and all(part in ("<name>", word) for part, word in zip(parts, place, strict=True)):
            return name
    return None


@pytest.mark.parametrize("networkd", [False, True])
@pytest.mark.parametrize("known", [Known(), Known(None, None), None], ids=["known", "unread", "nothing"])
@pytest.mark.parametrize("name", WITH_NIX)
def test_module_defines_only_options_that_exist(nix, name, known, networkd, tmp_path):
    """Each one is in the list with the file of nixpkgs that declares it, and has a value of its type. Lists replace other definitions."""
    text = text_of(name, known)

    assert text
    assert max(map(len, text.splitlines())) <= 76  # the terminal shows it with an indent
    for place, value, forced in definitions(evaluate(nix, text, networkd, tmp_path)):
        found = option(place)
        assert found, ".".join(place)
        assert type(value) is TYPES[OPTIONS[found][1]]
        assert forced or OPTIONS[found][1] != "list", f"{found}: NixOS would add this list to the others"


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", WITH_NIX)
def test_hostile_values_stay_strings(nix, name, text, tmp_path):
    """A text that would begin an interpolation, a comment or another line in Nix is escaped."""

    def hostile(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: hostile(item) for key, item in value.items()}
        if isinstance(value, list):
            return [hostile(item) for item in value]
        return text if isinstance(value, str) else value

    values = {key: hostile(value) for key, value in REMEDIATIONS[name].example.items()}
    source = text_of(name, Known(text, (text, "ops")), **values)

    for networkd in (False, True):
        found = list(definitions(evaluate(nix, source, networkd, tmp_path))) if source else []
        assert all(option(place) for place, _, _ in found)
        assert all(word in (text, f"10-{text}") or "sysctl" in place for place, _, _ in found for word in _names(place))


def _names(place: tuple[str, ...]) -> list[str]:
    parts = str(option(place)).split(".")
    return [word for part, word in zip(parts, place, strict=True) if part == "<name>"]


@pytest.mark.parametrize("name", ["attach-vlan", "persist-vlan", "flush-vlan-address", "raise-links"])
def test_interface_is_made_at_boot_and_has_no_address(nix, name, tmp_path):
    """With NixOS's own scripts and with systemd-networkd, which must not detach it from the bridge of Incus."""
    values = {"bridge": "userbr0", "interface": "user0", "parent": "eth1"}
    text = text_of(name, Known(), **{key: values[key] for key in values if key in REMEDIATIONS[name].example})
    scripts, networkd = (
        {".".join(place): value for place, value, _ in definitions(evaluate(nix, text, each, tmp_path))}
        for each in (False, True)
    )

    assert scripts["networking.vlans.user0.id"] == 24
    assert scripts["networking.vlans.user0.interface"] == "eth1"
    assert scripts["networking.interfaces.user0.ipv4.addresses"] == []
    assert networkd["systemd.network.netdevs.10-user0.vlanConfig.Id"] == 24
    assert networkd["systemd.network.networks.10-user0.networkConfig.KeepMaster"] is True
    assert not any("eth1" in place for place in networkd)  # its network is the site's own, with its addresses


def test_group_keeps_its_other_members(nix, tmp_path):
    """NixOS computes the members of a group from all modules, so only a complete list takes one out."""
    text = text_of("remove-group-member", Known(), group="incus-admin", users=["alice"])

    ((place, members, forced),) = definitions(evaluate(nix, text, False, tmp_path))

    assert (place, members, forced) == (("users", "groups", "incus-admin", "members"), ["bob", "ops"], True)


def test_mtu_of_the_bridge_is_left_to_incus(nix, tmp_path):
    """NixOS sets that of the other links."""
    links = [{"name": "br0", "mtu": "1500"}, {"name": "v0", "mtu": 9000}]

    text = text_of("set-network-config", Known(), links=links)

    ((place, mtu, _),) = definitions(evaluate(nix, text, False, tmp_path))
    assert (place, mtu) == (("networking", "interfaces", "v0", "mtu"), 9000)
    assert text_of("set-network-config", Known(), links=links[:1]) == ""


def test_list_of_options_names_their_files():
    """It has only options that a module sets."""
    sources = "".join(path.read_text() for path in REMEDIATIONS["attach-vlan"].folder.parent.glob("*/*.nix.j2"))
    words = {name: name.removesuffix(".<name>").rpartition(".")[2] for name in OPTIONS}

    assert all(re.fullmatch(r"nixos/modules/[\w/-]+\.nix", file) for file, _ in OPTIONS.values())
    assert [name for name, word in words.items() if not re.search(rf"\b{word}\b", sources)] == []
