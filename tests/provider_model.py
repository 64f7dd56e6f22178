"""A model of OpenTofu with the provider lxc/incus: imports, plans and updates the objects of a configuration.

It does what the provider does on an update: read the object, keep the keys of the resource and those that Incus computes, drop all
others, and send the result. ``vendored/lxc-incus-provider.json`` has the resources, their attributes and those keys, with the source.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hcl2

PROVIDER = json.loads((Path(__file__).parent / "vendored" / "lxc-incus-provider.json").read_text(encoding="utf-8"))
RESOURCES = PROVIDER["resources"]
MEMBER_KEYS = re.compile(r"bgp\.ipv[46]\.nexthop|bridge\.external_interfaces|parent|tunnel\.[^.]+\.(interface|local)")
PATHS = {
    "incus_network": "/1.0/networks/{name}?project={project}",
    "incus_project": "/1.0/projects/{name}",
    "incus_profile": "/1.0/profiles/{name}?project={project}",
    "incus_instance": "/1.0/instances/{name}?project={project}",
    "incus_storage_volume": "/1.0/storage-pools/{pool}/volumes/custom/{name}?project={project}",
    "incus_storage_pool": "/1.0/storage-pools/{name}",
}
TYPES = {"string": str, "bool": bool, "map": dict, "list": list}
Get = Callable[[str], Mapping[str, Any]]
Put = Callable[[str, Mapping[str, Any]], None]


def text(value: Any) -> Any:
    """Return a value as OpenTofu reads it, from how python-hcl2 returns it."""
    if isinstance(value, dict):
        return {text(key): text(item) for key, item in value.items() if key != "__is_block__"}
    if isinstance(value, list):
        return [text(item) for item in value]
    if isinstance(value, str) and value[:1] == '"':
        return (
            json.loads(re.sub(r"\\U([0-9a-f]{8})", lambda m: chr(int(m[1], 16)), value))
            .replace("$${", "${")
            .replace("%%{", "%{")
        )
    return value


def parse(source: str) -> dict[str, Any]:
    """Return the resources by address, the import ids by address, and the variables of a configuration."""
    found = hcl2.loads(source)
    resources = {}
    for block in found.get("resource", []):
        for kind, rows in text(block).items():
            for label, content in rows.items():
                assert f"{kind}.{label}" not in resources
                resources[f"{kind}.{label}"] = content
    imports = {each["to"].strip("${}"): text(each["id"]) for each in found.get("import", [])}
    variables = [name for block in found.get("variable", []) for name in text(block)]
    assert set(found) <= {"resource", "import", "variable", "__comments__"}
    return {"resources": resources, "imports": imports, "variables": variables}


def check(source: str) -> dict[str, Any]:
    """Parse a configuration and hold it against the provider's resources and attributes."""
    found = parse(source)
    for address, content in found["resources"].items():
        kind = address.partition(".")[0]
        schema = RESOURCES[kind]
        _check_attributes(address, content, schema["attributes"], {*schema["blocks"], "lifecycle"})
        for pair in schema["conflicts"]:
            assert not set(pair) <= set(content), f"{address}: {pair} exclude each other"
        for name, attributes in schema["blocks"].items():
            for block in content.get(name, []):
                _check_attributes(f"{address}.{name}", block, attributes, set())
        for ignored in [name for each in content.get("lifecycle", []) for name in each["ignore_changes"]]:
            assert ignored in schema["attributes"]
        assert (address in found["imports"]) == (schema["import"] is not None)
    return found


def _check_attributes(
    address: str, content: Mapping[str, Any], attributes: Mapping[str, Any], blocks: set[str]
) -> None:
    for name, value in content.items():
        if name in blocks:
            continue
        assert name in attributes, f"{address}: there is no attribute {name}"
        wanted = attributes[name]
        assert not wanted.get("computed"), f"{address}: {name} is computed"
        assert isinstance(value, TYPES[wanted["type"]]), f"{address}: {name} is {value!r}"
        assert value in wanted.get("one_of", [value]), f"{address}: {name} is {value!r}"
        if wanted["type"] == "map":
            assert all(isinstance(item, str) for item in value.values()), f"{address}: {name} is {value!r}"
    for name, wanted in attributes.items():
        assert name in content or not wanted.get("required"), f"{address}: {name} is missing"


def apply(
    source: str, get: Get, put: Put, clustered: bool = True, secrets: Mapping[str, str] | None = None
) -> list[str]:
    """Import and apply a configuration. Returns the URLs that it wrote to. secrets: the values of the variables.

    get, put: read and write an object of the Incus API. Fails where OpenTofu would: an object would be replaced, or the provider's answer
    after the update differs from the plan.
    """
    found = check(source)
    written = []
    for address, content in found["resources"].items():
        kind = address.partition(".")[0]
        if RESOURCES[kind]["import"] is None:
            continue
        resource = _Resource(kind, content, found["imports"][address], clustered, secrets or {})
        if resource.update(get, put):
            written.append(resource.url)
    return written


class _Resource:
    def __init__(
        self, kind: str, content: dict[str, Any], import_id: str, clustered: bool, secrets: Mapping[str, str]
    ) -> None:
        self.kind = kind
        self.schema = RESOURCES[kind]
        self.content = _with_secrets(content, secrets)
        self.clustered = clustered
        self.imported = _imported(import_id, self.schema["import"])
        target = f"target={self.imported['target']}" if "target" in self.imported else ""
        url = PATHS[kind].format(**{"project": "default", **self.imported})
        self.url = f"{url}{'&' if '?' in url else '?'}{target}" if target else url

    def update(self, get: Get, put: Put) -> bool:
        """Update the object if its state differs from the plan. Returns whether it did."""
        state = self.read(get, {})
        plan = self.plan(state)
        changed = {name for name in plan if plan[name] != state.get(name)}
        for name in changed & self.schema["attributes"].keys():
            assert not self.schema["attributes"][name].get("replaces"), f"{self.url}: {name} replaces the object"
        if not changed:
            return False
        self.write(get, put, plan)
        after = self.read(get, plan["config"])
        for name in changed:
            assert after[name] == plan[name], f"provider produced inconsistent result after apply: {name}"
        return True

    def read(self, get: Get, config: Mapping[str, str]) -> dict[str, Any]:
        """Return the state. config: that of the resource, whose computed keys the state has too."""
        found = copy.deepcopy(get(self.url))
        kept = {
            key: value for key, value in found["config"].items() if value and (key in config or not self.keeps(key))
        }
        if self.clustered and "target" in self.imported:
            kept = {key: value for key, value in kept.items() if MEMBER_KEYS.fullmatch(key)}
        state = {**self.imported, "config": kept, "description": found.get("description", "")}
        if "target" in self.imported:
            state["description"] = ""
        if self.kind == "incus_storage_volume":
            state["type"] = "custom"
        for name in ("type", "ephemeral", "profiles", "content_type", "driver"):
            if name in found and (name != "type" or self.kind != "incus_storage_volume"):
                state[name] = found[name]
        if "device" in self.schema["blocks"]:
            state["device"] = _devices(found["devices"])
        if self.kind == "incus_instance":
            state["running"] = found["status"] in ("Running", "Ready")
        if self.kind == "incus_project":
            state["force_destroy"] = False
        return state

    def plan(self, state: Mapping[str, Any]) -> dict[str, Any]:
        ignored = {name for each in self.content.get("lifecycle", []) for name in each["ignore_changes"]}
        plan = {
            name: row["default"]
            for name, row in self.schema["attributes"].items()
            if "default" in row and name not in self.content
        }
        plan |= {name: value for name, value in self.content.items() if name not in ("lifecycle", "device")}
        plan |= {name: None for name in self.imported if name not in plan}
        plan.setdefault("config", state["config"])
        if "device" in self.schema["blocks"]:
            plan["device"] = sorted(self.content.get("device", []), key=lambda each: each["name"])
        return plan | {name: state[name] for name in ignored}

    def keeps(self, key: str) -> bool:
        """Report whether an update keeps a key that the resource does not name."""
        return any(key == each or (each.endswith(".") and key.startswith(each)) for each in self.schema["kept"])

    def write(self, get: Get, put: Put, plan: Mapping[str, Any]) -> None:
        have = get(self.url)
        config = {key: value for key, value in plan["config"].items() if value}
        config |= {k: v for k, v in have["config"].items() if k not in plan["config"] and v and self.keeps(k)}
        body = {"description": plan["description"], "config": config}
        if "device" in plan:
            body["devices"] = {each["name"]: {"type": each["type"], **each["properties"]} for each in plan["device"]}
        if self.kind == "incus_instance":
            assert plan["running"] or have["status"] == "Stopped", "the provider would stop the instance"
            assert not plan["running"] or have["status"] in ("Running", "Ready"), (
                "the provider would start the instance"
            )
            body |= {name: have[name] for name in ("architecture", "stateful")}
            body |= {"profiles": plan["profiles"], "ephemeral": plan["ephemeral"]}
        put(self.url, body)


def _devices(devices: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": device["type"],
            "properties": {key: value for key, value in device.items() if key != "type"},
        }
        for name, device in sorted(devices.items())
    ]


def _imported(text: str, form: Mapping[str, Any]) -> dict[str, str]:
    """Return what an import ID sets: [PROJECT/]FIELD[/FIELD...][,OPTION=VALUE]."""
    path, *options = text.split(",")
    parts = path.split("/")
    fields = dict(zip(form["fields"], parts[-len(form["fields"]) :], strict=True))
    before = parts[: -len(form["fields"])]
    assert len(before) <= 1
    assert not (form.get("no_project") and before)
    found = fields | ({"project": before[0]} if before else {})
    for option in options:
        name, _, value = option.partition("=")
        assert name in form["options"]
        found[name] = value
    return found


def _with_secrets(value: Any, secrets: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _with_secrets(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_secrets(item, secrets) for item in value]
    if isinstance(value, str) and (found := re.fullmatch(r"\$\{var\.([\w-]+)\}", value)):
        return secrets[found[1]]
    return value
