"""What undoes a fix on the host by itself, whatever becomes of whoever applied it.

All of it is shell text, for code that has ``$run``, ``$home`` and ``$unit``.
"""

from __future__ import annotations

from enum import StrEnum


class RollbackTimer(StrEnum):
    """What undoes it by itself."""

    UNIT = "unit"  # a systemd timer, and a service on the disk that undoes it at the next boot
    TRANSIENT = "transient"  # a systemd timer, which a reboot takes away with the change
    SHELL = "shell"  # a detached shell, likewise


def undo_reserve_s(confirm_s: float) -> float:
    """The seconds before the end of its time at which undoing begins, so that it is done by then."""
    return min(5.0, confirm_s / 4)


# Who confirms and who undoes take the same latch. Who finds that the one who took it has died takes it in his place; only one can.
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

# The undo script is run by the first who takes the latch. That is below /run: at the next boot it is free.
ONCE = """\
run={run}; home={home}; unit={unit}; units={units}
SIGSRV_STATE=$home/state; export SIGSRV_STATE
mkdir -p "$run"
{latch}latch || exit 0
pid=$(cat "$run/running" 2>/dev/null || true)
if [ -n "$pid" ]; then
  kill "$pid" 2>/dev/null || true
  i=0
  while kill -0 "$pid" 2>/dev/null && [ "$i" -lt 20 ]; do sleep 0.1; i=$((i + 1)); done
  kill -s KILL -- "-$pid" 2>/dev/null || true # dash knows no -KILL before --
fi
say {undoing}
if ! timeout -k 5 {timeout} /bin/sh -eu "$home/undo.sh"; then
  rm -r "$run/decided"
  say {failed}
  exit 1
fi
say {undone}
if [ "${{1:-}}" = self ] && grep -qs {held} {lock}; then rm -f {lock}; fi
{disarm}
rm -rf "$home"
{gone}rm -rf "$run"
"""

# What was taken off the disk must not be there again after a power cut: it would undo what was confirmed.
GONE = '[ "$home" = "$run" ] || sync "${home%/*}"\n'

ARM = {
    RollbackTimer.SHELL: """\
setsid sh -c 'sleep {seconds}; for _ in 1 2 3 4 5; do sh "$0" self && exit; sleep 5; done' "$home/undo-once.sh" >/dev/null 2>&1 </dev/null &
echo "$!" >"$run/timer"
""",
    RollbackTimer.TRANSIENT: """\
systemd-run --quiet --collect --unit="$unit" --on-active={seconds}s --timer-property=AccuracySec=100ms \\
  --property=Type=oneshot --property=Restart=on-failure --property=RestartSec=5 /bin/sh "$home/undo-once.sh" self
""",
    # Enabled is the service: at the next boot it undoes at once. Started is the timer: it counts from now.
    RollbackTimer.UNIT: """\
echo {service} | base64 -d >"$units/$unit.service"
echo {timer} | base64 -d >"$units/$unit.timer"
chmod 644 "$units/$unit.service" "$units/$unit.timer"
systemctl daemon-reload
systemctl --quiet enable "$unit.service"
systemctl start "$unit.timer"
for kept in "$units/$unit".* "$units/multi-user.target.wants" "$units"; do
  if [ -e "$kept" ]; then sync "$kept"; fi
done
""",
}

# For who confirms, and for who undoes when it is undone. The shell's timer ends by itself where it is what undoes.
DISARM = {
    RollbackTimer.SHELL: "",
    RollbackTimer.TRANSIENT: 'systemctl --quiet stop "$unit.timer" || true\n',
    RollbackTimer.UNIT: """\
systemctl --quiet stop "$unit.timer" || true
systemctl --quiet disable "$unit.service" || true
rm -f "$units/$unit.service" "$units/$unit.timer"
sync "$units/multi-user.target.wants" "$units" 2>/dev/null || true
systemctl daemon-reload || true
""",
}

END_SHELL = """\
if [ -s "$run/timer" ]; then kill -- "-$(cat "$run/timer")" 2>/dev/null || true; fi
"""

SERVICE = """\
[Unit]
Description=Undo a change that nobody confirmed (sigsrv-remediate {transaction})
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
Description=Time within which a change is confirmed (sigsrv-remediate {transaction})

[Timer]
OnActiveSec={seconds}s
AccuracySec=100ms
"""
