"""Inspects a host before sigsrv changes it: its lock, its means of rollback, and the links of this login.

The lock is a file below /run. It has the id of the run and the uptime at which the lock expires, so a killed run
keeps a host no longer than that. It is read and written under flock(1) on its folder.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sigsrv.collect.session import Session
from sigsrv.model.errors import UsageError
from sigsrv.model.fix import Fix
from sigsrv.model.ids import run_id
from sigsrv.remediate import shell
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.shell import HOST_PATHS, CommandResult, HostPaths

_TIMEOUT_S = 15
EXIT_LOCKED = 3  # exit status: another run has locked the host

_UPTIME = """\
read -r now _ </proc/uptime
now=${now%%.*}
"""

# The folders of fixes hold shell code that root runs.
_TRUST = """\
safe {run}
safe {disk}
at={run}
while [ ! -e "$at" ] && [ -n "$at" ]; do at=${{at%/*}}; done
if [ ! -w "${{at:-/}}" ]; then
  echo "refused: the account $(id -un) is not root, so it can't change this host: use --sudo, or sudo: true in the site file" >&2
  exit 1
fi
"""

# A change of a neighbour link also cuts the session: the link's bridge, its ports, the link below a VLAN interface.
_INSPECT = """\
if [ -d {booted} ]; then echo systemd; fi
# The rollback at the next boot needs units and scripts that the reboot does not remove.
lasts() {{
  at=$1
  while [ ! -e "$at" ] && [ -n "$at" ]; do at=${{at%/*}}; done
  at=${{at:-/}}
  [ -d "$at" ] && [ -w "$at" ] || return 1
  case {volatile} in *" $(stat -f -c %T -- "$at") "*) return 1 ;; esac
}}
if [ -d {booted} ] && lasts {disk}; then
  if [ -d {units} ] && lasts {units}; then echo units; elif [ -d {parent} ] && lasts {control}; then echo units; fi
fi
around() {{
  case " $found " in *" $1 "*) return 0 ;; esac
  found="$found $1"
  for way in /sys/class/net/"$1"/master /sys/class/net/"$1"/lower_*; do
    if [ -e "$way" ]; then around "$(basename "$(readlink -f "$way")")"; fi
  done
}}
found=
# SSH_CONNECTION is: client address, client port, server address, server port (ssh(1))
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
# Below the old folder, only what root has put there is a fix.
old={old_disk}
if reason=$(distrust "$old"); then
  if [ -d "$old" ]; then echo "untrusted $reason"; fi
  old={disk}
fi
for folder in {run}/*/ {disk}/*/ "$old"/*/; do
  if [ -d "$folder/state" ]; then echo "left $folder"; fi
done
"""

_LOCK = """\
mkdir -p {run}
safe {run}
exec 9<{run}
flock -w 5 9 || {{ echo "refused: another process has kept the lock file of this host busy for 5 s" >&2; exit {locked}; }}
token=
until=0
who=
if [ -e {lock} ]; then read -r token until who <{lock} || true; fi
case {dead} in *" $token "*) token= ;; esac
if [ -n "$token" ] && [ "$token" != {own} ] && [ "${{until:-0}}" -gt "$now" ]; then
  echo "refused: the host is locked by $who, run $token, for $((until - now)) s at most" >&2
  exit {locked}
fi
echo {own} "$((now + {seconds}))" {who} >{lock}.new
mv {lock}.new {lock}
exec 9<&-
"""

_RELEASE = """\
[ -d {run} ] || exit 0
safe {run}
exec 9<{run}
flock -w 5 9 || exit 0
if grep -qs {owner} {lock}; then rm -f {lock}; fi
"""


@dataclass(frozen=True)
class Preflight:
    """Says what a host offers.

    systemd: the host was booted with it. units: sigsrv can write systemd units to the disk. links: the links of this
    ssh login, with the links above and below them; none for a local connection. leftovers: folders of unfinished
    fixes. untrusted: why fixes that an earlier version may have left are not read.
    """

    systemd: bool
    units: bool
    links: tuple[str, ...]
    leftovers: tuple[str, ...] = ()
    untrusted: str = ""


def parse(text: str) -> Preflight:
    """Parse the output of ``inspect``. Unknown lines are ignored."""
    lines = text.splitlines()
    words = [line.partition(" ") for line in lines]
    return Preflight(
        "systemd" in lines,
        "units" in lines,
        tuple(rest for word, _, rest in words if word == "link"),
        tuple(sorted({rest.rstrip("/") for word, _, rest in words if word == "left"})),
        next((rest for word, _, rest in words if word == "untrusted"), ""),
    )


def inspect(session: Session, paths: HostPaths = HOST_PATHS) -> Preflight:
    """Inspect a host without changing it. Raises ConnectionFailed, and UsageError if the inspection fails."""
    result = shell.run(session, paths, _trust_code(paths) + _inspect_code(paths), _TIMEOUT_S)
    if result.rc != 0:
        raise UsageError(
            f"{session.target.name}: the preflight failed: {_reason(session, result).removeprefix('refused: ')}"
        )
    return parse(result.stdout)


def lock(
    session: Session, token: str, who: str, seconds: float, dead: Sequence[str] = (), paths: HostPaths = HOST_PATHS
) -> tuple[str, Preflight | None]:
    """Take or extend the lock of a host for a run.

    token: the id of the run. seconds: how long the lock lasts without an extension. dead: ids of runs that are over;
    their locks do not count. Returns the reason of a refusal and None, or "" and the preflight. Raises
    ConnectionFailed.
    """
    code = (
        _trust_code(paths)
        + _UPTIME
        + _LOCK.format(
            run=shlex.quote(paths.run),
            lock=shlex.quote(f"{paths.run}/lock"),
            own=shlex.quote(run_id(token)),
            who=shlex.quote(" ".join(who.split())),
            seconds=int(seconds),
            dead=shlex.quote(f" {' '.join(dead)} "),
            locked=EXIT_LOCKED,
        )
    )
    result = shell.run(session, paths, code + _inspect_code(paths), _TIMEOUT_S)
    if result.rc != 0:
        return _reason(session, result), None
    return "", parse(result.stdout)


def unlock(session: Session, token: str, paths: HostPaths = HOST_PATHS) -> None:
    """Release the lock if the run still owns it. Raises ConnectionFailed."""
    code = _RELEASE.format(
        run=shlex.quote(paths.run), lock=shlex.quote(f"{paths.run}/lock"), owner=shlex.quote(f"^{run_id(token)} ")
    )
    shell.run(session, paths, code, _TIMEOUT_S)


def rollback_timer_for(fix: Fix, preflight: Preflight, safety_net: bool = True) -> tuple[RollbackTimer, str]:
    """Choose the rollback timer for a fix. Returns it with the reason to refuse the fix, "" for none.

    After a reboot, the next run can roll back a fix that does not cut the network. So a timer must survive a reboot
    only if the fix cuts the network and survives a reboot.
    """
    weaker = RollbackTimer.TRANSIENT if preflight.systemd else RollbackTimer.SHELL
    if not (fix.cuts_network and fix.survives_reboot):
        return weaker, ""
    if preflight.units:
        return RollbackTimer.UNIT, ""
    if not safety_net:
        return weaker, ""
    missing = "no systemd unit can be written that a reboot keeps" if preflight.systemd else "it has no systemd"
    return weaker, (
        f"{fix.runs_on}: {missing}, so no rollback timer survives a reboot, but the change does"
        " (--no-safety-net accepts a timer that a reboot removes)"
    )


def _reason(session: Session, result: CommandResult) -> str:
    """Return why a script failed. If sudo refused it, also which rule it needs."""
    reason = result.reason
    if session.target.sudo and reason.startswith("sudo: "):
        return f"{reason}; sigsrv probes --sudoers ACCOUNT --remediate prints the rule for --sudo"
    return reason


def _trust_code(paths: HostPaths) -> str:
    return _TRUST.format(run=shlex.quote(paths.run), disk=shlex.quote(paths.disk))


def _inspect_code(paths: HostPaths) -> str:
    return _INSPECT.format(
        booted=shlex.quote(paths.booted),
        units=shlex.quote(paths.units),
        control=shlex.quote(paths.control),
        parent=shlex.quote(str(Path(paths.control).parent)),
        volatile=shlex.quote(paths.volatile),
        run=shlex.quote(paths.run),
        disk=shlex.quote(paths.disk),
        old_disk=shlex.quote(paths.old_disk),
    )
