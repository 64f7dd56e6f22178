"""Provides a host that consists of a few fake programs, for the scripts of remediations."""

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
    """Represents a host in a folder, with the answers of its programs, the recorded changes and the state of the
    remediation.
    """

    folder: Path

    def run(self, name: str, script: str, values: Mapping[str, Any], **environment: str) -> tuple[int, str]:
        """Run ``apply`` or ``undo`` of a remediation. Returns the exit status and the whole output.

        If the folder has ``proc``, the script sees the processes in there, and not those of this machine.
        """
        text = render(data.folder("remediations") / name / f"{script}.sh.j2", values)
        if (self.folder / "proc").exists():
            text = text.replace("/proc/", f"{self.folder}/proc/")
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
    def changes(self) -> list[str]:
        """Return the changes since the last call."""
        return take_lines(self.folder / "done")


def take_lines(path: Path) -> list[str]:
    """Read the lines of a file and remove it; none if there is no such file."""
    found = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def make_host(kind: type[FakeHost], folder: Path, programs: Mapping[str, str]) -> FakeHost:
    """Create a host in a folder. programs: the text of a shell script, by program name."""
    write_programs(folder / "bin", programs)
    (folder / "state").mkdir()
    return kind(folder)


def write_programs(folder: Path, programs: Mapping[str, str]) -> None:
    """Create a folder with programs: the text of a shell script, by program name."""
    folder.mkdir()
    for name, body in programs.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}")
        path.chmod(0o755)
