# shellcheck shell=bash
# shows: NET-007
# does: limits frames of the VLAN interface of userbr0 on the host to 1400 bytes: pings pass, large frames do not

inject() { on "$1" ip link set "$(port_of "$1" userbr0)" mtu 1400; }
heal() { on "$1" ip link set "$(port_of "$1" userbr0)" mtu 1500; }
