"""How code gets to a host: as standard input of one shell, which runs it when all of it has come, and never before."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from sigsrv.collect.session import Session

Notify = Callable[[str], None]


@dataclass(frozen=True)
class HostPaths:
    """Where things are on a host. run: gone after a reboot; disk: there after one; units: what systemd reads from the disk."""

    run: str = "/run/sigsrv"
    disk: str = "/var/lib/sigsrv/armed"
    units: str = "/etc/systemd/system"
    booted: str = "/run/systemd/system"  # there where systemd is process 1 (sd_booted(3))
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin"


HOST_PATHS = HostPaths()


@dataclass(frozen=True)
class CommandResult:
    """What a script on the host said, and its exit status."""

    rc: int
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """One line: what went wrong. What a program calls its error comes before the advice that may follow it."""
        lines = [line for line in (self.stderr or self.stdout).strip().splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("Error: ")]
        return (errors or lines or [f"exit status {self.rc}"])[-1]


def head(paths: HostPaths) -> str:
    """What each piece of code begins with. ``say`` writes to the host's syslog, where there is one."""
    return f"""\
set -eu
umask 077
PATH={paths.path}; export PATH
LC_ALL=C; export LC_ALL
say() {{ if [ -S /dev/log ] && command -v logger >/dev/null; then logger -t sigsrv-remediate -p auth.notice -- "$*" || true; fi; }}
"""


def coded(text: str) -> str:
    """A text as a word that any shell leaves alone; ``base64 -d`` gives it back."""
    return base64.b64encode(text.encode()).decode()


def run(session: Session, paths: HostPaths, code: str, timeout_s: float, notify: Notify | None = None) -> CommandResult:
    """Run code on the host. tell: gets each line of its output as it comes. Raises ConnectionFailed.

    The code is one function: a connection that breaks while it is sent leaves nothing half done.
    """
    whole = f"{head(paths)}main() {{\n{code}}}\nmain\n"
    # sudo takes the variables away; a script must see which address its own session uses
    shell = 'exec sudo -n env "SSH_CONNECTION=$SSH_CONNECTION" /bin/sh -s' if session.target.sudo else "/bin/sh -s"
    lines = _Lines(notify)
    rc, out, err = session.run(shell, timeout_s, stdin=whole.encode(), seen=lines.take if notify else None)
    lines.end()
    return CommandResult(rc, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


class _Lines:
    """Pieces of output to whole lines. Standard output and standard error come from two threads, each with a rest of its own."""

    def __init__(self, notify: Notify | None) -> None:
        self._notify = notify
        self._rests = {1: b"", 2: b""}

    def take(self, stream: int, piece: bytes) -> None:
        *lines, self._rests[stream] = (self._rests[stream] + piece).split(b"\n")
        for line in lines:
            self._say(line)

    def end(self) -> None:
        for rest in self._rests.values():
            if rest:
                self._say(rest)

    def _say(self, line: bytes) -> None:
        if self._notify:
            with contextlib.suppress(OSError):  # nobody reads it any more: no reason to stop half way
                self._notify(line.decode("utf-8", "replace"))
