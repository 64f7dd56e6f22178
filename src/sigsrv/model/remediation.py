"""Loads remediations. A remediation fixes one kind of finding; it is a folder ``remediations/<name>/``.

Every value in a script is quoted for the shell, by default and without exception.

A folder contains ``remediation.yaml``, ``apply.sh.j2``, ``undo.sh.j2``, and ``touches.yaml.j2``, which declares what the scripts
change. It may also contain the permanent fix: ``permanent.yaml.j2`` (the change of each object of Incus, for OpenTofu),
``permanent.nix.j2`` (NixOS). The folder ``shared`` has code that scripts include.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sigsrv.model import data, yamlfile
from sigsrv.model.errors import UsageError

# The kinds of resources that a remediation changes, in the order of a plan: a resource comes before those that depend on it.
ORDER = ("host", "cluster", "pool", "bridge", "acl", "volume", "image", "instance", "project")


@dataclass(frozen=True)
class Remediation:
    """A folder of scripts. parameters: name -> description. The ``fix`` of a finding must set each of them.

    example: a value for each parameter, with which lint and the tests render the scripts. reaches: ``host``, where the script runs, or
    ``members``, all members of its cluster. resets: the parameter with the name of a network that Incus sets up again, or with a list of
    names; "" for none.
    changes: one of ``ORDER``. survives_reboot: whether the change is still in effect after the host reboots.
    """

    name: str
    title: str
    fixes: tuple[str, ...]
    changes: str
    disruption: str  # none, instance, network or service
    disrupts: str  # one sentence
    undo: str  # what undo restores, one sentence
    parameters: Mapping[str, str]
    timeout_s: int
    folder: Path
    survives_reboot: bool = True
    reaches: str = "host"
    resets: str = ""
    example: Mapping[str, Any] = field(default_factory=dict)


def load(folder: Path | None = None) -> dict[str, Remediation]:
    """Return all remediations, by name. Raises UsageError with file, line and the error."""
    root = folder or data.folder("remediations")
    found = {}
    for path in files(root):
        document = yamlfile.load(path)
        for mistake in _mistakes(document):
            raise mistake
        content = {"parameters": {}, **document.data}
        found[path.parent.name] = Remediation(
            name=path.parent.name, folder=path.parent, **{**content, "fixes": tuple(content["fixes"])}
        )
    if not found:
        raise UsageError(f"{root}: no remediation found", "a remediation is a folder with a remediation.yaml")
    return found


def files(root: Path) -> list[Path]:
    """Return the file ``remediation.yaml`` of each remediation in a folder."""
    return sorted(root.glob("*/remediation.yaml"))


def mistakes(path: Path) -> list[UsageError]:
    """Return all errors in one remediation: in its file, each with the line, and missing scripts. ``load`` stops at the first."""
    try:
        return _mistakes(yamlfile.load(path))
    except UsageError as cause:
        return [cause]


def _mistakes(document: yamlfile.YamlDocument) -> list[UsageError]:
    scripts = (document.path.parent / name for name in ("apply.sh.j2", "undo.sh.j2", "touches.yaml.j2"))
    missing = [UsageError(f"{script}: no such file") for script in scripts if not script.is_file()]
    found = [*yamlfile.mistakes(document, yamlfile.schema("remediation")), *missing]
    if not found and (name := document.data.get("resets")) and name not in document.data.get("parameters", {}):
        found.append(document.error(("resets",), f"there is no parameter {name}"))
    return found
