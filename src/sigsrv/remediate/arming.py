"""Shell code for the rollback timer: the host rolls a fix back by itself when nobody confirms the fix.

All texts expect the shell variables ``$run``, ``$home``, ``$unit``, ``$units`` and ``$control``.
"""

from __future__ import annotations

from enum import StrEnum


class RollbackTimer(StrEnum):
    """Names the mechanism that rolls a fix back when nobody confirms it."""

    UNIT = "unit"  # a systemd timer, and a service on the disk that rolls back at the next boot
    TRANSIENT = "transient"  # a systemd timer; a reboot removes it together with the change
    SHELL = "shell"  # a detached shell; a reboot removes it too


def undo_reserve_s(confirm_s: float) -> float:
    """Return how many seconds before the deadline the rollback starts, so it ends in time."""
    return min(5.0, confirm_s / 4)


# Confirmation and rollback take the same latch, so only one of them happens. If the process that took the latch is dead, the next
# process takes the latch over; only one process can.
LATCH = """\
latch() {
  if ! mkdir "$run/decided" 2>/dev/null; then
    owner=$(cat "$run/decided/by" 2>/dev/null || true)
    if [ -z "$owner" ] || kill -0 "$owner" 2>/dev/null; then return 1; fi
    mkdir "$run/decided/after-$owner" 2>/dev/null || return 1
  fi
  echo "$$" >"$run/decided/by"
}
"""

# The process that takes the latch first runs the undo script. The latch is below /run, so it is free again after a boot.
ONCE = """\
run={run}; home={home}; unit={unit}; units={units}; control={control}
SIGSRV_STATE=$home/state; export SIGSRV_STATE
SIGSRV_ELSEWHERE={elsewhere}; export SIGSRV_ELSEWHERE
safe "$home"
mkdir -p "$run"
safe "$run"
{latch}latch || exit 0
pid=$(cat "$run/running" 2>/dev/null || true)
if [ -n "$pid" ]; then
  kill "$pid" 2>/dev/null || true
  i=0
  while kill -0 "$pid" 2>/dev/null && [ "$i" -lt 20 ]; do sleep 0.1; i=$((i + 1)); done
  kill -s KILL -- "-$pid" 2>/dev/null || true # dash does not accept -KILL before --
fi
{own_incus}say {undoing}
if ! timeout -k 5 {timeout} /bin/sh -eu "$home/undo.sh"; then
  rm -r "$run/decided"
  say {failed}
  exit 1
fi
say {undone}
if [ "${{1:-}}" = self ] && grep -qs {held} {lock}; then rm -f {lock}; fi
{disarm}
rm -rf "$home"
{sync_parent}rm -rf "$run"
"""

# A folder that was removed must not reappear after a power cut: it would roll back a confirmed fix.
SYNC_PARENT = '[ "$home" = "$run" ] || sync "${home%/*}"\n'

ARM = {
    RollbackTimer.SHELL: """\
setsid sh -c 'sleep {seconds}; for _ in 1 2 3 4 5; do sh "$0" self && exit; sleep 5; done' "$home/undo-once.sh" >/dev/null 2>&1 </dev/null &
echo "$!" >"$run/timer"
""",
    RollbackTimer.TRANSIENT: """\
systemd-run --quiet --collect --unit="$unit" --on-active={seconds}s --timer-property=AccuracySec=100ms \\
  --property=Type=oneshot --property=Restart=on-failure --property=RestartSec=5 /bin/sh "$home/undo-once.sh" self
""",
    # The next boot wants the service: it rolls back at once. The timer is started: it counts from now. `systemctl enable` could write
    # the link only below /etc/systemd/system.
    RollbackTimer.UNIT: """\
[ -w "$units" ] || units=$control
wants=$units/multi-user.target.wants
mkdir -p "$wants"
echo {service} | base64 -d >"$units/$unit.service"
echo {timer} | base64 -d >"$units/$unit.timer"
ln -sf "../$unit.service" "$wants/$unit.service"
chmod 755 "$units" "$wants"
chmod 644 "$units/$unit.service" "$units/$unit.timer"
systemctl daemon-reload
systemctl start "$unit.timer"
sync "$units/$unit.service" "$units/$unit.timer" "$wants" "$units" "${{units%/*}}"
""",
}

# Runs after a confirmation and after a rollback. A detached shell that rolls back ends by itself.
DISARM = {
    RollbackTimer.SHELL: "",
    RollbackTimer.TRANSIENT: 'systemctl --quiet stop "$unit.timer" || true\n',
    RollbackTimer.UNIT: """\
systemctl --quiet stop "$unit.timer" || true
for units in "$units" "$control"; do
  rm -f "$units/multi-user.target.wants/$unit.service" "$units/$unit.service" "$units/$unit.timer" || true
  sync "$units/multi-user.target.wants" "$units" 2>/dev/null || true
  rmdir "$units/multi-user.target.wants" 2>/dev/null || true # only if it is empty
done
rmdir "$control" 2>/dev/null || true
systemctl daemon-reload || true
""",
}

STOP_SHELL_TIMER = """\
if [ -s "$run/timer" ]; then kill -- "-$(cat "$run/timer")" 2>/dev/null || true; fi
"""

SERVICE = """\
[Unit]
Description=Roll back a change that was not confirmed (sigsrv-remediate {transaction})
After=network.target ssh.service sshd.service incus.service incus-startup.service
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/bin/sh {once} self
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
"""

TIMER = """\
[Unit]
Description=Time limit for the confirmation of a change (sigsrv-remediate {transaction})

[Timer]
OnActiveSec={seconds}s
AccuracySec=100ms
"""
