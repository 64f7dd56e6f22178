"""Provides this machine as a host of a remediation: the code for the host runs here, in a folder."""

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
from tests.fake_host import take_lines, write_programs

TRANSACTION = "0123456789abcdef"
SYSTEMCTL = 'echo "systemctl $*" >>"$HERE/done"\n'
# Records its command line, so a test can run the command as if the timer had fired.
SYSTEMD_RUN = 'echo "systemd-run $*" >>"$HERE/done"\n'


@dataclass(frozen=True)
class Host:
    """Represents this machine as a host. folder: stands for its root directory. file: the file that fixes change."""

    folder: Path

    @property
    def paths(self) -> HostPaths:
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        inside = {name: str(self.folder / name) for name in ("run", "disk", "units", "control", "booted")}
        return HostPaths(path=path, volatile="", old_disk=str(self.folder / "old" / "armed"), **inside)

    @property
    def file(self) -> Path:
        return self.folder / "file"

    def fix(self, script: str = "", **changes: object) -> Fix:
        """Return a fix that writes "new" over "old", with its undo."""
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
            fix or self.fix(), TRANSACTION, FixOptions(**{"paths": self.paths, "confirm_s": 60, **options}), state
        )

    def call(self, method, *more) -> CommandResult:
        with open_session(Target("here", connection="local")) as session:
            return method(session, *more)

    @property
    def leftovers(self) -> list[str]:
        """Return the files of fixes on the host.

        They may be disappearing at this time: os.walk skips a removed folder, rglob does not.
        """
        walks = [walk for name in ("run", "disk", "old", "units", "control") for walk in os.walk(self.folder / name)]
        return sorted(os.path.relpath(f"{at}/{name}", self.folder) for at, *names in walks for name in chain(*names))

    @property
    def state(self) -> str:
        return self.file.read_text().strip()

    @property
    def calls(self) -> list[str]:
        return take_lines(self.folder / "done")


@contextmanager
def local_host(folder: Path) -> Iterator[Host]:
    """Provide a host in a folder.

    Its programs find the folder in $HERE. At the end, timers that still run are stopped.
    """
    write_programs(folder / "bin", {"systemctl": SYSTEMCTL, "systemd-run": SYSTEMD_RUN})
    (folder / "units").mkdir()
    (folder / "file").write_text("old\n")
    yield Host(folder)
    for timer in folder.glob("run/*/timer"):
        with suppress(FileNotFoundError):  # the timer has just ended by itself
            subprocess.run(["kill", "--", f"-{timer.read_text().strip()}"], check=False, capture_output=True)


def wait(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Report whether the condition becomes true in that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False
