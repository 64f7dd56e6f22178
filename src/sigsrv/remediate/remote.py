"""A fix on its host: the scripts, what they keep for undoing, and the timer that undoes it by itself.

On the host a root-only folder holds the two scripts and the old values. It is armed before the script runs: unless a new login confirms it,
the host undoes it by itself. The folder is gone after the confirmation, and after an undo that succeeded. Scripts travel over
standard input, never as arguments, and run detached: a connection that breaks ends none of them half way.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from sigsrv.collect.session import Session
from sigsrv.model.fix import Fix
from sigsrv.remediate import arming, shell
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.shell import HOST_PATHS, CommandResult, HostPaths, Notify

CONFIRM_S = 60
STATE_LIMIT = 512 * 1024  # characters of old values: what fits into the room that the journal keeps free
_TALK_S = 15  # what the code around a script may take
REFUSED = "refused:"
NOTHING_THERE = "nothing of it is on the host: it was undone or confirmed"

_TAIL = """\
follow() { # PID FILE FILE: what is written to the files until the process has ended
  tail -n +1 -s 0.1 -f --pid="$1" "$3" >&2 2>/dev/null &
  tail -n +1 -s 0.1 -f --pid="$1" "$2" 2>/dev/null || true
  wait "$!" || true
}
"""

# Whether the first folder is there already tells whether this was begun before; never twice.
_BEGIN = """\
mkdir -p {parent}
if [ -n {lock_word} ] && ! grep -qs {held} {lock}; then echo "refused: another run holds this host now" >&2; exit 1; fi
mkdir "$run"
"""

# What is written here in part, as on a full disk, is never run.
_ARM = """\
arm() {{
  if [ "$home" != "$run" ]; then mkdir -p {disk}; mkdir "$home"; fi
  mkdir "$SIGSRV_STATE"
  echo {script} | base64 -d >"$home/apply.sh"
  echo {undo} | base64 -d >"$home/undo.sh"
  echo {once} | base64 -d >"$home/undo-once.sh"
  {state}
  if [ "$home" != "$run" ]; then find "$home" -exec sync {{}} +; sync {disk}; fi
  {arm}
}}
set +e
(set -e; arm)
armed=$?
set -e
if [ "$armed" != 0 ]; then
  {disarm}
  rm -rf "$home" "$run"
  echo "{refused} what undoes it by itself could not be set up; nothing was changed" >&2
  exit 1
fi
"""

_RUN = """\
say {applying}
: >"$run/out"
: >"$run/err"
setsid sh -c '
  timeout -k 5 {timeout} /bin/sh -eu "$1/apply.sh" >"$2/out" 2>"$2/err" </dev/null &
  echo "$!" >"$2/running"
  rc=0
  wait "$!" || rc=$?
  rm -f "$2/running"
  echo "$rc" >"$2/rc.new"
  mv "$2/rc.new" "$2/rc"
' sigsrv "$home" "$run" >/dev/null 2>&1 </dev/null &
echo "$!" >"$run/runner"
"""

_FOLLOW = """\
[ -s "$run/runner" ] || {{ echo "it was not begun, or it is over" >&2; exit {none}; }}
follow "$(cat "$run/runner")" "$run/out" "$run/err"
if [ ! -s "$run/rc" ]; then echo "it was stopped: its time was up" >&2; exit 124; fi
exit "$(cat "$run/rc")"
"""

_KEPT = """\
[ -d "$home" ] || { echo "it was undone already: its time was up" >&2; exit 1; }
for file in "$SIGSRV_STATE"/*; do
  if [ -f "$file" ]; then printf '%s %s\\n' "$(printf '%s' "${file##*/}" | base64 -w 0)" "$(base64 -w 0 <"$file")"; fi
done
"""

_CONFIRM = """\
[ -d "$home" ] || {{ echo "it was undone already: its time was up" >&2; exit 1; }}
{latch}latch || {{ echo "it is being undone: its time was up" >&2; exit 1; }}
{disarm}
say {confirmed}
rm -r "$home"
{gone}rm -rf "$run"
"""

_UNDO = """\
[ -d "$home" ] || {{ echo "{nothing}"; exit 0; }}
mkdir -p "$run"
timer=$(cat "$run/timer" 2>/dev/null || true)
: >"$run/undo.out"
: >"$run/undo.err"
setsid sh "$home/undo-once.sh" >"$run/undo.out" 2>"$run/undo.err" </dev/null &
follow "$!" "$run/undo.out" "$run/undo.err"
i=0
while [ -d "$home" ] && [ -d "$run/decided" ] && [ "$i" -lt {halves} ]; do sleep 0.5; i=$((i + 1)); done
{end}
[ ! -d "$home" ]
"""

# Where undoing failed a person must look: no timer tries again; the service on the disk does at the next boot.
_SYSTEMD_OFF = 'systemctl --quiet stop "$unit.timer" 2>/dev/null || true'
_TIMER_OFF = {
    RollbackTimer.SHELL: 'if [ -n "$timer" ]; then kill -- "-$timer" 2>/dev/null || true; fi',
    RollbackTimer.TRANSIENT: _SYSTEMD_OFF,
    RollbackTimer.UNIT: _SYSTEMD_OFF,
}


@dataclass(frozen=True)
class FixOptions:
    """On what terms a fix is applied. confirm_s: seconds within which a new login must confirm it.

    net: what undoes it otherwise. lock: the word of the run that holds the host; "": nobody looks. who: as syslog shall name them.
    """

    confirm_s: float = CONFIRM_S
    timer: RollbackTimer = RollbackTimer.SHELL
    lock: str = ""
    who: str = "somebody"
    paths: HostPaths = HOST_PATHS


def parse_state(text: str) -> dict[str, bytes]:
    """The old values by the name of their file, from what ``RemoteFix.kept`` gave. Raises ValueError."""
    found = {}
    for line in text.splitlines():
        name, _, content = line.partition(" ")
        try:
            file = base64.b64decode(name, validate=True).decode()
            found[file] = base64.b64decode(content, validate=True)
        except binascii.Error as cause:
            raise ValueError(f"not the old values of a fix: {line[:60]!r}") from cause
        if "/" in file or "\0" in file or file in ("", ".", ".."):
            raise ValueError(f"not the name of a file: {file!r}")
    return found


class RemoteFix:
    """A fix on its host. transaction: letters and digits, names its folder there. Each call may raise ConnectionFailed.

    state: the old values with which it begins, by the name of the file: an undo needs them.
    """

    NOT_BEGUN = 97  # exit status of ``follow``

    def __init__(
        self, fix: Fix, transaction: str, options: FixOptions | None = None, state: Mapping[str, bytes] | None = None
    ):
        self._fix = fix
        self._options = options = options or FixOptions()
        self._transaction = transaction
        self._state = state or {}
        paths = options.paths
        self._run = f"{paths.run}/{transaction}"
        # A change that survives a reboot must not outlive what undoes it, be it the host or who comes back
        on_disk = options.timer is RollbackTimer.UNIT or fix.survives_reboot
        self._home = f"{paths.disk}/{transaction}" if on_disk else self._run
        self._unit = f"sigsrv-undo-{transaction}"
        self._head = (
            f"run={shlex.quote(self._run)}; home={shlex.quote(self._home)}; unit={self._unit}; units={shlex.quote(paths.units)}\n"
            "SIGSRV_STATE=$home/state; export SIGSRV_STATE\n"
        )

    @property
    def deadline_s(self) -> float:
        """The seconds from its beginning within which the host is back in its old state, unless it was confirmed.

        What cuts no network does not hurry: its script's own time is added.
        """
        return self._options.confirm_s + (0 if self._fix.cuts_network else self._fix.timeout_s)

    @property
    def undoes_after_s(self) -> float:
        """The seconds after which the host begins to undo it by itself."""
        return max(1.0, self.deadline_s - arming.undo_reserve_s(self._options.confirm_s))

    @property
    def longest_s(self) -> float:
        """The seconds after which nothing of it runs on the host any more."""
        return self.deadline_s + self._fix.timeout_s + 10

    def apply(self, session: Session, notify: Notify | None = None) -> CommandResult:
        """Arm it, and run it. tell: gets each line of its output as it comes."""
        code = self._head + _TAIL + self._begin() + self._arm()
        code += _RUN.format(timeout=self._fix.timeout_s, applying=self._words("applies"))
        code += _FOLLOW.format(none=self.NOT_BEGUN)
        return self._call(session, code, self._fix.timeout_s + _TALK_S, notify)

    def follow(self, session: Session, notify: Notify | None = None) -> CommandResult:
        """What became of the script, over another connection than the one that began it; waits for its end."""
        code = self._head + _TAIL + _FOLLOW.format(none=self.NOT_BEGUN)
        return self._call(session, code, self._fix.timeout_s + _TALK_S, notify)

    def kept(self, session: Session) -> CommandResult:
        """The old values, as lines of two words in base64: the name of a file and what is in it."""
        return self._call(session, self._head + _KEPT, _TALK_S)

    def confirm(self, session: Session) -> CommandResult:
        """Keep it: disarm, and leave nothing on the host."""
        disarm = self._disarm() + (arming.END_SHELL if self._options.timer is RollbackTimer.SHELL else "")
        code = self._head + _CONFIRM.format(
            latch=arming.LATCH, disarm=disarm, gone=arming.GONE, confirmed=self._words("has confirmed")
        )
        return self._call(session, code, _TALK_S)

    def undo(self, session: Session, notify: Notify | None = None) -> CommandResult:
        """Put back what was there before. Where nothing of it is there any more it says ``NOTHING_THERE``: the host did so itself, or it
        was confirmed.
        """
        end = _TIMER_OFF[self._options.timer]
        code = _UNDO.format(nothing=NOTHING_THERE, halves=2 * (self._fix.timeout_s + 10), end=end)
        return self._call(session, self._head + _TAIL + code, 2 * self._fix.timeout_s + 30, notify)

    def _call(self, session: Session, code: str, timeout_s: float, notify: Notify | None = None) -> CommandResult:
        return shell.run(session, self._options.paths, code, timeout_s, notify)

    def _words(self, verb: str) -> str:
        """A line of the host's syslog, as one word of a shell."""
        fix = self._fix
        line = f"{self._options.who} {verb} {fix.name} for {fix.finding} (transaction {self._transaction}, script sha256 {fix.sha256})"
        return shlex.quote(" ".join(line.split()))

    def _begin(self) -> str:
        paths, lock = self._options.paths, self._options.lock
        return _BEGIN.format(
            parent=shlex.quote(paths.run),
            lock_word=shlex.quote(lock),
            held=shlex.quote(f"^{lock} "),
            lock=shlex.quote(f"{paths.run}/lock"),
        )

    def _once(self) -> str:
        paths, lock = self._options.paths, self._options.lock
        body = arming.ONCE.format(
            run=shlex.quote(self._run),
            home=shlex.quote(self._home),
            unit=self._unit,
            units=shlex.quote(paths.units),
            timeout=self._fix.timeout_s,
            held=shlex.quote(f"^{lock or '-'} "),
            lock=shlex.quote(f"{paths.run}/lock"),
            disarm=self._disarm(),
            gone=arming.GONE,
            latch=arming.LATCH,
            undoing=self._words("undoes"),
            undone=self._words("has undone"),
            failed=self._words("could not undo"),
        )
        return shell.head(paths) + body

    def _arm(self) -> str:
        seconds = f"{self.undoes_after_s:g}"
        once = f"{self._home}/undo-once.sh"
        state = (
            f'echo {base64.b64encode(content).decode()} | base64 -d >"$SIGSRV_STATE"/{shlex.quote(name)}\n'
            for name, content in self._state.items()
        )
        return _ARM.format(
            disk=shlex.quote(self._options.paths.disk),
            script=shell.coded(self._fix.script),
            undo=shell.coded(self._fix.undo),
            once=shell.coded(self._once()),
            state="".join(state),
            arm=arming.ARM[self._options.timer].format(
                seconds=seconds,
                service=shell.coded(arming.SERVICE.format(transaction=self._transaction, once=once)),
                timer=shell.coded(arming.TIMER.format(transaction=self._transaction, seconds=seconds)),
            ),
            disarm=self._disarm(),
            refused=REFUSED,
        )

    def _disarm(self) -> str:
        return arming.DISARM[self._options.timer]
