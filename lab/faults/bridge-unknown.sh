# shellcheck shell=bash
# shows: XHOST-001
# does: makes a bridge with VLAN 99 by hand, on this host only
# labs: vm

inject() {
  on "$1" sh -c '[ -e /sys/class/net/other0 ] || {
    ip link add other0 type bridge
    ip link add link eth1 name other1 type vlan id 99
    ip link set other1 addrgenmode none master other0 up
    ip link set other0 addrgenmode none up; }'
}
# shellcheck disable=SC2016 # expanded on the host
heal() { on "$1" sh -c 'for link in other1 other0; do [ ! -e "/sys/class/net/$link" ] || ip link delete "$link"; done'; }
