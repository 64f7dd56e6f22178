# shellcheck shell=bash
# shows: NET-002
# does: makes sigsrv0 of the host carry VLAN 21 instead of 20
# labs: vm

make_vlan() { # HOST ID: makes a new interface, because the ID of a VLAN interface cannot be changed
  [ "$(on "$1" ip -j -d link show sigsrv0 | jq '.[0].linkinfo.info_data.id')" != "$2" ] || return 0
  on "$1" ip link delete sigsrv0
  on "$1" ip link add link eth1 name sigsrv0 type vlan id "$2"
  on "$1" ip link set sigsrv0 addrgenmode none master sigsrvbr0 up
  wait_for 5 "sigsrv0 of $1 forwarding" on "$1" grep -qx 3 /sys/class/net/sigsrv0/brport/state   # 3: forwarding
}

inject() { make_vlan "$1" 21; }
heal() { make_vlan "$1" 20; }
