# shellcheck shell=bash
# shows: NET-001
# does: detaches the VLAN interface from sigsrvbr0 on the host

inject() { move_port "$1" "$(port_of "$1" sigsrvbr0)"; }
heal() { move_port "$1" "$(port_of "$1" sigsrvbr0)" sigsrvbr0; }
