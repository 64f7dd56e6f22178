# shellcheck shell=bash
# shows: NET-006
# does: attaches a link that is not the NIC of an instance to userbr0 on the host; an isolated port, with a VLAN of its own

exists() { on "$1" test -e /sys/class/net/foreign1; }

inject() {
  exists "$1" || on "$1" ip link add foreign1 type veth peer name foreign2
  move_port "$1" foreign1 userbr0
  on "$1" ip link set foreign1 type bridge_slave isolated on
  # shellcheck disable=SC2016 # expanded on the host; some kernels cannot filter VLANs
  on "$1" sh -c '[ "$(cat /sys/class/net/userbr0/bridge/vlan_filtering 2>/dev/null)" != 1 ] || bridge vlan add dev foreign1 vid 7'
}

heal() { ! exists "$1" || on "$1" ip link delete foreign1; }
