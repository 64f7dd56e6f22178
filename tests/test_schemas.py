"""What an editor shows of the YAML files: each parameter described, each default said, and what is said is what is done."""

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
KINDS = ("case", "examples", "policy", "profiles", "remediation", "site", "waivers")
MODELINE = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")

# What a default means that is no value: the value that the code has for it, the name of the entry left aside.
WORDS: Mapping[str, tuple[Any, ...]] = {
    "none": (None, (), {}, ""),
    "all": (None, (), ("*",)),
    "all of the site": (None,),
    "any": (None,),
    "any of the subnet": (None,),
    "from zfs.pool_name": (None,),
    "not checked": (None,),
    "your own": (None,),
    "baseline, strict, user-environment": ((),),
}
# Where the code has another name for a parameter.
ELSEWHERE = {
    "instance_limits.required": "instance_limits",
    "images.servers": "image_servers",
    "probes.connectivity": "connectivity",
    "waivers.max_days": "waivers_max_days",
}
# Defaults that depend on something: each has a test of its own below.
TOLD_APART = {"projects.limits", "projects.features", "bridges.acl_default.ingress", "bridges.acl_default.egress"}
API = {"url": "https://h:8443", "client_cert": "c", "client_key": "k", "server_cert": "s"}
LEAST: Mapping[str, Any] = {
    "version": 1,
    "name": "least",
    "hosts": [{"name": "h"}, {"name": "g", "api": API}],
    "profiles": [{"name": "p"}],
    "bridges": [{"name": "b", "vlan": {"interface": "v", "id": 5}}],
    "acls": [{"name": "a"}],
    "pools": [{"name": "p", "driver": "zfs"}],
    "projects": [{"match": "s", "kind": "system"}, {"match": "u", "kind": "user"}],
    "proxies": [{"instance": "*", "listen": "*", "connect": "*"}],
    "host_paths": [{"instance": "*", "source": "/"}],
    "backups": {"host": "h", "dir": "/b", "pattern": "{name}"},
    "exempt": {"NET-001": [{"match": "*", "reason": "a good reason"}]},
}


def parameters(node: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Each parameter of a schema: where it is, what is said of it, and whether it may be left out."""
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
    for kind, path, said, _ in ALL
    if kind == "site" and (match := re.search(r"default: (.+)$", said.get("description", "")))
]


def test_every_kind_of_yaml_has_a_schema():
    """And the schemas are valid ones."""
    assert sorted(path.name for path in data.schema("site").parent.iterdir()) == [
        f"{kind}.schema.json" for kind in KINDS
    ]
    for kind in KINDS:
        jsonschema.Draft202012Validator.check_schema(schema(kind))
        assert len(schema(kind)["title"]) > 8


@pytest.mark.parametrize(("kind", "path", "said", "_"), ALL, ids=lambda value: value if isinstance(value, str) else "")
def test_every_parameter_is_described(kind, path, said, _):
    """In words that begin like a sentence in the middle, as all others do."""
    text = said.get("description", "")

    assert len(text) > 8, f"{kind}: {path}"
    assert not text.endswith("."), f"{kind}: {path}"


@pytest.mark.parametrize(
    ("kind", "path", "said"),
    [(kind, path, said) for kind, path, said, optional in ALL if optional],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_may_be_left_out_has_its_default_said(kind, path, said):
    """A group whose parameters each have one needs none."""
    group = list(parameters(said)) if said.get("type") == "object" else []

    if group and all(optional for _, _, optional in group):
        return
    assert re.search(r"(^|; )default: [^;]+(; for system none)?$", said["description"]), f"{kind}: {path}"


@pytest.mark.parametrize(("path", "text"), DEFAULTS, ids=[path for path, _ in DEFAULTS])
def test_the_default_that_is_said_is_the_one_that_is_meant(path, text):
    """A site that says the least has, for each parameter, what the schema says."""
    if path in TOLD_APART or path in LEAST or path.startswith("projects.features."):
        return
    value = value_of(site_file.parse(LEAST), path)

    if text == "name":
        assert value in ("h", "")
    elif text in WORDS:
        assert value in WORDS[text]
    else:
        wanted = size_bytes(text) if path == "thresholds.pool_free_min" else yaml.safe_load(text)
        assert value == (tuple(wanted) if isinstance(wanted, list) else wanted)


def value_of(found: Any, path: str) -> Any:
    """What the code has for a parameter: of a list that of its first entry, of an API that of the host that has one."""
    for name in ELSEWHERE.get(path, path).split("."):
        if isinstance(found, Mapping):
            found = next(iter(found.values()))
        if isinstance(found, tuple):
            found = found[1 if path.startswith("hosts.api.") else 0]
        found = getattr(found, name)
    return found


def test_the_defaults_are_read_from_the_schema():
    """Enough of them that none of the tests above runs empty."""
    assert len(DEFAULTS) > 60
    assert sum(text not in WORDS for _, text in DEFAULTS) > 35


def test_a_whole_section_that_is_left_out_is_none():
    """Bridges, pools and the other lists."""
    least = site_file.parse({key: LEAST[key] for key in ("version", "name", "hosts")})

    for path, text in DEFAULTS:
        if path in LEAST and text == "none":
            assert getattr(least, path) in WORDS["none"], path


def test_what_depends_on_the_kind_of_a_project():
    """Limits that must be set are those of users; features are the same for both."""
    system, user = site_file.parse(LEAST).projects
    said = dict(DEFAULTS)

    names = ", ".join(user.limits)
    assert said["projects.limits"] == f"for kind user {names}; for system none"
    assert system.limits == ()
    assert system.features == user.features == yaml.safe_load(said["projects.features"])
    assert {said[f"projects.features.{key}"] for key in user.features} == {"not checked"}


def test_an_acl_default_that_is_not_said_is_nothing_allowed():
    """The policy takes reject for it."""
    assert site_file.parse(LEAST).bridges[0].acl_default == {}
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
    """The schema that an editor takes for a file, by its first line."""
    match = MODELINE.match(path.read_text(encoding="utf-8"))
    assert match, f"{path}: its first line names no schema"
    parts = urlsplit(match[1])
    return Path(unquote(parts.path)) if parts.scheme == "file" else (path.parent / match[1]).resolve()


@pytest.mark.parametrize(("path", "kind"), FILES, ids=[str(path.relative_to(ROOT)) for path, _ in FILES])
def test_an_editor_finds_the_schema_of_each_file(path, kind):
    """The first line of each file names the schema of its kind."""
    assert schema_of(path) == data.schema(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_line_of_a_new_file_names_its_schema(kind, tmp_path):
    """Relative to a file in the checkout, so that the checkout may move; else by its whole path."""
    for folder in (ROOT / "policies", ROOT, ROOT / "lab"):
        address = MODELINE.fullmatch(data.modeline(kind, folder))[1]
        assert not address.startswith(("/", "file:"))
        assert (folder / address).resolve() == data.schema(kind)
    for folder in (tmp_path, None):
        assert MODELINE.fullmatch(data.modeline(kind, folder))[1] == data.schema(kind).as_uri()


def test_an_installed_sigsrv_names_its_own_schema(monkeypatch):
    """There is no checkout that a path could be relative to."""
    monkeypatch.setattr(data, "_IN_CHECKOUT", False)

    assert MODELINE.fullmatch(data.modeline("site", ROOT / "policies"))[1].startswith("file:///")


def test_a_new_file_of_waivers_names_its_schema(tmp_path):
    """As the draft of a site does."""
    path = tmp_path / "waivers.yaml"
    entry = {"policy": "NET-001", "host": "*", "resource": "br0", "owner": "me", "reason": "moving"}

    waiver_file.write(
        path, entry | {"until": "2030-01-02T00:00:00Z", "created": "2030-01-01T00:00:00Z"}, ["NET-001"], 365
    )

    assert schema_of(path) == data.schema("waivers")
