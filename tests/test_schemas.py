"""Tests the schemas of the YAML files, which editors show: each parameter has a description and its real default."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import jsonschema
import pytest
import yaml

from sigsrv.commands import waiver_file
from sigsrv.model import data, site_file
from sigsrv.model.values import size_bytes

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("case", "examples", "permanent", "policy", "profiles", "remediation", "site", "touches", "waivers")
MODELINE = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")

# Defaults that are words, and the values that they stand for in the code. A test below handles the word "name".
WORDS: Mapping[str, tuple[Any, ...]] = {
    "none": (None, (), {}, ""),
    "all": (None, (), ("*",)),
    "any": (None,),
    "any of the subnet": (None,),
    "from zfs.pool_name": (None,),
    "not checked": (None,),
    "your own": (None,),
    "from tool": ("",),
    "baseline, strict, user-environment": ((),),
}
# Parameters whose default is all entries of a section of the site file.
ALL_OF_THE_SITE = {"projects.networks": "bridges", "projects.pools": "pools"}
# Parameters that have another name in the code.
NAMES_IN_CODE = {
    "instance_limits.required": "instance_limits",
    "images.servers": "image_servers",
    "probes.connectivity": "connectivity",
    "waivers.max_days": "waivers_max_days",
}
# Defaults that depend on another value. Separate tests below check them.
CONDITIONAL = {
    *(f"backups.{key}" for key in ("host", "dir", "pattern", "proof")),
    "auth.oidc.client_id",
    *("maintenance", *(f"maintenance.windows{key}" for key in ("", ".days", ".hosts"))),  # tests/test_maintenance.py
    *("projects.limits", "projects.features", "bridges.acl_default.ingress", "bridges.acl_default.egress"),
}
API = {"url": "https://h:8443", "client_cert": "c", "client_key": "k", "server_cert": "s"}
MINIMAL_SITE: Mapping[str, Any] = {
    "version": 2,
    "name": "minimal",
    "hosts": [{"name": "h"}, {"name": "g", "api": API}],
    "profiles": [{"name": "p"}],
    "bridges": [{"name": "b", "vlan": {"interface": "v", "id": 5}}],
    "acls": [{"name": "a"}],
    "pools": [{"name": "p", "driver": "zfs"}],
    "projects": [{"match": "s", "kind": "system"}, {"match": "u", "kind": "user"}],
    "proxies": [{"instance": "*", "listen": "*", "connect": "*"}],
    "host_paths": [{"instance": "*", "source": "/"}],
    "backups": {"host": "h", "dir": "/b", "pattern": "{name}"},
    "zones": [{"name": "z"}],
    "redundant": [{"name": "r", "instances": ["a/b", "a/c"]}],
    "managed_by": [{"tool": "t", "kinds": ["unit"]}],
    "exempt": {"NET-001": [{"match": "*", "reason": "a good reason"}]},
}


def parameters(node: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Yield each parameter of a schema: its path, its definition, and whether it is optional."""
    for name, each in node.get("properties", {}).items():
        path = f"{place}.{name}".lstrip(".")
        yield path, each, name not in node.get("required", ())
        yield from parameters(each, path)
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), Mapping):
            yield from parameters(node[key], place)
    for name, each in node.get("$defs", {}).items():
        yield from parameters(each, f"({name})")


def schema(kind: str) -> dict[str, Any]:
    found = json.loads(data.schema(kind).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


ALL = [(kind, *each) for kind in KINDS for each in parameters(schema(kind))]
DEFAULTS = [
    (path, match[1])
    for kind, path, definition, _ in ALL
    if kind == "site" and (match := re.search(r"default: (.+)$", definition.get("description", "")))
]


def test_every_kind_of_yaml_file_has_a_schema():
    """Each schema is a valid one."""
    assert sorted(path.name for path in data.schema("site").parent.iterdir()) == [
        f"{kind}.schema.json" for kind in KINDS
    ]
    for kind in KINDS:
        jsonschema.Draft202012Validator.check_schema(schema(kind))
        assert len(schema(kind)["title"]) > 8


@pytest.mark.parametrize(
    ("kind", "path", "definition", "_"), ALL, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_parameter_has_a_description(kind, path, definition, _):
    """No description ends with a full stop."""
    text = definition.get("description", "")

    assert len(text) > 8, f"{kind}: {path}"
    assert not text.endswith("."), f"{kind}: {path}"


@pytest.mark.parametrize(
    ("kind", "path", "definition"),
    [(kind, path, definition) for kind, path, definition, optional in ALL if optional],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_optional_parameter_states_its_default(kind, path, definition):
    """A group needs no default if all its parameters have one."""
    inner = parameters(definition) if definition.get("type") == "object" else ()
    group = [each for each in inner if "." not in each[0]]  # not what the items of a list must have

    if group and all(optional for _, _, optional in group):
        return
    assert re.search(r"(^|; )default: [^;]+(; for system none)?$", definition["description"]), f"{kind}: {path}"


@pytest.mark.parametrize(("path", "text"), DEFAULTS, ids=[path for path, _ in DEFAULTS])
def test_stated_default_is_the_real_one(path, text):
    """A minimal site file gives each parameter the default that the schema states."""
    if path in CONDITIONAL or path in MINIMAL_SITE or path.startswith("projects.features."):
        return
    value = value_of(site_file.parse(MINIMAL_SITE), path)

    if text == "name":
        assert value in ("h", "")
    elif text == "all of the site":
        assert value == tuple(each["name"] for each in MINIMAL_SITE[ALL_OF_THE_SITE[path]])
    elif text in WORDS:
        assert value in WORDS[text]
    else:
        wanted = size_bytes(text) if path == "thresholds.pool_free_min" else yaml.safe_load(text)
        assert value == (tuple(wanted) if isinstance(wanted, list) else wanted)


def value_of(found: Any, path: str) -> Any:
    """Return the value of a parameter in the code: of a list its first entry, of an API the host that has one."""
    for name in NAMES_IN_CODE.get(path, path).split("."):
        if isinstance(found, Mapping):
            found = next(iter(found.values()))
        if isinstance(found, tuple):
            found = found[1 if path.startswith("hosts.api.") else 0]
        found = getattr(found, name)
    return found


def test_defaults_are_read_from_the_schema():
    """There are enough defaults, so the tests above do not run without any."""
    assert len(DEFAULTS) > 60
    assert sum(text not in WORDS for _, text in DEFAULTS) > 35


def test_missing_section_is_empty():
    """This applies to bridges, pools and the other lists."""
    site = site_file.parse({key: MINIMAL_SITE[key] for key in ("version", "name", "hosts")})

    for path, text in DEFAULTS:
        if path in MINIMAL_SITE and text == "none":
            assert getattr(site, path) in WORDS["none"], path


def test_defaults_that_depend_on_the_kind_of_a_project():
    """Only user projects have required limits. Both kinds have the same features."""
    system, user = site_file.parse(MINIMAL_SITE).projects
    defaults = dict(DEFAULTS)

    names = ", ".join(user.limits)
    assert defaults["projects.limits"] == f"for kind user {names}; for system none"
    assert system.limits == ()
    assert system.features == user.features == yaml.safe_load(defaults["projects.features"])
    assert {defaults[f"projects.features.{key}"] for key in user.features} == {"not checked"}


def test_missing_acl_default_is_reject():
    """The policy treats a missing value as reject."""
    assert site_file.parse(MINIMAL_SITE).bridges[0].acl_default == {}
    assert dict(DEFAULTS)["bridges.acl_default.ingress"] == dict(DEFAULTS)["bridges.acl_default.egress"] == "reject"


FILES = [
    *((path, "policy") for path in sorted((ROOT / "policies").glob("*/*.yaml"))),
    *((path, "remediation") for path in sorted((ROOT / "remediations").glob("*/remediation.yaml"))),
    *((ROOT / path, "site") for path in ("policies/site.yaml", "src/sigsrv/demo/site.yaml")),
    *((ROOT / "lab" / kind / "site.template.yaml", "site") for kind in ("ns", "vm")),
    (ROOT / "policies" / "waivers.yaml", "waivers"),
    (ROOT / "policies" / "examples.yaml", "examples"),
    (ROOT / "policies" / "profiles.yaml", "profiles"),
]


def schema_of(path: Path) -> Path:
    """Return the schema that the first line of a file names for editors."""
    match = MODELINE.match(path.read_text(encoding="utf-8"))
    assert match, f"{path}: its first line names no schema"
    parts = urlsplit(match[1])
    return Path(unquote(parts.path)) if parts.scheme == "file" else (path.parent / match[1]).resolve()


@pytest.mark.parametrize(("path", "kind"), FILES, ids=[str(path.relative_to(ROOT)) for path, _ in FILES])
def test_first_line_of_each_file_names_its_schema(path, kind):
    """An editor finds the schema there."""
    assert schema_of(path) == data.schema(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_first_line_of_a_new_file_names_its_schema(kind, tmp_path):
    """In a checkout the path is relative, so the checkout can be moved. Elsewhere it is absolute."""
    for folder in (ROOT / "policies", ROOT, ROOT / "lab"):
        address = MODELINE.fullmatch(data.modeline(kind, folder))[1]
        assert not address.startswith(("/", "file:"))
        assert (folder / address).resolve() == data.schema(kind)
    for folder in (tmp_path, None):
        assert MODELINE.fullmatch(data.modeline(kind, folder))[1] == data.schema(kind).as_uri()


def test_installed_sigsrv_names_its_own_schema(monkeypatch):
    """No checkout exists, so the path can't be relative."""
    monkeypatch.setattr(data, "_IN_CHECKOUT", False)

    assert MODELINE.fullmatch(data.modeline("site", ROOT / "policies"))[1].startswith("file:///")


def test_new_waiver_file_names_its_schema(tmp_path):
    """A new site file does so too."""
    path = tmp_path / "waivers.yaml"
    entry = {"policy": "NET-001", "host": "*", "resource": "br0", "owner": "me", "reason": "moving"}

    waiver_file.write(
        path, entry | {"until": "2030-01-02T00:00:00Z", "created": "2030-01-01T00:00:00Z"}, ["NET-001"], 365
    )

    assert schema_of(path) == data.schema("waivers")
