# shellcheck shell=bash
# shows: NET-005
# does: sets the VLAN interface sigsrv0 of the host down; the other host sees nothing of it
# labs: vm

inject() { on "$1" ip link set sigsrv0 down; }

heal() {
  on "$1" ip link set sigsrv0 up
  wait_for 5 "sigsrv0 of $1 forwarding" on "$1" grep -qx 3 /sys/class/net/sigsrv0/brport/state   # 3: forwarding
}
