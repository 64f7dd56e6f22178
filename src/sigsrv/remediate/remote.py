"""remediate.remote: what runs on the host: the script, what it keeps for undoing, and the timer that undoes it by itself.

Room: remediate. May import collect and the model.

On the host a root-only folder holds the two scripts and the old values. A fix that may cut the network is armed first: a detached
shell undoes it after a while unless it is confirmed. The folder is gone after the confirmation, and after an undo that succeeded.
Scripts travel over standard input, never as arguments.
"""

from __future__ import annotations

import base64
import shlex
from dataclasses import dataclass

from sigsrv.collect import Session
from sigsrv.remediation import Fix

FOLDER = "/run/sigsrv"
CONFIRM_S = 60

_HEAD = """\
set -eu
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin; export PATH
LC_ALL=C; export LC_ALL
SIGSRV_STATE={state}; export SIGSRV_STATE
"""

_APPLY = """\
mkdir -p {folder}
mkdir "$SIGSRV_STATE"
echo {script} | base64 -d >"$SIGSRV_STATE/apply.sh"
echo {undo} | base64 -d >"$SIGSRV_STATE/undo.sh"
cat >"$SIGSRV_STATE/undo-once.sh" <<'END'
mkdir "$SIGSRV_STATE/undoing" 2>/dev/null || exit 0
if timeout {timeout} /bin/sh "$SIGSRV_STATE/undo.sh"; then rm -r "$SIGSRV_STATE"; else rmdir "$SIGSRV_STATE/undoing"; exit 1; fi
END
"""

_ARM = """\
setsid sh -c 'sleep {confirm}; exec sh "$SIGSRV_STATE/undo-once.sh"' >/dev/null 2>&1 </dev/null &
echo "$!" >"$SIGSRV_STATE/timer"
"""

_RUN = """\
timeout {timeout} /bin/sh "$SIGSRV_STATE/apply.sh"
"""

_DISARM = """\
if [ -s "$SIGSRV_STATE/timer" ]; then
  timer=$(cat "$SIGSRV_STATE/timer")
  kill -- "-$timer" 2>/dev/null || true
fi
"""

_CONFIRM = """\
[ -d "$SIGSRV_STATE" ] || { echo "it was undone already: its time was up" >&2; exit 1; }
[ ! -d "$SIGSRV_STATE/undoing" ] || { echo "it is being undone: its time was up" >&2; exit 1; }
"""

_UNDO = """\
[ -d "$SIGSRV_STATE" ] || { echo "undone by the host itself"; exit 0; }
sh "$SIGSRV_STATE/undo-once.sh"
i=0
while [ -d "$SIGSRV_STATE" ] && [ "$i" -lt 60 ]; do sleep 0.5; i=$((i + 1)); done
[ ! -d "$SIGSRV_STATE" ]
"""


@dataclass(frozen=True)
class Said:
    """What a script on the host said, and its exit status."""

    rc: int
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """One line: what went wrong."""
        lines = [line for line in (self.stderr or self.stdout).strip().splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.rc}"


class RemoteFix:
    """A fix on its host. transaction: letters and digits, names its folder there. Each call may raise ConnectionFailed."""

    def __init__(self, fix: Fix, transaction: str) -> None:
        self._fix = fix
        self._head = _HEAD.format(state=shlex.quote(f"{FOLDER}/{transaction}"))

    @property
    def armed(self) -> bool:
        """Whether the host undoes it by itself unless it is confirmed in time."""
        return self._fix.disruption == "network"

    def apply(self, session: Session) -> Said:
        """Arm it where it may cut the network, and run it."""
        code = [
            self._head,
            _APPLY.format(
                folder=FOLDER, script=_coded(self._fix.script), undo=_coded(self._fix.undo), timeout=self._fix.timeout_s
            ),
        ]
        code += [_ARM.format(confirm=CONFIRM_S)] if self.armed else []
        return _run(session, "".join([*code, _RUN.format(timeout=self._fix.timeout_s)]), self._fix.timeout_s + 5)

    def confirm(self, session: Session) -> Said:
        """Keep it: disarm, and leave nothing on the host."""
        return _run(session, self._head + _CONFIRM + _DISARM + 'rm -r "$SIGSRV_STATE"\n', 10)

    def undo(self, session: Session) -> Said:
        """Put back what was there before. Done already by the host itself is done."""
        return _run(
            session,
            self._head + 'if [ -d "$SIGSRV_STATE" ]; then\n' + _DISARM + "fi\n" + _UNDO,
            self._fix.timeout_s + 35,
        )


def _coded(script: str) -> str:
    return base64.b64encode(script.encode()).decode()


def _run(session: Session, code: str, timeout_s: float) -> Said:
    # sudo takes the variables away; a script must see which address its own session uses
    shell = 'exec sudo -n env "SSH_CONNECTION=$SSH_CONNECTION" /bin/sh -s' if session.target.sudo else "/bin/sh -s"
    rc, out, err = session.run(shell, timeout_s, stdin=code.encode())
    return Said(rc, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
