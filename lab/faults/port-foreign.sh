# shellcheck shell=bash
# shows: NET-006
# does: attaches a link of the host to userbr0, which is the NIC of no instance

exists() { on "$1" test -e /sys/class/net/foreign1; }

inject() {
  exists "$1" || on "$1" ip link add foreign1 type veth peer name foreign2
  move_port "$1" foreign1 userbr0
}

heal() { ! exists "$1" || on "$1" ip link delete foreign1; }
