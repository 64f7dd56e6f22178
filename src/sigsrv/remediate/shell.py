"""Runs code on a host: sends it to the standard input of one shell, which starts it only when all of it has arrived."""

from __future__ import annotations

import base64
import contextlib
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from sigsrv.collect.refusals import last_message
from sigsrv.collect.session import Session

Notify = Callable[[str], None]


@dataclass(frozen=True)
class HostPaths:
    """Says where files are on a host.

    run: gone after a reboot. disk: survives a reboot. old_disk: where earlier versions had it, below a folder that another account may
    own. units: where systemd reads units from the disk. control: the same for its own tools (systemd.unit(5)), where ``units`` is a link
    into a read-only store, as on NixOS. volatile: file systems that a reboot empties, as stat(1) names them, each between blanks.
    """

    run: str = "/run/sigsrv"
    disk: str = "/var/lib/sigsrv-remediate/armed"
    old_disk: str = "/var/lib/sigsrv/armed"
    units: str = "/etc/systemd/system"
    control: str = "/etc/systemd/system.control"
    volatile: str = " tmpfs ramfs "
    booted: str = "/run/systemd/system"  # exists if systemd is process 1 (sd_booted(3))
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin"


HOST_PATHS = HostPaths()

# sudo drops the environment, but a script must see which address its own ssh session uses. So the script begins with it.
_UNDER_SUDO = """\
{{ printf "SSH_CONNECTION='%s'; export SSH_CONNECTION\\n" "${{SSH_CONNECTION:-}}"; cat; }} | {shell}"""

_DISTRUST = """\
distrust() {
  top=$1 at=$1 me=$(id -u)
  while :; do
    if [ -e "${at:-/}" ] || [ -L "$at" ]; then
      # shellcheck disable=SC2046 # uid, mode, name of the owner, and one or two words for the type
      set -- $(stat -c '%u %a %U %F' -- "${at:-/}")
      why= open=
      case 0000${2:-777} in *[2367]? | *?[2367]) open=1 ;; esac
      case 0000${2:-777} in *[1357]???) [ "$at" = "$top" ] || open= ;; esac
      [ -z "$open" ] || why="can be written by other accounts: chmod go-w ${at:-/}"
      case ${1:-} in 0 | "$me") ;; *) why="belongs to another account: check it, then chown root ${at:-/}" ;; esac
      [ "${4:-}" = directory ] || why="is no folder but a ${4:-file} ${5:-}: check it, then remove it"
      if [ -n "$why" ]; then echo "$top is not trusted: ${at:-/} (owner ${3:-} (uid ${1:-}), mode ${2:-}) $why"; return 0; fi
    fi
    [ -n "$at" ] || return 1
    at=${at%/*}
  done
}
safe() { if reason=$(distrust "$1"); then echo "refused: $reason" >&2; exit 1; fi; }
"""


@dataclass(frozen=True)
class CommandResult:
    """Holds the exit status and the output of a script on the host."""

    rc: int
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """Return the error in one line.

        A line that starts with ``Error: `` wins over advice that a program prints after it.
        """
        lines = [line for line in (self.stderr or self.stdout).strip().splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("Error: ")]
        return errors[-1] if errors else last_message("\n".join(lines)) or f"exit status {self.rc}"


def header(paths: HostPaths) -> str:
    """Return the shell code that precedes every script.

    ``say`` writes to the host's syslog if the host has one. ``distrust FOLDER`` succeeds and prints the reason if an account other than
    root (or this one) could change what is in the folder: a folder on its way is a link, belongs to somebody else, or others may write to
    it. A folder such as /tmp may be on the way. A missing folder is trusted, because sigsrv makes it. ``safe FOLDER`` stops the script
    if the folder is not trusted.
    """
    return f"""\
set -eu
umask 077
PATH={paths.path}; export PATH
LC_ALL=C; export LC_ALL
say() {{ if [ -S /dev/log ] && command -v logger >/dev/null; then logger -t sigsrv-remediate -p auth.notice -- "$*" || true; fi; }}
{_DISTRUST}"""


# The configuration of the account may name another server or project as the default (Incus doc/remotes.md). Without a configuration
# file, incus would greet a new user on standard error.
OWN_INCUS = """\
INCUS_CONF=$run/incus; export INCUS_CONF
unset INCUS_REMOTE INCUS_PROJECT
mkdir -p "$INCUS_CONF"
echo '{}' >"$INCUS_CONF/config.yml"
"""


def encoded(text: str) -> str:
    """Encode a text as one word that is safe in any shell; ``base64 -d`` decodes it."""
    return base64.b64encode(text.encode()).decode()


def run(session: Session, paths: HostPaths, code: str, timeout_s: float, notify: Notify | None = None) -> CommandResult:
    """Run code on the host. notify: gets each line of the output as it comes. Raises ConnectionFailed.

    The code is one shell function, so a connection that breaks during the transfer leaves nothing half done.
    """
    whole = f"{header(paths)}main() {{\n{code}}}\nmain\n"
    shell = session.target.shell
    if session.target.sudo:
        shell = f"exec /bin/sh -c {shlex.quote(_UNDER_SUDO.format(shell=shell))}"
    lines = _Lines(notify)
    rc, out, err = session.run(shell, timeout_s, stdin=whole.encode(), on_output=lines.take if notify else None)
    lines.end()
    return CommandResult(rc, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


class _Lines:
    """Splits pieces of output into whole lines.

    Standard output and standard error come from two threads, so each has its own rest.
    """

    def __init__(self, notify: Notify | None) -> None:
        self._notify = notify
        self._rests = {1: b"", 2: b""}

    def take(self, stream: int, piece: bytes) -> None:
        *lines, self._rests[stream] = (self._rests[stream] + piece).split(b"\n")
        for line in lines:
            self._emit(line)

    def end(self) -> None:
        for rest in self._rests.values():
            if rest:
                self._emit(rest)

    def _emit(self, line: bytes) -> None:
        if self._notify:
            with contextlib.suppress(OSError):  # the reader of the output is gone: no reason to stop half way
                self._notify(line.decode("utf-8", "replace"))
