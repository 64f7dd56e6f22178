# shellcheck shell=bash
# shows: NET-005
# does: sets sigsrv0 of the host down; the other end, on the other host, loses its carrier
# labs: ns

is_forwarding() { [ "$(on "$1" cat /sys/class/net/sigsrv0/brport/state)" = 3 ]; }   # 3: forwarding

inject() {
  on "$1" ip link set sigsrv0 down
  wait_for 5 "sigsrv0 of $(other_host "$1") without a carrier" lost_carrier "$(other_host "$1")"
}

lost_carrier() { [ "$(on "$1" cat /sys/class/net/sigsrv0/carrier)" = 0 ] && ! is_forwarding "$1"; }

heal() {
  local host
  on "$1" ip link set sigsrv0 up
  for host in "$1" "$(other_host "$1")"; do wait_for 5 "sigsrv0 of $host forwarding" is_forwarding "$host"; done
}
