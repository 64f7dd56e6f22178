"""report: a run -> files that a person or a program reads (HTML, JSON, text).

Room: what is done with findings. May import the model (finding, policy, remediation). Never collect, facts, remediate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sigsrv.data import write_private
from sigsrv.finding import Run
from sigsrv.policy import Policy
from sigsrv.remediation import Fix
from sigsrv.report import html


def write(folder: Path, run: Run, policies: Mapping[str, Policy], fixes: Mapping[str, Fix]) -> Path:
    """Write ``findings.json`` and ``report.html`` into a folder and return the path of the latter.

    fixes: by finding id. What a scan saw is private: a folder that is made here is 0700, the files are 0600. Each file
    is there whole or not at all.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    page = html.render(run, policies, fixes)
    write_private(
        folder / "findings.json", json.dumps(run.as_dict(), indent=1, sort_keys=True, ensure_ascii=True) + "\n"
    )
    return write_private(folder / "report.html", page)
