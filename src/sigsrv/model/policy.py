"""What must hold, from the files ``<family>/<ID>.yaml``. The folder is the registry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jsonpointer
import jsonschema

from sigsrv.model import data, yamlfile
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.finding import Severity

# The kinds of resources that are examined on each host; every other kind once for the cluster.
ON_HOSTS = frozenset({"host", "bridge", "pool", "filesystem"})

_NAME = re.compile(r"[A-Z][A-Z0-9]*-[0-9]+")  # of a policy's file
# The kind that holds the hosts of the site against each other.
ALL_HOSTS = "hosts"

# What would be another marker of pytest, or another folder, as the name of a family.
_NO_FAMILY = frozenset(
    {*Severity, "skip", "skipif", "xfail", "usefixtures", "parametrize", "filterwarnings", "tryfirst", "trylast"}
    | {"checks", "controls", "schema", "remediations"}
)

# Where a JSON Schema holds further ones: by name, in a list, or alone.
_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas"})
_IN_A_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_ALONE = frozenset({"not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames"}) | {
    "unevaluatedItems",
    "unevaluatedProperties",
}
# Keywords of the standard. Not "format": nothing would be checked. Not "$ref": a rule is read in one piece.
_KEYWORDS = (_BY_NAME | _IN_A_LIST | _ALONE | frozenset(jsonschema.Draft202012Validator.VALIDATORS)) - {
    "$ref",
    "$dynamicRef",
    "format",
} | {"$comment", "minContains", "maxContains"}


@dataclass(frozen=True)
class Policy:
    """One thing that must hold. rule, match: JSON Schemas; without a rule the policy has a Python check."""

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

    @property
    def family(self) -> str:
        return family_of(self.id)

    @property
    def on_hosts(self) -> bool:
        """Whether it is evaluated once for each host; else once for the cluster, or once for all hosts of the site."""
        return self.examines in ON_HOSTS

    @property
    def on_site(self) -> bool:
        """Whether it holds the hosts of the site against each other: evaluated once, whatever clusters they are in."""
        return self.examines == ALL_HOSTS

    @cached_property
    def examples(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Its own tests, by kind (``compliant``, ``violating``). They are most of its file, and no scan needs them: read when asked for."""
        found = yamlfile.load(self.path).data["examples"]
        assert isinstance(found, Mapping)
        return found

    @cached_property
    def concerns(self) -> jsonschema.Draft202012Validator:
        """``match``, made ready: whether a rule policy concerns a resource."""
        return jsonschema.Draft202012Validator(self.match)

    @cached_property
    def keeps(self) -> jsonschema.Draft202012Validator:
        """``rule``, made ready: whether a resource keeps it."""
        assert self.rule is not None
        return jsonschema.Draft202012Validator(self.rule)


def family_of(policy: str) -> str:
    """The family of a policy's id: ``net`` of ``NET-001``."""
    return policy.partition("-")[0].lower()


def load(folders: Sequence[Path] = ()) -> dict[str, Policy]:
    """The shipped policies and those of further folders, by id; a later folder replaces what an earlier one has.

    The examples of the shipped ones are not looked at: they were tested before they were shipped, and would take most of the time.
    Raises UsageError: a mistake in a file (file, line), a folder without any policy.
    """
    found: dict[str, Policy] = {}
    for path in files(data.folder("policies")):
        found[path.stem] = read(path, examples=False)
    for folder in folders:
        found |= {policy.id: policy for policy in map(read, files(folder))}
    return dict(sorted(found.items()))


def files(folder: Path) -> list[Path]:
    """The policy files of a folder, ``<family>/<ID>.yaml``. Raises UsageError: there is none, or one lies elsewhere."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    found = sorted(folder.glob("*/*.yaml"))
    named = [
        path for glob in ("*", "*/*", "*/*/*") for path in folder.glob(f"{glob}.y*ml") if _NAME.fullmatch(path.stem)
    ]
    if stray := sorted(set(named) - set(found)):
        raise UsageError(f"{stray[0]}: no policy is read from here", f"a policy is a file {folder}/<family>/<ID>.yaml")
    if not found:
        raise UsageError(f"{folder}: no policy in it", f"a policy is a file {folder}/<family>/<ID>.yaml")
    return found


def read(path: Path, examples: bool = True) -> Policy:
    """One policy from its file. Raises UsageError: file, line, what is wrong, what is allowed. examples: look at these, too."""
    document = yamlfile.load(path) if examples else yamlfile.load(path, before="examples:")
    for mistake in _mistakes(document, yamlfile.schema("policy") if examples else _without_examples()):
        raise mistake
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
    )


def mistakes(path: Path) -> list[UsageError]:
    """All that is wrong with one policy's file, each with file and line; ``read`` stops at the first."""
    try:
        return list(_mistakes(yamlfile.load(path), yamlfile.schema("policy")))
    except UsageError as cause:
        return [cause]


@cache
def _without_examples() -> Mapping[str, Any]:
    return {
        **yamlfile.schema("policy"),
        "required": [key for key in yamlfile.schema("policy")["required"] if key != "examples"],
    }


def _mistakes(document: yamlfile.YamlDocument, schema: Mapping[str, Any]) -> Iterator[UsageError]:
    found = yamlfile.mistakes(document, schema)
    yield from found
    if found:
        return  # what follows relies on the shape
    content, path = document.data, document.path
    family = family_of(content["id"])
    if path.stem != content["id"] or path.parent.name != family:
        wanted = f"{family}/{content['id']}.yaml"
        yield document.error(("id",), f"a policy of this id is the file {wanted}, not {path.parent.name}/{path.name}")
    if family in _NO_FAMILY:
        yield document.error(("id",), f'"{family}" can\'t be a family: it is a word of pytest, or another folder')
    for key in ("match", "rule"):
        if key in content:
            yield from _mistakes_of_schema(document, (key,), content[key])
    try:
        jsonpointer.JsonPointer(content.get("observe", ""))
    except jsonpointer.JsonPointerException as cause:
        yield document.error(("observe",), f"not a JSON Pointer: {cause}", "/config/restricted")


def _mistakes_of_schema(
    document: yamlfile.YamlDocument, place: tuple[str, ...], schema: Mapping[str, Any]
) -> Iterator[UsageError]:
    """A JSON Schema is what the standard allows, and has no word that is not of it: such a word would demand nothing."""
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as cause:
        yield document.error((*place, *cause.absolute_path), f"not a JSON Schema: {cause.message}")
        return
    yield from _unknown_words(document, place, schema)


def _unknown_words(document: yamlfile.YamlDocument, place: tuple[str | int, ...], schema: Any) -> Iterator[UsageError]:
    if not isinstance(schema, Mapping):
        return  # true or false
    for key, value in schema.items():
        at = (*place, key)
        if key not in _KEYWORDS:
            yield document.error(
                at, f'"{key}" is no keyword of JSON Schema, and would demand nothing', nearest(key, _KEYWORDS)
            )
        elif key in _BY_NAME:
            for name, each in value.items():
                yield from _unknown_words(document, (*at, name), each)
        elif key in _IN_A_LIST:
            for index, each in enumerate(value):
                yield from _unknown_words(document, (*at, index), each)
        elif key in _ALONE:
            yield from _unknown_words(document, at, value)
