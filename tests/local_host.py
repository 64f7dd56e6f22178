"""This machine as a host of a remediation, in a folder: what runs on hosts is run here."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from sigsrv.collect.connection import open_session
from sigsrv.collect.target import Target
from sigsrv.model.fix import Fix
from sigsrv.remediate.remote import FixOptions, RemoteFix
from sigsrv.remediate.shell import CommandResult, HostPaths
from tests.fake_host import commands, taken

SYSTEMCTL = 'echo "systemctl $*" >>"$HERE/done"\n'
# Keeps what it was to run, so that a test can have the time come.
SYSTEMD_RUN = 'echo "systemd-run $*" >>"$HERE/done"\n'


@dataclass(frozen=True)
class Host:
    """This machine as a host. folder: all that is below / there; file: what fixes change."""

    folder: Path

    @property
    def paths(self) -> HostPaths:
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        inside = {name: str(self.folder / name) for name in ("run", "disk", "units", "booted")}
        return HostPaths(path=path, **inside)

    @property
    def file(self) -> Path:
        return self.folder / "file"

    def fix(self, script: str = "", **changes: object) -> Fix:
        """A fix that writes "new" where "old" was, and its undo."""
        keep = f'[ -e "$SIGSRV_STATE/old" ] || cp {self.file} "$SIGSRV_STATE/old"\n'
        fix = Fix(
            finding="NET-001@here/br0",
            name="attach-vlan",
            title="t",
            command="c",
            runs_on="here",
            disruption="network",
            disrupts="d",
            undo_text="u",
            timeout_s=5,
            script=f"set -eu\n{keep}echo new >{self.file}\necho changed\n{script}",
            undo=f'[ ! -e "$SIGSRV_STATE/old" ] || cp "$SIGSRV_STATE/old" {self.file}\n',
            permanent={},
            survives_reboot=False,
        )
        return replace(fix, **changes)

    def remote(self, fix: Fix | None = None, state=None, **options: object) -> RemoteFix:
        return RemoteFix(
            fix or self.fix(), "abc", FixOptions(**{"paths": self.paths, "confirm_s": 60, **options}), state
        )

    def call(self, method, *more) -> CommandResult:
        with open_session(Target("here", connection="local")) as session:
            return method(session, *more)

    @property
    def left(self) -> list[str]:
        """What of a fix is on the host. It may be on its way out: os.walk, unlike rglob, passes over what has gone."""
        walks = [walk for name in ("run", "disk", "units") for walk in os.walk(self.folder / name)]
        return sorted(os.path.relpath(f"{at}/{name}", self.folder) for at, *names in walks for name in chain(*names))

    @property
    def state(self) -> str:
        return self.file.read_text().strip()

    @property
    def done(self) -> list[str]:
        return taken(self.folder / "done")


@contextmanager
def local_host(folder: Path) -> Iterator[Host]:
    """A host in a folder; its programs find it in $HERE. What is still armed at the end is ended."""
    commands(folder / "bin", {"systemctl": SYSTEMCTL, "systemd-run": SYSTEMD_RUN})
    (folder / "units").mkdir()
    (folder / "file").write_text("old\n")
    yield Host(folder)
    for timer in folder.glob("run/*/timer"):
        with suppress(FileNotFoundError):  # it ended by itself just now
            subprocess.run(["kill", "--", f"-{timer.read_text().strip()}"], check=False, capture_output=True)


def wait(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it comes to be so in that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False
