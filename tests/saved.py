"""Saves evidence of the two-host cluster in ``policies/examples.yaml``, so that commands can evaluate it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonpatch
import yaml

from sigsrv.authoring import document
from sigsrv.collect import evidence

AT = 1_795_000_000  # time of collection: 2026-11-18T11:06:40Z
HOSTS = ("sigsrv", "minisrv")
PRIVILEGED = {"op": "add", "path": "/cluster/instances/db/expanded_config/security.privileged", "value": "true"}
FAILING = "INST-001@minisrv/default/db"  # the only finding that PRIVILEGED makes fail


def saved(folder: Path, *changes: dict[str, Any], name: str = "evidence") -> tuple[str, ...]:
    """Save the evidence with changes (JSON Patch), and its site file in the same folder.

    Returns the options for the evidence, the site file and the folder of reports.
    """
    content = jsonpatch.apply_patch(document.document(), changes)
    evidence.save(folder / name, "run", {host: document.evidence_of(content, host) for host in HOSTS})
    (folder / "site.yaml").write_text(yaml.safe_dump(content["site"]))
    return "--evidence", str(folder / name), "--site", str(folder / "site.yaml"), "--report-dir", str(folder / "out")
