"""A host that consists of a few programs, for what scripts of remediations do to it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigsrv.model import data
from sigsrv.model.fix import render


@dataclass(frozen=True)
class FakeHost:
    """folder: what they answer and did, and the state of the remediation."""

    folder: Path

    def run(self, name: str, script: str, values: Mapping[str, Any], **environment: str) -> tuple[int, str]:
        """Run ``apply`` or ``undo`` of a remediation; its exit status and all that it said."""
        text = render(data.folder("remediations") / name / f"{script}.sh.j2", values)
        env = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "HERE": str(self.folder),
            "SIGSRV_STATE": str(self.folder / "state"),
        }
        done = subprocess.run(
            ["sh"], input=text, env=env | environment, capture_output=True, text=True, check=False, timeout=20
        )
        return done.returncode, done.stdout + done.stderr

    @property
    def done(self) -> list[str]:
        """What was changed since the last look."""
        return taken(self.folder / "done")


def taken(path: Path) -> list[str]:
    """The lines of a file, which is gone then; none where there is no file."""
    found = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def made(kind: type[FakeHost], folder: Path, programs: Mapping[str, str]) -> FakeHost:
    """A host in a folder. programs: the text of a shell script, by the program's name."""
    commands(folder / "bin", programs)
    (folder / "state").mkdir()
    return kind(folder)


def commands(folder: Path, programs: Mapping[str, str]) -> None:
    """Programs in a folder that is made for them: the text of a shell script, by the program's name."""
    folder.mkdir()
    for name, body in programs.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}")
        path.chmod(0o755)
