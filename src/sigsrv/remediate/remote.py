"""Runs a fix on its host: the scripts, the old values that an undo needs, and the rollback timer.

A folder on the host, for root only, has the two scripts and the old values. The rollback timer is armed before the
script runs: the host rolls the fix back by itself unless a new login confirms it. The folder is removed after the
confirmation or after a successful undo. Scripts are sent over standard input, never as arguments, and run detached,
so a broken connection does not stop them half way.
"""

from __future__ import annotations

import base64
import binascii
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from sigsrv.collect.session import Session
from sigsrv.model.fix import Fix
from sigsrv.model.ids import transaction_id
from sigsrv.remediate import arming, shell
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.shell import HOST_PATHS, CommandResult, HostPaths, Notify

CONFIRM_S = 60
MAX_OLD_VALUES = 512 * 1024  # characters of encoded old values that fit into the reserved space of the journal
_OVERHEAD_S = 15  # time for the code around a script
_ELSEWHERE_S = 10  # by how much another member begins the rollback later than the host of the fix
REFUSED = "refused:"
NOTHING_LEFT = "nothing of it is left on the host: it was rolled back or confirmed"

_FOLLOW_OUTPUT = """\
follow() { # PID FILE FILE: prints what is written to the files until the process ends
  tail -n +1 -s 0.1 -f --pid="$1" "$3" >&2 2>/dev/null &
  tail -n +1 -s 0.1 -f --pid="$1" "$2" 2>/dev/null || true
  wait "$!" || true
}
"""

# mkdir fails if the folder exists, so a transaction never starts twice.
_START = """\
mkdir -p {parent}
safe {parent}
if [ -n {lock_word} ] && ! grep -qs {held} {lock}; then echo "refused: another run has locked this host" >&2; exit 1; fi
mkdir "$run"
"""

# A file that is written only in part, as on a full disk, is never run.
_ARM = """\
arm() {{
  if [ "$home" != "$run" ]; then mkdir -p {disk}; safe {disk}; mkdir "$home"; fi
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
  echo "{refused} the rollback could not be armed; nothing was changed" >&2
  exit 1
fi
"""

_RUN = """\
{own_incus}say {applying}
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

# The script ends before its first change, when it has saved the old values.
_SAVE = """\
{own_incus}SIGSRV_SAVE_ONLY=yes timeout -k 5 {timeout} /bin/sh -eu "$home/apply.sh" </dev/null
"""

_FOLLOW = """\
[ -s "$run/runner" ] || {{ echo "the script was not started, or it is over" >&2; exit {none}; }}
follow "$(cat "$run/runner")" "$run/out" "$run/err"
if [ ! -s "$run/rc" ]; then echo "the script was stopped: its time was up" >&2; exit 124; fi
exit "$(cat "$run/rc")"
"""

_PRINT_OLD_VALUES = """\
[ -d "$home" ] || { echo "the host has rolled it back already: the time to confirm was over" >&2; exit 1; }
for file in "$SIGSRV_STATE"/*; do
  if [ -f "$file" ]; then printf '%s %s\\n' "$(printf '%s' "${file##*/}" | base64 -w 0)" "$(base64 -w 0 <"$file")"; fi
done
"""

_CONFIRM = """\
[ -d "$home" ] || {{ echo "the host has rolled it back already: the time to confirm was over" >&2; exit 1; }}
{latch}latch || {{ echo "the host is rolling it back: the time to confirm is over" >&2; exit 1; }}
{disarm}
say {confirmed}
rm -r "$home"
{sync_parent}rm -rf "$run"
"""

# An earlier version may have armed the fix in its own folder.
_UNDO = """\
if [ ! -d "$home" ] && [ -d {old} ]; then home={old}; SIGSRV_STATE=$home/state; safe "$home"; fi
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

# If the undo fails, a person must check the host, so the timer is stopped. The service on the disk tries again at the next boot.
_STOP_SYSTEMD_TIMER = 'systemctl --quiet stop "$unit.timer" 2>/dev/null || true'
_STOP_TIMER = {
    RollbackTimer.SHELL: 'if [ -n "$timer" ]; then kill -- "-$timer" 2>/dev/null || true; fi',
    RollbackTimer.TRANSIENT: _STOP_SYSTEMD_TIMER,
    RollbackTimer.UNIT: _STOP_SYSTEMD_TIMER,
}


@dataclass(frozen=True)
class FixOptions:
    """Says how to apply a fix.

    confirm_s: seconds within which a new login must confirm it. timer: rolls it back otherwise. lock: the id of the
    run that locked the host; "" skips that check. who: the operator's name for syslog. force: an undo also writes old values over values
    that somebody changed since the fix. elsewhere: the fix runs on another member of the cluster; this host would undo it, some time
    later than that one. reason: why the operator does it, for syslog.
    """

    confirm_s: float = CONFIRM_S
    timer: RollbackTimer = RollbackTimer.SHELL
    lock: str = ""
    who: str = "somebody"
    paths: HostPaths = HOST_PATHS
    force: bool = False
    elsewhere: bool = False
    reason: str = ""


def parse_state(text: str) -> dict[str, bytes]:
    """Parse the output of ``RemoteFix.old_values``: the content of each file, by file name. Raises ValueError."""
    found = {}
    for line in text.splitlines():
        name, _, content = line.partition(" ")
        try:
            file = base64.b64decode(name, validate=True).decode()
            found[file] = base64.b64decode(content, validate=True)
        except binascii.Error as cause:
            raise ValueError(f"not the old values of a fix: {line[:60]!r}") from cause
        if "/" in file or "\0" in file or file in ("", ".", ".."):
            raise ValueError(f"not a file name: {file!r}")
    return found


def kept_lines(output: str) -> tuple[str, ...]:
    """Return what an undo script left alone, because somebody had changed it since the fix: its lines that begin with ``kept: ``."""
    return tuple(line.removeprefix("kept: ") for line in output.splitlines() if line.startswith("kept: "))


class RemoteFix:
    """Runs one fix on its host. transaction: its id, which names the folder on the host.

    state: the old values at the start, by file name; an undo needs them. Raises ValueError for an id that is none. Each call may raise
    ConnectionFailed. Before it does anything, it refuses a folder that an account other than root could change.
    """

    NOT_STARTED = 97  # exit status of ``follow``

    def __init__(
        self, fix: Fix, transaction: str, options: FixOptions | None = None, state: Mapping[str, bytes] | None = None
    ):
        self._fix = fix
        self._options = options = options or FixOptions()
        self._transaction = transaction_id(transaction)
        self._state = state or {}
        self._is_undo = state is not None
        paths = options.paths
        self._run = f"{paths.run}/{transaction}"
        # If the change survives a reboot, its undo script must survive it too, for the host or for the next run
        on_disk = options.timer is RollbackTimer.UNIT or fix.survives_reboot
        self._home = f"{paths.disk}/{transaction}" if on_disk else self._run
        self._unit = f"sigsrv-undo-{transaction}"
        self._header = (
            f"run={shlex.quote(self._run)}; home={shlex.quote(self._home)}\n"
            f"unit={shlex.quote(self._unit)}; units={shlex.quote(paths.units)}; control={shlex.quote(paths.control)}\n"
            "SIGSRV_STATE=$home/state; export SIGSRV_STATE\n"
            f"SIGSRV_FORCE={'yes' if options.force else ''}; export SIGSRV_FORCE\n"
            f"SIGSRV_ELSEWHERE={'yes' if options.elsewhere else ''}; export SIGSRV_ELSEWHERE\n"
            'safe "$run"; safe "$home"\n'
        )

    @property
    def deadline_s(self) -> float:
        """Return the seconds from the start after which the host is in its old state, unless the fix was confirmed.

        A fix that does not cut the network is less urgent: the time limit of its script is added.
        """
        return self._options.confirm_s + (0 if self._fix.cuts_network else self._fix.timeout_s)

    @property
    def rollback_after_s(self) -> float:
        """Return the seconds from the start after which the host begins the rollback."""
        later = _ELSEWHERE_S if self._options.elsewhere else 0
        return max(1.0, self.deadline_s - arming.undo_reserve_s(self._options.confirm_s)) + later

    @property
    def gone_after_s(self) -> float:
        """Return the seconds from the start after which no process of the fix runs on the host."""
        return self.deadline_s + self._fix.timeout_s + 10

    def apply(self, session: Session, notify: Notify | None = None) -> CommandResult:
        """Arm the rollback timer and run the script. notify: gets each line of the output as it comes."""
        code = self._header + _FOLLOW_OUTPUT + self._start_code() + self._arm_code(self._state) + self._run_code()
        return self._call(session, code, self._fix.timeout_s + _OVERHEAD_S, notify)

    def save(self, session: Session) -> CommandResult:
        """Arm the rollback timer and let the script save the old values. It changes nothing.

        An undo has its values from the journal, and its script would begin to undo.
        """
        code = self._header + self._start_code() + self._arm_code(self._state)
        if not self._is_undo:
            code += _SAVE.format(own_incus=shell.OWN_INCUS, timeout=self._fix.timeout_s)
        return self._call(session, code, self._fix.timeout_s + _OVERHEAD_S)

    def arm(self, session: Session, old_values: str) -> CommandResult:
        """Arm the rollback timer with old values that another member has saved. Raises ValueError if they are none."""
        code = self._header + self._start_code() + self._arm_code(parse_state(old_values))
        return self._call(session, code, _OVERHEAD_S)

    def run(self, session: Session, notify: Notify | None = None) -> CommandResult:
        """Run the script after ``save``."""
        code = self._header + _FOLLOW_OUTPUT + self._run_code()
        return self._call(session, code, self._fix.timeout_s + _OVERHEAD_S, notify)

    def _run_code(self) -> str:
        own, applying = shell.OWN_INCUS, self._log_line("applies")
        run = _RUN.format(own_incus=own, timeout=self._fix.timeout_s, applying=applying)
        return run + _FOLLOW.format(none=self.NOT_STARTED)

    def follow(self, session: Session, notify: Notify | None = None) -> CommandResult:
        """Wait for the end of the script and return its result, over another connection than the one that started it."""
        code = self._header + _FOLLOW_OUTPUT + _FOLLOW.format(none=self.NOT_STARTED)
        return self._call(session, code, self._fix.timeout_s + _OVERHEAD_S, notify)

    def old_values(self, session: Session) -> CommandResult:
        """Return the old values, one file a line: its name and its content, both in base64."""
        return self._call(session, self._header + _PRINT_OLD_VALUES, _OVERHEAD_S)

    def confirm(self, session: Session) -> CommandResult:
        """Keep the change: disarm the timer and remove everything of the fix from the host."""
        disarm = self._disarm_code() + (arming.STOP_SHELL_TIMER if self._options.timer is RollbackTimer.SHELL else "")
        code = self._header + _CONFIRM.format(
            latch=arming.LATCH, disarm=disarm, sync_parent=arming.SYNC_PARENT, confirmed=self._log_line("has confirmed")
        )
        return self._call(session, code, _OVERHEAD_S)

    def undo(self, session: Session, notify: Notify | None = None) -> CommandResult:
        """Restore the old state of the host.

        Prints ``NOTHING_LEFT`` if nothing of the fix is left: the host rolled it back by itself, or it was confirmed.
        """
        end = _STOP_TIMER[self._options.timer]
        old = shlex.quote(f"{self._options.paths.old_disk}/{self._transaction}")
        code = _UNDO.format(nothing=NOTHING_LEFT, halves=2 * (self._fix.timeout_s + 10), end=end, old=old)
        return self._call(session, self._header + _FOLLOW_OUTPUT + code, 2 * self._fix.timeout_s + 30, notify)

    def _call(self, session: Session, code: str, timeout_s: float, notify: Notify | None = None) -> CommandResult:
        return shell.run(session, self._options.paths, code, timeout_s, notify)

    def _log_line(self, verb: str) -> str:
        """Return a line for the host's syslog, quoted as one shell word."""
        fix = self._fix
        details = f"transaction {self._transaction}, script sha256 {fix.sha256}"
        if self._options.reason:
            details += f", reason: {self._options.reason}"
        line = f"{self._options.who} {verb} {fix.name} for {', '.join(fix.findings)} ({details})"
        return shlex.quote(" ".join(line.split()))

    def _start_code(self) -> str:
        paths, lock = self._options.paths, self._options.lock
        return _START.format(
            parent=shlex.quote(paths.run),
            lock_word=shlex.quote(lock),
            held=shlex.quote(f"^{lock} "),
            lock=shlex.quote(f"{paths.run}/lock"),
        )

    def _undo_once_code(self) -> str:
        paths, lock = self._options.paths, self._options.lock
        body = arming.ONCE.format(
            run=shlex.quote(self._run),
            home=shlex.quote(self._home),
            unit=shlex.quote(self._unit),
            units=shlex.quote(paths.units),
            control=shlex.quote(paths.control),
            timeout=self._fix.timeout_s,
            held=shlex.quote(f"^{lock or '-'} "),
            lock=shlex.quote(f"{paths.run}/lock"),
            disarm=self._disarm_code(),
            sync_parent=arming.SYNC_PARENT,
            latch=arming.LATCH,
            own_incus=shell.OWN_INCUS,
            elsewhere="yes" if self._options.elsewhere else "",
            undoing=self._log_line("undoes"),
            undone=self._log_line("has undone"),
            failed=self._log_line("could not undo"),
        )
        return shell.header(paths) + body

    def _arm_code(self, old_values: Mapping[str, bytes]) -> str:
        seconds = f"{self.rollback_after_s:g}"
        once = f"{self._home}/undo-once.sh"
        state = (
            f'echo {base64.b64encode(content).decode()} | base64 -d >"$SIGSRV_STATE"/{shlex.quote(name)}\n'
            for name, content in old_values.items()
        )
        return _ARM.format(
            disk=shlex.quote(self._options.paths.disk),
            script=shell.encoded(self._fix.script),
            undo=shell.encoded(self._fix.undo),
            once=shell.encoded(self._undo_once_code()),
            state="".join(state),
            arm=arming.ARM[self._options.timer].format(
                seconds=seconds,
                service=shell.encoded(arming.SERVICE.format(transaction=self._transaction, once=once)),
                timer=shell.encoded(arming.TIMER.format(transaction=self._transaction, seconds=seconds)),
            ),
            disarm=self._disarm_code(),
            refused=REFUSED,
        )

    def _disarm_code(self) -> str:
        return arming.DISARM[self._options.timer]
