"""Loads policies from the files ``<family>/<ID>.yaml``. The folder is the registry."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jsonpointer
import jsonschema

from sigsrv.model import data, records, trusted, yamlfile
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.finding import Severity
from sigsrv.model.forms import Forms

# sigsrv examines these kinds of resources on each host. It examines every other kind once for the cluster.
ON_HOSTS = frozenset({"host", "bridge", "pool", "filesystem"})

_FILE_NAME = re.compile(r"[A-Z][A-Z0-9]*-[0-9]+")  # without .yaml
# This kind compares the hosts of the site with each other.
ALL_HOSTS = "hosts"

# Each family is a pytest marker and a folder. These names already have another meaning there.
_RESERVED_FAMILIES = frozenset(
    {*Severity, "skip", "skipif", "xfail", "usefixtures", "parametrize", "filterwarnings", "tryfirst", "trylast"}
    | {"checks", "controls", "schema", "remediations"}
)

# The keywords of a JSON Schema that contain subschemas: by name, in a list, or a single one.
_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas"})
_IN_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SINGLE = frozenset({"not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames"}) | {
    "unevaluatedItems",
    "unevaluatedProperties",
}
# The supported keywords of JSON Schema. Not "format": nothing would check it. Not "$ref": a rule has no references.
_KEYWORDS = (_BY_NAME | _IN_LIST | _SINGLE | frozenset(jsonschema.Draft202012Validator.VALIDATORS)) - {
    "$ref",
    "$dynamicRef",
    "format",
} | {"$comment", "minContains", "maxContains"}


FORM_KEYS = tuple(records.key_of(each.name) for each in dataclasses.fields(Forms))


@dataclass(frozen=True)
class Policy:
    """One requirement. rule, match: JSON Schemas. A policy without a rule has a check in Python.

    looks_at: what its verdicts stand on: ids of probes, and paths of the Incus API; empty if it does not declare that.
    knows: entity -> group of configuration keys that can change its verdicts (``restricted.*``) -> the keys in it that it knows,
    beside those that its forms and its rule name.
    """

    id: str
    title: str
    severity: Severity
    why: str
    examines: str
    match: Mapping[str, Any]
    rule: Mapping[str, Any] | None
    expected: str
    observe: str
    traps: str
    remediation: str | None
    by_hand: str
    controls: Mapping[str, Sequence[str]]
    source: tuple[str, ...]
    path: Path
    forms: Forms = field(default_factory=Forms)
    looks_at: tuple[str, ...] = ()
    why_by_hand: str = ""
    knows: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)

    @property
    def is_declared(self) -> bool:
        """Return whether the policy file says how to judge: it has a rule or forms, and needs no check."""
        return self.rule is not None or bool(self.forms.names)

    @property
    def with_check(self) -> Policy:
        """Return the policy without its rule and its forms, for a check that decides instead."""
        return dataclasses.replace(self, rule=None, forms=Forms())

    @property
    def decided_by(self) -> str:
        """Return what decides: ``rule``, the names of its forms, or ``check``."""
        return "rule" if self.rule is not None else ", ".join(self.forms.names) or "check"

    @property
    def family(self) -> str:
        return family_of(self.id)

    @property
    def on_hosts(self) -> bool:
        """Return whether the policy runs once for each host. Others run once for the cluster, or once for the site."""
        return self.examines in ON_HOSTS

    @property
    def on_site(self) -> bool:
        """Return whether the policy compares the hosts of the site with each other.

        It runs once, even if the hosts are in several clusters.
        """
        return self.examines == ALL_HOSTS

    @cached_property
    def examples(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return the examples of the policy, by kind (``compliant``, ``violating``). They are its tests.

        Read on first use, because they are most of the file and a scan does not need them.
        """
        found = yamlfile.load(self.path).data["examples"]
        assert isinstance(found, Mapping)
        return found

    @cached_property
    def match_validator(self) -> jsonschema.Draft202012Validator:
        """Return the validator of ``match``: it accepts the resources that the policy applies to."""
        return jsonschema.Draft202012Validator(self.match)

    @cached_property
    def rule_validator(self) -> jsonschema.Draft202012Validator:
        """Return the validator of ``rule``: it accepts the compliant resources."""
        assert self.rule is not None
        return jsonschema.Draft202012Validator(self.rule)


def family_of(policy: str) -> str:
    """Return the family of a policy id: ``net`` for ``NET-001``."""
    return policy.partition("-")[0].lower()


def id_mistake(policy_id: str) -> str:
    """Return why a text can't be the ID of a policy; empty if it can."""
    if not re.fullmatch(yamlfile.schema("policy")["properties"]["id"]["pattern"], policy_id):
        return "an ID is 2 to 12 capital letters and digits, a hyphen and three digits"
    family = family_of(policy_id)
    return (
        f'"{family}" can\'t be a family: pytest or sigsrv already uses this name'
        if family in _RESERVED_FAMILIES
        else ""
    )


def load(folders: Sequence[Path] = ()) -> dict[str, Policy]:
    """Return the shipped policies and those of further folders, by id. A later folder replaces policies of an earlier one.

    Does not read the examples of shipped policies: they are tested before a release, and reading them takes most of the time.
    Raises UsageError for an error in a file (file, line), a folder without policies, and if root reads a file that others may write.
    """
    found: dict[str, Policy] = {}
    for path in files(data.folder("policies")):
        found[path.stem] = read(path, examples=False)
    for folder in folders:
        for path in files(folder):
            trusted.check_for_root(path)
        found |= {policy.id: policy for policy in map(read, files(folder))}
    return dict(sorted(found.items()))


def files(folder: Path) -> list[Path]:
    """Return the policy files of a folder, ``<family>/<ID>.yaml``.

    Raises UsageError if there is none or if a policy file is in another place.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    found = sorted(folder.glob("*/*.yaml"))
    named = [
        path
        for glob in ("*", "*/*", "*/*/*")
        for path in folder.glob(f"{glob}.y*ml")
        if _FILE_NAME.fullmatch(path.stem)
    ]
    if misplaced := sorted(set(named) - set(found)):
        raise UsageError(
            f"{misplaced[0]}: sigsrv does not read policies here", f"move it to {folder}/<family>/<ID>.yaml"
        )
    if not found:
        raise UsageError(f"{folder}: no policy found", f"put each policy in {folder}/<family>/<ID>.yaml")
    return found


def read(path: Path, examples: bool = True) -> Policy:
    """Return one policy from its file. examples: also validate its examples.

    Raises UsageError with file, line, the error and what is allowed.
    """
    document = yamlfile.load(path) if examples else yamlfile.load(path, before="examples:")
    for error in _errors(document, yamlfile.schema("policy") if examples else _schema_without_examples()):
        raise error
    content = document.data
    return Policy(
        id=content["id"],
        title=content["title"],
        severity=Severity(content["severity"]),
        why=content["why"].strip(),
        examines=content["examines"],
        match=content.get("match", {}),
        rule=content.get("rule"),
        expected=content.get("expected", ""),
        observe=content.get("observe", ""),
        traps=content.get("traps", "").strip(),
        remediation=content.get("remediation"),
        by_hand=content.get("by_hand", "").strip(),
        controls=content["controls"],
        source=tuple(content["source"]),
        path=path,
        forms=records.read(Forms, {key: content[key] for key in FORM_KEYS if key in content}),
        looks_at=tuple(content.get("looks_at", ())),
        why_by_hand=content.get("why_by_hand", ""),
        knows=content.get("knows", {}),
    )


def mistakes(path: Path) -> list[UsageError]:
    """Return all errors in one policy file, each with file and line. ``read`` stops at the first."""
    try:
        return list(_errors(yamlfile.load(path), yamlfile.schema("policy")))
    except UsageError as cause:
        return [cause]


@cache
def _schema_without_examples() -> Mapping[str, Any]:
    return {
        **yamlfile.schema("policy"),
        "required": [key for key in yamlfile.schema("policy")["required"] if key != "examples"],
    }


def _errors(document: yamlfile.YamlDocument, schema: Mapping[str, Any]) -> Iterator[UsageError]:
    found = yamlfile.mistakes(document, schema)
    yield from found
    if found:
        return  # the checks below need a document that fits the schema
    content, path = document.data, document.path
    family = family_of(content["id"])
    if path.stem != content["id"] or path.parent.name != family:
        wanted = f"{family}/{content['id']}.yaml"
        yield document.error(("id",), f"this policy must be in {wanted}, not in {path.parent.name}/{path.name}")
    if family in _RESERVED_FAMILIES:
        yield document.error(("id",), id_mistake(content["id"]))
    for key in ("match", "rule"):
        if key in content:
            yield from _schema_errors(document, (key,), content[key])
    try:
        jsonpointer.JsonPointer(content.get("observe", ""))
    except jsonpointer.JsonPointerException as cause:
        yield document.error(("observe",), f"not a JSON Pointer: {cause}", "for example /config/restricted")


def _schema_errors(
    document: yamlfile.YamlDocument, place: tuple[str, ...], schema: Mapping[str, Any]
) -> Iterator[UsageError]:
    """Yield the errors of a JSON Schema: against the standard, and keywords that are not supported.

    An unknown keyword would check nothing, so the rule would pass everything.
    """
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as cause:
        yield document.error((*place, *cause.absolute_path), f"not a JSON Schema: {cause.message}")
        return
    yield from _unknown_keywords(document, place, schema)


def _unknown_keywords(
    document: yamlfile.YamlDocument, place: tuple[str | int, ...], schema: Any
) -> Iterator[UsageError]:
    if not isinstance(schema, Mapping):
        return  # true or false
    for key, value in schema.items():
        at = (*place, key)
        if key not in _KEYWORDS:
            yield document.error(
                at, f'"{key}" is not a supported JSON Schema keyword: it checks nothing', nearest(key, _KEYWORDS)
            )
        elif key in _BY_NAME:
            for name, each in value.items():
                yield from _unknown_keywords(document, (*at, name), each)
        elif key in _IN_LIST:
            for index, each in enumerate(value):
                yield from _unknown_keywords(document, (*at, index), each)
        elif key in _SINGLE:
            yield from _unknown_keywords(document, at, value)
