"""A host before anything is done there: is it free, what can undo a fix by itself, over which links is it reached.

The lock is a file below /run with the word of the run that holds the host, and the uptime until which it does: whoever was killed holds
it no longer than that. It is read and written under flock(1) on its folder.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from sigsrv.collect.session import Session
from sigsrv.model.errors import UsageError
from sigsrv.model.fix import Fix
from sigsrv.remediate import shell
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.shell import HOST_PATHS, HostPaths

_LIMIT_S = 15
HELD = 3  # exit status: another run holds the host

_UPTIME = """\
read -r now _ </proc/uptime
now=${now%%.*}
"""

# What stands above or below the link of the session is cut with it: its bridge, its ports, the link below a VLAN.
_INSPECT = """\
if [ -d {booted} ]; then echo systemd; fi
if [ -d {booted} ] && [ -d {units} ] && [ -w {units} ]; then echo units; fi
around() {{
  case " $found " in *" $1 "*) return 0 ;; esac
  found="$found $1"
  for way in /sys/class/net/"$1"/master /sys/class/net/"$1"/lower_*; do
    if [ -e "$way" ]; then around "$(basename "$(readlink -f "$way")")"; fi
  done
}}
found=
# The words of SSH_CONNECTION: the client's address and port, the own address and port (ssh(1))
client=$(echo "${{SSH_CONNECTION:-}}" | cut -d ' ' -f 1)
own=$(echo "${{SSH_CONNECTION:-}}" | cut -d ' ' -f 3)
if [ -n "$own" ]; then
  held=$(ip -o addr show | while read -r _ link _ address _; do if [ "${{address%%/*}}" = "$own" ]; then echo "${{link%%@*}}"; fi; done)
  led=$(ip -o route get "$client" | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
  set -f
  # shellcheck disable=SC2086 # one word for each link
  set -- $held $led
  set +f
  for link; do around "$link"; done
fi
set -f
for link in $found; do echo "link $link"; done
set +f
for folder in {run}/*/ {disk}/*/; do
  if [ -d "$folder/state" ]; then echo "left $folder"; fi
done
"""

_LOCK = """\
mkdir -p {run}
exec 9<{run}
flock -w 5 9 || {{ echo "refused: the lock of this host is being written for 5 s now" >&2; exit {held}; }}
token=
until=0
who=
if [ -e {lock} ]; then read -r token until who <{lock} || true; fi
case {dead} in *" $token "*) token= ;; esac
if [ -n "$token" ] && [ "$token" != {own} ] && [ "${{until:-0}}" -gt "$now" ]; then
  echo "refused: $who is at work here, run $token, for $((until - now)) s at most" >&2
  exit {held}
fi
echo {own} "$((now + {seconds}))" {who} >{lock}.new
mv {lock}.new {lock}
exec 9<&-
"""

_RELEASE = """\
[ -d {run} ] || exit 0
exec 9<{run}
flock -w 5 9 || exit 0
if grep -qs {held} {lock}; then rm -f {lock}; fi
"""


@dataclass(frozen=True)
class Preflight:
    """What a host offers. links: those over which this very login came, with what is above and below them; none at the host itself.

    systemd: it was booted with it; units: units can be written to its disk. left: folders of fixes that did not come to an end.
    """

    systemd: bool
    units: bool
    links: tuple[str, ...]
    left: tuple[str, ...] = ()


def parse(text: str) -> Preflight:
    """What ``look`` printed. Unknown lines are left alone."""
    lines = text.splitlines()
    words = [line.partition(" ") for line in lines]
    return Preflight(
        "systemd" in lines,
        "units" in lines,
        tuple(rest for word, _, rest in words if word == "link"),
        tuple(sorted({rest.rstrip("/") for word, _, rest in words if word == "left"})),
    )


def inspect(session: Session, paths: HostPaths = HOST_PATHS) -> Preflight:
    """The ground of a host; changes nothing there. Raises ConnectionFailed, and UsageError where that can't be told."""
    result = shell.run(session, paths, _inspect_code(paths), _LIMIT_S)
    if result.rc != 0:
        raise UsageError(f"{session.target.name}: it can't be told what would undo a fix there: {result.reason}")
    return parse(result.stdout)


def lock(
    session: Session, token: str, who: str, seconds: float, dead: Sequence[str] = (), paths: HostPaths = HOST_PATHS
) -> tuple[str, Preflight | None]:
    """Take or keep the lock of a host for a run. token: the run's word; seconds: for how long, at most.

    dead: the words of runs that are known to be over, and so hold nothing. Returns why not, and None; or "" and the ground.
    Raises ConnectionFailed.
    """
    code = _UPTIME + _LOCK.format(
        run=shlex.quote(paths.run),
        lock=shlex.quote(f"{paths.run}/lock"),
        own=shlex.quote(token),
        who=shlex.quote(" ".join(who.split())),
        seconds=int(seconds),
        dead=shlex.quote(f" {' '.join(dead)} "),
        held=HELD,
    )
    result = shell.run(session, paths, code + _inspect_code(paths), _LIMIT_S)
    if result.rc != 0:
        return result.reason, None
    return "", parse(result.stdout)


def unlock(session: Session, token: str, paths: HostPaths = HOST_PATHS) -> None:
    """Give the lock back, where the run still has it. Raises ConnectionFailed."""
    code = _RELEASE.format(
        run=shlex.quote(paths.run), lock=shlex.quote(f"{paths.run}/lock"), held=shlex.quote(f"^{token} ")
    )
    shell.run(session, paths, code, _LIMIT_S)


def rollback_timer_for(fix: Fix, preflight: Preflight, safety_net: bool = True) -> tuple[RollbackTimer, str]:
    """What is to undo a fix by itself; and why it is refused, "" where it is not.

    What cuts no network is undone by whoever comes back, at worst; so only what does must be armed over a reboot, where it survives one.
    """
    lesser = RollbackTimer.TRANSIENT if preflight.systemd else RollbackTimer.SHELL
    if not (fix.cuts_network and fix.survives_reboot):
        return lesser, ""
    if preflight.units:
        return RollbackTimer.UNIT, ""
    if not safety_net:
        return lesser, ""
    missing = "its units can't be written" if preflight.systemd else "it has no systemd"
    return lesser, (
        f"{fix.runs_on}: {missing}, and the change survives a reboot: no timer on this host would undo it then"
        " (--no-safety-net: a timer that a reboot takes away is enough)"
    )


def _inspect_code(paths: HostPaths) -> str:
    return _INSPECT.format(
        booted=shlex.quote(paths.booted),
        units=shlex.quote(paths.units),
        run=shlex.quote(paths.run),
        disk=shlex.quote(paths.disk),
    )
