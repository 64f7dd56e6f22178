"""policy: what must hold, from the files ``<family>/<ID>.yaml``. The folder is the registry.

Room: the model. Frozen dataclasses; no I/O but loading.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from sigsrv import data, yamlfile
from sigsrv.errors import UsageError
from sigsrv.finding import Severity

_ON_HOSTS = frozenset({"host", "bridge", "pool"})


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
    examples: Mapping[str, Sequence[Mapping[str, Any]]]
    path: Path

    @property
    def family(self) -> str:
        return family_of(self.id)

    @property
    def on_hosts(self) -> bool:
        """Whether it is evaluated once for each host; else once for the cluster."""
        return self.examines in _ON_HOSTS


def family_of(policy: str) -> str:
    """The family of a policy's id: ``net`` of ``NET-001``."""
    return policy.partition("-")[0].lower()


def load(folders: Sequence[Path] | None = None) -> dict[str, Policy]:
    """The policies of some folders, by id; a later folder replaces what an earlier one has. None: the ones that are shipped.

    Raises UsageError: a mistake in a file (file, line), a folder without any policy.
    """
    found: dict[str, Policy] = {}
    for folder in folders or (data.folder("policies"),):
        here = {policy.id: policy for policy in map(read, sorted(folder.glob("*/*.yaml")))}
        if not here:
            raise UsageError(f"{folder}: no policy in it", "a policy is a file <family>/<ID>.yaml")
        found |= here
    return dict(sorted(found.items()))


def read(path: Path) -> Policy:
    """One policy from its file. Raises UsageError: file, line, what is wrong, what is allowed."""
    document = yamlfile.load(path)
    schema = json.loads((data.folder("policies") / "schema" / "policy.schema.json").read_text(encoding="utf-8"))
    yamlfile.validate(document, schema)
    content = document.data
    if path.stem != content["id"] or path.parent.name != family_of(content["id"]):
        wanted = f"{family_of(content['id'])}/{content['id']}.yaml"
        raise document.error(("id",), f"a policy of this id is the file {wanted}, not {path.parent.name}/{path.name}")
    for key in ("match", "rule"):
        try:
            jsonschema.Draft202012Validator.check_schema(content.get(key, {}))
        except jsonschema.SchemaError as cause:
            raise document.error((key, *cause.absolute_path), f"not a JSON Schema: {cause.message}") from cause
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
        examples=content["examples"],
        path=path,
    )
