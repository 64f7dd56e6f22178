"""How one kind of finding is put right, from a folder ``remediations/<name>/``; and its scripts, filled in.

Every value that goes into a script is quoted for the shell, by default and without exception.

A folder holds ``remediation.yaml``, ``apply.sh.j2``, ``undo.sh.j2`` and, where it has one, the fix that lasts: ``permanent.tf.j2``
(OpenTofu), ``permanent.nix.j2`` (NixOS).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sigsrv.model import data, yamlfile
from sigsrv.model.errors import UsageError

# The kinds of things that a remediation changes, in the order in which a plan goes through them: what carries comes before what is carried.
ORDER = ("host", "cluster", "pool", "bridge", "acl", "volume", "image", "instance", "project")


@dataclass(frozen=True)
class Remediation:
    """A folder of scripts. parameters: name -> what it is; a finding's ``fix`` must hold each of them.

    changes: one of ``ORDER``; survives_reboot: whether what it changes is still so after a reboot of the host.
    """

    name: str
    title: str
    mends: tuple[str, ...]
    changes: str
    disruption: str  # none, instance, network or service
    disrupts: str  # in a sentence
    undo: str  # what undoing puts back, in a sentence
    parameters: Mapping[str, str]
    timeout_s: int
    folder: Path
    survives_reboot: bool = True


def load(folder: Path | None = None) -> dict[str, Remediation]:
    """All remediations, by name. Raises UsageError: file, line, what is wrong."""
    root = folder or data.folder("remediations")
    found = {}
    for path in sorted(root.glob("*/remediation.yaml")):
        document = yamlfile.load(path)
        yamlfile.validate(document, yamlfile.schema("remediation"))
        for script in ("apply.sh.j2", "undo.sh.j2"):
            if not (path.parent / script).is_file():
                raise UsageError(f"{path.parent / script}: no such file")
        content = {"parameters": {}, **document.data}
        found[path.parent.name] = Remediation(
            name=path.parent.name, folder=path.parent, **{**content, "mends": tuple(content["mends"])}
        )
    if not found:
        raise UsageError(f"{root}: no remediation in it", "a remediation is a folder with a remediation.yaml")
    return found
