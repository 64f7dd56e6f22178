# shellcheck shell=bash
# shows: POOL-005
# does: sets the clock of the host back by 40 days, scrubs the pool iso, and sets it right
# labs: vm

# A moment is enough, and the daemon stands still in it: to the other members a clock so wrong would be a fault of its own.
inject() {
  local pid
  pid=$(incusd_pid "$1")
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c 'set -e
    systemctl stop lab-clock chrony
    kill -STOP "$1"
    date -s "@$(($(date +%s) - 40 * 86400))" >/dev/null
    zpool scrub -w iso
    date -s "@$(($(date +%s) + 40 * 86400))" >/dev/null
    kill -CONT "$1"
    systemctl start chrony lab-clock' sh "$pid"
  set_clocks
  wait_for 30 "a clock of $1 that is kept" clock_is_kept "$1"
  is_well_again "$1"
}

heal() { on "$1" zpool scrub -w iso; }
